//! Bodies that a real host 4.1037 sent, byte for byte: each is read, and its call answered with an envelope.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::support::{BINARY, INVOCATION, app_with, call, fixture, send};
use axum::extract::State;
use azure_functions_sdk::{
    EventHubBatch, FunctionDefinition, HostConfig, Invocation, QueueMessage, RetryContext,
    TimerInfo,
};
use serde_json::{Value, json};
use time::macros::utc_datetime;

const QUEUE: FunctionDefinition = FunctionDefinition::new(
    "Notify",
    "queueTrigger",
    r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","connection":"S","queueName":"q"}]}"#,
);
const TIMER: FunctionDefinition = FunctionDefinition::new(
    "Look",
    "timerTrigger",
    r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 * * * * *"}]}"#,
);

type Seen<T> = Arc<Mutex<Vec<T>>>;

/// What a handler of `T` got of a call, which must have been answered with an envelope.
macro_rules! answered {
    ($definition:expr, $trigger:ty, $body:expr) => {{
        let seen: Seen<($trigger, Invocation)> = Seen::default();
        let handle = async |State(seen): State<Seen<($trigger, Invocation)>>,
                            invocation: Invocation,
                            trigger: $trigger| {
            seen.lock().unwrap().push((trigger, invocation));
        };
        let router = app_with(Arc::clone(&seen), HostConfig::default())
            .function($definition, handle)
            .into_router()
            .unwrap();
        let name = $definition.name;
        send(&router, call(name, $body)).await.envelope();
        let (trigger, invocation) = seen.lock().unwrap().pop().expect("called");
        assert_eq!(invocation.id, INVOCATION);
        trigger
    }};
}

#[tokio::test]
async fn a_batch_has_every_body_and_its_first_try_a_retry_context() {
    let batch = answered!(
        BINARY,
        EventHubBatch,
        fixture!("real/event_hub_many_binary")
    );
    let bodies: Vec<_> = batch.events.iter().map(|event| &event.body[..]).collect();
    assert!(bodies[0].starts_with(b"{\n\t\"occurrenceUtcTime\"") && bodies[0].ends_with(b",\n}\n"));
    assert_eq!(bodies[2..], [&b"\xff\xfe\0"[..], b"", b"\"plain text\""]);
    assert_eq!(batch.partition.partition_id, "2");
    assert_eq!(batch.partition.consumer_group, "drone-state");
    let first = &batch.events[0];
    assert_eq!(first.enqueued_at, utc_datetime!(2026-11-28 10:53:52.852));
    assert_eq!(
        first.partition_key.as_deref(),
        Some("Simulated.drone-01.35")
    );
    assert_eq!(&*batch.events[1].offset, "571");
    assert_eq!(first.properties.get_str("text").as_deref(), Some("x"));
    let content_type = first.system_properties.get_str("content-type");
    assert_eq!(content_type.as_deref(), Some("application/json"));
    let none = RetryContext {
        retry_count: 0,
        max_retry_count: -1,
    };
    assert_eq!(batch.retry, Some(none));
}

#[tokio::test]
async fn a_retry_says_so_beside_the_whole_of_its_exception() {
    let body = fixture!("real/event_hub_many_binary_retry");
    let batch = answered!(BINARY, EventHubBatch, body);
    assert_eq!(batch.events.len(), 2);
    assert_eq!(batch.events[1].partition_key, None);
    let again = RetryContext {
        retry_count: 1,
        max_retry_count: -1,
    };
    assert_eq!(batch.retry, Some(again));
}

/// The host makes five messages of the texts below; what they are is the function's business.
#[tokio::test]
async fn a_message_is_its_text_whatever_the_text_is() {
    for (body, text) in [
        (fixture!("real/queue_text"), "not json"),
        (fixture!("real/queue_empty"), ""),
        (fixture!("real/queue_json_string"), r#""a string""#),
        (fixture!("real/queue_json_array"), "[1,2]"),
        (fixture!("real/queue_json_number"), "12"),
    ] {
        let message = answered!(QUEUE, QueueMessage<String>, body);
        assert_eq!(message.text, text);
        assert_eq!(message.dequeue_count, 1);
        let inserted = utc_datetime!(2026-11-28 10:53:53);
        assert_eq!(message.insertion_time, Some(inserted), "{text}");
    }
}

/// In the metadata the message's `Id` stands for the queue's, a date is rewritten and a null is gone: the text is what counts.
#[tokio::test]
async fn a_messages_own_properties_change_nothing() {
    let body = fixture!("real/queue_json_object");
    let message = answered!(QUEUE, QueueMessage<Value>, body);
    assert_eq!(
        message.body,
        json!({"specversion": "1.0", "id": "a", "Id": "overwritten", "time": "2026-11-28T09:00:00Z",
            "n": 1.5, "nested": {"a": [1, 2]}, "none": null})
    );
    let alert = answered!(QUEUE, QueueMessage<Value>, fixture!("real/queue_alert"));
    assert_eq!(alert.body["time"], "2018-04-17T20:25:17Z");
    assert_eq!(alert.dequeue_count, 1);
}

#[tokio::test]
async fn a_timer_of_less_than_a_minute_has_no_status() {
    let timer = answered!(TIMER, TimerInfo, fixture!("real/timer"));
    assert!(!timer.is_past_due && timer.schedule_status.is_none());
}

/// Whatever is recorded is tried above.
#[test]
fn no_recorded_body_is_left_out() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host/fixtures/real");
    let this = include_str!("recorded.rs");
    let recorded: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    assert!(recorded.len() >= 10);
    for name in recorded {
        assert!(this.contains(&format!("\"real/{name}\"")), "{name}");
    }
}
