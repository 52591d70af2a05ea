//! An hour of UTC, by which the archive files events and the tables are kept.

use std::fmt;
use std::str::FromStr;

use time::{Date, Duration, Month, UtcDateTime};

use super::{HOUR, SECOND};

/// A whole hour, counted from 1970. Texts are `2026-11-29T14`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The hour that a time is in.
    pub fn of(time: UtcDateTime) -> Self {
        Self(time.unix_timestamp().div_euclid(3600))
    }

    /// The hour that a time in microseconds since 1970 is in.
    pub fn of_micros(micros: i64) -> Self {
        Self(micros.div_euclid(HOUR))
    }

    /// The hour of a day.
    pub fn on(date: Date, hour: u8) -> Option<Self> {
        let time = time::Time::from_hms(hour, 0, 0).ok()?;
        Some(Self::of(UtcDateTime::new(date, time)))
    }

    /// Its begin, in microseconds since 1970.
    pub fn begin(self) -> i64 {
        self.0.saturating_mul(HOUR)
    }

    /// The begin of the next one, in microseconds since 1970.
    pub fn end(self) -> i64 {
        self.begin().saturating_add(HOUR)
    }

    /// Its begin as a time.
    pub fn begins(self) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(self.begin() / SECOND).unwrap_or(UtcDateTime::UNIX_EPOCH)
    }

    /// Its end as a time.
    pub fn ends(self) -> UtcDateTime {
        self.begins().saturating_add(Duration::HOUR)
    }

    /// The day that it is in.
    pub fn date(self) -> Date {
        self.begins().date()
    }

    /// Which one of its day, 0 to 23.
    pub fn of_day(self) -> u8 {
        self.begins().hour()
    }

    /// So many hours later, or earlier.
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// How many hours it is after another one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}", Day(self.date()), self.of_day())
    }
}

/// The text is not `yyyy-MM-ddTHH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an hour such as 2026-11-29T14")]
pub struct HourError;

impl FromStr for Hour {
    type Err = HourError;

    fn from_str(text: &str) -> Result<Self, HourError> {
        let (day, hour) = text.split_once('T').ok_or(HourError)?;
        let digits = hour.len() == 2 && hour.bytes().all(|byte| byte.is_ascii_digit());
        let hour = hour.parse().ok().filter(|_| digits).ok_or(HourError)?;
        let Day(date) = day.parse()?;
        Self::on(date, hour).ok_or(HourError)
    }
}

/// A day, shown and read as `2026-11-29`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(
    /// The day.
    pub Date,
);

impl Day {
    /// So many days later, or earlier.
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(Duration::days(days)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

impl FromStr for Day {
    type Err = HourError;

    fn from_str(text: &str) -> Result<Self, HourError> {
        let number = |range: std::ops::Range<usize>| -> Result<u16, HourError> {
            let digits = text.get(range).ok_or(HourError)?;
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| all).ok_or(HourError)
        };
        let separators = [4, 7]
            .iter()
            .all(|at| text.as_bytes().get(*at) == Some(&b'-'));
        if text.len() != 10 || !separators {
            return Err(HourError);
        }
        // Two digits fit into a byte.
        let month = Month::try_from(number(5..7)? as u8).map_err(|_| HourError)?;
        let date = Date::from_calendar_date(i32::from(number(0..4)?), month, number(8..10)? as u8);
        date.map(Self).map_err(|_| HourError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hours_and_days_are_read_as_they_are_shown() {
        for text in ["2026-11-29T14", "1970-01-01T00", "2024-02-29T23"] {
            let hour: Hour = text.parse().unwrap();
            assert_eq!(hour.to_string(), text);
            assert_eq!(Hour::of_micros(hour.end() - 1), hour);
            assert_eq!(Hour::of(hour.ends()), hour.plus(1));
            assert_eq!(hour.plus(-5).since(hour), -5);
        }
        for text in [
            "",
            "2026-11-29",
            "2026-11-29T24",
            "2026-02-30T01",
            "2026-11-29T+1",
            "2026-1-029T01",
        ] {
            assert_eq!(text.parse::<Hour>(), Err(HourError), "{text}");
        }
        assert_eq!(Hour::of_micros(-1), Hour::of_micros(0).plus(-1));
    }
}
