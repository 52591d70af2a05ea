//! The functions: one folder each, the handler beside the `function.json` that declares its trigger
//! and bindings. Handlers are thin; what they do is in [`services`](crate::services),
//! [`domain`](crate::domain) and [`stores`](crate::stores).

pub mod advance_watermarks;
pub mod archive_telemetry;
pub mod fleet_insights;
pub mod fleet_map;
pub mod get_delivery;
pub mod get_drone;
pub mod get_insights;
pub mod health;
pub mod list_alerts;
pub mod list_drones;
pub mod notify_alert;
pub mod open_api;
pub mod raise_alerts;
pub mod summarize_deliveries;
pub mod summarize_hour;
pub mod update_drone_state;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::handler::Handler;
use azure_functions_sdk::{Event, EventHubBatch, FunctionApp, HostConfig};
use bytes::Bytes;
use time::UtcDateTime;
use tower_http::compression::CompressionLayer;

use self::list_drones::query::ListQuery;
use crate::domain::{
    FIRST_ENQUEUED_AT, Intake, ReceivedEvent, TICK_BODY, WATERMARK_TICK, first_enqueued_at,
};
use crate::http::access::Authentication;
use crate::services::alerting::Alerting;
use crate::services::insights::Insights;
use crate::services::insights::schedule::Schedule;
use crate::services::latest_state::LatestState;
use crate::services::shared_reads::SharedReads;
use crate::services::watermarks::Watermarks;
use crate::stores::fleet::FleetReader;
use crate::stores::{AlertFilter, AlertStore, BlobStore, FileStore};

/// The device that IoT Hub authenticated; absent where drones send to Event Hubs directly.
const AUTHENTICATED_DEVICE: &str = "iothub-connection-device-id";

/// What the functions share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The drones' latest state.
    pub drones: Arc<LatestState>,
    /// The same, for those who ask.
    pub fleet: Arc<dyn FleetReader>,
    /// How long the host waits for a batch to fill: `maxWaitTime` in host.json.
    pub batch_wait: Duration,
    /// Which events are taken at all.
    pub intake: Intake,
    /// What the alert rules know, and how it gets out.
    pub alerting: Arc<Alerting>,
    /// Lets the time of quiet partitions go on.
    pub watermarks: Arc<Watermarks>,
    /// Pages of drones that several readers share.
    pub drone_lists: Arc<SharedReads<(&'static str, ListQuery), Bytes>>,
    /// Lists of alerts that several readers share.
    pub alert_lists: Arc<SharedReads<(AlertFilter, u16), Bytes>>,
    /// The alerts, for those who ask.
    pub alerts: Arc<dyn AlertStore>,
    /// What the fleet did, by hours and days.
    pub insights: Arc<dyn FileStore>,
    /// Answers about it that several readers share.
    pub insight_answers: Arc<get_insights::Answers>,
    /// The container of the raw archive.
    pub archive: Arc<dyn BlobStore>,
    /// The container for bodies of dead letters that no queue message could hold.
    pub dead_letter_bodies: Arc<dyn BlobStore>,
    /// When the stores were last seen working, for [`health`].
    pub health: Arc<health::Checks>,
    /// Posts alerts; `None` where NotifyAlert is switched off.
    pub notifier: Option<Arc<notify_alert::Notifier>>,
    /// A background for [`fleet_map`]; without one it draws its own.
    pub map_tiles: Option<Arc<fleet_map::tiles::TileLayer>>,
    /// Makes tables of the archive.
    pub insight_units: Arc<Insights>,
    /// Looks which are due.
    pub insight_schedule: Arc<Schedule>,
    /// Whether readers need a role.
    pub authentication: Authentication,
}

impl FromRef<AppState> for Authentication {
    fn from_ref(state: &AppState) -> Self {
        state.authentication
    }
}

/// Bytes of calls' bodies that are held at a time, over all functions: half a dozen batches of 1,000 events, which is more than
/// the processors of an instance work on. A call lets go of its body before it waits for a store.
const BODIES: usize = 8 * 1024 * 1024;

/// Calls of a function at a time, where it says nothing else: of ArchiveTelemetry and RaiseAlerts more than processors work on
/// while others wait for their blob. Each holds what it has made of its batch.
const AT_ONCE: usize = 4;

