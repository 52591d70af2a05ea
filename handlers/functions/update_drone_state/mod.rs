//! UpdateDroneState: keeps each drone's latest state, and puts aside what can never be applied.
//!
//! The call succeeds only when every good event of the batch is in the store and every bad one is
//! among the outputs. Trouble with a store fails the whole call, and the host runs it again: the
//! merge makes that safe. A poison event never fails a call, or it would be retried for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::extract::State;
use azure_functions_sdk::{CallError, EventHubBatch, FunctionDefinition, Outputs};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tracing::{info, warn};

use super::{AppState, BatchSummary, pieces, received};
use crate::domain::{DeadLetter, DeviceId, DroneState, Intake, Reason, fold};
use crate::stores::{BlobStore, StoreError};

const DEAD_LETTERS: &str = "deadLetters";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "UpdateDroneState",
    "eventHubTrigger",
    include_str!("function.json"),
)
.with_outputs(&[DEAD_LETTERS])
.with_concurrent_calls(AT_ONCE);

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
    let Folded {
        drones,
        mut dead_letters,
        mut messages,
    } = fold_pieces(bodies, state.intake, &batch).await?;
    let summary = BatchSummary::from(batch);
    let applied = state.drones.apply(drones.into_values()).await?;
    let rest = &mut dead_letters[messages.len()..];
    messages.extend(dead_letter_messages(bodies, &hub, rest).await?);
    warn_of(&dead_letters);
    info!(
        batch.events = summary.events,
        batch.lag_ms = summary.lag_ms(),
        batch.dead_letters = dead_letters.len(),
        drones.written = applied.written,
        drones.unchanged = applied.unchanged,
        "batch applied"
    );
    Ok(Outputs::new().queue(DEAD_LETTERS, messages))
}

