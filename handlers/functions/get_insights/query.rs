//! From the URL's query to what is asked of the tables.

use time::{Date, Duration, UtcDateTime};

use crate::domain::timestamp;
use crate::domain::{DeliveryId, DeviceId};
use crate::http::parameters::{ParameterError, Parameters};

/// The parameters of hours, as the OpenAPI document lists them.
pub const HOUR_PARAMETERS: &[&str] = &["from", "to"];

/// The parameters of days.
pub const DAY_PARAMETERS: &[&str] = &["from", "to"];

/// The parameters of a delivery whose id is in the path.
pub const DELIVERY_PARAMETERS: &[&str] = &["drone", "date"];

/// The parameters of a delivery whose id is in the query.
pub const FIND_PARAMETERS: &[&str] = &["deliveryId", "drone", "date"];

/// Days that one answer covers at most.
pub const MOST_DAYS: i64 = 31;

/// Hours where the caller does not say.
const USUAL_HOURS: i64 = 24;

/// Days where the caller does not say.
const USUAL_DAYS: i64 = 7;

/// Hours that somebody asks for: those that begin at `from` or later and before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourQuery {
    from: Option<UtcDateTime>,
    to: Option<UtcDateTime>,
}

/// Days that somebody asks for, both ends among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayQuery {
    from: Option<Date>,
    to: Option<Date>,
}

/// A delivery that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Which.
    pub delivery: DeliveryId,
    /// Only of this drone.
    pub drone: Option<DeviceId>,
    /// Only in the table of this day; of today and yesterday without.
    pub date: Option<Date>,
}

impl HourQuery {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// The first parameter that cannot be meant so.
    pub fn parse(query: Option<&str>) -> Result<Self, ParameterError> {
        let parameters = Parameters::parse(query, HOUR_PARAMETERS)?;
        Ok(Self {
            from: parameters.time("from")?,
            to: parameters.time("to")?,
        })
    }

    /// From when until when.
    ///
    /// # Errors
    /// Where that is nothing, or more than [`MOST_DAYS`].
    pub fn range(&self, now: UtcDateTime) -> Result<(UtcDateTime, UtcDateTime), ParameterError> {
        let usual = Duration::hours(USUAL_HOURS);
        let (from, to) = match (self.from, self.to) {
            (Some(from), Some(to)) => (from, to),
            // Whoever says since when wants all that there is since then.
            (Some(from), None) => (from, now),
            (None, to) => {
                let to = to.unwrap_or(now);
                (to.checked_sub(usual).unwrap_or(UtcDateTime::MIN), to)
            }
        };
        if from >= to {
            return Err(nothing_between());
        }
        if to - from > Duration::days(MOST_DAYS) {
            return Err(too_much());
        }
        Ok((from, to))
    }
}

impl DayQuery {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// The first parameter that cannot be meant so.
    pub fn parse(query: Option<&str>) -> Result<Self, ParameterError> {
        let parameters = Parameters::parse(query, DAY_PARAMETERS)?;
        Ok(Self {
            from: parameters.value_with("from", date)?,
            to: parameters.value_with("to", date)?,
        })
    }

    /// From which day to which.
    ///
    /// # Errors
    /// Where that is none, or more than [`MOST_DAYS`].
    pub fn range(&self, now: UtcDateTime) -> Result<(Date, Date), ParameterError> {
        let usual = Duration::days(USUAL_DAYS - 1);
        let (from, to) = match (self.from, self.to) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, now.date()),
            (None, to) => {
                let to = to.unwrap_or(now.date());
                (to.checked_sub(usual).unwrap_or(Date::MIN), to)
            }
        };
        if from > to {
            return Err(nothing_between());
        }
        if to - from >= Duration::days(MOST_DAYS) {
            return Err(too_much());
        }
        Ok((from, to))
    }
}

impl DeliveryQuery {
    /// Reads the query of a URL; `delivery` is the id where the path has it.
    ///
    /// # Errors
    /// The first parameter that cannot be meant so, or is missing.
    pub fn parse(
        delivery: Option<DeliveryId>,
        query: Option<&str>,
    ) -> Result<Self, ParameterError> {
        let known = match delivery {
            Some(_) => DELIVERY_PARAMETERS,
            None => FIND_PARAMETERS,
        };
        let parameters = Parameters::parse(query, known)?;
        let delivery = match delivery {
            Some(delivery) => delivery,
            None => parameters
                .value("deliveryId")?
                .ok_or_else(|| ParameterError::new("deliveryId", "is missing"))?,
        };
        Ok(Self {
            delivery,
            drone: parameters.value("drone")?,
            date: parameters.value_with("date", date)?,
        })
    }

    /// The days in whose tables it may be.
    pub fn dates(&self, now: UtcDateTime) -> Vec<Date> {
        match self.date {
            Some(date) => vec![date],
            None => {
                let today = now.date();
                today.previous_day().into_iter().chain([today]).collect()
            }
        }
    }
}

fn nothing_between() -> ParameterError {
    ParameterError::new("from", "is not before `to`")
}

fn too_much() -> ParameterError {
    ParameterError::new("from", format!("is more than {MOST_DAYS} days before `to`"))
}

