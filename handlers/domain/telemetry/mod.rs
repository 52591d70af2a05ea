//! What drones send: an event's body, checked.
//!
//! Two messages exist, told apart by their `sensorType`: flight (`drone-event-sensor;v1`) and operating
//! status (`drone-state-sensor;v1`). [`parse`] takes every variant that real devices send, and turns
//! everything else into [`Poison`] with a stable [`Reason`].
//!
//! | module | what it does |
//! |---|---|
//! | `parse` | the order of the checks |
//! | `wire` | JSON to raw fields, strictly; then once more without trailing commas (`lenient`) |
//! | `fields`, `number` | one raw field to one checked value |
//! | [`ranges`] | what a value may be |
//! | [`poison`] | why an event can never be applied |

mod fields;
mod lenient;
mod number;
mod parse;
pub mod poison;
pub mod ranges;
mod wire;

#[cfg(test)]
mod malformed;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

pub use self::parse::{EARLIEST, FUTURE_TOLERANCE, parse};
pub use self::poison::{Poison, Reason};
use super::identifier::{DeliveryId, DeviceId};

/// What is taken, as far as that is chosen. By itself, whatever can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intake {
    /// Whether an event must have been authenticated by IoT Hub. Where devices have no other way in, one without is
    /// forged, or the routing has lost what says whose it is.
    pub device_required: bool,
    /// What occurred before is refused, [`EARLIEST`] where nobody chose another.
    pub earliest: Option<UtcDateTime>,
}

/// One event, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The drone that sent it.
    pub device_id: DeviceId,
    /// The delivery it was on.
    pub delivery_id: DeliveryId,
    /// When the drone took the reading, by its own clock (`occurrenceUtcTime`).
    pub occurred_at: UtcDateTime,
    /// What it read.
    pub reading: Reading,
}

/// What an event tells: one kind of message each.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// `drone-event-sensor;v1`, every 5 s.
    Flight(Flight),
    /// `drone-state-sensor;v1`, every 20 s.
    Operating(Operating),
}

/// Where a drone is and how it moves. Every number is finite and within its range in [`ranges`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flight {
    /// Where it is.
    pub position: Position,
    /// Speed, 0 to 500. The source names no unit.
    pub velocity: f64,
    /// Change of speed, -100 to 100. The source names no unit.
    pub acceleration: f64,
    /// How far the delivery is.
    pub status: FlightStatus,
}

/// A point above the earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Meters, -500 to 20,000.
    pub altitude: f64,
}

/// How far a delivery is. On the wire a number, 0 to 4 in this order; stored by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FlightStatus {
    /// 0
    DepartedStation,
    /// 1
    InFlight,
    /// 2
    PickedUpPackage,
    /// 3
    DroppedOffPackage,
    /// 4
    ArrivedAtStation,
}

impl FlightStatus {
    /// All of them; each at the index that is its number on the wire.
    pub const ALL: [Self; 5] = [
        Self::DepartedStation,
        Self::InFlight,
        Self::PickedUpPackage,
        Self::DroppedOffPackage,
        Self::ArrivedAtStation,
    ];

    /// The status of this name, as it is stored and shown: `inFlight`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
        Self::deserialize(name).ok()
    }
}

/// How the drone's body does. Every number is finite and within its range in [`ranges`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operating {
    /// Of the engine, -60 to 250. The source names no unit.
    pub temperature: f64,
    /// The drone's own word for its battery. Not checked against the level: it is what the drone said.
    pub battery_status: BatteryStatus,
    /// What is left in the battery, 0 to 1.
    pub battery_level: f64,
}

/// A drone's word for its battery, from empty to full. On the wire in any case; stored in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatteryStatus {
    /// Level 0.
    Dead,
    /// Up to 0.10.
    Critical,
    /// Up to 0.30.
    Low,
    /// Up to 0.50.
    Medium,
    /// Up to 0.99.
    High,
    /// 1.
    Full,
}

impl BatteryStatus {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Dead, "dead"),
        (Self::Critical, "critical"),
        (Self::Low, "low"),
        (Self::Medium, "medium"),
        (Self::High, "high"),
        (Self::Full, "full"),
    ];
}

/// What is known of an event besides its body.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// The device that IoT Hub authenticated (`iothub-connection-device-id`); `None` where drones send
    /// to Event Hubs directly.
    pub authenticated_device: Option<&'a str>,
    /// What is refused beside what is wrong in itself.
    pub intake: Intake,
    /// When the event reached the hub, the first time where it was sent again.
    pub enqueued_at: UtcDateTime,
}
