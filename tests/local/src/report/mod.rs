//! What became of every event, counted from what is really in Azurite and Cosmos DB.
//!
//! No counter of the handler is believed. An event counts as archived when an archive file holds its
//! very bytes, as dead-lettered when the queue holds a message with its id, and as applied when it is
//! not dead-lettered and its drone's document is at least as new as the event in every respect. An alert
//! counts as raised or cleared when the alert queue holds a message that says so.

mod alerts;
mod insights;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use drone_delivery::capture::{self, CaptureError};
use drone_delivery::domain::{DeviceId, DroneDocument, DroneState, EventContext, Intake, parse};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::azurite::StorageAccount;
use crate::azurite::StorageError;
use crate::cosmos::CosmosEmulator;
use crate::hub::{Hub, StoredEvent};
use crate::letters;
use crate::otlp::Stored;
use crate::system::{ALERT_QUEUE, ALERTS, ARCHIVE, DATABASE, DEAD_LETTERS, DRONES, System};

pub use alerts::AlertReport;
pub use insights::InsightsReport;

/// How many blobs are read at once; Azurite is one thread.
const CONCURRENT_READS: usize = 8;

/// The function that takes messages off the alert queue, where it is switched on.
pub(crate) const NOTIFY: &str = "NotifyAlert";

/// The outcome of a run; the JSON of `--report`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Events that the hub took.
    pub sent: u64,
    /// Events that are part of their drone's state, or older than it.
    pub applied: u64,
    /// Events with a message in the dead-letter queue.
    pub dead_lettered: u64,
    /// The same by the reason that it gives.
    pub dead_letter_reasons: BTreeMap<String, u64>,
    /// Records in the archive, repeats included.
    pub archived: u64,
    /// Records in the archive that repeat an event.
    pub archive_duplicates: u64,
    /// Documents in the drones' container.
    pub drones: u64,
    /// The messages of the alert queue.
    pub alerts: AlertReport,
    /// The insights that were made of it.
    pub insights: InsightsReport,
    /// Successful item writes that Cosmos DB saw.
    pub cosmos_writes: u64,
    /// From the moment the hub took an event to the end of the call that applied it, in milliseconds.
    /// Nothing of a host that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_to_state_millis: Option<Percentiles>,
    /// The handler process. Nothing of a host that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<HandlerReport>,
    /// What does not add up, one sentence each; empty is good.
    pub faults: Vec<String>,
}

/// Two percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half of the events were at most this late.
    pub p50: u64,
    /// All but one in a hundred were at most this late.
    pub p99: u64,
}

/// What the handler cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerReport {
    /// CPU time of the process, over all functions, for each event sent.
    pub cpu_micros_per_event: f64,
    /// Resident memory at its peak.
    pub rss_mi_b: f64,
    /// From the start of the process to its first answer.
    pub ready_millis: f64,
}

/// The stores could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Azurite failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An archive file cannot be read.
    #[error("archive file {name}: {error}")]
    Archive {
        /// The blob.
        name: String,
        /// What is wrong with it.
        error: CaptureError,
    },
    /// The report could not be written.
    #[error("cannot write the report to {path}: {error}")]
    Write {
        /// Where to.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
}

/// What is counted.
pub struct Stores<'a> {
    /// It must have kept every event.
    pub hub: &'a Hub,
    /// States and alerts.
    pub cosmos: &'a CosmosEmulator,
    /// Archive and queues.
    pub storage: &'a StorageAccount,
    /// Whether nobody takes messages off the alert queue.
    pub keeps_alerts: bool,
}

