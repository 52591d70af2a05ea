//! What has to be true at the end, computed from what was sent.
//!
//! States and dead letters follow from how the events were made. For alerts the rules themselves are asked, over the
//! hub's whole log with its ticks, without host, batch, crash or retry: that they are right is shown
//! elsewhere; here it counts that nothing that they say is lost, and nothing invented.

use std::collections::{BTreeMap, HashMap};

use drone_delivery::domain::alerts::{AlertDocument, PartitionAlerts, Rules};
use drone_delivery::domain::timestamp::Compact;
use drone_delivery::domain::{ReceivedEvent, WATERMARK_TICK};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::traffic::{Fate, Reading, Sent};
use crate::hub::{Hub, Position};
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
    /// By `<partition>:<sequence number>:<enqueued time>`.
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
    /// By sequence number: what was sent, and ticks.
    bodies: BTreeMap<i64, Fingerprint>,
    ticks: u64,
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
    pub(super) fn note(&mut self, sent: Sent, position: &Position) {
        self.sent += 1;
        let body = fingerprint(&sent.body);
        let number = usize::from(position.partition);
        match sent.fate {
            Fate::DeadLettered(reason) => {
                let time = Compact(position.enqueued_at);
                let id = format!("{number}:{}:{time}", position.sequence_number);
                self.dead_letters.insert(id, (reason, body));
            }
            Fate::Applied(reading) => self.apply(&sent.device, reading, position.enqueued_at),
        }
        let bodies = &mut self.partitions[number].bodies;
        bodies.insert(position.sequence_number, body);
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

    /// Nothing comes any more, and everything is still in the hub's log.
    pub(super) fn finish(&mut self, hub: &Hub) {
        for number in 0..hub.partitions() {
            self.ask_the_rules(hub, number);
        }
    }

    fn ask_the_rules(&mut self, hub: &Hub, number: u16) {
        let name = format!("{HUB}/{number}");
        let log = hub.events(number, 0);
        let mut alerts = PartitionAlerts::default();
        for lot in log.chunks(LOT) {
            let decoded: Vec<_> = lot
                .iter()
                .map(|event| {
                    (
                        event.offset.to_string(),
                        event.body(),
                        event.system_properties(),
                    )
                })
                .collect();
            let events =
                lot.iter()
                    .zip(&decoded)
                    .map(|(event, (offset, body, system_properties))| ReceivedEvent {
                        body,
                        sequence_number: event.sequence_number,
                        offset,
                        enqueued_at: event.enqueued_at,
                        first_enqueued_at: None,
                        authenticated_device: system_properties
                            .get("iothub-connection-device-id")
                            .and_then(Value::as_str)
                            .map(Into::into),
                        partition_key: event.partition_key.as_deref(),
                        marked_as_tick: event.properties().contains_key(WATERMARK_TICK),
                    });
            let partition = &mut self.partitions[usize::from(number)];
            for tick in events.clone().filter(ReceivedEvent::is_tick) {
                partition.ticks += 1;
                partition
                    .bodies
                    .insert(tick.sequence_number, fingerprint(tick.body));
            }
            for transition in alerts.observe(&self.rules, events) {
                self.messages
                    .insert(transition.message_id(), transition.message());
                let document = AlertDocument::from(&transition.alert).of(&name);
                self.alerts.insert(
                    transition.alert.id,
                    serde_json::to_value(document).unwrap_or_default(),
                );
            }
        }
    }

    /// How many ticks are in the log.
    pub(super) fn ticks(&self) -> u64 {
        self.partitions
            .iter()
            .map(|partition| partition.ticks)
            .sum()
    }

    /// Every event: its partition and sequence number.
    pub(super) fn positions(&self) -> impl Iterator<Item = (usize, i64)> {
        let partitions = self.partitions.iter().enumerate();
        partitions.flat_map(|(number, partition)| {
            let numbers = partition.bodies.keys();
            numbers.map(move |at| (number, *at))
        })
    }

    /// The body that was sent as this event, if one was.
    pub(super) fn body(&self, partition: &str, sequence_number: i64) -> Option<&Fingerprint> {
        let partition: usize = partition.parse().ok()?;
        let bodies = &self.partitions.get(partition)?.bodies;
        bodies.get(&sequence_number)
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
