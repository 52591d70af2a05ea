//! ArchiveTelemetry: keeps every event as it came, good or bad.
//!
//! One Avro file a call, or several where its events are large or of more than one hour: an hour's folder has that hour's
//! events and no others, so that whoever reads hours has to look nowhere else. A file's name comes from the events in it, so a
//! repeated call overwrites its own files; the same events under other batch boundaries make further files, and
//! readers drop repeats by partition and sequence number.

use std::ops::Range;

use axum::extract::State;
use azure_functions_sdk::{CallError, Event, EventHubBatch, FunctionDefinition, Outputs};
use tracing::info;

use super::{AppState, BatchSummary, MOST_EVENTS, pieces};
use crate::capture::{self, CapturedEvent};
use crate::domain::insights::hour::Hour;
use crate::stores::BlobStore;
use crate::telemetry::counts;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "ArchiveTelemetry",
    "eventHubTrigger",
    include_str!("function.json"),
)
.with_most_events(MOST_EVENTS);

/// Archives one batch.
///
/// # Errors
/// Where a file could not be made or stored; the host calls again.
pub async fn handle(
    State(state): State<AppState>,
    batch: EventHubBatch,
) -> Result<Outputs, CallError> {
    let (summary, archived) = archive(&*state.archive, batch).await?;
    counts::events(FUNCTION.name, "archived", summary.events());
    counts::events(FUNCTION.name, "tick", summary.ticks);
    if summary.events() > 0 {
        info!(
            batch.events = summary.events(),
            batch.lag_ms = summary.lag_ms(),
            archive.files = archived.files,
            archive.bytes = archived.bytes,
            "batch archived"
        );
    }
    Ok(Outputs::new())
}

#[derive(Default)]
struct Archived {
    files: usize,
    bytes: usize,
}

/// A file for each piece, one after the other, so that only one is in memory, and none is more than a store takes in
/// one request. The batch is let go before the last is sent, which is nearly always the only one.
async fn archive(
    store: &dyn BlobStore,
    batch: EventHubBatch,
) -> Result<(BatchSummary, Archived), CallError> {
    let mut archived = Archived::default();
    let mut last = None;
    for range in pieces(&batch.events)
        .into_iter()
        .flat_map(|piece| by_hour(&batch.events, piece))
    {
        if let Some((name, file)) = last.take() {
            put(store, name, file, &mut archived).await?;
        }
        last = file(&batch, range)?;
    }
    let summary = BatchSummary::from(batch);
    if let Some((name, file)) = last {
        put(store, name, file, &mut archived).await?;
    }
    Ok((summary, archived))
}

/// Cuts a piece where the hour changes.
fn by_hour(events: &[Event], piece: Range<usize>) -> Vec<Range<usize>> {
    let hour = |event: &Event| Hour::of(event.enqueued_at);
    let mut begin = piece.start;
    let hours = events
        .get(piece)
        .unwrap_or_default()
        .chunk_by(|a, b| hour(a) == hour(b));
    let ranges = hours.map(|events| {
        let range = begin..begin + events.len();
        begin = range.end;
        range
    });
    ranges.collect()
}

async fn put(
    store: &dyn BlobStore,
    name: String,
    file: Vec<u8>,
    archived: &mut Archived,
) -> Result<(), CallError> {
    archived.files += 1;
    archived.bytes += file.len();
    Ok(store.put(&name, file.into()).await?)
}

/// The name and the content of a file; `None` for no events.
fn file(
    batch: &EventHubBatch,
    range: Range<usize>,
) -> Result<Option<(String, Vec<u8>)>, CallError> {
    let events = batch.events.get(range).unwrap_or_default();
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(None);
    };
    let name = capture::file_name(
        &batch.partition.event_hub_name,
        &batch.partition.partition_id,
        first.enqueued_at,
        first.sequence_number,
        last.sequence_number,
    );
    let file = capture::encode(events.iter().map(captured)).map_err(CallError::from_error)?;
    Ok(Some((name, file)))
}

fn captured(event: &Event) -> CapturedEvent<'_> {
    CapturedEvent {
        sequence_number: event.sequence_number,
        offset: &event.offset,
        enqueued_at: event.enqueued_at,
        system_properties: event.system_properties.as_json(),
        properties: event.properties.as_json(),
        body: &event.body,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::super::batches::batch;
    use super::*;
    use crate::memory_stores::MemoryBlobs;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_batch_of_usual_size_is_one_file_and_a_large_one_several() {
        for (size, expected) in [
            (300, &[(41, 45)][..]),
            (3 * MIB, &[(41, 42), (43, 44), (45, 45)]),
        ] {
            let store = MemoryBlobs::default();
            let bodies = (0_u8..5).map(|n| Bytes::from(vec![n; size]));
            let (summary, archived) = archive(&store, batch(bodies)).await.unwrap();
            assert_eq!((summary.events(), archived.files), (5, expected.len()));
            let blobs = store.snapshot();
            let names = expected.iter().map(|(first, last)| {
                format!("telemetry/3/2024/05/01/12/0000.000-{first:020}-{last:020}.avro")
            });
            assert!(blobs.keys().cloned().eq(names), "{:?}", blobs.keys());
            let mut read = Vec::new();
            for file in blobs.values() {
                read.extend(capture::decode(file).unwrap());
            }
            assert_eq!(read.len(), 5);
            for (event, n) in read.iter().zip(0_u8..) {
                assert_eq!(event.sequence_number, 41 + i64::from(n));
                assert_eq!(event.body, vec![n; size]);
            }
        }
    }

    #[tokio::test]
    async fn an_hour_has_its_own_file() {
        let store = MemoryBlobs::default();
        let mut batch = batch((0_u8..5).map(|n| Bytes::from(vec![n; 3])));
        for event in &mut batch.events[2..] {
            event.enqueued_at += time::Duration::minutes(61);
        }
        batch.events[4].enqueued_at += time::Duration::days(1);
        let (_, archived) = archive(&store, batch).await.unwrap();
        assert_eq!(archived.files, 3);
        let blobs = store.snapshot();
        let names: Vec<_> = blobs.keys().map(|name| &name[..23]).collect();
        assert_eq!(
            names,
            [
                "telemetry/3/2024/05/01/",
                "telemetry/3/2024/05/01/",
                "telemetry/3/2024/05/02/"
            ]
        );
        let counts = blobs
            .values()
            .map(|file| capture::decode(file).unwrap().len());
        assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[tokio::test]
    async fn of_no_events_there_is_no_file() {
        let store = MemoryBlobs::default();
        let (summary, archived) = archive(&store, batch([])).await.unwrap();
        assert_eq!((summary.events(), archived.files), (0, 0));
        assert!(store.snapshot().is_empty());
    }
}
