//! Holds what is in the stores against what has to be there.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drone_delivery::capture;
use drone_delivery::domain::{Bucket, DeviceId};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::collector::Collected;
use super::expected::{Expected, ExpectedDrone, Fingerprint, fingerprint};
use crate::azurite::StorageError;
use crate::otlp::{Agreement, Reading, Stored, Telemetry};
use crate::system::{ALERTS, ARCHIVE, DATABASE, DEAD_LETTERS, DRONES, System};

/// How many blobs are read at once; Azurite is one thread.
const CONCURRENT_READS: usize = 8;

/// Differences of one kind that are told one by one; further ones are counted.
const EXAMPLES: usize = 3;

/// What became of the events of a trial.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Good events of drones whose document is as it has to be.
    pub(super) applied: u64,
    pub(super) dead_lettered: u64,
    pub(super) archived: u64,
    /// Records in the archive that repeat an event, and dead letters and alert messages that repeat one.
    pub(super) repeats: Repeats,
    /// Events that are missing anywhere.
    pub(super) lost: u64,
    /// Alerts or messages of alerts that are missing.
    pub(super) missing_alerts: u64,
    differences: Vec<Difference>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Repeats {
    pub(super) archived: u64,
    pub(super) dead_letters: u64,
    pub(super) alerts: u64,
}

/// Differences of one kind.
#[derive(Debug)]
struct Difference {
    what: &'static str,
    count: u64,
    examples: Vec<String>,
}

impl Verdict {
    /// Reads the stores of a settled system.
    ///
    /// # Errors
    /// Where a store cannot be read.
    pub(super) async fn of(
        system: &System,
        expected: &Expected,
        collected: Collected,
    ) -> Result<Self, StorageError> {
        let mut verdict = Self::default();
        for fault in &collected.faults {
            verdict.differ("messages in the queues are wrong", fault);
        }
        verdict.archive(system, expected).await?;
        verdict
            .dead_letters(system, expected, collected.dead_letters)
            .await?;
        verdict.states(expected, system.cosmos.items(DATABASE, DRONES).await);
        verdict.alerts(
            expected,
            &collected.alerts,
            system.cosmos.items(DATABASE, ALERTS).await,
        );
        Ok(verdict)
    }

    /// Holds the handler's metrics against it.
    pub(super) async fn agreement(
        &self,
        system: &System,
        expected: &Expected,
        telemetry: &Telemetry,
    ) -> Agreement {
        let mut dead_letters: BTreeMap<String, u64> = BTreeMap::new();
        for (reason, _) in expected.dead_letters.values() {
            *dead_letters.entry((*reason).to_owned()).or_default() += 1;
        }
        let stored = Stored {
            events: expected.sent + expected.ticks(),
            applied: self.applied,
            archived: self.archived + expected.ticks(),
            dead_letters,
            // Calls that came again tell of them again.
            alerts: None,
        };
        Agreement::of(
            telemetry,
            &Reading::now(telemetry),
            system.ledger(),
            &stored,
        )
        .await
    }

    /// What differs, one sentence for each kind; empty is good.
    pub(super) fn differences(&self) -> Vec<String> {
        let told = self.differences.iter().map(|difference| {
            let Difference {
                what,
                count,
                examples,
            } = difference;
            let more = if *count > examples.len() as u64 {
                ", …"
            } else {
                ""
            };
            format!("{count} {what}: {}{more}", examples.join(", "))
        });
        told.collect()
    }

    /// Adds a difference.
    pub(super) fn differ(&mut self, what: &'static str, example: &str) {
        let known = self.differences.iter().position(|known| known.what == what);
        let known = known.unwrap_or_else(|| {
            self.differences.push(Difference {
                what,
                count: 0,
                examples: Vec::new(),
            });
            self.differences.len() - 1
        });
        let known = &mut self.differences[known];
        known.count += 1;
        if known.examples.len() < EXAMPLES {
            known.examples.push(example.to_owned());
        }
    }

