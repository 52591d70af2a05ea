//! Points in time: the two shapes that drones send, and RFC 3339 for everything that is stored.
//!
//! Written by hand because every event has one, and because nothing that a drone sends may reach a
//! parser that could panic or accept more than is promised.

use std::fmt;

use time::{Date, Duration, Month, Time, UtcDateTime};

/// Why a text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It looks like neither shape.
    #[error("is neither MM/dd/yyyy HH:mm:ss +00:00 nor ISO 8601 with an offset")]
    Shape,
    /// It has the shape, but there is no such day, hour or offset, or the year is not 1 to 9999.
    #[error("is not a time that exists")]
    Value,
}

/// Reads a time of either shape:
/// - `MM/dd/yyyy HH:mm:ss +00:00`, with any offset;
/// - RFC 3339, a profile of ISO 8601: `yyyy-MM-ddTHH:mm:ss`, up to 64 decimals, and `Z` or an offset `+00:00`, with `T` and `Z`
///   in either case. Decimals beyond nanoseconds are cut off. A leap second, which no clock of the system has, is the last
///   nanosecond before it.
///
/// Years 1 to 9999 in UTC and offsets below 24 hours: what .NET devices can express.
///
/// # Errors
/// Where the text has neither shape, or names no existing time.
pub fn parse(text: &str) -> Result<UtcDateTime, TimestampError> {
    let bytes = text.as_bytes();
    if bytes.get(2) == Some(&b'/') {
        parse_american(bytes)
    } else {
        parse_iso(bytes)
    }
}

/// Reads a time of the second shape alone.
///
/// # Errors
/// Where the text has another shape, or names no existing time.
pub fn parse_rfc3339(text: &str) -> Result<UtcDateTime, TimestampError> {
    parse_iso(text.as_bytes())
}

fn parse_american(bytes: &[u8]) -> Result<UtcDateTime, TimestampError> {
    let (date, rest) = split::<11>(bytes)?;
    let (clock, rest) = split::<8>(rest)?;
    let &[m1, m2, b'/', d1, d2, b'/', y1, y2, y3, y4, b' '] = date else {
        return Err(TimestampError::Shape);
    };
    let [b' ', offset @ ..] = rest else {
        return Err(TimestampError::Shape);
    };
    // `Z` is ISO 8601's alone.
    if matches!(offset, b"Z" | b"z") {
        return Err(TimestampError::Shape);
    }
    Fields {
        year: number([y1, y2, y3, y4])?,
        month: number([m1, m2])?,
        day: number([d1, d2])?,
        clock: *clock,
        nanosecond: 0,
        offset,
        leap: false,
    }
    .time()
}

fn parse_iso(bytes: &[u8]) -> Result<UtcDateTime, TimestampError> {
    let (date, rest) = split::<11>(bytes)?;
    let (clock, rest) = split::<8>(rest)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't'] = date else {
        return Err(TimestampError::Shape);
    };
    let (mut nanosecond, offset) = fraction(rest)?;
    let mut clock = *clock;
    let leap = clock[6..] == *b"60";
    if leap {
        clock[6..].copy_from_slice(b"59");
        nanosecond = 999_999_999;
    }
    Fields {
        year: number([y1, y2, y3, y4])?,
        month: number([m1, m2])?,
        day: number([d1, d2])?,
        clock,
        nanosecond,
        offset,
        leap,
    }
    .time()
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), TimestampError> {
    bytes.split_first_chunk().ok_or(TimestampError::Shape)
}

/// A time in pieces: digits where digits belong, but not yet known to exist.
struct Fields<'a> {
    year: u32,
    month: u32,
    day: u32,
    /// `HH:mm:ss`
    clock: [u8; 8],
    nanosecond: u32,
    /// `Z` or `+HH:mm`
    offset: &'a [u8],
    /// Whether the second was a 60th, here the 59th. There are none but at the end of a month in UTC.
    leap: bool,
}

impl Fields<'_> {
    fn time(self) -> Result<UtcDateTime, TimestampError> {
        let [h1, h2, b':', m1, m2, b':', s1, s2] = self.clock else {
            return Err(TimestampError::Shape);
        };
        let (hour, minute, second) = (number([h1, h2])?, number([m1, m2])?, number([s1, s2])?);
        let offset = offset_minutes(self.offset)?;
        // Every number has at most four digits, so the casts keep their values.
        let local = Month::try_from(self.month as u8)
            .and_then(|month| Date::from_calendar_date(self.year as i32, month, self.day as u8))
            .and_then(|date| {
                let time =
                    Time::from_hms_nano(hour as u8, minute as u8, second as u8, self.nanosecond)?;
                Ok(UtcDateTime::new(date, time))
            })
            .map_err(|_| TimestampError::Value)?;
        let time = if offset == 0 {
            local
        } else {
            local
                .checked_sub(Duration::minutes(offset.into()))
                .ok_or(TimestampError::Value)?
        };
        let month_ends = || {
            time.checked_add(Duration::NANOSECOND)
                .is_none_or(|next| next.day() == 1 && next.time() == Time::MIDNIGHT)
        };
        if (1..=9999).contains(&time.year()) && (!self.leap || month_ends()) {
            Ok(time)
        } else {
            Err(TimestampError::Value)
        }
    }
}

