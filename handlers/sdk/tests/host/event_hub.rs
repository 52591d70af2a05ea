//! The Event Hubs trigger, on what the host sends.

use std::sync::{Arc, Mutex};

use crate::support::{
    BINARY, ONE_BINARY, ONE_STRING, ONE_UNTYPED, STRING, UNTYPED, app_with, call, fixture, send,
};
use axum::extract::State;
use azure_functions_sdk::{
    EventHubBatch, EventHubEvent, FunctionDefinition, HostConfig, PartitionContext, RetryContext,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::utc_datetime;

const FIRST: &[u8] = br#"{"deviceId":"drone-1"}"#;
const SECOND: &[u8] = br#"{"deviceId":"drone-2"}"#;

type Seen<T> = Arc<Mutex<Vec<T>>>;

/// What the handler of a function got for a call, or the reason why it got nothing.
async fn received(definition: FunctionDefinition, body: &str) -> Result<EventHubBatch, String> {
    let seen: Seen<EventHubBatch> = Seen::default();
    let handle = async |State(seen): State<Seen<EventHubBatch>>, batch: EventHubBatch| {
        seen.lock().unwrap().push(batch);
    };
    let router = app_with(Arc::clone(&seen), HostConfig::default())
        .function(definition, handle)
        .into_router()
        .unwrap();
    let answer = send(&router, call("Events", body.to_owned())).await;
    match seen.lock().unwrap().pop() {
        Some(batch) => Ok(batch),
        None => Err(answer.error()),
    }
}

fn changed(fixture: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(fixture).unwrap();
    change(&mut value);
    value.to_string()
}

fn bodies(batch: &EventHubBatch) -> Vec<&[u8]> {
    batch
        .events
        .iter()
        .map(|event| event.body.as_ref())
        .collect()
}

#[tokio::test]
async fn a_batch_of_binary_events_is_read_to_the_last_field() {
    let batch = received(BINARY, fixture!("event_hub_many_binary"))
        .await
        .unwrap();
    assert_eq!(bodies(&batch), [FIRST, b"\xff\x00\x01"]);
    let expected = PartitionContext {
        fully_qualified_namespace: "ns.servicebus.windows.net".to_owned(),
        event_hub_name: "telemetry".to_owned(),
        consumer_group: "$Default".to_owned(),
        partition_id: "1".to_owned(),
    };
    assert_eq!(batch.partition, expected);
    assert_eq!(batch.retry, None);
    let [one, two] = batch.events.as_slice() else {
        panic!("two events")
    };
    assert_eq!((one.sequence_number, two.sequence_number), (41, 42));
    assert_eq!((&*one.offset, &*two.offset), ("4294970632", "4294971104"));
    assert_eq!(one.enqueued_at, utc_datetime!(2024-05-01 12:00:00.123));
    assert_eq!(two.enqueued_at, utc_datetime!(2024-05-01 12:00:00.5));
    assert_eq!(one.partition_key, None);
    assert_eq!(one.properties.as_json(), r#"{"kind":"flight"}"#);
    assert_eq!(one.properties.get_str("kind").as_deref(), Some("flight"));
    assert!(two.properties.is_empty());
    let device = two.system_properties.get_str("iothub-connection-device-id");
    assert_eq!(device.as_deref(), Some("drone-2"));
    let (name, value) = &two.system_properties.entries()[3];
    assert_eq!((name.as_str(), value), ("SequenceNumber", &json!(42)));
}

#[tokio::test]
async fn a_batch_of_strings_is_read() {
    let batch = received(STRING, fixture!("event_hub_many_string"))
        .await
        .unwrap();
    assert_eq!(bodies(&batch), [FIRST, SECOND]);
}

#[tokio::test]
async fn untyped_events_give_their_json_text() {
    let batch = received(UNTYPED, fixture!("event_hub_many_untyped"))
        .await
        .unwrap();
    assert_eq!(bodies(&batch), [FIRST, br#""text""#]);
}

#[tokio::test]
async fn the_declared_data_type_decides_and_not_the_look_of_the_data() {
    // What is base64 by chance stays the text that it is.
    let batch = received(STRING, fixture!("event_hub_many_binary"))
        .await
        .unwrap();
    assert_eq!(
        bodies(&batch),
        [&b"eyJkZXZpY2VJZCI6ImRyb25lLTEifQ=="[..], b"/wAB"]
    );
}

#[tokio::test]
async fn arrays_encoded_once_as_documented_are_read() {
    let batch = received(BINARY, fixture!("event_hub_many_documented"))
        .await
        .unwrap();
    assert_eq!(bodies(&batch), [FIRST, SECOND]);
    assert_eq!(batch.events[1].sequence_number, 42);
    assert_eq!(&*batch.events[1].offset, "4294971104");
    assert_eq!(
        batch.events[0].properties.get_str("kind").as_deref(),
        Some("flight")
    );
}

#[tokio::test]
async fn older_hosts_send_numeric_offsets_and_one_partition_context() {
    let batch = received(BINARY, fixture!("event_hub_many_older"))
        .await
        .unwrap();
    assert_eq!(&*batch.events[0].offset, "4294970632");
    assert_eq!(batch.partition.partition_id, "1");
}

#[tokio::test]
async fn newer_hosts_send_textual_offsets_and_the_other_partition_context() {
    let batch = received(BINARY, fixture!("event_hub_many_newer"))
        .await
        .unwrap();
    let offsets: Vec<&str> = batch.events.iter().map(|event| &*event.offset).collect();
    assert_eq!(
        offsets,
        ["0:1:a", "0:1:b"],
        "OffsetStringArray comes before OffsetArray"
    );
    assert_eq!(batch.partition.partition_id, "1");
    let keys: Vec<_> = batch
        .events
        .iter()
        .map(|event| event.partition_key.as_deref())
        .collect();
    assert_eq!(keys, [Some("key-1"), None]);
}

#[tokio::test]
async fn properties_may_hold_what_looks_like_the_end_of_their_object() {
    for first in [
        r#"{"a":"},{","b":[{},{}]}"#,
        r#"{"a":"]}[{"}"#,
        "{ }",
        "null",
    ] {
        let body = changed(fixture!("event_hub_many_binary"), |call| {
            call["Metadata"]["PropertiesArray"] =
                format!(r#"[{first},{{"kind":"status"}}]"#).into();
        });
        let batch = received(BINARY, &body).await.unwrap();
        let expected = if first == "null" { "{}" } else { first };
        assert_eq!(batch.events[0].properties.as_json(), expected);
        let kind = batch.events[1].properties.get_str("kind");
        assert_eq!(kind.as_deref(), Some("status"), "{first}");
    }
}

#[tokio::test]
async fn names_of_metadata_have_no_case() {
    let batch = received(BINARY, fixture!("event_hub_many_other_case"))
        .await
        .unwrap();
    assert_eq!(batch.events[1].sequence_number, 42);
    assert_eq!(batch.partition.event_hub_name, "telemetry");
}

#[tokio::test]
async fn number_and_time_can_come_from_the_system_properties_alone() {
    let body = fixture!("event_hub_many_only_system_properties");
    let batch = received(BINARY, body).await.unwrap();
    assert_eq!(batch.events[1].sequence_number, 42);
    assert_eq!(
        batch.events[1].enqueued_at,
        utc_datetime!(2024-05-01 12:00:00.5)
    );
    assert_eq!(&*batch.events[1].offset, "");
    assert!(batch.events[0].properties.is_empty());
}

#[tokio::test]
async fn the_retry_context_is_read_encoded_once_or_twice() {
    let expected = RetryContext {
        retry_count: 3,
        max_retry_count: -1,
    };
    for body in [
        fixture!("event_hub_many_retry"),
        fixture!("event_hub_many_retry_twice_encoded"),
    ] {
        assert_eq!(received(BINARY, body).await.unwrap().retry, Some(expected));
    }
}

#[tokio::test]
async fn a_single_event_is_read_in_every_form() {
    for (definition, body) in [
        (ONE_BINARY, fixture!("event_hub_one_binary")),
        (ONE_STRING, fixture!("event_hub_one_string")),
        (ONE_UNTYPED, fixture!("event_hub_one_string")),
        (ONE_STRING, fixture!("event_hub_one_documented")),
    ] {
        let batch = received(definition, body).await.unwrap();
        assert_eq!(bodies(&batch), [FIRST]);
        let event = &batch.events[0];
        assert_eq!(event.sequence_number, 41);
        assert_eq!(&*event.offset, "4294970632");
        assert_eq!(event.enqueued_at, utc_datetime!(2024-05-01 12:00:00.123));
        assert_eq!(event.partition_key.as_deref(), Some("key-1"));
        assert_eq!(event.properties.get_str("kind").as_deref(), Some("flight"));
        let device = event
            .system_properties
            .get_str("iothub-connection-device-id");
        assert_eq!(device.as_deref(), Some("drone-1"));
    }
}

#[tokio::test]
async fn event_hub_event_reads_one_event_and_refuses_many() {
    let handle = async |event: EventHubEvent| assert_eq!(&event.event.body[..], FIRST);
    let router = |definition| {
        crate::support::app()
            .function(definition, handle)
            .into_router()
            .unwrap()
    };
    let body = fixture!("event_hub_one_binary");
    send(&router(ONE_BINARY), call("Events", body))
        .await
        .envelope();
    let body = fixture!("event_hub_many_binary");
    let answer = send(&router(BINARY), call("Events", body)).await;
    assert!(answer.error().contains("EventHubBatch"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_not_base64_fails_the_call_and_is_named_by_its_place() {
    let body = changed(fixture!("event_hub_many_binary"), |call| {
        call["Data"]["events"] = r#"["/wAB","secret!"]"#.into();
    });
    let error = received(BINARY, &body).await.unwrap_err();
    assert!(error.starts_with("event 1 of the batch"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn arrays_of_another_length_fail_the_call() {
    for name in [
        "SequenceNumberArray",
        "EnqueuedTimeUtcArray",
        "OffsetStringArray",
        "PartitionKeyArray",
        "PropertiesArray",
        "SystemPropertiesArray",
    ] {
        let body = changed(fixture!("event_hub_many_binary"), |call| {
            let array = call["Metadata"][name].as_str().unwrap();
            let mut elements: Vec<Value> = serde_json::from_str(array).unwrap();
            elements.pop();
            call["Metadata"][name] = json!(elements).to_string().into();
        });
        let error = received(BINARY, &body).await.unwrap_err();
        assert_eq!(error, format!("{name} has 1 elements for 2 events"));
    }
}

#[tokio::test]
async fn optional_arrays_may_be_absent() {
    let body = changed(fixture!("event_hub_many_binary"), |call| {
        let metadata = call["Metadata"].as_object_mut().unwrap();
        for name in [
            "OffsetArray",
            "OffsetStringArray",
            "PartitionKeyArray",
            "PropertiesArray",
        ] {
            metadata.remove(name).unwrap();
        }
        metadata["SystemPropertiesArray"] = Value::Null;
    });
    let batch = received(BINARY, &body).await.unwrap();
    assert_eq!(batch.events.len(), 2);
    assert_eq!(batch.events[0].system_properties.as_json(), "{}");
}

#[tokio::test]
async fn what_cannot_be_done_without_fails_the_call_by_name() {
    for (names, expected) in [
        (
            &["SequenceNumberArray", "SystemPropertiesArray"][..],
            "Metadata has no SequenceNumberArray",
        ),
        (
            &["EnqueuedTimeUtcArray", "SystemPropertiesArray"],
            "Metadata has no EnqueuedTimeUtcArray",
        ),
        (
            &["PartitionContext", "TriggerPartitionContext"],
            "Metadata has no PartitionContext",
        ),
    ] {
        let body = changed(fixture!("event_hub_many_binary"), |call| {
            for name in names {
                call["Metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove(*name)
                    .unwrap();
            }
        });
        assert_eq!(received(BINARY, &body).await.unwrap_err(), expected);
    }
    let error = received(BINARY, r#"{"Data":{},"Metadata":{}}"#)
        .await
        .unwrap_err();
    assert_eq!(error, "Data has no value for the binding `events`");
}

#[tokio::test]
async fn an_element_of_the_wrong_kind_is_named_by_its_place() {
    let body = changed(fixture!("event_hub_many_binary"), |call| {
        call["Metadata"]["EnqueuedTimeUtcArray"] = r#"["2024-05-01T12:00:00","soon"]"#.into();
    });
    let error = received(BINARY, &body).await.unwrap_err();
    assert_eq!(error, "element 1 of EnqueuedTimeUtcArray is not a time");
}

#[tokio::test]
async fn an_empty_batch_is_a_batch() {
    let body = changed(fixture!("event_hub_many_binary"), |call| {
        call["Data"]["events"] = "[]".into();
        for (name, value) in call["Metadata"].as_object_mut().unwrap() {
            if name.ends_with("Array") {
                *value = "[]".into();
            }
        }
    });
    assert!(received(BINARY, &body).await.unwrap().events.is_empty());
}

#[test]
fn bodies_and_properties_are_not_shown() {
    let body = fixture!("event_hub_many_string").as_bytes().to_vec();
    let batch = EventHubBatch::parse(&STRING.config().unwrap(), body).unwrap();
    let shown = format!("{batch:?}");
    assert!(shown.contains("4294970632"), "{shown}");
    assert!(
        !shown.contains("drone-1") && !shown.contains("flight"),
        "{shown}"
    );
}

fn definitions() -> [FunctionDefinition; 6] {
    [BINARY, STRING, UNTYPED, ONE_BINARY, ONE_STRING, ONE_UNTYPED]
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for definition in definitions() {
            _ = EventHubBatch::parse(&definition.config().unwrap(), bytes.clone());
        }
    }

    /// Closer to the real thing than random bytes: a good call, cut and overwritten somewhere.
    #[test]
    fn no_damage_to_a_call_makes_the_parser_panic(
        at in 0_usize..2000, bytes in prop::collection::vec(any::<u8>(), 0..8), cut in any::<bool>(),
    ) {
        let mut call = fixture!("event_hub_many_binary").as_bytes().to_vec();
        let at = at.min(call.len());
        let end = (at + bytes.len()).min(call.len());
        call.splice(at..end, bytes);
        if cut {
            call.truncate(at);
        }
        for definition in definitions() {
            let batch = EventHubBatch::parse(&definition.config().unwrap(), call.clone());
            for event in batch.iter().flat_map(|batch| &batch.events) {
                _ = (event.properties.entries(), event.system_properties.get_str("SequenceNumber"));
            }
        }
    }

    #[test]
    fn every_body_arrives_byte_for_byte(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
        use base64::Engine;
        let encode = |body: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(body);
        let count = bodies.len();
        let call = json!({
            "Data": {"events": json!(bodies.iter().map(encode).collect::<Vec<_>>()).to_string()},
            "Metadata": {
                "PartitionContext": {},
                "SequenceNumberArray": json!((0..count).collect::<Vec<_>>()).to_string(),
                "EnqueuedTimeUtcArray": json!(vec!["2024-05-01T12:00:00"; count]).to_string(),
            },
        });
        let body = call.to_string().into_bytes();
        let batch = EventHubBatch::parse(&BINARY.config().unwrap(), body).unwrap();
        let received: Vec<Vec<u8>> = batch.events.iter().map(|event| event.body.to_vec()).collect();
        prop_assert_eq!(received, bodies);
    }
}
