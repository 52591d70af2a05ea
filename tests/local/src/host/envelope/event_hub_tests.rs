//! The envelope against the literal payload of the protocol notes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use time::UtcDateTime;
use time::macros::utc_datetime;

use super::*;
use crate::host::envelope::RetryContext;
use crate::hub::NewEvent;

/// The payload of the notes, word for word.
const TWO_EVENTS: &str = r#"{"Data":{"events":"[\"{\\\"deviceId\\\":\\\"drone-1\\\"}\",\"{\\\"deviceId\\\":\\\"drone-2\\\"}\"]"},"Metadata":{"TriggerPartitionContext":{"IsCheckpointingAfterInvocation":true,"FullyQualifiedNamespace":"ns.servicebus.windows.net","EventHubName":"telemetry","ConsumerGroup":"$Default","PartitionId":"1"},"PartitionContext":{"IsCheckpointingAfterInvocation":true,"FullyQualifiedNamespace":"ns.servicebus.windows.net","EventHubName":"telemetry","ConsumerGroup":"$Default","PartitionId":"1"},"PartitionKeyArray":"[null,null]","OffsetArray":"[\"4294970632\",\"4294971104\"]","OffsetStringArray":"[\"4294970632\",\"4294971104\"]","SequenceNumberArray":"[41,42]","EnqueuedTimeUtcArray":"[\"2024-05-01T12:00:00.123\",\"2024-05-01T12:00:00.5\"]","PropertiesArray":"[{\"kind\":\"flight\"},{}]","SystemPropertiesArray":"[{\"content-type\":\"application/json\",\"iothub-connection-device-id\":\"drone-1\",\"iothub-enqueuedtime\":\"2024-05-01T12:00:00.123Z\",\"SequenceNumber\":41,\"Offset\":4294970632,\"OffsetString\":\"4294970632\",\"PartitionKey\":null,\"EnqueuedTimeUtc\":\"2024-05-01T12:00:00.123\"},{\"content-type\":\"application/json\",\"iothub-connection-device-id\":\"drone-2\",\"iothub-enqueuedtime\":\"2024-05-01T12:00:00.5Z\",\"SequenceNumber\":42,\"Offset\":4294971104,\"OffsetString\":\"4294971104\",\"PartitionKey\":null,\"EnqueuedTimeUtc\":\"2024-05-01T12:00:00.5\"}]","sys":{"MethodName":"UpdateDroneState","UtcNow":"2024-05-01T12:00:00.6541234Z","RandGuid":"24ad4c06-24ad-4e5b-8294-3da9714877e9"}}}"#;

const GUID: &str = "24ad4c06-24ad-4e5b-8294-3da9714877e9";

fn new_event(device: &str, enqueued_at: UtcDateTime) -> NewEvent {
    let mut enqueued = String::new();
    clock::write_fraction(&mut enqueued, enqueued_at, Zone::Z);
    let system_properties = json!({
        "content-type": "application/json",
        "iothub-connection-device-id": device,
        "iothub-enqueuedtime": enqueued,
    });
    NewEvent {
        body: format!(r#"{{"deviceId":"{device}"}}"#).into(),
        system_properties: system_properties.as_object().unwrap().clone(),
        ..NewEvent::default()
    }
}

fn flight(device: &str, enqueued_at: UtcDateTime) -> NewEvent {
    let mut event = new_event(device, enqueued_at);
    event.properties.insert("kind".to_owned(), "flight".into());
    event
}

fn first_event() -> StoredEvent {
    let enqueued_at = utc_datetime!(2024-05-01 12:00:00.123);
    StoredEvent::at(
        &flight("drone-1", enqueued_at),
        41,
        4_294_970_632,
        enqueued_at,
    )
}

fn two_events() -> [Arc<StoredEvent>; 2] {
    let enqueued_at = utc_datetime!(2024-05-01 12:00:00.5);
    let second = new_event("drone-2", enqueued_at);
    let second = StoredEvent::at(&second, 42, 4_294_971_104, enqueued_at);
    [Arc::new(first_event()), Arc::new(second)]
}

fn with_body(body: &'static [u8]) -> Arc<StoredEvent> {
    let enqueued_at = utc_datetime!(2024-05-01 12:00:00.25);
    let event = NewEvent {
        body: Bytes::from_static(body),
        ..new_event("d", enqueued_at)
    };
    Arc::new(StoredEvent::at(&event, 7, 0, enqueued_at))
}

fn partition(data_type: DataType) -> PartitionEnvelope {
    let trigger = EventHubTrigger {
        binding: "events".to_owned(),
        hub: "telemetry".to_owned(),
        consumer_group: "$Default".to_owned(),
        namespace: "ns.servicebus.windows.net".to_owned(),
        many: true,
        data_type,
    };
    PartitionEnvelope::new(&trigger, 1)
}

fn call() -> CallContext<'static> {
    CallContext {
        function: "UpdateDroneState",
        now: utc_datetime!(2024-05-01 12:00:00.654_123_4),
        retry: None,
    }
}