impl Report {
    /// Reads the stores of a settled system and counts. The hub must have kept every event. Takes the
    /// messages off the dead-letter queue and the alert queue.
    ///
    /// # Errors
    /// Where a store cannot be read. What does not add up is no error but a line of [`Report::faults`].
    pub async fn of(system: &System, latencies: &Histogram<u64>) -> Result<Self, ReportError> {
        let stores = Stores {
            hub: &system.hub,
            cosmos: &system.cosmos,
            storage: &system.storage,
            // Where NotifyAlert runs, it takes what it posts.
            keeps_alerts: !system.host.stats().contains_key(NOTIFY),
        };
        let mut report = Self::count(&stores).await?;
        let usage = system.host.handler();
        report.event_to_state_millis = Some(Percentiles {
            p50: latencies.value_at_quantile(0.5),
            p99: latencies.value_at_quantile(0.99),
        });
        report.handler = Some(HandlerReport {
            cpu_micros_per_event: round(usage.cpu.as_secs_f64() * 1e6 / report.sent.max(1) as f64),
            rss_mi_b: round(usage.peak_rss_bytes as f64 / f64::from(1 << 20)),
            ready_millis: round(usage.ready.as_secs_f64() * 1e3),
        });
        Ok(report)
    }

    /// As [`Report::of`], of what another host than ours has left in the stores.
    ///
    /// # Errors
    /// As [`Report::of`].
    pub async fn count(stores: &Stores<'_>) -> Result<Self, ReportError> {
        let mut faults = Vec::new();
        let sent = sent_events(stores.hub);
        let archive = archived_events(stores.storage).await?;
        let archived = archive.records;
        let distinct = archive.events.len() as u64;
        compare(&sent, &archive.events, &mut faults);

        let dead_letters = dead_letters(stores.storage, &mut faults).await?;
        let documents = stores.cosmos.items(DATABASE, DRONES).await;
        let drones = documents.len() as u64;
        let states = states(documents, &mut faults);
        let applied = sent
            .iter()
            .filter(|(key, _)| !dead_letters.contains_key(*key))
            .filter(|(_, event)| is_part_of(event, &states))
            .count() as u64;

        let sent = sent.len() as u64;
        let dead_lettered = dead_letters.len() as u64;
        let mut dead_letter_reasons: BTreeMap<String, u64> = BTreeMap::new();
        for reason in dead_letters.into_values() {
            *dead_letter_reasons.entry(reason).or_default() += 1;
        }
        if sent != applied + dead_lettered {
            faults.push(format!(
                "{sent} events were sent, but {applied} applied and {dead_lettered} dead-lettered"
            ));
        }
        let alerts = alert_messages(stores, &mut faults).await?;
        Ok(Self {
            sent,
            applied,
            dead_lettered,
            dead_letter_reasons,
            archived,
            archive_duplicates: archived - distinct,
            drones,
            alerts,
            insights: InsightsReport::default(),
            cosmos_writes: stores.cosmos.writes(),
            event_to_state_millis: None,
            handler: None,
            faults,
        })
    }

    /// What of it the handler's metrics are held against. Alerts count where nobody has taken their messages.
    pub(crate) fn stored(&self, keeps_alerts: bool) -> Stored {
        Stored {
            events: self.sent,
            applied: self.applied,
            archived: self.archived - self.archive_duplicates,
            dead_letters: self.dead_letter_reasons.clone(),
            alerts: keeps_alerts.then_some((self.alerts.raised, self.alerts.cleared)),
        }
    }

    /// Makes what is wrong with the insights faults of the run.
    pub fn count_insights(&mut self) {
        self.faults.extend(self.insights.faults());
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        std::fs::write(path, text).map_err(|error| ReportError::Write {
            path: path.display().to_string(),
            error,
        })
    }
}

/// A histogram for latencies in milliseconds, up to an hour, to three digits.
#[allow(
    clippy::expect_used,
    reason = "the bounds are constants within the library's limits"
)]
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000, 3).expect("constant bounds")
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `<partition>:<sequence>`, as dead letters name an event.
type EventKey = String;

fn sent_events(hub: &Hub) -> HashMap<EventKey, std::sync::Arc<StoredEvent>> {
    (0..hub.partitions())
        .flat_map(|partition| {
            hub.events(partition, 0)
                .into_iter()
                .map(move |event| (format!("{partition}:{}", event.sequence_number), event))
        })
        .collect()
}

