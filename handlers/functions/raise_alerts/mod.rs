//! RaiseAlerts: holds telemetry against the rules, and tells of alerts as they begin, go on and end.
//!
//! The call succeeds only when everything that the batch tells is recorded, and is among the outputs.
//! Trouble with a store fails the whole call, and the host runs it again: the alerts have the same
//! ids then. Poison is none of its business: UpdateDroneState puts that aside.

use axum::extract::State;
use azure_functions_sdk::{CallError, EventHubBatch, FunctionDefinition, Outputs, telemetry};
use tracing::{info, warn};

use super::{AppState, BatchSummary, MOST_EVENTS, received};
use crate::domain::alerts::Kind;
use crate::telemetry::counts;

const ALERTS: &str = "alerts";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "RaiseAlerts",
    "eventHubTrigger",
    include_str!("function.json"),
)
.with_outputs(&[ALERTS])
.with_most_events(MOST_EVENTS);

/// Takes one batch.
///
/// # Errors
/// Where a store failed; nothing is lost, and the host calls again.
pub async fn handle(
    State(state): State<AppState>,
    batch: EventHubBatch,
) -> Result<Outputs, CallError> {
    let observed = state
        .alerting
        .take(
            &batch.partition.event_hub_name,
            &batch.partition.partition_id,
            batch.events.iter().map(received),
        )
        .await?;
    let noticed = observed.noticed();
    if noticed.wrong_partition_key > 0 {
        warn!(
            batch.events.wrong_partition_key = noticed.wrong_partition_key,
            partition.id = batch.partition.partition_id,
            "events are not sorted by device: a drone's alerts may come late, twice or not at all; \
             send with the device id as partition key"
        );
    }
    let summary = BatchSummary::from(batch);
    let told = observed.record().await?;
    counts::events(FUNCTION.name, "judged", summary.events());
    counts::events(FUNCTION.name, "tick", summary.ticks);
    counts::alerts(&told);
    let count = |kind| told.iter().filter(|told| told.kind == kind).count();
    info!(
        batch.events = summary.events(),
        batch.lag_ms = summary.lag_ms(),
        batch.events.clock_behind = noticed.clock_behind,
        alerts.raised = count(Kind::Raised),
        alerts.reminded = count(Kind::Reminded),
        alerts.cleared = count(Kind::Cleared),
        "batch held against the rules"
    );
    // So that whoever is told can find what it came of.
    let traceparent = telemetry::traceparent();
    let messages = told
        .iter()
        .map(|told| told.traced_message(traceparent.as_deref()));
    Ok(Outputs::new().queue(ALERTS, messages))
}
