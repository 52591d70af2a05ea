//! ArchiveTelemetry: keeps every event as it came, good or bad.
//!
//! One Avro file a call. Its name comes from the events in it, so a repeated call overwrites its own
//! file; the same events under other batch boundaries make a second file, and readers drop repeats
//! by partition and sequence number.

use axum::extract::State;
use azure_functions_sdk::{CallError, Event, EventHubBatch, FunctionDefinition, Outputs};
use tracing::info;

use super::{AppState, Taken};
use crate::capture::{self, CapturedEvent};

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "ArchiveTelemetry",
    "eventHubTrigger",
    include_str!("function.json"),
);

/// Archives one batch.
///
/// # Errors
/// Where the file could not be made or stored; the host calls again.
pub async fn handle(
    State(state): State<AppState>,
    batch: EventHubBatch,
) -> Result<Outputs, CallError> {
    let (Some(first), Some(last)) = (batch.events.first(), batch.events.last()) else {
        return Ok(Outputs::new());
    };
    let name = capture::file_name(
        &batch.partition.event_hub_name,
        &batch.partition.partition_id,
        first.enqueued_at,
        first.sequence_number,
        last.sequence_number,
    );
    let file = capture::encode(batch.events.iter().map(captured)).map_err(CallError::from_error)?;
    let bytes = file.len();
    let taken = Taken::from(batch);
    state.archive.put(&name, file.into()).await?;
    info!(
        batch.events = taken.events,
        batch.lag_ms = taken.lag_ms(),
        archive.bytes = bytes,
        "batch archived"
    );
    Ok(Outputs::new())
}

fn captured(event: &Event) -> CapturedEvent<'_> {
    CapturedEvent {
        sequence_number: event.sequence_number,
        offset: &event.offset,
        enqueued_at: event.enqueued_at,
        system_properties: event.system_properties.as_json().into(),
        properties: event.properties.as_json().into(),
        body: &event.body,
    }
}
