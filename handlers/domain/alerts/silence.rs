//! Alerts of `telemetry-lost`: begun, repeated and ended by looking, since silence is no event.
//!
//! An episode remembers what of it has not been told yet, so that whoever finds it again knows what to
//! say. Nothing is forgotten between two looks, and nothing is told under another id than before.

use serde::{Deserialize, Serialize};
use time::{Duration, UtcDateTime};

use super::alert::{Alert, Cleared, Kind, Reminded, Sighting, Transition};
use super::rule::{Judgement, Observation, Rule};
use crate::domain::drone::DroneState;
use crate::domain::telemetry::FlightStatus;

/// The statuses of a drone that is on its way: silence at the station is nobody's business.
pub const IN_FLIGHT: [FlightStatus; 4] = [
    FlightStatus::DepartedStation,
    FlightStatus::InFlight,
    FlightStatus::PickedUpPackage,
    FlightStatus::DroppedOffPackage,
];

/// An alert, and the first part of it that has not been told.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// The alert as it is now.
    pub alert: Alert,
    /// This part and every later one has to be told; `None` where all has been.
    pub untold: Option<Part>,
}

/// The parts of an episode, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// It began.
    Raised,
    /// It goes on.
    Reminded,
    /// It ended.
    Cleared,
}

impl Episode {
    /// The episode of a drone that has been silent for too long; `None` for one that has not, or is not
    /// in flight. It began when the drone was last heard of, and its value is the silence since, in
    /// seconds.
    pub fn raise(rule: &Rule, drone: &DroneState, now: UtcDateTime) -> Option<Self> {
        let flight = drone.flight.as_ref()?;
        if !IN_FLIGHT.contains(&flight.value.status) {
            return None;
        }
        let silence = now - drone.last_seen_at;
        let value = rule.measure(&Observation::Silence(silence))?;
        if rule.limit.judge(value) != Judgement::Breach {
            return None;
        }
        let breach = Sighting {
            device_id: &drone.device_id,
            delivery_id: &flight.delivery_id,
            at: drone.last_seen_at,
            value,
            position: Some(flight.value.position),
        };
        Some(Self {
            alert: Alert::raise(rule, &breach),
            untold: Some(Part::Raised),
        })
    }

    /// Tells it again, if it is open, all else has been told, and the last time was `every` ago. Returns
    /// whether anything changed.
    pub fn remind(&mut self, every: Duration, now: UtcDateTime) -> bool {
        let due = self.last_told_at().saturating_add(every);
        if !self.alert.is_open() || self.untold.is_some() || now < due {
            return false;
        }
        let times = self.alert.reminded.map_or(0, |reminded| reminded.times);
        self.alert.reminded = Some(Reminded {
            times: times + 1,
            at: now,
        });
        self.untold = Some(Part::Reminded);
        true
    }

    /// Ends it, if it is open and the drone was heard of after it began. Returns whether anything
    /// changed.
    pub fn clear(&mut self, last_seen_at: UtcDateTime, now: UtcDateTime) -> bool {
        if !self.alert.is_open() || last_seen_at <= self.alert.raised_at {
            return false;
        }
        self.alert.cleared = Some(Cleared {
            at: last_seen_at,
            // Two clocks are compared: a silence below zero is none.
            value: (now - last_seen_at).as_seconds_f64().max(0.0),
        });
        self.untold.get_or_insert(Part::Cleared);
        true
    }

    /// What has to be told, in order. The same episode gives the same messages, however often.
    pub fn messages(&self) -> Vec<Transition> {
        let alert = &self.alert;
        let Some(untold) = self.untold else {
            return Vec::new();
        };
        let raised = Some((Kind::Raised, alert.raised_at, alert.value));
        let reminded = alert.reminded.map(|reminded| {
            let silence = (reminded.at - alert.raised_at).as_seconds_f64();
            (Kind::Reminded, reminded.at, silence)
        });
        let cleared = alert
            .cleared
            .map(|cleared| (Kind::Cleared, cleared.at, cleared.value));
        [
            raised.filter(|_| untold == Part::Raised),
            reminded.filter(|_| untold <= Part::Reminded),
            cleared,
        ]
        .into_iter()
        .flatten()
        .map(|(kind, at, value)| Transition {
            kind,
            at,
            value,
            alert: alert.clone(),
        })
        .collect()
    }

