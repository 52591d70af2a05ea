//! What the rules know of the drones in one partition of the hub, and what has yet to be told.
//!
//! This is all the state that the rules have. Whoever keeps it in step with the events, by a
//! [snapshot](super::snapshot) after each batch, gets the same alerts as somebody who never stopped:
//! - an event that was taken before changes nothing, so a batch may come again, with any boundaries;
//! - what a batch told stays in the outbox until the host has moved on to later events, so a batch that
//!   comes again tells the same again.

use std::collections::HashMap;

use time::{Duration, UtcDateTime};

use super::alert::Transition;
use super::drone::DroneAlerts;
use super::rule::Rules;
use crate::domain::batch::ReceivedEvent;
use crate::domain::identifier::DeviceId;
use crate::domain::telemetry::{EventContext, parse};

/// How long a drone without an open alert is remembered after its last event.
const REMEMBERED: Duration = Duration::hours(1);

/// Drones that one partition remembers: the design's whole fleet, of which 32 partitions have some 300 each.
/// A flood of made-up device ids must not fill the memory, nor the snapshot. The bound is the partition's own,
/// so that the same events give the same alerts on whatever instance.
pub(super) const MOST_DRONES: usize = 10_000;

/// What the rules know of one partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartitionAlerts {
    pub(super) drones: HashMap<DeviceId, DroneAlerts>,
    pub(super) outbox: Vec<Told>,
}

/// A transition, with the event that caused it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) sequence_number: i64,
    pub(super) enqueued_at: UtcDateTime,
    pub(super) transition: Transition,
}

impl PartitionAlerts {
    /// Takes the events of a batch, in the hub's order, and returns everything that they tell, including
    /// what they told when they were taken before.
    ///
    /// Poison is passed over: it is put aside elsewhere.
    pub fn observe<'a>(
        &mut self,
        rules: &Rules,
        events: impl IntoIterator<Item = ReceivedEvent<'a>>,
    ) -> Vec<Transition> {
        let mut events = events.into_iter().peekable();
        let Some(first) = events.peek() else {
            return Vec::new();
        };
        // The host comes to later events only after it has delivered what earlier ones told. The time
        // tells a hub that was made anew, whose numbers begin again.
        let (number, time) = (first.sequence_number, first.enqueued_at);
        self.outbox
            .retain(|told| told.sequence_number >= number && told.enqueued_at >= time);

        let mut last = number;
        let mut now = time;
        for event in events {
            last = event.sequence_number;
            now = now.max(event.enqueued_at);
            self.take(rules, &event);
        }
        self.forget(now);
        self.outbox
            .iter()
            .filter(|told| told.sequence_number <= last)
            .map(|told| told.transition.clone())
            .collect()
    }

    /// How many drones are remembered.
    pub fn drones(&self) -> usize {
        self.drones.len()
    }

    /// A replayed event is judged as of the first time that a hub took it. What is remembered, and for how long,
    /// goes by this hub's time, as batches and their repetition do.
    fn take(&mut self, rules: &Rules, event: &ReceivedEvent<'_>) {
        let context = EventContext {
            authenticated_device: event.authenticated_device.as_deref(),
            enqueued_at: event.taken_at(),
        };
        let Ok(telemetry) = parse(event.body, &context) else {
            return;
        };
        let new = || DroneAlerts::new(telemetry.occurred_at, event.enqueued_at);
        let drone = self
            .drones
            .entry(telemetry.device_id.clone())
            .or_insert_with(new);
        if is_forgotten(drone, event.enqueued_at) {
            // Now and not at the end of some batch, so that boundaries make no difference.
            *drone = new();
        }
        let outbox = &mut self.outbox;
        drone.observe(rules, &telemetry, event.enqueued_at, |transition| {
            outbox.push(Told {
                sequence_number: event.sequence_number,
                enqueued_at: event.enqueued_at,
                transition,
            });
        });
    }

    /// Lets go of drones that are forgotten anyway; after a flood of new ones, of the longest silent, and of
    /// those with an open alert only where there are too many of them alone. A drone that goes on talking is
    /// never among the longest silent, whatever the flood is made of: its own last ids are older.
    fn forget(&mut self, now: UtcDateTime) {
        self.drones.retain(|_, drone| !is_forgotten(drone, now));
        if self.drones.len() <= MOST_DRONES {
            return;
        }
        let mut seen: Vec<_> = self
            .drones
            .iter()
            .map(|(id, drone)| (drone.has_open_alert(), drone.last_seen_at, id.clone()))
            .collect();
        // A tenth at a time, or each further drone would cost a sort.
        let surplus = self.drones.len() - MOST_DRONES * 9 / 10;
        seen.select_nth_unstable(surplus);
        for (_, _, id) in seen.drain(..surplus) {
            self.drones.remove(&id);
        }
    }
}

fn is_forgotten(drone: &DroneAlerts, now: UtcDateTime) -> bool {
    drone.last_seen_at < now.saturating_sub(REMEMBERED) && !drone.has_open_alert()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::alerts::AlertSettings;

    /// Its first time is before that of the batch which it came in, which must not make it an earlier batch's.
    #[test]
    fn what_a_replayed_event_has_told_is_told_again_when_its_batch_comes_again() {
        let rules = Rules::new(&AlertSettings::default()).unwrap();
        let body = |second, temperature| {
            format!(
                r#"{{"deviceId":"drone-1","deliveryId":"d","sensorType":"drone-state-sensor;v1","occurrenceUtcTime":"2024-05-01T12:00:{second:02}Z","temperature":{temperature},"batteryStatus":"high","batteryLevel":0.9}}"#
            )
        };
        let bodies = [body(0, 60), body(20, 110)];
        let batch = || {
            bodies.iter().zip(7..).map(|(body, number)| ReceivedEvent {
                body: body.as_bytes(),
                sequence_number: number,
                offset: "0",
                enqueued_at: UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap(),
                first_enqueued_at: (number == 8)
                    .then(|| UtcDateTime::from_unix_timestamp(1_714_564_830).unwrap()),
                authenticated_device: None,
            })
        };
        let mut alerts = PartitionAlerts::default();
        let told = alerts.observe(&rules, batch());
        assert_eq!(told.len(), 1);
        assert_eq!(alerts.observe(&rules, batch()), told);
    }
}
