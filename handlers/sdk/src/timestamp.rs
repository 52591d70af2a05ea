//! The times that the host sends.
//!
//! A .NET `DateTime` is written without a zone and is UTC in everything the host sends; a
//! `DateTimeOffset` carries its offset. Fractions have one to seven decimals, or are absent.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time, UtcDateTime};

/// Reads `yyyy-MM-ddTHH:mm:ss[.f{1,9}][Z]` by hand, because a batch holds one for every event, and
/// leaves other offsets to the general parser.
pub(crate) fn parse_utc(text: &str) -> Option<UtcDateTime> {
    parse_plain(text.as_bytes()).or_else(|| {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(OffsetDateTime::checked_to_utc)
    })
}

fn parse_plain(text: &[u8]) -> Option<UtcDateTime> {
    let (seconds, rest) = text.split_first_chunk::<19>()?;
    let separated = seconds[4] == b'-'
        && seconds[7] == b'-'
        && matches!(seconds[10], b'T' | b' ')
        && seconds[13] == b':'
        && seconds[16] == b':';
    if !separated {
        return None;
    }
    let nanosecond = fraction(rest)?;
    let year = two(&seconds[0..2])? * 100 + two(&seconds[2..4])?;
    let month = Month::try_from(u8::try_from(two(&seconds[5..7])?).ok()?).ok()?;
    let part = |range| two(&seconds[range]).and_then(|value| u8::try_from(value).ok());
    let date = Date::from_calendar_date(i32::from(year), month, part(8..10)?).ok()?;
    let time = Time::from_hms_nano(part(11..13)?, part(14..16)?, part(17..19)?, nanosecond).ok()?;
    Some(UtcDateTime::new(date, time))
}

fn two(digits: &[u8]) -> Option<u16> {
    let digit = |byte: u8| {
        let value = byte.wrapping_sub(b'0');
        (value < 10).then_some(u16::from(value))
    };
    Some(digit(digits[0])? * 10 + digit(digits[1])?)
}

/// Nanoseconds of `[.f{1,9}][Z]`; `None` where something else follows the seconds.
fn fraction(rest: &[u8]) -> Option<u32> {
    let rest = match rest {
        [head @ .., b'Z' | b'z'] => head,
        whole => whole,
    };
    let [b'.', digits @ ..] = rest else {
        return rest.is_empty().then_some(0);
    };
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut nanoseconds = 0;
    for place in 0..9 {
        let digit = match digits.get(place) {
            Some(byte) if byte.is_ascii_digit() => u32::from(byte - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    Some(nanoseconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn fractions_of_every_length_are_kept() {
        let base = utc_datetime!(2024-05-01 12:00:00);
        for (text, nanoseconds) in [
            ("2024-05-01T12:00:00", 0),
            ("2024-05-01T12:00:00Z", 0),
            ("2024-05-01T12:00:00.5", 500_000_000),
            ("2024-05-01T12:00:00.123", 123_000_000),
            ("2024-05-01T12:00:00.1234567Z", 123_456_700),
        ] {
            let expected = base.replace_nanosecond(nanoseconds).unwrap();
            assert_eq!(parse_utc(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn offsets_are_applied() {
        assert_eq!(
            parse_utc("2024-05-01T14:00:00+02:00").unwrap(),
            utc_datetime!(2024-05-01 12:00:00)
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2024-05-01",
            "2024-13-01T12:00:00",
            "2024-02-30T12:00:00",
            "2024-05-01T24:00:00",
            "2024-05-01T12:00:00.",
            "2024-05-01T12:00:00.12345678901",
            "2024-05-01T12:00:00 UTC",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_parser_agrees_with_the_general_one(
            seconds in 0_i64..4_102_444_800, ticks in 0_u32..10_000_000,
        ) {
            let at = UtcDateTime::from_unix_timestamp(seconds).unwrap()
                .replace_nanosecond(ticks * 100).unwrap();
            let text = at.format(&Rfc3339).unwrap();
            prop_assert_eq!(parse_plain(text.as_bytes()), Some(at));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            _ = parse_utc(&text);
        }
    }
}
