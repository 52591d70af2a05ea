//! The log, its groups, and the send API through its router.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::*;

const BATCH: (&str, &str) = ("content-type", "application/vnd.microsoft.servicebus.json");

async fn post(
    hub: &Hub,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (StatusCode, String) {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).unwrap();
    let response = hub.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn all(hub: &Hub) -> Vec<(u16, Arc<StoredEvent>)> {
    (0..hub.partitions())
        .flat_map(|partition| {
            hub.events(partition, 0)
                .into_iter()
                .map(move |event| (partition, event))
        })
        .collect()
}

#[test]
fn a_partition_numbers_its_events_without_gaps_and_its_offsets_grow() {
    let hub = Hub::new("h", 1);
    let positions: Vec<_> = (0..3).map(|_| hub.append(NewEvent::new(""))).collect();
    for (index, pair) in positions.windows(2).enumerate() {
        assert_eq!(pair[0].sequence_number, i64::try_from(index).unwrap());
        assert_eq!(pair[1].sequence_number, pair[0].sequence_number + 1);
        assert!(pair[1].offset.parse::<u64>().unwrap() > pair[0].offset.parse::<u64>().unwrap());
        assert!(pair[1].enqueued_at >= pair[0].enqueued_at);
    }
}

#[test]
fn enqueued_times_do_not_go_back_when_the_clock_does() {
    use time::macros::utc_datetime;

    let mut log = Partition::new(0);
    let message = || Message::encode(&NewEvent::new("a"));
    let later = utc_datetime!(2024-05-01 12:00:00.123_456);
    let first = log.append(0, message(), None, later);
    let second = log.append(0, message(), None, utc_datetime!(2024-05-01 11:00));
    assert_eq!(first.enqueued_at, utc_datetime!(2024-05-01 12:00:00.123));
    assert_eq!(second.enqueued_at, first.enqueued_at);
}

#[test]
fn a_key_always_leads_to_the_same_partition_and_keys_spread() {
    let hub = Hub::new("h", 32);
    let used: std::collections::BTreeSet<u16> = (0..1_000)
        .map(|drone| {
            hub.append(NewEvent::new("").with_key(format!("drone-{drone}")))
                .partition
        })
        .collect();
    assert_eq!(used.len(), 32, "every partition gets some of 1,000 keys");
    // A changed hash would be noticed here: partitions must not depend on the process.
    assert_eq!(
        hub.partition_for_key("drone-1"),
        Hub::new("other", 32).partition_for_key("drone-1")
    );
    assert_eq!(
        Hub::new("h", 4).partition_for_key("Simulated.drone-01.35"),
        GOLDEN_PARTITION
    );
}

/// Where Event Hubs places the key of the design's example, of four partitions.
const GOLDEN_PARTITION: u16 = 3;

#[test]
fn without_a_key_partitions_take_turns() {
    let hub = Hub::new("h", 3);
    let partitions: Vec<_> = (0..6)
        .map(|_| hub.append(NewEvent::new("")).partition)
        .collect();
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn lag_is_what_a_group_has_not_checkpointed() {
    let hub = Hub::new("h", 2);
    hub.join("g");
    for _ in 0..4 {
        hub.append(NewEvent::new(""));
    }
    assert_eq!(hub.lag("g"), 4);
    assert_eq!(hub.checkpoint("g", 0), None);
    assert!(hub.commit("g", 0, 0, 2));
    assert_eq!(hub.lag("g"), 2);
    assert_eq!(hub.checkpoint("g", 0), Some(1));
    assert_eq!(hub.lag("stranger"), 4);
    hub.join("g");
    assert_eq!(hub.lag("g"), 2, "joining again keeps the checkpoints");
}

#[test]
fn a_rewind_goes_back_to_the_beginning_at_most_and_voids_older_epochs() {
    let hub = Hub::new("h", 1);
    hub.join("g");
    for _ in 0..4 {
        hub.append(NewEvent::new(""));
    }
    hub.commit("g", 0, 0, 3);
    assert_eq!(hub.rewind("g", 0, 10), 3);
    assert_eq!(hub.lag("g"), 4);
    assert!(
        !hub.commit("g", 0, 0, 4),
        "the old reader has lost the partition"
    );
    assert!(hub.commit("g", 0, 1, 4));
    assert_eq!(hub.rewind("stranger", 0, 1), 0);
    assert_eq!(hub.rewind("g", 9, 1), 0);
}

#[test]
fn only_what_every_group_has_checkpointed_is_forgotten() {
    let hub = Hub::new("h", 1);
    hub.join("slow");
    hub.join("fast");
    for _ in 0..2_000 {
        hub.append(NewEvent::new(""));
    }
    hub.commit("fast", 0, 0, 2_000);
    assert_eq!(hub.events(0, 0).len(), 2_000);
    hub.commit("slow", 0, 0, 1_500);
    let left = hub.events(0, 0);
    assert!(left[0].sequence_number > 0 && left[0].sequence_number <= 1_500);
    assert_eq!(hub.append(NewEvent::new("")).sequence_number, 2_000);
    assert_eq!(hub.read(0, 1_999, 10).len(), 2);
    assert_eq!(hub.appended(), 2_001);
}

#[test]
fn everything_is_kept_where_that_is_asked_for() {
    let hub = Hub::new("h", 1);
    hub.set_retention(Retention::Everything);
    hub.join("g");
    for _ in 0..2_000 {
        hub.append(NewEvent::new(""));
    }
    hub.commit("g", 0, 0, 2_000);
    assert_eq!(hub.events(0, 0).len(), 2_000);
}

#[test]
fn the_newest_events_stay_for_readers_that_the_hub_knows_nothing_of() {
    let hub = Hub::new("h", 1);
    hub.set_retention(Retention::Newest { bytes: 2_000_000 });
    let fill = |events| (0..events).for_each(|_| _ = hub.append(NewEvent::new("")));
    fill(10_000);
    let held = hub.events(0, 0).len();
    assert!((1_000..5_000).contains(&held), "{held} without a group");
    hub.join("slow");
    fill(10_000);
    assert!(hub.events(0, 0).len() >= 10_000, "a group waits for them");
    hub.commit("slow", 0, 0, 20_000);
    let left = hub.events(0, 0);
    assert!(
        (1_000..5_000).contains(&left.len()),
        "{} at the end",
        left.len()
    );
    assert_eq!(left.last().unwrap().sequence_number, 19_999);
}

#[test]
fn offsets_are_above_those_of_earlier_hubs() {
    let offset = || {
        let position = Hub::new("h", 1).append(NewEvent::new(""));
        position.offset.parse::<u64>().unwrap()
    };
    let first = offset();
    let until = UtcDateTime::now() + time::Duration::MILLISECOND;
    while UtcDateTime::now() < until {
        std::thread::yield_now();
    }
    assert!(offset() > first);
}

#[tokio::test]
async fn one_event_is_kept_byte_for_byte_under_its_key() {
    let hub = Hub::new("telemetry", 4);
    let body: &[u8] = &[0xff, 0x00, b'{'];
    let key = (
        "BrokerProperties",
        r#"{"PartitionKey":"drone-1","Label":"x"}"#,
    );
    let (status, text) = post(
        &hub,
        "/telemetry/messages?timeout=60&api-version=2014-01",
        &[key],
        body,
    )
    .await;
    assert_eq!((status, text.as_str()), (StatusCode::CREATED, ""));
    let events = all(&hub);
    let [(partition, event)] = &events[..] else {
        panic!("one event was sent");
    };
    assert_eq!(event.body(), body);
    assert_eq!(event.partition_key.as_deref(), Some("drone-1"));
    assert_eq!(*partition, hub.partition_for_key("drone-1"));
}

#[tokio::test]
async fn headers_become_properties_by_kind() {
    let hub = Hub::new("telemetry", 1);
    let headers = [
        ("kind", "\"flight\""),
        ("plain", "text"),
        ("count", "7"),
        ("user-agent", "curl"),
        ("content-type", "application/json"),
    ];
    post(&hub, "/telemetry/messages", &headers, "{}").await;
    let event = &hub.events(0, 0)[0];
    assert_eq!(
        json!(event.properties()),
        json!({"kind": "flight", "plain": "text", "count": 7})
    );
    assert_eq!(
        json!(event.system_properties()),
        json!({"content-type": "application/json"})
    );
}

#[tokio::test]
async fn a_device_header_stands_for_iot_hub() {
    let hub = Hub::new("telemetry", 8);
    post(
        &hub,
        "/telemetry/messages",
        &[("iothub-connection-device-id", "drone-1")],
        "{}",
    )
    .await;
    let (partition, event) = all(&hub).remove(0);
    assert_eq!(partition, hub.partition_for_key("drone-1"));
    assert_eq!(event.partition_key, None);
    assert_eq!(
        event.system_properties()["iothub-connection-device-id"],
        "drone-1"
    );
    assert_eq!(
        event.system_properties()["iothub-message-source"],
        "Telemetry"
    );
    assert!(
        event.system_properties()["iothub-enqueuedtime"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert!(event.properties().is_empty());
}

#[tokio::test]
async fn a_batch_becomes_its_events_in_order_in_one_partition() {
    let hub = Hub::new("telemetry", 4);
    let batch = r#"[{"Body":"a"},{"Body":"b","UserProperties":{"kind":"flight"}},{"Body":"c","BrokerProperties":{"PartitionKey":"k"}}]"#;
    assert_eq!(
        post(&hub, "/telemetry/messages", &[BATCH], batch).await.0,
        StatusCode::CREATED
    );
    let events = all(&hub);
    let find = |body: &str| {
        events
            .iter()
            .find(|(_, event)| event.body() == body.as_bytes())
            .unwrap()
    };
    assert_eq!(find("a").0, find("b").0);
    assert_eq!(json!(find("b").1.properties()), json!({"kind": "flight"}));
    assert_eq!(find("c").0, hub.partition_for_key("k"));
}

#[tokio::test]
async fn a_partition_can_be_chosen() {
    let hub = Hub::new("telemetry", 4);
    let key = ("BrokerProperties", r#"{"PartitionKey":"k"}"#);
    post(&hub, "/telemetry/partitions/3/messages", &[key], "x").await;
    assert_eq!(hub.events(3, 0).len(), 1);
    let (status, text) = post(&hub, "/telemetry/partitions/4/messages", &[], "x").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("0 to 3"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_whole_with_a_reason() {
    let hub = Hub::new("telemetry", 2);
    let large = vec![b'x'; MAX_EVENT_BYTES + 1];
    let bad_key = ("BrokerProperties", "drone-1");
    let half_batch = r#"[{"Body":"a"},{"body":"b"}]"#;
    for (path, headers, body, expected, part) in [
        (
            "/other/messages",
            vec![],
            b"x".to_vec(),
            StatusCode::NOT_FOUND,
            "telemetry",
        ),
        (
            "/telemetry/messages",
            vec![],
            large,
            StatusCode::PAYLOAD_TOO_LARGE,
            "1048576",
        ),
        (
            "/telemetry/messages",
            vec![bad_key],
            b"x".to_vec(),
            StatusCode::BAD_REQUEST,
            "BrokerProperties",
        ),
        (
            "/telemetry/messages",
            vec![BATCH],
            half_batch.into(),
            StatusCode::BAD_REQUEST,
            "Body",
        ),
        (
            "/telemetry/messages",
            vec![BATCH],
            b"{}".to_vec(),
            StatusCode::BAD_REQUEST,
            "array",
        ),
    ] {
        let (status, text) = post(&hub, path, &headers, body).await;
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(hub.appended(), 0);
    let largest = vec![b'x'; MAX_EVENT_BYTES];
    assert_eq!(
        post(&hub, "/telemetry/messages", &[], largest).await.0,
        StatusCode::CREATED
    );
}