/// The most events of a batch, for each function that gets any: five times what `infra/` asks for at most. With as many drones in it
/// UpdateDroneState makes some 64 requests to Cosmos DB, up to 8 of them at a time: a second of its minute at 100 ms each.
const MOST_EVENTS: usize = 5_000;

/// Binds every function of [`FUNCTIONS`](crate::FUNCTIONS) to its handler.
pub fn app(state: AppState, host: HostConfig) -> FunctionApp<AppState> {
    FunctionApp::new(state, host)
        .max_concurrent_calls(AT_ONCE)
        .max_body_bytes(BODIES)
        .function(update_drone_state::FUNCTION, update_drone_state::handle)
        .function(archive_telemetry::FUNCTION, archive_telemetry::handle)
        .function(raise_alerts::FUNCTION, raise_alerts::handle)
        .function(advance_watermarks::FUNCTION, advance_watermarks::handle)
        .function(notify_alert::FUNCTION, notify_alert::handle)
        .function(summarize_deliveries::FUNCTION, summarize_deliveries::handle)
        .function(summarize_hour::FUNCTION, summarize_hour::handle)
        .http(get_drone::FUNCTION, get_drone::handle)
        .http(list_drones::FUNCTION, list_drones::handle.layer(gzip()))
        .http(get_delivery::FUNCTION, get_delivery::handle)
        .http(list_alerts::FUNCTION, list_alerts::handle.layer(gzip()))
        .http(get_insights::FUNCTION, get_insights::handle.layer(gzip()))
        .http(fleet_map::FUNCTION, fleet_map::handle.layer(gzip()))
        .http(
            fleet_insights::FUNCTION,
            fleet_insights::handle.layer(gzip()),
        )
        .http(open_api::FUNCTION, open_api::handle.layer(gzip()))
        .http(health::FUNCTION, health::handle)
}

/// What is left of a batch while a store is asked. The events themselves are let go first: a store that
/// hangs must not make calls hold the memory of their batches.
struct BatchSummary {
    /// When the hub took the events, without the ticks, which are no telemetry.
    enqueued: Vec<UtcDateTime>,
    ticks: usize,
    /// When the hub took the first of them; `None` where there are none.
    oldest: Option<UtcDateTime>,
}

impl From<EventHubBatch> for BatchSummary {
    fn from(batch: EventHubBatch) -> Self {
        let events = batch.events.iter();
        // Hardly an event has a tick's body, and of the others nothing more needs to be known.
        let telemetry =
            events.filter(|event| event.body != TICK_BODY || !received(event).is_tick());
        let enqueued: Vec<_> = telemetry.map(|event| event.enqueued_at).collect();
        Self {
            ticks: batch.events.len() - enqueued.len(),
            enqueued,
            oldest: batch.events.first().map(|event| event.enqueued_at),
        }
    }
}

impl BatchSummary {
    /// How many events there were, without ticks.
    fn events(&self) -> usize {
        self.enqueued.len()
    }

    /// Milliseconds since the hub took the oldest event of a batch: how far behind it a function is. Each
    /// Event Hubs function logs it once a batch as `batch.lag_ms`, beside `batch.events`; the workbook
    /// and the alert rules live on these.
    fn lag_ms(&self) -> i64 {
        let Some(oldest) = self.oldest else {
            return 0;
        };
        let lag = (UtcDateTime::now() - oldest).whole_milliseconds();
        // Two clocks are compared: a lag below zero is none.
        i64::try_from(lag.max(0)).unwrap_or(i64::MAX)
    }
}

/// What the bodies of one [piece](pieces) of a batch are together, in bytes; one event may be more.
const PIECE: usize = 8 * 1024 * 1024;

/// A batch of usual size is one piece. One of the largest messages, a hundred megabytes and more, is worked on piece
/// by piece, so that what is made of it is never all in memory beside it.
fn pieces(events: &[Event]) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut room = 0;
    for (index, event) in events.iter().enumerate() {
        let size = event.body.len();
        match pieces.last_mut() {
            Some(piece) if size <= room => piece.end = index + 1,
            _ => {
                pieces.push(index..index + 1);
                room = PIECE;
            }
        }
        room = room.saturating_sub(size);
    }
    pieces
}

