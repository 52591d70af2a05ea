//! Alerts through the real process: raised, cleared, told at least once, and each under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drone_delivery::domain::ReceivedEvent;
use drone_delivery::domain::alerts::{Alert, AlertSettings, PartitionAlerts, Rules, Transition};
use local::fault::Fault;
use local::system::{ALERT_QUEUE, DATABASE};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{Fleet, until};

const ALERTS: &str = "alerts";

/// An operating-status message; `second` is its time, counted from a fixed start.
fn operating(device: &str, second: u32, temperature: f64, battery_level: f64) -> Vec<u8> {
    let (hour, minute) = (12 + second / 3600, second / 60 % 60);
    json!({
        "occurrenceUtcTime": format!("2024-05-01T{hour:02}:{minute:02}:{:02}Z", second % 60),
        "deviceId": device,
        "sensorType": "drone-state-sensor;v1",
        "deliveryId": "delivery-1",
        "temperature": temperature,
        "batteryStatus": "medium",
        "batteryLevel": battery_level,
    })
    .to_string()
    .into_bytes()
}

/// The ids of the messages in the queue, each with how often it is there; they are taken off.
async fn told(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for text in fleet
        .system
        .storage
        .take_queue_messages(ALERT_QUEUE)
        .await
        .unwrap()
    {
        let message: Value = serde_json::from_str(&text).unwrap();
        *ids.entry(message["id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    ids
}

/// What the rules say of the whole archive, in one go, without host, crash or retry.
async fn oracle(fleet: &Fleet) -> Vec<Transition> {
    let rules = Rules::new(&AlertSettings::from_all([(
        "Alerts__ClockSkewMinutes".to_owned(),
        "0".to_owned(),
    )]))
    .unwrap();
    let (archive, _) = fleet.archive().await;
    let mut partitions: BTreeMap<&str, Vec<ReceivedEvent<'_>>> = BTreeMap::new();
    for ((partition, _), event) in &archive {
        partitions
            .entry(partition)
            .or_default()
            .push(ReceivedEvent {
                body: &event.body,
                sequence_number: event.sequence_number,
                offset: &event.offset,
                enqueued_at: event.enqueued_at.expect("every event has a time"),
                first_enqueued_at: event.first_enqueued_at,
                authenticated_device: event.authenticated_device.as_deref().map(Into::into),
                marked_as_tick: false,
                partition_key: None,
            });
    }
    partitions
        .into_values()
        .flat_map(|events| PartitionAlerts::default().observe(&rules, events))
        .collect()
}

fn raise_alerts_failures(fleet: &Fleet) -> u64 {
    fleet.system.host.stats()["RaiseAlerts"].failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_raised_listed_and_cleared() {
    let fleet = Fleet::start().await;
    fleet.send("drone-1", operating("drone-1", 0, 60.0, 0.9));
    fleet.send("drone-1", operating("drone-1", 20, 101.5, 0.9));
    fleet.settled().await;
    let id = "engine-critical~drone-1~20240501T120020.000000000Z";
    let (status, kind, body) = fleet.get("/alerts?active=true&deviceId=drone-1").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let open = json!({
        "id": id,
        "deviceId": "drone-1",
        "rule": "engine-critical",
        "severity": "critical",
        "active": true,
        "deliveryId": "delivery-1",
        "raisedAt": "2024-05-01T12:00:20.000000000Z",
        "value": 101.5,
        "threshold": 100.0,
    });
    assert_eq!(body, json!({"alerts": [open]}));

    fleet.send("drone-1", operating("drone-1", 40, 70.0, 0.9));
    fleet.settled().await;
    let (_, _, body) = fleet.get("/alerts?active=true").await;
    assert_eq!(body, json!({"alerts": []}));
    let (_, _, body) = fleet
        .get("/alerts?rule=engine-critical&since=2024-05-01T12:00:20Z")
        .await;
    assert_eq!(
        body["alerts"][0]["clearedAt"],
        "2024-05-01T12:00:40.000000000Z"
    );
    assert_eq!(body["alerts"][0]["clearedValue"], 70.0);
    let (_, _, body) = fleet.get("/alerts?since=2024-05-01T12:00:20.001Z").await;
    assert_eq!(body, json!({"alerts": []}));
    let (status, kind, body) = fleet.get("/alerts?limit=0").await;
    assert_eq!((status, kind.as_str()), (400, "application/problem+json"));
    assert!(body["detail"].as_str().unwrap().starts_with("limit: "));

    let expected = ["raised", "cleared"].map(|kind| (format!("{id}/{kind}"), 1));
    assert_eq!(told(&fleet).await, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_without_anomalies_costs_no_write_to_cosmos_db() {
    let fleet = Fleet::with_settings(&[("AzureWebJobs.UpdateDroneState.Disabled", "true")]).await;
    for second in (0..600).step_by(20) {
        for drone in 0..20 {
            let device = format!("drone-{drone}");
            fleet.send(&device, operating(&device, second, 74.0, 0.5));
        }
    }
    fleet.settled().await;
    assert_eq!(fleet.system.host.stats()["RaiseAlerts"].events, 600);
    assert_eq!(fleet.system.cosmos.writes(), 0);
    assert!(told(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_again_tells_the_same_again_and_nothing_else() {
    let fleet = Fleet::start().await;
    fleet.send("drone-1", operating("drone-1", 0, 60.0, 0.9));
    let last = fleet.send("drone-1", operating("drone-1", 20, 101.5, 0.2));
    fleet.settled().await;
    let once = told(&fleet).await;
    assert_eq!(once.len(), 2);

    fleet.system.hub.rewind("drone-alerts", last.partition, 1);
    fleet.settled().await;
    assert_eq!(told(&fleet).await, once, "the same ids, each once more");
    assert_eq!(fleet.system.cosmos.items(DATABASE, ALERTS).await.len(), 2);
}

/// 100 drones with faults of every kind, in batches of 50 at most; the handler is killed 20 times at
/// moments of chance, and Cosmos DB fails for 10 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_and_no_outage_loses_an_alert_or_makes_another() {
    const DRONES: usize = 100;
    const STEPS: u32 = 60;
    const KILLS: u32 = 20;
    let fleet = Fleet::with_settings(&[
        (
            "AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize",
            "50",
        ),
        ("AzureWebJobs.UpdateDroneState.Disabled", "true"),
    ])
    .await;
    let mut rng = StdRng::seed_from_u64(7);
    let mut levels = vec![0.6_f64; DRONES];
    for step in 0..STEPS {
        for (drone, level) in levels.iter_mut().enumerate() {
            let device = format!("drone-{drone}");
            *level -= 0.02;
            if *level < 0.05 {
                *level = 0.9;
            }
            let temperature = match rng.random_range(0..60) {
                0 => 110.0,
                // Every other drone runs hot for a while, so that windows break their limit.
                _ if drone % 2 == 0 && (15..35).contains(&step) => rng.random_range(70.0..90.0),
                _ => rng.random_range(50.0..80.0),
            };
            // One in ten comes up to three steps late.
            let late = if rng.random_ratio(1, 10) {
                rng.random_range(0..=3)
            } else {
                0
            };
            let second = step.saturating_sub(late) * 20;
            fleet.send(&device, operating(&device, second, temperature, *level));
        }
        if step % 3 == 0 {
            let handled = fleet.system.host.stats()["RaiseAlerts"].events;
            let more = handled + rng.random_range(1..150);
            let all = fleet.system.hub.appended();
            until("some batches are through", async || {
                fleet.system.host.stats()["RaiseAlerts"].events >= more.min(all)
            })
            .await;
            let restarts = fleet.system.host.handler().restarts;
            fleet.system.host.kill_handler();
            until("the host restarts the handler", async || {
                fleet.system.host.handler().restarts > restarts
            })
            .await;
        }
        if step == STEPS / 2 {
            fleet.system.cosmos.set_fault(Some(Fault::Status(503)));
            let failures = raise_alerts_failures(&fleet);
            // The length of the outage, not a wait for something.
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(raise_alerts_failures(&fleet) > failures, "nothing failed");
            fleet.system.cosmos.set_fault(None);
        }
    }
    fleet.settled().await;
    assert!(fleet.system.host.handler().restarts >= u64::from(KILLS));

    let expected = oracle(&fleet).await;
    let ids: BTreeSet<String> = expected.iter().map(Transition::message_id).collect();
    let told = told(&fleet).await;
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(
        ids.len() > 300,
        "{} messages: the drones were too well",
        ids.len()
    );

    let mut alerts: BTreeMap<&str, &Alert> = BTreeMap::new();
    for transition in &expected {
        alerts.insert(&transition.alert.id, &transition.alert);
    }
    let documents = fleet.system.cosmos.items(DATABASE, ALERTS).await;
    assert_eq!(documents.len(), alerts.len());
    for document in documents {
        let alert = alerts[document["id"].as_str().unwrap()];
        assert_eq!(document["active"], alert.is_open(), "{document}");
    }
}
