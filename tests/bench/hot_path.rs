//! What an event costs in each function, from the host's bytes to the answer's, with stores in memory.
//!
//! `cargo bench` prints the time for a call of 1,000 events and, as throughput, events per second. The
//! events have the size and the properties that IoT Hub gives them. Each iteration of
//! `update_drone_state` meets drones that are up to date already, which is all but the Cosmos DB write.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a benchmark that cannot run may stop")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use azure_functions_sdk::HostConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use divan::counter::ItemsCount;
use drone_delivery::HOST_JSON;
use drone_delivery::domain::Intake;
use drone_delivery::domain::alerts::{AlertSettings, Rules};
use drone_delivery::functions::{AppState, app, health};
use drone_delivery::http::access::Authentication;
use drone_delivery::services::alerting::Alerting;
use drone_delivery::services::insights::Insights;
use drone_delivery::services::insights::schedule::Schedule;
use drone_delivery::services::latest_state::LatestState;
use drone_delivery::services::watermarks::Watermarks;
use drone_delivery::stores::AlertStore;
use memory_stores::{MemoryAlerts, MemoryBlobs, MemoryDrones, MemoryFiles, MemorySnapshots};
use serde_json::json;
use tower::ServiceExt;

#[path = "../memory_stores.rs"]
#[allow(dead_code, missing_docs, reason = "tests need more of it")]
mod memory_stores;

const EVENTS: usize = 1_000;

fn main() {
    divan::main();
}

#[divan::bench(args = [40, 1_000])]
fn update_drone_state(bencher: divan::Bencher<'_, '_>, drones: usize) {
    call(bencher, "UpdateDroneState", drones);
}

/// A batch of nothing but dead letters: a device whose clock is in the future.
#[divan::bench(args = [40])]
fn update_drone_state_dead_letters(bencher: divan::Bencher<'_, '_>, drones: usize) {
    // The bodies are in base64, so only the times at which the hub took them change.
    let body = envelope(drones).replace("2024-05-01T12:", "2024-05-01T11:");
    bench(bencher, "UpdateDroneState", body);
}

#[divan::bench(args = [40])]
fn archive_telemetry(bencher: divan::Bencher<'_, '_>, drones: usize) {
    call(bencher, "ArchiveTelemetry", drones);
}

#[divan::bench(args = [40, 1_000])]
fn raise_alerts(bencher: divan::Bencher<'_, '_>, drones: usize) {
    call(bencher, "RaiseAlerts", drones);
}

fn call(bencher: divan::Bencher<'_, '_>, function: &str, drones: usize) {
    bench(bencher, function, envelope(drones));
}

fn bench(bencher: divan::Bencher<'_, '_>, function: &str, body: String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let router = router();
    let body = Bytes::from(body);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let request = Request::post(format!("/{function}"))
            .header("content-type", "application/json")
            .body(Body::from(body.clone()))
            .expect("a request");
        let response = runtime
            .block_on(router.clone().oneshot(request))
            .expect("infallible");
        assert!(response.status().is_success());
    });
}

fn router() -> Router {
    let drones = Arc::new(MemoryDrones::default());
    let archive = Arc::new(MemoryBlobs::default());
    let alerts: Arc<dyn AlertStore> = Arc::new(MemoryAlerts::default());
    let rules = Rules::new(&AlertSettings::default()).expect("the defaults");
    let snapshots = Arc::new(MemorySnapshots::default());
    let watermarks = Watermarks::new("telemetry".to_owned(), Arc::clone(&snapshots) as _, None);
    let files = Arc::new(MemoryFiles::default());
    let insight_units = Arc::new(Insights::new(
        Arc::clone(&files) as _,
        files,
        Intake::default(),
        false,
    ));
    let insight_schedule = Schedule::new(Arc::clone(&insight_units), "telemetry".to_owned());
    let alerting = Alerting::new(rules, snapshots, Arc::clone(&alerts));
    let state = AppState {
        drones: Arc::new(LatestState::new(Arc::clone(&drones) as _)),
        drone_lists: Arc::default(),
        alert_lists: Arc::default(),
        fleet: Arc::clone(&drones) as _,
        batch_wait: Duration::from_secs(2),
        intake: Intake::default(),
        alerting: Arc::new(alerting),
        watermarks: Arc::new(watermarks),
        alerts,
        insights: Arc::new(MemoryFiles::default()),
        insight_answers: Arc::default(),
        insight_units,
        insight_schedule: Arc::new(insight_schedule),
        archive: Arc::clone(&archive) as _,
        dead_letter_bodies: Arc::clone(&archive) as _,
        health: Arc::new(health::Checks::new(drones, archive)),
        notifier: None,
        map_tiles: None,
        authentication: Authentication(false),
    };
    let host = HostConfig::parse(HOST_JSON).expect("host.json");
    app(state, host).into_router().expect("the functions")
}

/// A call as the host makes it: see `tests/fixtures/host`.
fn envelope(drones: usize) -> String {
    let mut bodies = Vec::with_capacity(EVENTS);
    let mut system_properties = Vec::with_capacity(EVENTS);
    let mut times = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let device = format!("Simulated.drone-{:05}", number % drones);
        let second = number / drones;
        let time = format!(
            "2024-05-01T12:{:02}:{:02}.123",
            second / 60 % 60,
            second % 60
        );
        bodies.push(
            STANDARD.encode(
                json!({
                    "occurrenceUtcTime": format!("{time}4567Z"),
                    "deviceId": device,
                    "sensorType": "drone-event-sensor;v1",
                    "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
                    "velocity": "58.08",
                    "acceleration": "2.52",
                    "position": "60.631945|-99.579919|504.99",
                    "flightStatus": "1",
                })
                .to_string(),
            ),
        );
        system_properties.push(json!({
            "content-type": "application/json",
            "iothub-connection-auth-generation-id": "638500000000000000",
            "iothub-connection-auth-method": "{\"scope\":\"device\",\"type\":\"sas\",\"issuer\":\"iothub\",\"acceptingIpFilterRule\":null}",
            "iothub-connection-device-id": device,
            "iothub-enqueuedtime": format!("{time}Z"),
            "iothub-message-source": "Telemetry",
            "SequenceNumber": number,
            "Offset": number * 500,
            "OffsetString": (number * 500).to_string(),
            "PartitionKey": device,
            "EnqueuedTimeUtc": time,
        }));
        times.push(time);
    }
    let twice = |value: serde_json::Value| serde_json::Value::String(value.to_string()).to_string();
    let numbers: Vec<usize> = (0..EVENTS).collect();
    let offsets: Vec<String> = numbers
        .iter()
        .map(|number| (number * 500).to_string())
        .collect();
    let mut text = String::new();
    write!(
        text,
        r#"{{"Data":{{"events":{}}},"Metadata":{{"PartitionContext":{{"FullyQualifiedNamespace":"ns.servicebus.windows.net","EventHubName":"telemetry","ConsumerGroup":"drone-state","PartitionId":"1"}},"OffsetArray":{},"OffsetStringArray":{},"SequenceNumberArray":{},"EnqueuedTimeUtcArray":{},"PropertiesArray":{},"SystemPropertiesArray":{}}}}}"#,
        twice(json!(bodies)),
        twice(json!(offsets)),
        twice(json!(offsets)),
        twice(json!(numbers)),
        twice(json!(times)),
        twice(json!(vec![json!({}); EVENTS])),
        twice(json!(system_properties)),
    )
    .expect("writing to a String");
    text
}
