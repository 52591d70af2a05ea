//! The record: what drones really did, beside what they report, for whoever wants to check what was made of their reports.

use std::ops::Range;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use time::{Duration, UtcDateTime};

use crate::mission::CHARGE;
use crate::wire::{self, TimeShape};

/// A time as the record has it.
fn text(time: UtcDateTime) -> String {
    wire::time(TimeShape::Iso, time)
}

/// From a moment to another: `{"from":"…","until":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: UtcDateTime,
    /// The first one that is not in it.
    pub until: UtcDateTime,
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Span", 2)?;
        object.serialize_field("from", &text(self.from))?;
        object.serialize_field("until", &text(self.until))?;
        object.end()
    }
}

/// A delivery, from the moment that a drone has begun it. What lies in the future of the moment at which the record is read is what
/// will be, for drones keep to their plans.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The drone.
    pub device_id: String,
    /// The delivery.
    pub delivery_id: String,
    /// While it reports to have departed: from the start until it has climbed.
    pub departed: Span,
    /// While it reports to have picked up.
    pub picked_up: Span,
    /// While it reports to have dropped off.
    pub dropped_off: Span,
    /// While it is back, and charges. The next delivery begins at the end.
    pub arrived: Span,
    /// Meters over ground, from the departure to the arrival.
    pub distance_m: f64,
    /// The battery's level at the departure less that at the arrival, in shares of a full one.
    pub battery_used: f64,
    /// The most of it that goes in a second.
    pub battery_a_second: f64,
    /// What comes back in a second, once it has arrived.
    pub charge_a_second: f64,
    /// While nothing is heard of it.
    pub silent: Option<Span>,
}

impl Delivery {
    /// From the departure to the end of the charge.
    #[must_use]
    pub fn whole(&self) -> Span {
        Span {
            from: self.departed.from,
            until: self.arrived.until,
        }
    }
}

/// A [`Delivery`] in seconds since the fleet's start, which is not known before the fleet is first asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth {
    pub(crate) delivery_id: String,
    pub(crate) departed: Range<f64>,
    pub(crate) picked_up: Range<f64>,
    pub(crate) dropped_off: Range<f64>,
    pub(crate) arrived: Range<f64>,
    pub(crate) distance: f64,
    pub(crate) battery_used: f64,
    pub(crate) battery_a_second: f64,
    pub(crate) silent: Option<Range<f64>>,
}

impl Truth {
    pub(crate) fn at(self, start: UtcDateTime, device_id: &str) -> Delivery {
        let time = |seconds: f64| start.saturating_add(Duration::seconds_f64(seconds));
        let span = |seconds: Range<f64>| Span {
            from: time(seconds.start),
            until: time(seconds.end),
        };
        Delivery {
            device_id: device_id.to_owned(),
            delivery_id: self.delivery_id,
            departed: span(self.departed),
            picked_up: span(self.picked_up),
            dropped_off: span(self.dropped_off),
            arrived: span(self.arrived),
            distance_m: self.distance,
            battery_used: self.battery_used,
            battery_a_second: self.battery_a_second,
            charge_a_second: CHARGE,
            silent: self.silent.map(span),
        }
    }
}
