//! UpdateDroneState: keeps each drone's latest state, and puts aside what can never be applied.
//!
//! The call succeeds only when every good event of the batch is in the store and every bad one is
//! among the outputs. Trouble with a store fails the whole call, and the host runs it again: the
//! merge makes that safe. A poison event never fails a call, or it would be retried for ever.

use std::collections::HashMap;

use axum::extract::State;
use azure_functions_sdk::{CallError, EventHubBatch, FunctionDefinition, Outputs};
use bytes::Bytes;
use time::UtcDateTime;
use tracing::{info, warn};

use super::{AppState, Taken, received};
use crate::domain::{Changes, DeadLetter, DeviceId, DroneState, Reason, fold};
use crate::services::latest_state::Applied;
use crate::stores::StoreError;

const DEAD_LETTERS: &str = "deadLetters";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "UpdateDroneState",
    "eventHubTrigger",
    include_str!("function.json"),
)
.with_outputs(&[DEAD_LETTERS]);

/// Applies one batch.
///
/// # Errors
/// Where a store failed; nothing is lost, and the host calls again.
pub async fn handle(
    State(state): State<AppState>,
    batch: EventHubBatch,
) -> Result<Outputs, CallError> {
    let changes = fold(
        &batch.partition.partition_id,
        batch.events.iter().map(received),
    );
    let Changes {
        drones,
        dead_letters,
    } = changes;
    let is_repetition = batch.retry.is_some_and(|retry| retry.retry_count > 0);
    let taken = Taken::from(batch);
    let applied = apply(&state, &taken, drones, is_repetition).await?;
    let messages = dead_letter_messages(&state, &taken, &dead_letters).await?;
    warn_of(&dead_letters);
    info!(
        batch.events = taken.events,
        batch.lag_ms = taken.lag_ms(),
        batch.dead_letters = dead_letters.len(),
        drones.written = applied.written,
        drones.unchanged = applied.unchanged,
        "batch applied"
    );
    Ok(Outputs::new().queue(DEAD_LETTERS, messages))
}

/// Says of itself how far it is where it is behind: what is not applied yet looks like silence.
async fn apply(
    state: &AppState,
    batch: &Taken,
    drones: HashMap<DeviceId, DroneState>,
    is_repetition: bool,
) -> Result<Applied, StoreError> {
    let Some(events) = batch.span() else {
        return Ok(Applied::default());
    };
    if !is_repetition {
        state.backlog.begun(&events, UtcDateTime::now()).await;
    }
    let applied = state.drones.apply(drones.into_values()).await;
    match &applied {
        Ok(_) => state.backlog.applied(&events, UtcDateTime::now()).await,
        Err(error) if error.transient => state.backlog.failed(&events, UtcDateTime::now()).await,
        // Somebody has to act first, and that may take days.
        Err(_) => {}
    }
    applied
}

/// One line for each reason, not for each event: a device gone wrong must not fill the log, and the
/// rest is in the messages.
fn warn_of(dead_letters: &[DeadLetter]) {
    for reason in Reason::ALL {
        let mut letters = dead_letters.iter().filter(|letter| letter.reason == reason);
        if let Some(first) = letters.next() {
            warn!(
                reason = reason.as_str(),
                events = 1 + letters.count(),
                event.sequence_number = first.sequence_number,
                "events dead-lettered"
            );
        }
    }
}

/// A body that no queue message can hold goes to a blob before the message that points at it: a
/// message must never point at nothing. The blob's name comes from the event, so a repeated call
/// writes the same one.
async fn dead_letter_messages(
    state: &AppState,
    batch: &Taken,
    dead_letters: &[DeadLetter],
) -> Result<Vec<String>, CallError> {
    let mut messages = Vec::with_capacity(dead_letters.len());
    for letter in dead_letters {
        let message = match letter.message() {
            Some(message) => message,
            None => {
                let name = letter.blob_name(&batch.partition.event_hub_name);
                state
                    .dead_letter_bodies
                    .put(&name, Bytes::copy_from_slice(&letter.body))
                    .await?;
                letter.message_with_blob(&name)
            }
        };
        messages.push(message);
    }
    Ok(messages)
}
