//! What the rules know of the drones in one partition of the hub, and what has yet to be told.
//!
//! This is all the state that the rules have. Whoever keeps it in step with the events, by a
//! [snapshot](super::snapshot) after each batch, gets the same alerts as somebody who never stopped:
//! - time is the partition's own: the watermark, the latest time at which the hub took one of its events. Before an
//!   event is taken, every deadline before its time fires, in the order of their times; so batches may have any
//!   boundaries, and what waits for hours is judged in its own time;
//! - an event that was taken before changes nothing, so a batch may come again;
//! - what a batch told stays in the outbox until the host has moved on to later events, so a batch that
//!   comes again tells the same again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use time::{Duration, UtcDateTime};

use super::alert::{Alert, Cleared, ClosedBecause, Transition};
use super::drone::{Arrival, DroneAlerts, judged_at};
use super::register::{Open, Register};
use super::rule::Rules;
use crate::domain::batch::ReceivedEvent;
use crate::domain::identifier::DeviceId;
use crate::domain::telemetry::{EventContext, Intake, parse};

/// How long a drone of which nothing is waited for is remembered after its last event.
const REMEMBERED: Duration = Duration::hours(1);

/// Drones that one partition remembers: the design's whole fleet, of which 32 partitions have some 300 each.
/// A flood of made-up device ids must not fill the memory, nor the snapshot. The bound is the partition's own,
/// so that the same events give the same alerts on whatever instance.
pub(super) const MOST_DRONES: usize = 10_000;

/// What the rules know of one partition.
#[derive(Debug, Clone, Default)]
pub struct PartitionAlerts {
    /// How far its events were taken; `None` before the first.
    pub(super) progress: Option<Progress>,
    pub(super) drones: HashMap<DeviceId, DroneAlerts>,
    pub(super) outbox: Vec<Outgoing>,
    /// Open alerts of rules that are switched off: closed with the next event.
    pub(super) orphans: Vec<Alert>,
    /// What was noticed since it was last asked for.
    pub(super) noticed: Noticed,
    /// No deadline is before this one; `None` where it is not known.
    pub(super) no_deadline_before: Option<UtcDateTime>,
}

/// What is wrong with events that are judged all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Events whose partition key is not their device: its events may be in several partitions, and none sees them all.
    pub wrong_partition_key: usize,
    /// Events that were judged by when they arrived, because their drone's clock cannot be right.
    pub clock_behind: usize,
}

/// How far a partition's events were taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    /// The number of the last event.
    pub(super) sequence_number: i64,
    /// The latest time at which the hub took one of them.
    pub(super) watermark: UtcDateTime,
}

/// A transition, with the event that it was told at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outgoing {
    pub(super) sequence_number: i64,
    pub(super) transition: Transition,
}

/// Without what is only kept so as not to be looked up.
impl PartialEq for PartitionAlerts {
    fn eq(&self, other: &Self) -> bool {
        self.progress == other.progress
            && self.drones == other.drones
            && self.outbox == other.outbox
            && self.orphans == other.orphans
    }
}

impl Progress {
    /// Whether an event was taken already. A broker's clock may step back; its numbers never do, unless the hub was
    /// made anew, and then its times are later.
    fn includes(self, event: &ReceivedEvent<'_>) -> bool {
        event.sequence_number <= self.sequence_number && event.enqueued_at <= self.watermark
    }
}

impl PartitionAlerts {
    /// A partition of which nothing is known but its open alerts, as of `now` in its time.
    pub fn recovered(open: Vec<Alert>, rules: &Rules, now: UtcDateTime) -> Self {
        let mut partition = Self::default();
        for alert in open {
            let place = rules.iter().position(|rule| rule.name == alert.rule);
            let Some(place) = place else {
                partition.orphans.push(alert);
                continue;
            };
            let new = || DroneAlerts::new(alert.raised_at, now, rules.lateness);
            let drone = partition
                .drones
                .entry(alert.device_id.clone())
                .or_insert_with(new);
            let since = alert.raised_at.min(now);
            *drone.register(place) = Register {
                breached_at: Some(alert.raised_at),
                clear: None,
                open: Some(Open::new(alert, since)),
            };
        }
        partition
    }

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
        let first_number = first.sequence_number;
        let made_anew = self.progress.is_some_and(|progress| {
            first_number <= progress.sequence_number && !progress.includes(first)
        });
        // The host comes to later events only after it has delivered what earlier ones told. A hub that was made
        // anew, whose numbers begin again, never comes to those of the old one.
        self.outbox
            .retain(|sent| sent.sequence_number >= first_number && !made_anew);

