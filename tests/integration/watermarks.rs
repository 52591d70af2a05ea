//! AdvanceWatermarks: the real process between a snapshot's mark and the hub.

use std::sync::Arc;
use std::time::Instant;

use azure_functions_sdk::connection::{Connection, ConnectionString};
use bytes::Bytes;
use drone_delivery::domain::WATERMARK_TICK;
use drone_delivery::domain::timestamp::{Rfc3339, Rfc3339Nanos};
use drone_delivery::stores::Version;
use drone_delivery::stores::alerts::{Mark, SnapshotStore, snapshot_name};
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use local::host::RunTimerError;
use local::system::{ALERT_STATE, ALERTS, DATABASE, HUB};
use serde_json::{Value, json};
use time::{Duration, UtcDateTime};

use crate::support::Fleet;

/// The timer runs only when it is told to, and nobody answers a tick with another mark.
const SETTINGS: [(&str, &str); 3] = [
    ("AdvanceWatermarksSchedule", "0 0 0 1 1 *"),
    ("AzureWebJobs.RaiseAlerts.Disabled", "true"),
    ("AzureWebJobs.UpdateDroneState.Disabled", "true"),
];

fn snapshots(fleet: &Fleet) -> BlobContainer {
    let account = fleet.system.storage.connection_string();
    let connection = ConnectionString::parse("FleetStorage", account).unwrap();
    let blobs = BlobService::connect(&Connection::ConnectionString(connection)).unwrap();
    blobs.container(ALERT_STATE).unwrap()
}

async fn save(
    snapshots: &BlobContainer,
    name: &str,
    next_deadline: Option<UtcDateTime>,
    expected: Option<&Version>,
) -> Version {
    let mark = Mark {
        watermark: UtcDateTime::now() - Duration::MINUTE,
        next_deadline,
    };
    let body = Bytes::from_static(b"unread");
    let saved = snapshots.save(name, body, mark, expected).await;
    saved.unwrap()
}

async fn advance(fleet: &Fleet) -> Result<(), RunTimerError> {
    fleet.system.host.run_timer("AdvanceWatermarks").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_waits_gets_a_tick_and_no_other_does() {
    let fleet = Fleet::with_settings(&SETTINGS).await;
    let hub = &fleet.system.hub;
    let snapshots = snapshots(&fleet);
    let now = UtcDateTime::now();
    let (due, ahead) = (now - Duration::MINUTE, now + Duration::HOUR);

    advance(&fleet).await.unwrap();
    assert_eq!(hub.appended(), 0, "no partition is known");

    save(&snapshots, &snapshot_name(HUB, "1"), None, None).await;
    let waiting = snapshot_name(HUB, "2");
    let version = save(&snapshots, &waiting, Some(due), None).await;
    save(&snapshots, &snapshot_name(HUB, "3"), Some(ahead), None).await;
    // Of a hub that there is no more.
    save(&snapshots, &snapshot_name("older", "0"), Some(due), None).await;
    advance(&fleet).await.unwrap();
    assert_eq!(hub.appended(), 1);
    let events = hub.events(2, 0);
    let [tick] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(tick.properties()[WATERMARK_TICK], "1");
    assert_eq!(tick.body(), &b"{}"[..]);
    assert!(tick.enqueued_at > due);

    // As RaiseAlerts would have it after the tick.
    save(&snapshots, &waiting, None, Some(&version)).await;
    advance(&fleet).await.unwrap();
    assert_eq!(hub.appended(), 1, "nothing waits any more");
}

/// The host then says that the function fails, which is what the alert rules read.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_send_nothing_has_failed() {
    let fleet = Fleet::with_settings(&SETTINGS).await;
    let snapshots = snapshots(&fleet);
    let due = UtcDateTime::now() - Duration::MINUTE;
    // The hub has four partitions.
    save(&snapshots, &snapshot_name(HUB, "4"), Some(due), None).await;
    advance(&fleet).await.unwrap_err();
    save(&snapshots, &snapshot_name(HUB, "0"), Some(due), None).await;
    advance(&fleet).await.unwrap();
    assert_eq!(fleet.system.hub.events(0, 0).len(), 1);
}

