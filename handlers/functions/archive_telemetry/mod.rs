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
use crate::capture::{self, CapturedEvent, PropertyBag};
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
        system_properties: PropertyBag::Received(&event.system_properties),
        properties: PropertyBag::Received(&event.properties),
        body: &event.body,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use azure_functions_sdk::FunctionConfig;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

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

    /// A batch as the host sends it, of events with these properties of the hub's: the text of each object.
    fn sent(bags: &[String]) -> EventHubBatch {
        let column = |element: &dyn Fn(usize) -> Value| {
            Value::from((0..bags.len()).map(element).collect::<Vec<_>>()).to_string()
        };
        let call = json!({
            "Data": {"events": column(&|_| "e30=".into())},
            "Metadata": {
                "PartitionContext": json!({"EventHubName": "telemetry", "PartitionId": "3"}),
                "SequenceNumberArray": column(&|number| number.into()),
                "EnqueuedTimeUtcArray": column(&|_| "2024-05-01T12:00:00.123".into()),
                "SystemPropertiesArray": format!("[{}]", bags.join(",")),
            },
        });
        let function = FunctionConfig::parse(FUNCTION.name, FUNCTION.json).unwrap();
        EventHubBatch::parse(&function, call.to_string().into_bytes()).unwrap()
    }

    /// What is archived, and what would be if each bag was read by itself by a general parser.
    fn both(bags: &[String]) -> (Vec<u8>, Vec<u8>) {
        let batch = sent(bags);
        let plain = batch
            .events
            .iter()
            .zip(bags)
            .map(|(event, bag)| CapturedEvent {
                system_properties: bag.into(),
                ..captured(event)
            });
        let expected = capture::encode(plain).unwrap();
        (
            capture::encode(batch.events.iter().map(captured)).unwrap(),
            expected,
        )
    }

    #[test]
    fn what_a_bag_has_in_common_with_the_one_before_changes_nothing() {
        let iot_hub = |device: &str, number: i64, partition_key: Value| {
            let method = r#"{"scope":"device","type":"sas"}"#;
            json!({"content-type": "application/json", "iothub-connection-device-id": device,
                "iothub-connection-auth-method": method, "SequenceNumber": number, "PartitionKey": partition_key})
            .to_string()
        };
        let bags = [
            iot_hub("a", 1, Value::Null),
            iot_hub("b", 1, Value::Null),
            iot_hub("b", 10, "b".into()),
            iot_hub("b", 10, "b".into()),
            iot_hub("b", -10, Value::Null),
            r#"{"content-type":"application/json"}"#.to_owned(),
            r#"{"content-type":"application/json","x-opt-enqueued-time":7,"x":[1]}"#.to_owned(),
            iot_hub("c\\d\"", i64::MIN, Value::Null),
            iot_hub("c", 0, "caf\u{e9}\n".into()),
            r#"{"a":-0,"b":1.5,"c":true,"d":{"e":null},"f":12345678901234567890}"#.to_owned(),
            r#"{"a":"\u0061\/","b":null,"a":1}"#.to_owned(),
            r#"{ "a" : 1 }"#.to_owned(),
        ];
        for first in 0..bags.len() {
            let (archived, expected) = both(&bags[first..]);
            assert_eq!(archived, expected);
        }
    }

    proptest! {
        #[test]
        fn any_bags_are_archived_as_what_they_say(
            bags in prop::collection::vec(prop::collection::vec(("[ab\"]{0,2}", prop_oneof![
                "[ab\"\\\\\u{e9}\n,}:]{0,4}".prop_map(Value::from), any::<i64>().prop_map(Value::from), (-20..20_i64).prop_map(Value::from),
                any::<f64>().prop_map(Value::from), Just(Value::Null), Just(json!([true, {"a": "}"}])),
            ]), 0..4), 1..8),
        ) {
            let object = |pairs: &Vec<(String, Value)>| {
                let pairs = pairs.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            };
            let bags: Vec<String> = bags.iter().map(object).collect();
            let (archived, expected) = both(&bags);
            prop_assert_eq!(archived, expected, "{:?}", bags);
        }
    }
}