fn number<const N: usize>(digits: [u8; N]) -> Result<u32, TimestampError> {
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(TimestampError::Shape);
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    Ok(value)
}

/// RFC 3339 sets no limit, but a time that fills a message is none.
const MOST_DECIMALS: usize = 64;

/// Takes `.` and its digits off the front, where they are: nanoseconds, and what follows.
fn fraction(rest: &[u8]) -> Result<(u32, &[u8]), TimestampError> {
    let [b'.', rest @ ..] = rest else {
        return Ok((0, rest));
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=MOST_DECIMALS).contains(&digits) {
        return Err(TimestampError::Shape);
    }
    let (decimals, rest) = rest.split_at(digits);
    let nanosecond = decimals
        .iter()
        .chain(std::iter::repeat(&b'0'))
        .take(9)
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok((nanosecond, rest))
}

fn offset_minutes(text: &[u8]) -> Result<i32, TimestampError> {
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text else {
        return match text {
            b"Z" | b"z" => Ok(0),
            _ => Err(TimestampError::Shape),
        };
    };
    let (hours, minutes) = (number([h1, h2])?, number([m1, m2])?);
    if hours > 23 || minutes > 59 {
        return Err(TimestampError::Value);
    }
    let offset = (hours * 60 + minutes) as i32;
    Ok(if sign == b'-' { -offset } else { offset })
}

/// Shows a time as RFC 3339 in UTC, with as many decimals as it needs: `2018-04-17T20:25:09.5Z`.
///
/// [`parse`] reads it back as it was, for years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(
    /// The time to show.
    pub UtcDateTime,
);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second, nanosecond) = self.0.as_hms_nano();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if nanosecond != 0 {
            let decimals = format!("{nanosecond:09}");
            write!(f, ".{}", decimals.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Shows a time as RFC 3339 in UTC with nine decimals: `2018-04-17T20:25:09.500000000Z`.
///
/// Such texts sort as their times do, which those of [`Rfc3339`] do not: where a database has to
/// compare times, this is the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339Nanos(
    /// The time to show.
    pub UtcDateTime,
);

impl fmt::Display for Rfc3339Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second, nanosecond) = self.0.as_hms_nano();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}Z"
        )
    }
}

/// Shows a time for names and ids, in UTC with milliseconds: `20180417T202509.500Z`. Such texts sort as their times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compact(
    /// The time to show. Event Hubs knows no more of it than milliseconds.
    pub UtcDateTime,
);

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second, millisecond) = self.0.as_hms_milli();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{millisecond:03}Z"
        )
    }
}

/// For `#[serde(with = "rfc3339")]`.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use time::UtcDateTime;

    use super::Rfc3339;

    /// Writes a time as [`Rfc3339`] does.
    ///
    /// # Errors
    /// Where the serializer fails.
    pub fn serialize<S: Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Rfc3339(*time))
    }

    /// Reads a time as [`parse`](super::parse) does, but for the American shape.
    ///
    /// # Errors
    /// Where the value is not text, or the text not such a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<UtcDateTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_iso(text.as_bytes())
            .map_err(|_| de::Error::custom("expected an RFC 3339 time"))
    }
}

/// For `#[serde(with = "rfc3339_nanos")]`: texts that sort as their times do.
pub mod rfc3339_nanos {
    use serde::Serializer;
    use time::UtcDateTime;

    use super::Rfc3339Nanos;
    pub use super::rfc3339::deserialize;

