//! What the rules know of one drone.

use time::UtcDateTime;

use super::alert::{Sighting, Transition};
use super::register::Register;
use super::rule::{Observation, Rules};
use super::window::Windows;
use crate::domain::telemetry::{Position, Reading, Telemetry};

/// One drone: a register for each rule that has measured something, the open temperature windows, and
/// where it was last. A few hundred bytes, however long it flies.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneAlerts {
    /// The newest of its events, by its own clock: closes windows.
    pub(super) newest: UtcDateTime,
    /// When the hub took the last of its events: decides when it is forgotten.
    pub(super) last_seen_at: UtcDateTime,
    /// The newest flight's time and place.
    pub(super) position: Option<(UtcDateTime, Position)>,
    pub(super) windows: Windows,
    /// By the rule's place in the list.
    pub(super) registers: Vec<Register>,
}

impl DroneAlerts {
    /// A drone whose first event was just received.
    pub fn new(occurred_at: UtcDateTime, enqueued_at: UtcDateTime) -> Self {
        Self {
            newest: occurred_at,
            last_seen_at: enqueued_at,
            position: None,
            windows: Windows::default(),
            registers: Vec::new(),
        }
    }

    /// Whether an alert is open.
    pub fn has_open_alert(&self) -> bool {
        self.registers
            .iter()
            .any(|register| register.open.is_some())
    }

    /// Takes one event; it must be of this drone. Tells what changes by `tell`, in order.
    ///
    /// An event that was taken before changes nothing.
    pub fn observe(
        &mut self,
        rules: &Rules,
        telemetry: &Telemetry,
        enqueued_at: UtcDateTime,
        mut tell: impl FnMut(Transition),
    ) {
        let at = telemetry.occurred_at;
        self.newest = self.newest.max(at);
        self.last_seen_at = self.last_seen_at.max(enqueued_at);
        let closed_before = self.newest.saturating_sub(rules.lateness);

        let (observation, position) = match telemetry.reading {
            Reading::Flight(flight) => {
                if self.position.is_none_or(|(newest, _)| at >= newest) {
                    self.position = Some((at, flight.position));
                }
                (Observation::Flight(flight), Some(flight.position))
            }
            Reading::Operating(operating) => {
                let late = super::window::end_of(at).is_none_or(|end| end < closed_before);
                if !late {
                    // Without room it is left out, which the window's bounds say.
                    self.windows
                        .add(&telemetry.delivery_id, at, operating.temperature);
                }
                (Observation::Operating(operating), self.last_position())
            }
        };
        let seen = |value| Sighting {
            device_id: &telemetry.device_id,
            delivery_id: &telemetry.delivery_id,
            at,
            value,
            position,
        };
        judge(&mut self.registers, rules, &observation, seen, &mut tell);

        let position = self.last_position();
        for window in self.windows.close_before(closed_before) {
            let observation = Observation::AverageTemperature(window.average);
            let seen = |value| Sighting {
                device_id: &telemetry.device_id,
                delivery_id: &window.delivery_id,
                at: window.end,
                value,
                position,
            };
            judge(&mut self.registers, rules, &observation, seen, &mut tell);
        }
    }

    fn last_position(&self) -> Option<Position> {
        self.position.map(|(_, position)| position)
    }
}

/// Shows an observation to every rule.
fn judge<'a>(
    registers: &mut Vec<Register>,
    rules: &Rules,
    observation: &Observation,
    seen: impl Fn(f64) -> Sighting<'a>,
    tell: &mut impl FnMut(Transition),
) {
    for (index, rule) in rules.iter().enumerate() {
        let Some(value) = rule.measure(observation) else {
            continue;
        };
        if registers.len() <= index {
            registers.resize_with(index + 1, Register::default);
        }
        registers[index].judge(rule, &seen(value), rules.reminder, &mut *tell);
    }
}