    async fn archive(&mut self, system: &System, expected: &Expected) -> Result<(), StorageError> {
        let names = system.storage.blob_names(ARCHIVE, "").await?;
        let mut files = stream::iter(names)
            .map(|name| async {
                let file = system.storage.read_blob(ARCHIVE, &name).await;
                (name, file)
            })
            .buffer_unordered(CONCURRENT_READS);
        let mut archived: HashMap<(String, i64), ()> = HashMap::new();
        while let Some((name, file)) = files.next().await {
            let partition = name.split('/').nth(1).unwrap_or_default();
            let Ok(events) = capture::decode(&file?) else {
                self.differ("archive files cannot be read", &name);
                continue;
            };
            for event in events {
                let number = event.sequence_number;
                let sent = expected.body(partition, number);
                if sent != Some(&fingerprint(&event.body)) {
                    let example = format!("{partition}:{number}");
                    self.differ("archived bodies are not what was sent", &example);
                }
                if archived
                    .insert((partition.to_owned(), number), ())
                    .is_some()
                {
                    self.repeats.archived += 1;
                }
            }
        }
        self.archived = archived.len() as u64;
        let missing = (expected.sent + expected.ticks()).saturating_sub(self.archived);
        // Which are no telemetry.
        self.archived = self.archived.saturating_sub(expected.ticks());
        self.lost += missing;
        for (partition, number) in expected.positions().take_while(|_| missing > 0) {
            if !archived.contains_key(&(partition.to_string(), number)) {
                let example = format!("{partition}:{number}");
                self.differ("events are not in the archive", &example);
            }
        }
        Ok(())
    }

    async fn dead_letters(
        &mut self,
        system: &System,
        expected: &Expected,
        mut letters: HashMap<String, (Value, u64)>,
    ) -> Result<(), StorageError> {
        for (id, (reason, sent)) in &expected.dead_letters {
            let Some((letter, count)) = letters.remove(id) else {
                self.lost += 1;
                self.differ("events were not dead-lettered", &format!("{id} ({reason})"));
                continue;
            };
            self.dead_lettered += 1;
            self.repeats.dead_letters += count - 1;
            let body = body_of(system, &letter).await?;
            if letter["reason"] != *reason || body != Some(*sent) {
                let example = format!("{id} ({reason})");
                self.differ("dead letters have another reason or body", &example);
            }
        }
        for id in letters.keys() {
            self.differ("events were dead-lettered that were good", id);
        }
        Ok(())
    }

    fn states(&mut self, expected: &Expected, documents: Vec<Value>) {
        let mut documents: HashMap<String, Value> = documents
            .into_iter()
            .map(|document| (text(&document["deviceId"]), document))
            .collect();
        for (device, drone) in &expected.drones {
            let stored = documents.remove(device);
            match stored.map(|stored| difference(device, drone, stored)) {
                Some(None) => self.applied += drone.events,
                Some(Some(what)) => {
                    self.lost += 1;
                    self.differ("drones' documents are not as they have to be", &what);
                }
                None => {
                    self.lost += drone.events;
                    self.differ("drones have no document", device);
                }
            }
        }
        for device in documents.keys() {
            self.differ("documents are of drones that sent nothing", device);
        }
    }

    fn alerts(
        &mut self,
        expected: &Expected,
        messages: &HashMap<String, (Value, u64)>,
        documents: Vec<Value>,
    ) {
        for (id, text) in &expected.messages {
            match messages.get(id) {
                Some((told, count)) => {
                    self.repeats.alerts += count - 1;
                    if serde_json::from_str::<Value>(text).ok().as_ref() != Some(told) {
                        self.differ("alert messages are not as they have to be", id);
                    }
                }
                None => {
                    self.missing_alerts += 1;
                    self.differ("alert messages are missing", id);
                }
            }
        }
        for id in messages.keys() {
            if !expected.messages.contains_key(id) {
                self.differ("alert messages are of what never was", id);
            }
        }
        let mut documents: HashMap<String, Value> = documents
            .into_iter()
            .map(|document| (text(&document["id"]), without_system_fields(document)))
            .collect();
        for (id, alert) in &expected.alerts {
            match documents.remove(id) {
                Some(stored) => {
                    if let Some(field) = differing_field(alert, &stored) {
                        let example = format!("{id} ({field})");
                        self.differ("alerts in Cosmos DB are not as they have to be", &example);
                    }
                }
                None => {
                    self.missing_alerts += 1;
                    self.differ("alerts are not in Cosmos DB", id);
                }
            }
        }
        for id in documents.keys() {
            self.differ("alerts in Cosmos DB are of what never was", id);
        }
    }
}

