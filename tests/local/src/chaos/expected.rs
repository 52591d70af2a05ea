//! What has to be true at the end, computed from what was sent.
//!
//! States and dead letters follow from how the events were made. For alerts the rules themselves are asked,
//! event by event in the hub's order, without host, batch, crash or retry: that they are right is shown
//! elsewhere; here it counts that nothing that they say is lost, and nothing invented.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use drone_delivery::domain::ReceivedEvent;
use drone_delivery::domain::alerts::{AlertDocument, PartitionAlerts, Rules};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::traffic::{Fate, Reading, Sent};
use crate::hub::Position;
use crate::system::HUB;

/// Events that the rules are shown at once; they look through all drones for each lot.
const LOT: usize = 1_000;

/// Half a SHA-256: bodies are compared by it, so that they need not be kept.
pub(super) type Fingerprint = [u8; 16];

pub(super) fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut half = Fingerprint::default();
    half.copy_from_slice(&Sha256::digest(body)[..16]);
    half
}

/// Everything that has to be true at the end.
pub(super) struct Expected {
    rules: Rules,
    /// By device.
    pub(super) drones: HashMap<String, ExpectedDrone>,
    /// By `<partition>:<sequence number>`.
    pub(super) dead_letters: HashMap<String, (&'static str, Fingerprint)>,
    partitions: Vec<Partition>,
    /// Each message of the alert queue, by its id.
    pub(super) messages: BTreeMap<String, String>,
    /// Each alert as it was told last, by its id.
    pub(super) alerts: HashMap<String, Value>,
    pub(super) sent: u64,
}

/// A drone's document.
pub(super) struct ExpectedDrone {
    pub(super) last_seen_at: UtcDateTime,
    pub(super) sections: BTreeMap<&'static str, Reading>,
    /// Events that are to be part of it, or older than it.
    pub(super) events: u64,
}

#[derive(Default)]
struct Partition {
    bodies: Vec<Fingerprint>,
    alerts: PartitionAlerts,
    unseen: Vec<(Bytes, String, Position)>,
}

impl Expected {
    pub(super) fn new(rules: Rules, partitions: u16) -> Self {
        Self {
            rules,
            drones: HashMap::new(),
            dead_letters: HashMap::new(),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            messages: BTreeMap::new(),
            alerts: HashMap::new(),
            sent: 0,
        }
    }

    /// Takes an event that the hub has taken at `position`. Nothing else may send to the hub.
    pub(super) fn note(&mut self, sent: Sent, position: Position) {
        self.sent += 1;
        let body = fingerprint(&sent.body);
        let number = usize::from(position.partition);
        match sent.fate {
            Fate::DeadLettered(reason) => {
                let id = format!("{number}:{}", position.sequence_number);
                self.dead_letters.insert(id, (reason, body));
            }
            Fate::Applied(reading) => self.apply(&sent.device, reading, position.enqueued_at),
        }
        let partition = &mut self.partitions[number];
        partition.bodies.push(body);
        partition.unseen.push((sent.body, sent.device, position));
        if partition.unseen.len() >= LOT {
            self.ask_the_rules(number);
        }
    }

    fn apply(&mut self, device: &str, reading: Reading, enqueued_at: UtcDateTime) {
        if !self.drones.contains_key(device) {
            let drone = ExpectedDrone {
                last_seen_at: enqueued_at,
                sections: BTreeMap::new(),
                events: 0,
            };
            self.drones.insert(device.to_owned(), drone);
        }
        let Some(drone) = self.drones.get_mut(device) else {
            return;
        };
        drone.events += 1;
        drone.last_seen_at = drone.last_seen_at.max(enqueued_at);
        let newer = drone
            .sections
            .get(reading.section)
            .is_none_or(|known| reading.occurred_at > known.occurred_at);
        if newer {
            drone.sections.insert(reading.section, reading);
        }
    }

    fn ask_the_rules(&mut self, partition: usize) {
        let Partition { alerts, unseen, .. } = &mut self.partitions[partition];
        let events = unseen.iter().map(|(body, device, position)| ReceivedEvent {
            body,
            sequence_number: position.sequence_number,
            offset: &position.offset,
            enqueued_at: position.enqueued_at,
            first_enqueued_at: None,
            authenticated_device: Some(device.into()),
            marked_as_tick: false,
            partition_key: None,
        });
        let name = format!("{HUB}/{partition}");
        for transition in alerts.observe(&self.rules, events) {
            self.messages
                .insert(transition.message_id(), transition.message());
            let document = serde_json::to_value(AlertDocument::from(&transition.alert).of(&name));
            self.alerts
                .insert(transition.alert.id, document.unwrap_or_default());
        }
        unseen.clear();
    }

    /// Nothing comes any more.
    pub(super) fn finish(&mut self) {
        for partition in 0..self.partitions.len() {
            self.ask_the_rules(partition);
        }
    }

    /// Every event: its partition and sequence number.
    pub(super) fn positions(&self) -> impl Iterator<Item = (usize, i64)> {
        let partitions = self.partitions.iter().enumerate();
        partitions.flat_map(|(number, partition)| {
            (0..)
                .zip(&partition.bodies)
                .map(move |(at, _)| (number, at))
        })
    }

    /// The body that was sent as this event, if one was.
    pub(super) fn body(&self, partition: &str, sequence_number: i64) -> Option<&Fingerprint> {
        let partition: usize = partition.parse().ok()?;
        let bodies = &self.partitions.get(partition)?.bodies;
        bodies.get(usize::try_from(sequence_number).ok()?)
    }
}

impl ExpectedDrone {
    /// The delivery of the newest section.
    pub(super) fn delivery(&self) -> Option<&str> {
        self.sections
            .values()
            .max_by_key(|reading| reading.occurred_at)
            .map(|reading| reading.delivery.as_str())
    }
}