fn received(event: &Event) -> ReceivedEvent<'_> {
    ReceivedEvent {
        body: &event.body,
        sequence_number: event.sequence_number,
        offset: &event.offset,
        enqueued_at: event.enqueued_at,
        first_enqueued_at: event
            .properties
            .get_str(FIRST_ENQUEUED_AT)
            .and_then(|time| first_enqueued_at(&time)),
        authenticated_device: event.system_properties.get_str(AUTHENTICATED_DEVICE),
        partition_key: event.partition_key.as_deref(),
        marked_as_tick: event.properties.get_str(WATERMARK_TICK).is_some(),
    }
}

/// For answers that can be large. The host passes on what is compressed as it is.
fn gzip() -> CompressionLayer {
    CompressionLayer::new()
}

/// What the tests of several functions are made of.
#[cfg(test)]
mod batches {
    use azure_functions_sdk::{Event, EventHubBatch, PartitionContext, Properties};
    use bytes::Bytes;
    use time::macros::utc_datetime;

    /// A batch of partition 3 of `telemetry`, from event 41 on.
    pub(super) fn batch(bodies: impl IntoIterator<Item = Bytes>) -> EventHubBatch {
        let event = |(sequence_number, body)| Event {
            body,
            sequence_number,
            offset: Default::default(),
            enqueued_at: utc_datetime!(2024-05-01 12:00:00),
            partition_key: None,
            properties: Properties::default(),
            system_properties: Properties::default(),
        };
        EventHubBatch {
            partition: PartitionContext {
                event_hub_name: "telemetry".to_owned(),
                partition_id: "3".to_owned(),
                ..PartitionContext::default()
            },
            events: (41..).zip(bodies).map(event).collect(),
            retry: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use azure_functions_sdk::HostConfig;
    use bytes::Bytes;

    use super::*;
    use crate::{FUNCTIONS, HOST_JSON};

    #[test]
    fn large_events_share_a_piece_while_they_fit() {
        let of = |sizes: &[usize]| -> Vec<(usize, usize)> {
            let bodies = sizes.iter().map(|size| Bytes::from(vec![0; *size]));
            let pieces = pieces(&batches::batch(bodies).events).into_iter();
            pieces.map(|range| (range.start, range.end)).collect()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[0, 1, 0]), [(0, 3)]);
        assert_eq!(of(&[PIECE, 0, 1]), [(0, 2), (2, 3)]);
        assert_eq!(of(&[1, PIECE, 1]), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(of(&[PIECE * 2, 1, 1]), [(0, 1), (1, 3)]);
        assert_eq!(of(&[PIECE / 8 * 3; 5]), [(0, 2), (2, 4), (4, 5)]);
    }

    /// The start refuses what does not fit; this says so before anything is deployed.
    #[test]
    fn what_functions_declare_fits_host_json_and_what_infra_makes_of_it() {
        let host = HostConfig::parse(HOST_JSON).unwrap();
        let timeout = host.function_timeout.unwrap();
        let raw: serde_json::Value = serde_json::from_str(HOST_JSON).unwrap();
        let max_dequeue_count = &raw["extensions"]["queues"]["maxDequeueCount"];
        let max_dequeue_count = u32::try_from(max_dequeue_count.as_u64().unwrap()).unwrap();
        for function in FUNCTIONS {
            let name = function.name;
            assert!(
                function.deadline.is_none_or(|deadline| deadline < timeout),
                "{name}"
            );
            if function.trigger == "eventHubTrigger" {
                assert!(
                    function.most_events >= Some(host.max_event_batch_size),
                    "{name}"
                );
            }
            if function.trigger == "queueTrigger" {
                assert!(
                    function.concurrent_calls >= Some(host.queue_calls()),
                    "{name}"
                );
                assert!(notify_alert::ATTEMPTS < max_dequeue_count, "{name}");
            }
        }
        let main = include_str!("../../infra/main.bicep");
        let largest = main
            .lines()
            .find_map(|line| line.strip_prefix("var largestBatch = "));
        assert!(largest.unwrap().parse::<usize>().unwrap() <= MOST_EVENTS);
        // Of these two the deployment leaves alone what host.json says.
        let infra = include_str!("../../infra/modules/function-app.bicep");
        for part in ["functionTimeout", "extensions__queues"] {
            assert!(
                !infra.contains(&format!("AzureFunctionsJobHost__{part}")),
                "{part}"
            );
        }
    }
}