/// `2026-11-29`
fn date(text: &str) -> Result<Date, &'static str> {
    let midnight = timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    // Ten characters alone: what follows a date in a time would make another.
    midnight
        .ok()
        .filter(|_| text.len() == 10)
        .map(UtcDateTime::date)
        .ok_or("is not a date such as 2026-11-29")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use time::macros::{date, utc_datetime};

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-29 14:37:05);

    fn hours(query: &str) -> Result<(UtcDateTime, UtcDateTime), String> {
        let query = HourQuery::parse(Some(query)).and_then(|query| query.range(NOW));
        query.map_err(|error| error.to_string())
    }

    fn days(query: &str) -> Result<(Date, Date), String> {
        let query = DayQuery::parse(Some(query)).and_then(|query| query.range(NOW));
        query.map_err(|error| error.to_string())
    }

    #[test]
    fn hours_are_those_of_a_day_unless_somebody_says() {
        let at = |hour| utc_datetime!(2026-11-01 00:00:00) + Duration::hours(hour);
        for (query, expected) in [
            ("", (utc_datetime!(2026-11-28 14:37:05), NOW)),
            ("from=2026-11-28T00:00:00Z", (at(27 * 24), NOW)),
            ("to=2026-11-02T01:00:00Z", (at(1), at(25))),
            (
                "from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00.000001Z",
                (at(0), at(0) + Duration::MICROSECOND),
            ),
            (
                "from=2026-11-01T00:00:00Z&to=2026-12-02T00:00:00Z&code=key",
                (at(0), at(31 * 24)),
            ),
        ] {
            assert_eq!(hours(query), Ok(expected), "{query}");
        }
        for (query, error) in [
            ("from=2026-11-29T15:00:00Z", "from: is not before `to`"),
            (
                "from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z",
                "from: is not before `to`",
            ),
            (
                "from=2026-11-01T00:00:00Z&to=2026-12-02T00:00:01Z",
                "from: is more than 31 days before `to`",
            ),
            (
                "from=2026-11-01",
                "from: is not an RFC 3339 time such as 2024-05-01T12:00:00Z",
            ),
            ("date=2026-11-01", "date: is not one of from, to"),
        ] {
            assert_eq!(hours(query), Err(error.to_owned()), "{query}");
        }
        // The ends of time.
        assert!(hours("to=0001-01-01T00:00:00Z").is_ok());
        assert!(hours("from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z").is_err());
    }

    #[test]
    fn days_are_those_of_a_week_unless_somebody_says() {
        for (query, expected) in [
            ("", (date!(2026 - 11 - 23), date!(2026 - 11 - 29))),
            (
                "from=2026-11-28",
                (date!(2026 - 11 - 28), date!(2026 - 11 - 29)),
            ),
            (
                "to=2024-03-01",
                (date!(2024 - 02 - 24), date!(2024 - 03 - 01)),
            ),
            (
                "from=2026-11-29&to=2026-11-29",
                (date!(2026 - 11 - 29), date!(2026 - 11 - 29)),
            ),
            (
                "from=2026-10-01&to=2026-10-31",
                (date!(2026 - 10 - 01), date!(2026 - 10 - 31)),
            ),
        ] {
            assert_eq!(days(query), Ok(expected), "{query}");
        }
        let no_date = "from: is not a date such as 2026-11-29";
        for (query, error) in [
            (
                "from=2026-10-01&to=2026-11-01",
                "from: is more than 31 days before `to`",
            ),
            ("from=2026-11-02&to=2026-11-01", "from: is not before `to`"),
            ("from=2026-02-30", no_date),
            ("from=2026-11-01T00:00:00Z", no_date),
            ("from=2026-1-1", no_date),
            ("from=today", no_date),
        ] {
            assert_eq!(days(query), Err(error.to_owned()), "{query}");
        }
    }

    #[test]
    fn a_delivery_is_looked_for_today_and_yesterday_or_on_its_day() {
        let parse = |query: &str| DeliveryQuery::parse(None, Some(query));
        let query = parse("deliveryId=a%23b&drone=drone%3F1&date=2026-11-01").unwrap();
        assert_eq!(query.delivery.as_str(), "a#b");
        assert_eq!(query.drone.as_ref().map(DeviceId::as_str), Some("drone?1"));
        assert_eq!(query.dates(NOW), [date!(2026 - 11 - 01)]);
        let query = DeliveryQuery::parse(Some("a".parse().unwrap()), None).unwrap();
        assert_eq!(
            query.dates(NOW),
            [date!(2026 - 11 - 28), date!(2026 - 11 - 29)]
        );
        let error = |query: &str| parse(query).unwrap_err().to_string();
        assert_eq!(error(""), "deliveryId: is missing");
        assert_eq!(
            error("deliveryId=a&drone=%20").split(':').next(),
            Some("drone")
        );
        let twice = DeliveryQuery::parse(Some("a".parse().unwrap()), Some("deliveryId=b"));
        assert_eq!(
            twice.unwrap_err().to_string(),
            "deliveryId: is not one of drone, date"
        );
    }
}
