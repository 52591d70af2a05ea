//! Alerts that wait in the queue until their receiver takes them again.
//!
//! One that waits is wrapped: `{"waitsSince": "2024-05-01T12:00:00Z", "alert": "…"}`, with the alert as the text it was. It is
//! hidden for as long as it has waited already, a minute at least and an hour at most, so that a receiver that comes back after an
//! hour has all its alerts within the next one, and is not knocked at all the time before. After a day nobody waits any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use crate::domain::timestamp::rfc3339;

/// The shortest time that an alert is hidden for.
const SHORTEST: Duration = Duration::from_secs(60);

/// The longest.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How long an alert waits in all before it is given up.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// An alert, and since when it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    /// The CloudEvent, byte for byte as it was first put on the queue.
    pub alert: String,
    /// When it was put back first; `None` where it never was.
    pub waits_since: Option<UtcDateTime>,
}

/// No CloudEvent has a `waitsSince`: names of its attributes are in lower case. What a newer version adds is passed over.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapped {
    #[serde(with = "rfc3339")]
    waits_since: UtcDateTime,
    alert: String,
}

impl Postponed {
    /// Reads a message of the queue. What is not wrapped is an alert that has not waited, whatever it is.
    #[must_use]
    pub fn read(message: &str) -> Self {
        match serde_json::from_str::<Wrapped>(message) {
            Ok(wrapped) => Self {
                alert: wrapped.alert,
                waits_since: Some(wrapped.waits_since),
            },
            Err(_) => Self {
                alert: message.to_owned(),
                waits_since: None,
            },
        }
    }

    /// The message to put on the queue.
    ///
    /// # Errors
    /// Where the time cannot be written, which no clock of this age brings about.
    pub fn message(&self) -> Result<String, serde_json::Error> {
        match self.waits_since {
            None => Ok(self.alert.clone()),
            Some(since) => serde_json::to_string(&Wrapped {
                waits_since: since,
                alert: self.alert.clone(),
            }),
        }
    }

    /// How long it is to be hidden now; `None` where it has waited long enough.
    #[must_use]
    pub fn hidden_for(&self, now: UtcDateTime) -> Option<Duration> {
        // A clock that has stepped back makes no alert wait longer.
        let waited = self.waits_since.map_or(Duration::ZERO, |since| {
            (now - since).try_into().unwrap_or_default()
        });
        (waited < PATIENCE).then(|| waited.clamp(SHORTEST, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use time::macros::utc_datetime;

    use super::*;

    const NOON: UtcDateTime = utc_datetime!(2024-05-01 12:00:00);

    #[test]
    fn an_alert_comes_out_as_it_went_in() {
        for alert in [
            "{\"id\":\"1\", \"é\":\"\\u00e9\"}",
            "text",
            "",
            "{\"alert\":\"x\"}",
        ] {
            let read = Postponed::read(alert);
            assert_eq!((read.alert.as_str(), read.waits_since), (alert, None));
            assert_eq!(read.message().unwrap(), alert);
            let waiting = Postponed {
                waits_since: Some(NOON),
                ..read
            };
            assert_eq!(Postponed::read(&waiting.message().unwrap()), waiting);
        }
    }

    #[test]
    fn the_stored_form_stays() {
        let waiting = Postponed {
            alert: "{}".to_owned(),
            waits_since: Some(NOON),
        };
        assert_eq!(
            waiting.message().unwrap(),
            r#"{"waitsSince":"2024-05-01T12:00:00Z","alert":"{}"}"#
        );
        let newer = r#"{"waitsSince":"2024-05-01T12:00:00Z","alert":"{}","attempts":[1]}"#;
        assert_eq!(Postponed::read(newer), waiting);
    }

    #[test]
    fn it_waits_as_long_as_it_has_waited_and_a_day_in_all() {
        let after = |seconds: u64| {
            let waiting = Postponed {
                alert: String::new(),
                waits_since: Some(NOON),
            };
            waiting.hidden_for(NOON + Duration::from_secs(seconds))
        };
        assert_eq!(after(0), Some(SHORTEST));
        assert_eq!(after(90), Some(Duration::from_secs(90)));
        assert_eq!(after(20_000), Some(LONGEST));
        assert_eq!(after(86_399), Some(LONGEST));
        assert_eq!(after(86_400), None);

        let mut now = NOON;
        let mut tries = 0;
        let waiting = Postponed {
            alert: String::new(),
            waits_since: Some(NOON),
        };
        while let Some(hidden) = waiting.hidden_for(now) {
            now += hidden;
            tries += 1;
        }
        // 1, 1, 2, 4, … 32 minutes, and then an hour each.
        assert_eq!(tries, 30);
        let back = Postponed {
            alert: String::new(),
            waits_since: Some(NOON + Duration::from_secs(600)),
        };
        assert_eq!(
            back.hidden_for(NOON),
            Some(SHORTEST),
            "the clock was set back"
        );
    }
}
