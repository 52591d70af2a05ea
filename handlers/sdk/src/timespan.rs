//! .NET's `TimeSpan`, the way host.json and function.json write a length of time.

use std::time::Duration;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Reads `[d.]hh:mm:ss[.fffffff]`. `None` for anything else, negative values included.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut parts = text.trim().split(':');
    let (first, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = match first.split_once('.') {
        Some((days, hours)) => (number(days)?, hours),
        None => (0, first),
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let whole = days
        .checked_mul(SECONDS_PER_DAY)?
        .checked_add(hours * 3600 + minutes * 60 + seconds)?;
    Some(Duration::new(whole, nanoseconds(fraction)?))
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Up to seven decimals: a `TimeSpan` counts ticks of 100 ns.
fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() {
        return Some(0);
    }
    if fraction.len() > 7 {
        return None;
    }
    let ticks = u32::try_from(number(fraction)?).ok()?;
    Some(ticks * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_documented_form_is_read() {
        for (text, expected) in [
            ("00:05:00", Duration::from_secs(300)),
            ("1.00:00:01", Duration::from_secs(86_401)),
            ("00:00:01.5", Duration::from_millis(1500)),
            ("00:00:00.0000001", Duration::from_nanos(100)),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in [
            "",
            "5",
            "00:60:00",
            "24:00:00",
            "-00:00:01",
            "a:b:c",
            "00:00:01.12345678",
            "0:0:0:0",
            "+1:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
