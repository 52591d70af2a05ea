//! .NET's TimeSpan as configuration writes it: `[d.]hh:mm[:ss[.fffffff]]`, or whole days.

use std::time::Duration;

/// `None` for anything else, negative spans included.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.contains(':') {
        return Some(Duration::from_secs(text.parse::<u64>().ok()? * 86_400));
    }
    let mut parts = text.split(':');
    let (days, hours) = match parts.next()?.split_once('.') {
        Some((days, hours)) => (days.parse::<u64>().ok()?, hours),
        None => (0, text.split(':').next()?),
    };
    let hours = below(hours, 24)?;
    let minutes = below(parts.next()?, 60)?;
    let (seconds, nanos) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (below(seconds, 60)?, 0),
            Some((seconds, fraction)) => (below(seconds, 60)?, nanos(fraction)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    let total = days * 86_400 + hours * 3_600 + minutes * 60 + seconds;
    Some(Duration::new(total, nanos))
}

fn below(text: &str, limit: u64) -> Option<u64> {
    let value = text.parse().ok()?;
    (value < limit).then_some(value)
}

fn nanos(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || fraction.len() > 7 {
        return None;
    }
    let digits: u32 = fraction.parse().ok()?;
    // At most seven digits, so the exponent is between 2 and 8.
    Some(digits * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn spans_read_as_dotnet_reads_them() {
        for (text, seconds) in [
            ("00:05:00", 300.0),
            ("00:00:00.25", 0.25),
            ("1.02:00:00", 93_600.0),
            ("7", 604_800.0),
            ("00:01", 60.0),
        ] {
            assert_eq!(parse(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-1",
            "00:60:00",
            "24:00:00",
            "1:2:3:4",
            "00:00:00.",
            "soon",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
