//! UpdateDroneState: keeps each drone's latest state, and puts aside what can never be applied.
//!
//! The call succeeds only when every good event of the batch is in the store and every bad one is
//! among the outputs. Trouble with a store fails the whole call, and the host runs it again: the
//! merge makes that safe. A poison event never fails a call, or it would be retried for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::extract::State;
use azure_functions_sdk::{CallError, EventHubBatch, FunctionDefinition, Outputs};
use time::UtcDateTime;
use tracing::{info, warn};

use super::{AppState, BatchSummary, MOST_EVENTS, pieces, received};
use crate::domain::{DeadLetter, DeviceId, DroneState, Intake, Reason, fold};
use crate::services::dead_letters::put_aside;
use crate::stores::{BlobStore, StoreError};
use crate::telemetry::counts;

const DEAD_LETTERS: &str = "deadLetters";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "UpdateDroneState",
    "eventHubTrigger",
    include_str!("function.json"),
)
.with_outputs(&[DEAD_LETTERS])
.with_concurrent_calls(AT_ONCE)
.with_most_events(MOST_EVENTS);

/// Every partition of a hub may have a batch under way: a call has let go of its events when it waits for Cosmos DB, and
/// what several calls want of one bucket is written together. Their bodies are bounded by bytes, with those of all functions.
const AT_ONCE: usize = 32;

/// Applies one batch.
///
/// # Errors
/// Where a store failed; nothing is lost, and the host calls again.
pub async fn handle(
    State(state): State<AppState>,
    batch: EventHubBatch,
) -> Result<Outputs, CallError> {
    let hub = batch.partition.event_hub_name.clone();
    let bodies = &*state.dead_letter_bodies;
    let mut folded = fold_pieces(bodies, state.intake, &batch).await?;
    let summary = BatchSummary::from(batch);
    let drones = std::mem::take(&mut folded.drones);
    let applied = state.drones.apply(drones.into_values()).await?;
    folded.put_aside(bodies, &hub).await?;
    warn_of(&folded.dead_letters);
    let letters = folded.dead_letters.len();
    counts::events(
        FUNCTION.name,
        "applied",
        summary.events().saturating_sub(letters),
    );
    counts::events(FUNCTION.name, "dead_lettered", letters);
    counts::dead_letters(&folded.dead_letters);
    counts::drones(applied.written, applied.unchanged);
    counts::events(FUNCTION.name, "tick", summary.ticks);
    let now = UtcDateTime::now();
    counts::late(
        &summary.enqueued,
        &folded.dead_letters,
        now,
        state.batch_wait,
    );
    info!(
        batch.events = summary.events(),
        batch.lag_ms = summary.lag_ms(),
        batch.dead_letters = letters,
        drones.written = applied.written,
        drones.unchanged = applied.unchanged,
        "batch applied"
    );
    Ok(Outputs::new().queue(DEAD_LETTERS, folded.messages))
}

/// What a batch comes to.
#[derive(Default)]
struct Folded {
    drones: HashMap<DeviceId, DroneState>,
    dead_letters: Vec<DeadLetter>,
    /// How many of the dead letters, from the first, are put aside: in `messages`, or where those point.
    aside: usize,
    messages: Vec<String>,
}

impl Folded {
    /// Puts the rest of the dead letters aside.
    async fn put_aside(&mut self, bodies: &dyn BlobStore, hub: &str) -> Result<(), StoreError> {
        let rest = &mut self.dead_letters[self.aside..];
        let messages = put_aside(bodies, hub, rest).await?;
        self.messages.extend(messages);
        self.aside = self.dead_letters.len();
        Ok(())
    }
}

/// Dead letters hold copies of their bodies, so those of one piece are put away before the next is looked at. Of a
/// batch of usual size none are: the store is asked when the batch has been let go.
async fn fold_pieces(
    bodies: &dyn BlobStore,
    intake: Intake,
    batch: &EventHubBatch,
) -> Result<Folded, StoreError> {
    let partition = &batch.partition;
    let mut folded = Folded::default();
    for piece in pieces(&batch.events) {
        folded.put_aside(bodies, &partition.event_hub_name).await?;
        let events = batch.events.get(piece).unwrap_or_default();
        let changes = fold(intake, &partition.partition_id, events.iter().map(received));
        folded.dead_letters.extend(changes.dead_letters);
        if folded.drones.is_empty() {
            folded.drones = changes.drones;
            continue;
        }
        for (id, seen) in changes.drones {
            match folded.drones.entry(id) {
                Entry::Vacant(first) => _ = first.insert(seen),
                Entry::Occupied(mut known) => _ = known.get_mut().merge(seen),
            }
        }
    }
    Ok(folded)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::super::PIECE;
    use super::super::batches::batch;
    use super::*;
    use crate::memory_stores::MemoryBlobs;

    #[tokio::test]
    async fn a_batch_of_large_events_is_folded_piece_by_piece_to_the_same() {
        const LARGE: usize = 3 * 1024 * 1024;
        let flight = |second: usize| {
            let padding = " ".repeat(LARGE);
            let body = format!(
                r#"{{"occurrenceUtcTime":"2024-05-01T11:59:{second:02}Z","deviceId":"drone-1","deliveryId":"d",
                "sensorType":"drone-event-sensor;v1","velocity":"1","acceleration":"0","position":"1|2|3",
                "flightStatus":"1"}}{padding}"#
            );
            Bytes::from(body)
        };
        let bad = || Bytes::from(vec![b'x'; LARGE]);
        let batch = batch([flight(7), bad(), flight(9), bad(), bad(), flight(8), bad()]);
        let whole = fold(Intake::default(), "3", batch.events.iter().map(received));
        assert_eq!((whole.drones.len(), whole.dead_letters.len()), (1, 4));

        let store = MemoryBlobs::default();
        let mut folded = fold_pieces(&store, Intake::default(), &batch)
            .await
            .unwrap();
        assert_eq!(folded.drones, whole.drones);
        let held = folded.dead_letters.iter().map(|letter| letter.body.len());
        assert!(
            held.sum::<usize>() <= PIECE,
            "at most those of the last piece"
        );
        assert_eq!(store.snapshot().len(), folded.messages.len());

        folded.put_aside(&store, "telemetry").await.unwrap();
        let mut expected = whole.dead_letters;
        let expected = put_aside(&MemoryBlobs::default(), "telemetry", &mut expected).await;
        assert_eq!(folded.messages, expected.unwrap());
        let blobs = store.snapshot();
        assert_eq!(blobs.len(), 4);
        assert!(blobs.values().all(|body| *body == bad()));
        folded.put_aside(&store, "telemetry").await.unwrap();
        assert_eq!(folded.messages.len(), 4, "nothing is put aside twice");
    }
}