/// What a batch comes to.
#[derive(Default)]
struct Folded {
    drones: HashMap<DeviceId, DroneState>,
    dead_letters: Vec<DeadLetter>,
    /// Of the first of the dead letters; of the rest they are still to be made.
    messages: Vec<String>,
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
        let rest = &mut folded.dead_letters[folded.messages.len()..];
        let messages = dead_letter_messages(bodies, &partition.event_hub_name, rest).await?;
        folded.messages.extend(messages);

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

/// Blobs written at a time. A batch may bring a thousand bodies that no message can hold: one after the other they
/// would miss the call's deadline, and miss it again at every repetition.
const UPLOADS: usize = 16;

/// The messages, in the order of the letters, whose bodies are let go of: they are in a message or in a blob then.
async fn dead_letter_messages(
    bodies: &dyn BlobStore,
    hub: &str,
    dead_letters: &mut [DeadLetter],
) -> Result<Vec<String>, StoreError> {
    let mut messages: Vec<BoxFuture<'_, _>> = Vec::with_capacity(dead_letters.len());
    for letter in dead_letters {
        messages.push(dead_letter_message(bodies, hub, letter).boxed());
    }
    stream::iter(messages).buffered(UPLOADS).try_collect().await
}

/// A body that no queue message can hold goes to a blob before the message that points at it: a
/// message must never point at nothing. The blob's name comes from the event, so a repeated call
/// writes the same one.
async fn dead_letter_message(
    bodies: &dyn BlobStore,
    hub: &str,
    letter: &mut DeadLetter,
) -> Result<String, StoreError> {
    let message = letter.message();
    let body = std::mem::take(&mut letter.body);
    if let Some(message) = message {
        return Ok(message);
    }
    let name = letter.blob_name(hub);
    bodies.put(&name, Bytes::from(body)).await?;
    Ok(letter.message_with_blob(&name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::super::PIECE;
    use super::super::batches::batch;
    use time::UtcDateTime;

    use super::*;
    use crate::domain::MAX_MESSAGE_TEXT;
    use crate::memory_stores::MemoryBlobs;

    /// Takes its time for each blob, the first the longest, and counts how many it is asked for at once.
    #[derive(Default)]
    struct SlowBlobs {
        blobs: MemoryBlobs,
        under_way: AtomicUsize,
        most: AtomicUsize,
        fails_at: Option<&'static str>,
    }

    #[async_trait]
    impl BlobStore for SlowBlobs {
        async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(under_way, Ordering::Relaxed);
            let first = name.ends_with("00.bin");
            tokio::time::sleep(Duration::from_millis(if first { 700 } else { 300 })).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            if self.fails_at == Some(name) {
                return Err(StoreError {
                    operation: "write blob",
                    message: "unavailable".to_owned(),
                    transient: true,
                });
            }
            self.blobs.put(name, body).await
        }

        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn letters(count: i64) -> Vec<DeadLetter> {
        (0..count)
            .map(|number| DeadLetter {
                reason: Reason::MalformedJson,
                detail: "it is not JSON".to_owned(),
                device_id: None,
                partition_id: "7".to_owned(),
                sequence_number: number,
                offset: "0".to_owned(),
                enqueued_at: UtcDateTime::UNIX_EPOCH,
                first_enqueued_at: None,
                authenticated_device: None,
                // Every tenth fits into its message.
                body: vec![
                    b'x';
                    if number % 10 == 3 {
                        9
                    } else {
                        MAX_MESSAGE_TEXT
                    }
                ],
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_large_dead_letters_are_told_in_time_and_in_order() {
        let store = SlowBlobs::default();
        let mut letters = letters(1_000);
        let started = Instant::now();
        let messages = dead_letter_messages(&store, "telemetry", &mut letters).await;
        // A call has 60 s, and the store is not all that it waits for.
        assert!(started.elapsed() < Duration::from_secs(30));
        // Now and then one of those under way has no blob.
        let most = store.most.load(Ordering::Relaxed);
        assert!((UPLOADS / 2..=UPLOADS).contains(&most), "{most} at once");

        let messages = messages.unwrap();
        let blobs = store.blobs.snapshot();
        assert_eq!((messages.len(), blobs.len()), (1_000, 900));
        for (number, message) in messages.iter().enumerate() {
            let message: serde_json::Value = serde_json::from_str(message).unwrap();
            assert_eq!(message["sequenceNumber"], number);
            match message["bodyBlob"].as_str() {
                Some(name) => assert_eq!(blobs[name].len(), MAX_MESSAGE_TEXT),
                None => assert_eq!(number % 10, 3),
            }
        }
    }

    #[tokio::test(start_paused = true)]
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

        let store = SlowBlobs::default();
        let mut folded = fold_pieces(&store, Intake::default(), &batch)
            .await
            .unwrap();
        assert_eq!(folded.drones, whole.drones);
        let held = folded.dead_letters.iter().map(|letter| letter.body.len());
        assert!(
            held.sum::<usize>() <= PIECE,
            "at most those of the last piece"
        );
        assert_eq!(store.blobs.snapshot().len(), folded.messages.len());

        let rest = &mut folded.dead_letters[folded.messages.len()..];
        let rest = dead_letter_messages(&store, "telemetry", rest)
            .await
            .unwrap();
        folded.messages.extend(rest);
        let mut expected = whole.dead_letters;
        let expected = dead_letter_messages(&store, "telemetry", &mut expected).await;
        assert_eq!(folded.messages, expected.unwrap());
        let blobs = store.blobs.snapshot();
        assert_eq!(blobs.len(), 4);
        assert!(blobs.values().all(|body| *body == bad()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_cannot_be_written_fails_the_call() {
        let store = SlowBlobs {
            fails_at: Some("telemetry/7/00000000000000000041.bin"),
            ..SlowBlobs::default()
        };
        let told = dead_letter_messages(&store, "telemetry", &mut letters(60)).await;
        assert!(told.unwrap_err().transient);
    }
}