    /// Writes a time as [`Rfc3339Nanos`] does.
    ///
    /// # Errors
    /// Where the serializer fails.
    pub fn serialize<S: Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Rfc3339Nanos(*time))
    }

    /// The same for times that may be absent.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer};
        use time::UtcDateTime;

        /// Writes a time, or null.
        ///
        /// # Errors
        /// Where the serializer fails.
        pub fn serialize<S: Serializer>(
            time: &Option<UtcDateTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time, or null.
        ///
        /// # Errors
        /// Where the value is something else.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<UtcDateTime>, D::Error> {
            #[derive(Deserialize)]
            struct Time(#[serde(with = "super::super::rfc3339")] UtcDateTime);

            Option::<Time>::deserialize(deserializer).map(|time| time.map(|Time(time)| time))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn both_shapes_are_read() {
        let second = utc_datetime!(2018-04-17 20:25:09);
        let decimals = utc_datetime!(2018-04-17 20:25:09.1234567);
        for (text, expected) in [
            ("04/17/2018 20:25:09 +00:00", second),
            ("04/17/2018 22:25:09 +02:00", second),
            ("04/17/2018 14:55:09 -05:30", second),
            ("2018-04-17T20:25:09Z", second),
            ("2018-04-17T20:25:09+00:00", second),
            ("2018-04-17T20:25:09-00:00", second),
            ("2018-04-18T10:25:09+14:00", second),
            ("2018-04-17T20:25:09.1234567Z", decimals),
            ("2018-04-17T13:25:09.1234567-07:00", decimals),
            ("2018-04-17T20:25:09.123456700Z", decimals),
            ("2018-04-17T20:25:09.12345670000000000000Z", decimals),
            ("2018-04-17t20:25:09z", second),
            ("2018-04-17t22:25:09+02:00", second),
            (
                "1990-12-31T15:59:60-08:00",
                utc_datetime!(1990-12-31 23:59:59.999999999),
            ),
            (
                "2015-06-30T23:59:60.5Z",
                utc_datetime!(2015-06-30 23:59:59.999999999),
            ),
            ("2020-02-29T00:00:00Z", utc_datetime!(2020-02-29 00:00:00)),
            ("0001-01-01T00:00:00Z", utc_datetime!(0001-01-01 00:00:00)),
            (
                "12/31/9999 23:59:59 +00:00",
                utc_datetime!(9999-12-31 23:59:59),
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_that_does_not_exist_is_told_from_a_wrong_shape() {
        for text in [
            "02/30/2018 20:25:09 +00:00",
            "13/01/2018 20:25:09 +00:00",
            "00/10/2018 20:25:09 +00:00",
            "04/00/2018 20:25:09 +00:00",
            "04/17/2018 24:00:00 +00:00",
            "04/17/2018 20:60:09 +00:00",
            "04/17/2018 20:25:60 +00:00",
            "04/17/0000 20:25:09 +00:00",
            "04/17/2018 20:25:09 +99:99",
            "04/17/2018 20:25:09 +24:00",
            "2018-04-17T20:25:60Z",
            "2018-04-17T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "2016-12-31T23:59:61Z",
            "2019-02-29T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(text), Err(TimestampError::Value), "{text}");
        }
        for text in [
            "",
            "now",
            "04/17/2018 20:25:09",
            "04/17/2018 20:25:09 Z",
            "04/17/2018 20:25:09+00:00",
            "04/17/2018 20:25:09.5 +00:00",
            "4/17/2018 20:25:09 +00:00",
            "04/17/2018 8:25:09 PM +00:00",
            "04-17-2018 20:25:09 +00:00",
            " 04/17/2018 20:25:09 +00:00",
            "04/17/2018 20:25:09 +00:00 ",
            "04/17/2018 20:25:09 +0000",
            "2018-04-17T20:25:09",
            "2018-04-17T20:25:09.Z",
            "2018-04-17T20:25:09.1234567890",
            "04/17/2018 20:25:09 z",
            "2018-04-17T20:25:09,5Z",
            "2018-04-17 20:25:09Z",
            "2018-04-17T20:25Z",
            "2018-04-17",
            "1523996709",
            "+018-04-17T20:25:09Z",
        ] {
            assert_eq!(parse(text), Err(TimestampError::Shape), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_nearly_the_right_shape_makes_the_parser_panic(
            text in r"[0-9]{2,4}[-/][0-9]{2}[-/][0-9]{2,4}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,12})?( ?[-+][0-9]{2}:[0-9]{2}|Z|é)"
        ) {
            let _ = parse(&text);
        }

        /// The `time` crate reads RFC 3339 too, but for decimals beyond nanoseconds in any number, and the year 0.
        #[test]
        fn rfc_3339_is_read_as_the_crate_reads_it(
            text in r"[0-9]{3}[1-9]-[01][0-9]-[0-3][0-9][Tt][012][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?([-+][01][0-9]:[0-5][0-9]|[Zz])"
        ) {
            let known = time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339);
            let known = known.ok().and_then(time::OffsetDateTime::checked_to_utc);
            prop_assert_eq!(parse_rfc3339(&text).ok(), known, "{}", text);
        }

        #[test]
        fn what_is_shown_is_read_back(
            seconds in -62_135_596_800_i64..=253_402_300_799,
            nanosecond in prop_oneof![Just(0), 0..1_000_000_000_u32],
        ) {
            let time = UtcDateTime::from_unix_timestamp(seconds)
                .unwrap()
                .replace_nanosecond(nanosecond)
                .unwrap();
            let text = Rfc3339(time).to_string();
            prop_assert_eq!(parse(&text), Ok(time), "{}", text);
            let shown = time.format(&time::format_description::well_known::Rfc3339).unwrap();
            prop_assert_eq!(text, shown);
        }

        #[test]
        fn with_nine_decimals_texts_sort_as_their_times_do(
            times in prop::collection::vec((-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000_u32), 2),
        ) {
            let [one, other] = [0, 1].map(|index: usize| {
                let (seconds, nanosecond) = times[index];
                UtcDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(nanosecond).unwrap()
            });
            let (one_text, other_text) = (Rfc3339Nanos(one).to_string(), Rfc3339Nanos(other).to_string());
            prop_assert_eq!(one.cmp(&other), one_text.cmp(&other_text));
            prop_assert_eq!(parse(&one_text), Ok(one));
        }
    }
}
