//! When a timer is due: a cron expression as NCRONTAB reads it, or a plain interval.

use std::cmp::Ordering;
use std::time::Duration;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use time::{Date, Month, Time, UtcDateTime};

use super::timespan;

/// The WebJobs SDK looks at this many intervals of a schedule to tell whether it is monitored.
const INTERVALS_LOOKED_AT: usize = 5;

/// A schedule with a shorter interval is not monitored by the WebJobs SDK.
const SHORTEST_MONITORED: Duration = Duration::from_secs(60);

/// `schedule` of a timer trigger. Times are UTC, as in Azure unless `WEBSITE_TIME_ZONE` says otherwise.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    /// Six fields, seconds first; five begin with the minutes.
    Cron(Box<Cron>),
    /// A time span, counted from the run before. In Azure only App Service plans take it.
    Every(Duration),
}

impl Schedule {
    /// `None` for what the host would not understand either.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(interval) = timespan::parse(text).filter(|_| text.contains(':')) {
            return (!interval.is_zero()).then_some(Self::Every(interval));
        }
        let fields = text.split_ascii_whitespace().count();
        // Nicknames and the signs and single letters of other dialects are not NCRONTAB's; names of days and months have three.
        let known = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" \t*,-/".contains(&byte))
            && text
                .split(|letter: char| !letter.is_ascii_alphabetic())
                .all(|name| matches!(name.len(), 0 | 3));
        if !(5..=6).contains(&fields) || !known {
            return None;
        }
        CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            // A day must fit both of its fields, and `5/15` begins at 5: both unlike Vixie's cron.
            .dom_and_dow(true)
            .sloppy_ranges(true)
            .build()
            .parse(text)
            .ok()
            .map(|cron| Self::Cron(Box::new(cron)))
    }

    /// The first occurrence after `time`; `None` where there is none, as on the 30th of February.
    pub(crate) fn next_after(&self, time: UtcDateTime) -> Option<UtcDateTime> {
        match self {
            Self::Every(interval) => time.checked_add(time::Duration::try_from(*interval).ok()?),
            Self::Cron(cron) => cron
                .find_next_occurrence(&Utc(time), false)
                .ok()
                .map(|next| next.0),
        }
    }

    /// Whether the host writes down when it ran: only where runs are a minute apart.
    pub(crate) fn is_monitored(&self, now: UtcDateTime) -> bool {
        let mut occurrences =
            std::iter::successors(self.next_after(now), |last| self.next_after(*last));
        let Some(mut last) = occurrences.next() else {
            return true;
        };
        occurrences.take(INTERVALS_LOOKED_AT).all(|next| {
            let interval = next - last;
            last = next;
            interval >= SHORTEST_MONITORED
        })
    }
}

/// A time in UTC, as the cron library wants to see it.
#[derive(Clone)]
struct Utc(UtcDateTime);

impl CronDateTime for Utc {
    fn to_civil(&self) -> CivilDateTime {
        let (date, time) = (self.0.date(), self.0.time());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                date.year(),
                u8::from(date.month()).into(),
                date.day().into(),
            ),
            CivilTime::from_parts_unchecked(
                time.hour().into(),
                time.minute().into(),
                time.second().into(),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.0.weekday().number_days_from_sunday().into())
    }

    /// In UTC every civil time is one instant.
    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let byte = |part: u32| u8::try_from(part).unwrap_or(u8::MAX);
        let date = Month::try_from(byte(civil.month()))
            .and_then(|month| Date::from_calendar_date(civil.year(), month, byte(civil.day())))
            .map_err(|_| CronError::InvalidDate)?;
        let time = Time::from_hms(
            byte(civil.hour()),
            byte(civil.minute()),
            byte(civil.second()),
        )
        .map_err(|_| CronError::InvalidTime)?;
        Ok(Resolution::Single(Self(UtcDateTime::new(date, time))))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0
            .checked_add(time::Duration::seconds(seconds))
            .map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::*;

    fn next(schedule: &str, from: UtcDateTime) -> UtcDateTime {
        Schedule::parse(schedule).unwrap().next_after(from).unwrap()
    }

    #[test]
    fn occurrences_are_those_of_ncrontab() {
        // A Wednesday.
        let from = utc_datetime!(2024-05-01 12:00:00.5);
        for (schedule, expected) in [
            ("*/30 * * * * *", utc_datetime!(2024-05-01 12:00:30)),
            ("0 */5 * * * *", utc_datetime!(2024-05-01 12:05:00)),
            ("*/5 * * * *", utc_datetime!(2024-05-01 12:05:00)),
            ("0 5/20 * * * *", utc_datetime!(2024-05-01 12:05:00)),
            ("10-20/5 0 3 * * *", utc_datetime!(2024-05-02 03:00:10)),
            ("0 0 9 * * 0", utc_datetime!(2024-05-05 09:00)),
            ("0 0 9 * * Mon-Fri", utc_datetime!(2024-05-02 09:00)),
            ("0 0 0 29 Feb *", utc_datetime!(2028-02-29 00:00)),
            // Both the 13th and a Friday, where Vixie's cron would take either.
            ("0 0 0 13 * Fri", utc_datetime!(2024-09-13 00:00)),
            ("00:00:00.250", utc_datetime!(2024-05-01 12:00:00.75)),
            ("01:00", utc_datetime!(2024-05-01 13:00:00.5)),
        ] {
            assert_eq!(next(schedule, from), expected, "{schedule}");
        }
    }

    #[test]
    fn an_occurrence_is_not_its_own_successor() {
        let at = utc_datetime!(2024-05-01 12:00:30);
        assert_eq!(
            next("*/30 * * * * *", at),
            utc_datetime!(2024-05-01 12:01:00)
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "soon",
            "60 * * * * *",
            "* * * *",
            "* * * * * * 2030",
            "@daily",
            "0 0 0 L * *",
            "0 0 0 ? * *",
            "00:00:00",
            "-00:01:00",
            "7",
        ] {
            assert!(Schedule::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_day_that_never_comes_has_no_occurrence() {
        let never = Schedule::parse("0 0 0 30 2 *").unwrap();
        assert_eq!(never.next_after(utc_datetime!(2024-05-01 12:00)), None);
    }

    #[test]
    fn schedules_are_monitored_from_a_minute_on() {
        let now = utc_datetime!(2024-05-01 12:00);
        for (schedule, monitored) in [
            ("*/30 * * * * *", false),
            ("0,50 * * * * *", false),
            ("0 * * * * *", true),
            ("00:00:59", false),
            ("00:01:00", true),
        ] {
            assert_eq!(
                Schedule::parse(schedule).unwrap().is_monitored(now),
                monitored,
                "{schedule}"
            );
        }
    }
}