    /// When it was last told again, or else found, by the clock of whoever looked.
    fn last_told_at(&self) -> UtcDateTime {
        let found_at = || {
            let silence = Duration::seconds_f64(self.alert.value);
            self.alert.raised_at.saturating_add(silence)
        };
        self.alert
            .reminded
            .map_or_else(found_at, |reminded| reminded.at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::super::rules::telemetry_lost;
    use super::super::settings::AlertSettings;
    use super::*;
    use crate::domain::drone::Stamped;
    use crate::domain::telemetry::{Flight, Position};

    const SEEN: UtcDateTime = utc_datetime!(2024-05-01 12:00:00.5);
    const EVERY: Duration = Duration::minutes(5);

    fn after(seconds: i64) -> UtcDateTime {
        SEEN + Duration::seconds(seconds)
    }

    fn drone(status: FlightStatus) -> DroneState {
        DroneState {
            device_id: "drone-1".parse().unwrap(),
            last_seen_at: SEEN,
            flight: Some(Stamped {
                occurred_at: SEEN,
                delivery_id: "d-1".parse().unwrap(),
                value: Flight {
                    position: Position {
                        latitude: 47.5,
                        longitude: -122.2,
                        altitude: 120.5,
                    },
                    velocity: 20.0,
                    acceleration: 1.0,
                    status,
                },
            }),
            operating: None,
        }
    }

    fn rule() -> Rule {
        let settings = AlertSettings::from_all([]);
        telemetry_lost::rule(&settings).unwrap().unwrap()
    }

    fn raised() -> Episode {
        Episode::raise(&rule(), &drone(FlightStatus::InFlight), after(130)).unwrap()
    }

    /// The ids of what is to be told, without the alert's.
    fn told(episode: &Episode) -> Vec<String> {
        let ids = episode.messages().into_iter().map(|told| told.message_id());
        ids.map(|id| id.rsplit('/').next().unwrap().to_owned())
            .collect()
    }

    fn all_told(mut episode: Episode) -> Episode {
        episode.untold = None;
        episode
    }

    #[test]
    fn only_silence_in_flight_is_an_alert() {
        let rule = rule();
        for status in FlightStatus::ALL {
            let found = Episode::raise(&rule, &drone(status), after(120)).is_some();
            assert_eq!(
                found,
                status != FlightStatus::ArrivedAtStation,
                "{status:?}"
            );
        }
        let flying = drone(FlightStatus::InFlight);
        assert_eq!(Episode::raise(&rule, &flying, after(119)), None);
        let never_flew = DroneState {
            flight: None,
            ..flying
        };
        assert_eq!(Episode::raise(&rule, &never_flew, after(999)), None);
    }

    #[test]
    fn its_id_is_that_of_the_drone_and_when_it_was_last_heard_of() {
        let later = Episode::raise(&rule(), &drone(FlightStatus::PickedUpPackage), after(500));
        let (first, later) = (raised().alert, later.unwrap().alert);
        assert_eq!(first.id, later.id);
        assert_eq!(
            first.id,
            "telemetry-lost~drone-1~20240501T120000.500000000Z"
        );
        assert_eq!((first.value, first.threshold), (130.0, 120.0));
        assert_eq!(first.position.unwrap().altitude, 120.5);
    }

    #[test]
    fn it_is_told_once_and_again_only_after_the_interval() {
        let mut episode = raised();
        assert_eq!(told(&episode), ["raised"]);
        assert!(!episode.remind(EVERY, after(9_999)), "first things first");
        episode = all_told(episode);
        assert!(told(&episode).is_empty());
        // It was found 130 s after the drone was last heard of.
        assert!(!episode.remind(EVERY, after(429)));
        assert!(episode.remind(EVERY, after(430)));
        assert_eq!(told(&episode), ["reminded-1"]);
        assert_eq!(episode.messages()[0].value, 430.0);
        episode = all_told(episode);
        assert!(!episode.remind(EVERY, after(729)));
        assert!(episode.remind(EVERY, after(731)));
        assert_eq!(told(&episode), ["reminded-2"]);
    }

    #[test]
    fn it_ends_when_the_drone_is_heard_of_again_and_never_twice() {
        let mut episode = all_told(raised());
        assert!(!episode.clear(SEEN, after(140)), "that is when it began");
        assert!(episode.clear(after(200), after(210)));
        assert_eq!(told(&episode), ["cleared"]);
        let message = &episode.messages()[0];
        assert_eq!((message.at, message.value), (after(200), 10.0));
        assert!(!episode.clear(after(300), after(310)));
        episode = all_told(episode);
        assert!(!episode.remind(EVERY, after(9_999)));
        assert!(told(&episode).is_empty());
    }

    #[test]
    fn what_was_not_told_is_told_before_what_comes_after() {
        let mut episode = raised();
        episode.clear(after(200), after(210));
        assert_eq!(told(&episode), ["raised", "cleared"]);
        assert_eq!(episode.messages()[0].value, 130.0, "as it would have been");

        let mut episode = all_told(raised());
        episode.remind(EVERY, after(500));
        episode.clear(after(600), after(610));
        assert_eq!(told(&episode), ["reminded-1", "cleared"]);
    }
}