async fn body_of(system: &System, letter: &Value) -> Result<Option<Fingerprint>, StorageError> {
    if let Some(blob) = letter["bodyBlob"].as_str() {
        let body = system.storage.read_blob(DEAD_LETTERS, blob).await?;
        return Ok(Some(fingerprint(&body)));
    }
    let body = letter["body"].as_str().map(|body| STANDARD.decode(body));
    Ok(body.and_then(Result::ok).map(|body| fingerprint(&body)))
}

/// What is wrong with a drone's document, if anything.
fn difference(device: &str, drone: &ExpectedDrone, stored: Value) -> Option<String> {
    let mut stored = without_system_fields(stored);
    let seen = stored["lastSeenAt"].take();
    let seen = UtcDateTime::parse(seen.as_str().unwrap_or_default(), &Rfc3339);
    if seen.ok() != Some(drone.last_seen_at) {
        return Some(format!("{device} (lastSeenAt)"));
    }
    let Ok(id) = device.parse::<DeviceId>() else {
        return Some(format!("{device} (deviceId)"));
    };
    let mut expected = serde_json::json!({
        "id": id.item_id(),
        "bucket": Bucket::of(&id).key(),
        "deviceId": device,
        "deliveryId": drone.delivery(),
        "lastSeenAt": null,
    });
    for (name, reading) in &drone.sections {
        expected[name] = reading.stored.clone();
    }
    differing_field(&expected, &stored).map(|field| format!("{device} ({field})"))
}

/// The first field that is not the same in both.
fn differing_field(expected: &Value, stored: &Value) -> Option<String> {
    let nothing = Map::new();
    let expected = expected.as_object().unwrap_or(&nothing);
    let stored = stored.as_object().unwrap_or(&nothing);
    let wrong = |field: &&String| match (expected.get(*field), stored.get(*field)) {
        (Some(expected), Some(stored)) => !same(expected, stored),
        _ => true,
    };
    expected.keys().chain(stored.keys()).find(wrong).cloned()
}

/// Numbers may differ in their last bit, by which serde_json may misread them.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (
                one.as_f64().unwrap_or(f64::NAN),
                other.as_f64().unwrap_or(f64::NAN),
            );
            (one - other).abs() <= one.abs() * 2.0 * f64::EPSILON
        }
        _ => one == other,
    }
}

/// Without what Cosmos DB adds.
fn without_system_fields(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|name, _| !name.starts_with('_'));
    }
    document
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_differs_is_missing_or_is_too_many_is_named() {
        let expected = json!({"a": 1.5, "b": {"c": [0.1, "x"]}});
        for (stored, field) in [
            (expected.clone(), None),
            (
                json!({"a": 1.5, "b": {"c": [0.1_f64.next_up(), "x"]}}),
                None,
            ),
            (json!({"a": 1.6, "b": {"c": [0.1, "x"]}}), Some("a")),
            (json!({"a": 1.5, "b": {"c": [0.1]}}), Some("b")),
            (json!({"b": {"c": [0.1, "x"]}}), Some("a")),
            (
                json!({"a": 1.5, "b": {"c": [0.1, "x"]}, "d": null}),
                Some("d"),
            ),
        ] {
            assert_eq!(
                differing_field(&expected, &stored).as_deref(),
                field,
                "{stored}"
            );
        }
    }
}