struct Archive {
    records: u64,
    events: HashMap<EventKey, Vec<u8>>,
}

async fn archived_events(storage: &StorageAccount) -> Result<Archive, ReportError> {
    let names = storage.blob_names(ARCHIVE, "").await?;
    let mut files = stream::iter(names)
        .map(|name| async {
            let file = storage.read_blob(ARCHIVE, &name).await?;
            let partition = name.split('/').nth(1).unwrap_or_default().to_owned();
            match capture::decode(&file) {
                Ok(events) => Ok((partition, events)),
                Err(error) => Err(ReportError::Archive { name, error }),
            }
        })
        .buffer_unordered(CONCURRENT_READS);
    let mut archive = Archive {
        records: 0,
        events: HashMap::new(),
    };
    while let Some((partition, events)) = files.try_next().await? {
        for event in events {
            archive.records += 1;
            let key = format!("{partition}:{}", event.sequence_number);
            archive.events.insert(key, event.body);
        }
    }
    Ok(archive)
}

fn compare(
    sent: &HashMap<EventKey, std::sync::Arc<StoredEvent>>,
    archived: &HashMap<EventKey, Vec<u8>>,
    faults: &mut Vec<String>,
) {
    let missing = sent
        .keys()
        .filter(|key| !archived.contains_key(*key))
        .count();
    if missing > 0 {
        faults.push(format!("{missing} events are not in the archive"));
    }
    let differing = archived
        .iter()
        .filter(|(key, body)| sent.get(*key).is_none_or(|event| event.body() != **body))
        .count();
    if differing > 0 {
        faults.push(format!("{differing} archived bodies are not what was sent"));
    }
}

/// Each event with a dead letter, and the reason that it gives.
async fn dead_letters(
    storage: &StorageAccount,
    faults: &mut Vec<String>,
) -> Result<HashMap<EventKey, String>, ReportError> {
    let mut letters = HashMap::new();
    for text in storage.take_queue_messages(DEAD_LETTERS).await? {
        for letter in letters::read(storage, &text).await? {
            match letters::event(&letter) {
                Some(event) => {
                    let reason = letter["reason"].as_str().unwrap_or_default();
                    letters.insert(event, reason.to_owned());
                }
                None => faults.push("a dead letter names no event".to_owned()),
            }
        }
    }
    Ok(letters)
}

async fn alert_messages(
    stores: &Stores<'_>,
    faults: &mut Vec<String>,
) -> Result<AlertReport, ReportError> {
    let before = stores.cosmos.items(DATABASE, ALERTS).await;
    let texts = stores.storage.take_queue_messages(ALERT_QUEUE).await?;
    let messages = alerts::Messages::count(&texts, faults);
    if stores.keeps_alerts {
        let after = stores.cosmos.items(DATABASE, ALERTS).await;
        messages.compare(&before, &after, faults);
    }
    Ok(messages.report)
}

fn states(
    documents: Vec<serde_json::Value>,
    faults: &mut Vec<String>,
) -> HashMap<DeviceId, DroneState> {
    let mut states = HashMap::new();
    for document in documents {
        let read = serde_json::from_value::<DroneDocument>(document)
            .map_err(|error| error.to_string())
            .and_then(|document| DroneState::try_from(document).map_err(|error| error.to_string()));
        match read {
            Ok(state) => _ = states.insert(state.device_id.clone(), state),
            Err(error) => faults.push(format!("a document is not a drone: {error}")),
        }
    }
    states
}

/// Whether merging the event once more would change nothing.
fn is_part_of(event: &StoredEvent, states: &HashMap<DeviceId, DroneState>) -> bool {
    let context = EventContext {
        authenticated_device: None,
        enqueued_at: event.enqueued_at,
        intake: Intake::default(),
    };
    let Ok(telemetry) = parse(&event.body(), &context) else {
        return false;
    };
    let Some(state) = states.get(&telemetry.device_id) else {
        return false;
    };
    !state
        .clone()
        .merge(DroneState::observe(telemetry, event.enqueued_at))
}
