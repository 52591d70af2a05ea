//! A drone's latest state, and how two of them become one.
//!
//! The state is a function of the set of events that went into it. Each section is a register whose last
//! writer wins, by the drone's own clock: merging is commutative, associative and idempotent, so events
//! may come late, twice, in any order and in any batches.

pub mod document;

#[cfg(test)]
mod properties;

use std::cmp::Ordering;

use time::UtcDateTime;

use super::identifier::{DeliveryId, DeviceId};
use super::telemetry::{Flight, Operating, Position, Reading, Telemetry};

/// What is known of one drone.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneState {
    /// The drone.
    pub device_id: DeviceId,
    /// When the last of its events was enqueued, by the hub's clock.
    pub last_seen_at: UtcDateTime,
    /// Where it is and how it moves; `None` until it said so.
    pub flight: Option<Stamped<Flight>>,
    /// How its body does; `None` until it said so.
    pub operating: Option<Stamped<Operating>>,
}

/// A reading with its time and delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped<T> {
    /// When the drone took it, by its own clock.
    pub occurred_at: UtcDateTime,
    /// The delivery it was on.
    pub delivery_id: DeliveryId,
    /// The reading.
    pub value: T,
}

impl DroneState {
    /// What one event says.
    pub fn observe(telemetry: Telemetry, enqueued_at: UtcDateTime) -> Self {
        let Telemetry {
            device_id,
            delivery_id,
            occurred_at,
            reading,
        } = telemetry;
        let mut state = Self {
            device_id,
            last_seen_at: enqueued_at,
            flight: None,
            operating: None,
        };
        match reading {
            Reading::Flight(value) => {
                state.flight = Some(Stamped {
                    occurred_at,
                    delivery_id,
                    value,
                });
            }
            Reading::Operating(value) => {
                state.operating = Some(Stamped {
                    occurred_at,
                    delivery_id,
                    value,
                });
            }
        }
        state
    }

    /// Takes over what `other` knows better. Returns whether anything changed.
    ///
    /// Each section is the one with the greater `occurred_at`; between equal times the greater delivery,
    /// then the greater values decide. That choice means nothing, but everyone makes the same one.
    ///
    /// Both must be of the same drone; a state of another drone is ignored.
    pub fn merge(&mut self, other: Self) -> bool {
        debug_assert_eq!(
            self.device_id, other.device_id,
            "states of different drones"
        );
        if self.device_id != other.device_id {
            return false;
        }
        let seen = other.last_seen_at > self.last_seen_at;
        if seen {
            self.last_seen_at = other.last_seen_at;
        }
        let flight = keep_greater(&mut self.flight, other.flight);
        let operating = keep_greater(&mut self.operating, other.operating);
        seen || flight || operating
    }

    /// Whether [merging](Self::merge) `other`, which is of the same drone, would change nothing.
    pub fn includes(&self, other: &Self) -> bool {
        other.last_seen_at <= self.last_seen_at
            && !is_greater(other.flight.as_ref(), self.flight.as_ref())
            && !is_greater(other.operating.as_ref(), self.operating.as_ref())
    }

    /// The delivery of the newest section, the flight's where both are equally new; `None` where there is
    /// no section.
    pub fn delivery_id(&self) -> Option<&DeliveryId> {
        match (&self.flight, &self.operating) {
            (Some(flight), Some(operating)) if operating.occurred_at > flight.occurred_at => {
                Some(&operating.delivery_id)
            }
            (Some(flight), _) => Some(&flight.delivery_id),
            (None, operating) => operating.as_ref().map(|section| &section.delivery_id),
        }
    }
}

/// An order in which only equal values are equal.
trait TotalOrder {
    fn total_order(&self, other: &Self) -> Ordering;
}

impl<T: TotalOrder> TotalOrder for Stamped<T> {
    fn total_order(&self, other: &Self) -> Ordering {
        self.occurred_at
            .cmp(&other.occurred_at)
            .then_with(|| self.delivery_id.cmp(&other.delivery_id))
            .then_with(|| self.value.total_order(&other.value))
    }
}

// Taken apart without `..`, so that a field added later cannot be left out of the order.
impl TotalOrder for Flight {
    fn total_order(&self, other: &Self) -> Ordering {
        let Self {
            position,
            velocity,
            acceleration,
            status,
        } = self;
        let Position {
            latitude,
            longitude,
            altitude,
        } = position;
        latitude
            .total_cmp(&other.position.latitude)
            .then_with(|| longitude.total_cmp(&other.position.longitude))
            .then_with(|| altitude.total_cmp(&other.position.altitude))
            .then_with(|| velocity.total_cmp(&other.velocity))
            .then_with(|| acceleration.total_cmp(&other.acceleration))
            .then_with(|| status.cmp(&other.status))
    }
}

impl TotalOrder for Operating {
    fn total_order(&self, other: &Self) -> Ordering {
        let Self {
            temperature,
            battery_status,
            battery_level,
        } = self;
        temperature
            .total_cmp(&other.temperature)
            .then_with(|| battery_status.cmp(&other.battery_status))
            .then_with(|| battery_level.total_cmp(&other.battery_level))
    }
}

/// Returns whether `theirs` took the place of `mine`.
fn keep_greater<T: TotalOrder>(mine: &mut Option<Stamped<T>>, theirs: Option<Stamped<T>>) -> bool {
    let newer = is_greater(theirs.as_ref(), mine.as_ref());
    if newer {
        *mine = theirs;
    }
    newer
}

fn is_greater<T: TotalOrder>(theirs: Option<&Stamped<T>>, mine: Option<&Stamped<T>>) -> bool {
    match (mine, theirs) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(mine), Some(theirs)) => theirs.total_order(mine).is_gt(),
    }
}