/// Microsoft's emulator has no partitions that one could send to over HTTPS.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_takes_no_ticks_is_named_once_and_left_alone() {
    let emulator = (
        "TelemetryHub",
        "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;",
    );
    let settings: Vec<_> = SETTINGS.into_iter().chain([emulator]).collect();
    let lines = Arc::default();
    let fleet = Fleet::logging(&settings, &lines).await;
    let snapshots = snapshots(&fleet);
    let due = UtcDateTime::now() - Duration::MINUTE;
    save(&snapshots, &snapshot_name(HUB, "0"), Some(due), None).await;
    advance(&fleet).await.unwrap();
    advance(&fleet).await.unwrap();
    assert_eq!(fleet.system.hub.appended(), 0);
    let lines = lines.lock().unwrap();
    let said = lines
        .iter()
        .filter(|line| line.contains("takes no event over HTTPS"));
    assert_eq!(said.count(), 1, "{lines:?}");
}

/// A fleet of one drone, with nothing to move its partition's time but ticks. With `QUIET_MINUTES=10` in the environment it takes the
/// settings as they are deployed and looks that long at nothing; otherwise all is shorter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_drone_is_told_of_and_after_it_has_landed_nothing_happens_any_more() {
    let minutes = std::env::var("QUIET_MINUTES").ok();
    let minutes: Option<u64> = minutes.map(|text| text.parse().expect("a number of minutes"));
    let (silence, pause, patience) = match minutes {
        Some(minutes) => (120, minutes * 60, 240),
        None => (3, 5, 60),
    };
    let shorter = [
        ("Alerts__SilenceSeconds", "3"),
        ("AdvanceWatermarksSchedule", "*/1 * * * * *"),
    ];
    let fleet = Fleet::with_settings(if minutes.is_some() { &[] } else { &shorter }).await;
    let hub = &fleet.system.hub;
    let report = |status: &str| {
        let at = Rfc3339(UtcDateTime::now());
        json!({
            "occurrenceUtcTime": at.to_string(), "deviceId": "solo", "sensorType": "drone-event-sensor;v1",
            "deliveryId": "d", "velocity": "1", "acceleration": "0", "position": "47.4|-122.1|100", "flightStatus": status,
        })
        .to_string()
    };
    let alert = async |open: bool| {
        let started = Instant::now();
        loop {
            let documents = fleet.system.cosmos.items(DATABASE, ALERTS).await;
            let found = documents
                .into_iter()
                .find(|alert| alert["clearedAt"].is_null() == open);
            if let Some(found) = found {
                return found;
            }
            assert!(started.elapsed().as_secs() < patience, "no such alert");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let heard = fleet.send("solo", report("1")).enqueued_at;
    let lost = alert(true).await;
    let took = UtcDateTime::now() - heard;
    eprintln!("lost after {took}, the limit is {silence} s");
    let raised_at = Rfc3339Nanos(heard + Duration::seconds(silence));
    assert_eq!(
        (&lost["rule"], &lost["raisedAt"]),
        (&json!("telemetry-lost"), &json!(raised_at.to_string()))
    );
    assert!(took <= Duration::seconds(silence + 60));
    fleet.send("solo", report("4"));
    let cleared = alert(false).await;
    assert_eq!(
        (&cleared["id"], &cleared["clearedReason"]),
        (&lost["id"], &Value::Null)
    );
    fleet.settled().await;

    let figures = || {
        let mut stats = fleet.system.host.stats();
        let timer = stats.remove("AdvanceWatermarks").unwrap();
        assert_eq!(timer.failures, 0);
        let calls: Vec<_> = stats
            .into_iter()
            .map(|(name, stats)| (name, stats.calls))
            .collect();
        (
            timer.calls,
            (hub.appended(), fleet.system.cosmos.writes(), calls),
        )
    };
    let (timer, before) = figures();
    tokio::time::sleep(std::time::Duration::from_secs(pause)).await;
    let (later, after) = figures();
    assert_eq!(after, before, "something was sent, written or called");
    assert!(later > timer, "the timer goes on");
    eprintln!(
        "{} calls of the timer in {pause} s, and nothing else",
        later - timer
    );
}
