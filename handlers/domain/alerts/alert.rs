//! An alert, from its raising to its clearing, and the moments of it that are told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::moment::Moment;
use super::rule::{Rule, Severity};
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::telemetry::Position;
use crate::domain::timestamp::Rfc3339Nanos;

/// One episode of one rule on one drone.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// See [`id`].
    pub id: String,
    /// The drone.
    pub device_id: DeviceId,
    /// The delivery that it was on when the alert was raised.
    pub delivery_id: DeliveryId,
    /// The name of the rule.
    pub rule: Cow<'static, str>,
    /// How much it matters.
    pub severity: Severity,
    /// When it began, in event time: what broke the limit first.
    pub raised_at: UtcDateTime,
    /// The value that broke the limit.
    pub value: f64,
    /// The limit.
    pub threshold: f64,
    /// Where the drone was, as far as it was known then.
    pub position: Option<Position>,
    /// How often, and when last, it was told again.
    pub reminded: Option<Reminded>,
    /// What ended it; `None` while it is open.
    pub cleared: Option<Cleared>,
}

/// How often an alert was told again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reminded {
    /// How often.
    pub times: u32,
    /// When last, in the partition's time.
    pub at: UtcDateTime,
}

/// What ended an alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleared {
    /// When, in event time; in the partition's, where there is a reason.
    pub at: UtcDateTime,
    /// The value that was safe again; the last one known, where there is a reason.
    pub value: f64,
    /// Why it was closed without a reading that was safe again; `None` where there was one.
    pub reason: Option<ClosedBecause>,
}

/// Why an alert is closed that nobody has seen end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBecause {
    /// Its drone was not heard of for a day.
    DroneGone,
    /// Its rule is switched off, or is no more.
    RuleOff,
    /// Its drone was one of too many in its partition, and heard of longest ago.
    TooManyDrones,
}

/// A value that a rule measured, with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting<'a> {
    /// The drone.
    pub device_id: &'a DeviceId,
    /// Its delivery.
    pub delivery_id: &'a DeliveryId,
    /// When, in event time.
    pub at: UtcDateTime,
    /// The value.
    pub value: f64,
    /// Where, as far as it is known.
    pub position: Option<Position>,
}

/// The id of the alert of a rule on a drone that began at a time: `engine-critical~drone-1~20240501T120000.000000000Z`.
///
/// Nothing else goes into it, so the same event makes the same id however often it is delivered, in
/// whatever batch, to whichever instance. The drone is written as in
/// [`DeviceId::item_id`]: Cosmos DB takes the id for an item's.
pub fn id(rule: &str, device_id: &DeviceId, began_at: UtcDateTime) -> String {
    let time: String = Rfc3339Nanos(began_at)
        .to_string()
        .chars()
        .filter(|character| !matches!(character, '-' | ':'))
        .collect();
    format!("{rule}~{}~{time}", device_id.item_id())
}

impl Alert {
    /// The alert that a breach begins.
    pub fn raise(rule: &Rule, breach: &Sighting<'_>) -> Self {
        Self {
            id: id(rule.name, breach.device_id, breach.at),
            device_id: breach.device_id.clone(),
            delivery_id: breach.delivery_id.clone(),
            rule: Cow::Borrowed(rule.name),
            severity: rule.severity,
            raised_at: breach.at,
            value: breach.value,
            threshold: rule.limit.raise(),
            position: breach.position,
            reminded: None,
            cleared: None,
        }
    }

    /// Ends it.
    pub fn clear(self, cleared: Cleared) -> Transition {
        Transition {
            kind: Kind::Cleared,
            at: cleared.at,
            value: cleared.value,
            alert: Self {
                cleared: Some(cleared),
                ..self
            },
        }
    }

    /// Whether it has not been cleared.
    pub fn is_open(&self) -> bool {
        self.cleared.is_none()
    }

    /// How far the episode has come: of two versions of one alert, the greater is the later.
    pub fn progress(&self) -> (bool, u32) {
        (
            self.cleared.is_some(),
            self.reminded.map_or(0, |reminded| reminded.times),
        )
    }
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It began.
    Raised,
    /// It still goes on.
    Reminded,
    /// It is over.
    Cleared,
}

/// A moment of an alert that is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// What happened.
    pub kind: Kind,
    /// When: in event time; of a reminder, and of an end that nobody has seen, in the partition's time.
    pub at: UtcDateTime,
    /// The value that was seen then.
    pub value: f64,
    /// The alert as it was after that.
    pub alert: Alert,
}

/// An open alert as snapshots hold it; what the rule and the drone tell is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) delivery_id: DeliveryId,
    pub(super) severity: Severity,
    pub(super) raised_at: Moment,
    pub(super) value: f64,
    pub(super) threshold: f64,
    pub(super) position: Option<[f64; 3]>,
    pub(super) reminded: Option<(u32, Moment)>,
    pub(super) cleared: Option<(Moment, f64, Option<ClosedBecause>)>,
}

impl From<&Alert> for Saved {
    fn from(alert: &Alert) -> Self {
        Self {
            delivery_id: alert.delivery_id.clone(),
            severity: alert.severity,
            raised_at: alert.raised_at.into(),
            value: alert.value,
            threshold: alert.threshold,
            position: alert
                .position
                .map(|at| [at.latitude, at.longitude, at.altitude]),
            reminded: alert
                .reminded
                .map(|reminded| (reminded.times, reminded.at.into())),
            cleared: alert
                .cleared
                .map(|cleared| (cleared.at.into(), cleared.value, cleared.reason)),
        }
    }
}

impl Saved {
    pub(super) fn restore(self, rule: Cow<'static, str>, device_id: &DeviceId) -> Alert {
        let raised_at = self.raised_at.time();
        Alert {
            id: id(&rule, device_id, raised_at),
            device_id: device_id.clone(),
            delivery_id: self.delivery_id,
            rule,
            severity: self.severity,
            raised_at,
            value: self.value,
            threshold: self.threshold,
            position: self
                .position
                .map(|[latitude, longitude, altitude]| Position {
                    latitude,
                    longitude,
                    altitude,
                }),
            reminded: self.reminded.map(|(times, at)| Reminded {
                times,
                at: at.time(),
            }),
            cleared: self.cleared.map(|(at, value, reason)| Cleared {
                at: at.time(),
                value,
                reason,
            }),
        }
    }
}