fn many(data_type: DataType, events: &[Arc<StoredEvent>]) -> Value {
    let text = partition(data_type).many(events, &call()).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn data(envelope: &Value) -> Value {
    serde_json::from_str(envelope["Data"]["events"].as_str().unwrap()).unwrap()
}

#[test]
fn two_events_as_strings_are_the_payload_of_the_notes_to_the_letter() {
    let text = partition(DataType::String)
        .many(&two_events(), &call())
        .unwrap();
    // The one thing that is made up anew for every call is the GUID, 36 characters long.
    let guid = text.find("RandGuid\":\"").unwrap() + 11;
    let text = format!("{}{GUID}{}", &text[..guid], &text[guid + 36..]);
    assert_eq!(text, TWO_EVENTS);
}

#[test]
fn binary_bodies_survive_whatever_they_are() {
    let body: &[u8] = &[0xff, 0x00, b'"', b'\\', 0xc3];
    let envelope = many(DataType::Binary, &[with_body(body)]);
    let items = data(&envelope);
    assert_eq!(BASE64.decode(items[0].as_str().unwrap()).unwrap(), body);
}

#[test]
fn string_bodies_that_are_not_utf_8_lose_bytes() {
    let envelope = many(DataType::String, &[with_body(b"a\xffb")]);
    assert_eq!(data(&envelope), json!(["a\u{fffd}b"]));
}

#[test]
fn untyped_bodies_are_json_items() {
    let envelope = many(
        DataType::Untyped,
        &[with_body(b" {\"a\" : [1, 2.50] } "), with_body(b"7")],
    );
    assert_eq!(envelope["Data"]["events"], r#"[{"a":[1,2.50]},7]"#);
}

#[test]
fn one_untyped_event_that_is_not_json_fails_the_whole_batch() {
    let events = [with_body(b"{}"), with_body(b"{\"a\":1,}")];
    let problem = partition(DataType::Untyped)
        .many(&events, &call())
        .unwrap_err();
    assert!(problem.contains("event 7 is not JSON"), "{problem}");
}

#[test]
fn cardinality_one_has_plain_names_real_objects_and_whole_seconds() {
    let event = first_event();
    let text = partition(DataType::Binary).one(&event, &call());
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        envelope["Data"]["events"],
        BASE64.encode(r#"{"deviceId":"drone-1"}"#)
    );
    let metadata = &envelope["Metadata"];
    assert_eq!(metadata["SequenceNumber"], "41");
    assert_eq!(metadata["Offset"], "\"4294970632\"");
    assert_eq!(metadata["EnqueuedTimeUtc"], "2024-05-01T12:00:00");
    assert_eq!(metadata["Properties"], json!({"kind": "flight"}));
    assert_eq!(metadata["SystemProperties"]["Offset"], 4_294_970_632_u64);
    assert_eq!(
        metadata["SystemProperties"]["EnqueuedTimeUtc"],
        "2024-05-01T12:00:00.123"
    );
    assert!(metadata.get("PartitionKey").is_none(), "a null is dropped");
}

#[test]
fn cardinality_one_as_a_string_is_encoded_twice() {
    let text = partition(DataType::String).one(&first_event(), &call());
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        envelope["Data"]["events"],
        r#""{\"deviceId\":\"drone-1\"}""#
    );
}

#[test]
fn keys_with_quotes_survive_in_every_place() {
    let enqueued_at = utc_datetime!(2024-05-01 12:00);
    let event = new_event("d", enqueued_at).with_key("a\"b\\");
    let event = StoredEvent::at(&event, 0, 0, enqueued_at);
    let envelope = many(DataType::Binary, &[Arc::new(event)]);
    let decoded = |name: &str| -> Value {
        serde_json::from_str(envelope["Metadata"][name].as_str().unwrap()).unwrap()
    };
    assert_eq!(decoded("PartitionKeyArray"), json!(["a\"b\\"]));
    assert_eq!(
        decoded("SystemPropertiesArray")[0]["PartitionKey"],
        "a\"b\\"
    );
}

#[test]
fn a_retry_says_which_and_why() {
    let call = CallContext {
        retry: Some(RetryContext {
            retry_count: 2,
            max_retry_count: -1,
            last_failure: Some("it said \"no\""),
        }),
        ..call()
    };
    let text = partition(DataType::Binary)
        .many(&two_events(), &call)
        .unwrap();
    let envelope: Value = serde_json::from_str(&text).unwrap();
    let retry = &envelope["Metadata"]["RetryContext"];
    assert_eq!(retry["RetryCount"], 2);
    assert_eq!(retry["MaxRetryCount"], -1);
    assert_eq!(
        retry["Exception"]["InnerException"]["Message"],
        "it said \"no\""
    );
}