        let mut last = first_number;
        for event in events {
            last = last.max(event.sequence_number);
            self.take(rules, &event);
        }
        self.forget(rules);
        self.outbox
            .iter()
            .filter(|sent| sent.sequence_number <= last)
            .map(|sent| sent.transition.clone())
            .collect()
    }

    /// What was noticed of the events since the last time that this was asked.
    pub fn noticed(&mut self) -> Noticed {
        std::mem::take(&mut self.noticed)
    }

    /// How many drones are remembered.
    pub fn drones(&self) -> usize {
        self.drones.len()
    }

    /// How many alerts are open.
    pub fn open_alerts(&self) -> usize {
        self.drones.values().map(DroneAlerts::open_alerts).sum()
    }

    /// The latest time at which the hub took one of the events; `None` before the first.
    pub fn watermark(&self) -> Option<UtcDateTime> {
        self.progress.map(|progress| progress.watermark)
    }

    /// When something happens next without an event of its own, in the partition's time; `None` where nothing is
    /// waited for.
    pub fn next_deadline(&self, rules: &Rules) -> Option<UtcDateTime> {
        let deadlines = self.drones.values().map(|drone| drone.next_deadline(rules));
        deadlines.flatten().min()
    }

    /// A replayed event is judged as of the first time that a hub took it. What is remembered, for how long, and
    /// what time it is, goes by this hub's time, as batches and their repetition do.
    fn take(&mut self, rules: &Rules, event: &ReceivedEvent<'_>) {
        let arrival = Arrival {
            enqueued_at: event.enqueued_at,
            taken_at: event.taken_at(),
        };
        if self
            .progress
            .is_some_and(|progress| progress.includes(event))
        {
            return;
        }
        self.advance(rules, event);
        if event.is_tick() {
            return;
        }
        let context = EventContext {
            authenticated_device: event.authenticated_device.as_deref(),
            enqueued_at: arrival.taken_at,
            // What has no time of its own is judged by when it arrived.
            intake: Intake {
                earliest: None,
                ..rules.intake
            },
        };
        let Ok(telemetry) = parse(event.body, &context) else {
            return;
        };
        if self.drones.len() >= MOST_DRONES && !self.drones.contains_key(&telemetry.device_id) {
            self.make_room(rules, event);
        }
        let watermark = self.watermark().unwrap_or(event.enqueued_at);
        let at = judged_at(rules, &telemetry, arrival);
        let elsewhere = |key: &str| key != telemetry.device_id.as_str();
        self.noticed.wrong_partition_key += usize::from(event.partition_key.is_some_and(elsewhere));
        self.noticed.clock_behind += usize::from(at != telemetry.occurred_at);
        let new = || DroneAlerts::new(at, arrival.enqueued_at, rules.lateness);
        let drone = self
            .drones
            .entry(telemetry.device_id.clone())
            .or_insert_with(new);
        if is_forgotten(drone, rules, watermark) {
            // Now and not at the end of some batch, so that boundaries make no difference.
            *drone = new();
        }
        drone.observe(
            rules,
            &telemetry,
            arrival,
            send(&mut self.outbox, event.sequence_number),
        );
        let deadline = drone.next_deadline(rules);
        self.no_deadline_before = match (self.no_deadline_before, deadline) {
            (Some(before), Some(deadline)) => Some(before.min(deadline)),
            (before, None) => before,
            (None, Some(_)) => None,
        };
    }

    /// Lets the partition's time come to that of an event.
    fn advance(&mut self, rules: &Rules, event: &ReceivedEvent<'_>) {
        let now = event.enqueued_at;
        self.close_orphans(event);
        if self
            .no_deadline_before
            .is_none_or(|deadline| deadline < now)
        {
            self.pass_deadlines(rules, event);
            self.no_deadline_before = Some(self.next_deadline(rules).unwrap_or(UtcDateTime::MAX));
        }
        let watermark = self.watermark().map_or(now, |before| before.max(now));
        self.progress = Some(Progress {
            sequence_number: event.sequence_number,
            watermark,
        });
    }

    fn close_orphans(&mut self, event: &ReceivedEvent<'_>) {
        let mut tell = send(&mut self.outbox, event.sequence_number);
        for alert in self.orphans.drain(..) {
            let cleared = Cleared {
                at: event.enqueued_at,
                value: alert.value,
                reason: Some(ClosedBecause::RuleOff),
            };
            tell(alert.clear(cleared));
        }
    }

    /// Does what is due before an event, of all drones, in the order of time.
    fn pass_deadlines(&mut self, rules: &Rules, event: &ReceivedEvent<'_>) {
        let now = event.enqueued_at;
        let mut tell = send(&mut self.outbox, event.sequence_number);
        let mut due: BinaryHeap<_> = self
            .drones
            .iter()
            .filter_map(|(id, drone)| Some((drone.next_deadline(rules)?, id)))
            .filter(|(deadline, _)| *deadline < now)
            .map(|(deadline, id)| Reverse((deadline, id.clone())))
            .collect();
        while let Some(Reverse((deadline, id))) = due.pop() {
            let Some(drone) = self.drones.get_mut(&id) else {
                continue;
            };
            drone.pass(rules, &id, deadline, &mut tell);
            if let Some(next) = drone.next_deadline(rules)
                && next < now
            {
                due.push(Reverse((next, id)));
            }
        }
    }

    /// Lets go of drones that are forgotten anyway.
    fn forget(&mut self, rules: &Rules) {
        if let Some(now) = self.watermark() {
            self.drones
                .retain(|_, drone| !is_forgotten(drone, rules, now));
        }
    }

    /// After a flood of new drones, lets go of the longest silent, and of those with an open alert only where there
    /// are too many of them alone; what is open is closed. A drone that goes on talking is
    /// never among the longest silent, whatever the flood is made of: its own last ids are older.
    fn make_room(&mut self, rules: &Rules, event: &ReceivedEvent<'_>) {
        self.forget(rules);
        if self.drones.len() < MOST_DRONES {
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
        seen.truncate(surplus);
        // What is told must not depend on the order in which a map has its keys.
        seen.sort_unstable();
        let mut tell = send(&mut self.outbox, event.sequence_number);
        for (_, _, id) in seen {
            if let Some(mut drone) = self.drones.remove(&id) {
                drone.close_all(ClosedBecause::TooManyDrones, event.enqueued_at, &mut tell);
            }
        }
    }
}

/// Puts what is told at an event into the outbox.
fn send(outbox: &mut Vec<Outgoing>, sequence_number: i64) -> impl FnMut(Transition) {
    move |transition| {
        outbox.push(Outgoing {
            sequence_number,
            transition,
        });
    }
}

fn is_forgotten(drone: &DroneAlerts, rules: &Rules, now: UtcDateTime) -> bool {
    drone.last_seen_at < now.saturating_sub(REMEMBERED) && drone.next_deadline(rules).is_none()
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
                first_enqueued_at: Some(UtcDateTime::from_unix_timestamp(1_714_564_830).unwrap()),
                authenticated_device: None,
                marked_as_tick: false,
                partition_key: None,
            })
        };
        let mut alerts = PartitionAlerts::default();
        let told = alerts.observe(&rules, batch());
        assert_eq!(told.len(), 1);
        assert_eq!(alerts.observe(&rules, batch()), told);
    }
}
