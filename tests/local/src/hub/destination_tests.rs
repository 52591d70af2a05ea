//! The drones' destinations against the hub: the very code that sends to Event Hubs and IoT Hub, over
//! loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::json;
use simulator::{Destination, DestinationError, Fleet, Plan, Scenario, SimulatedEvent};
use time::UtcDateTime;
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A hub and its address over HTTP.
async fn served() -> (Hub, String) {
    let hub = Hub::new("telemetry", 4);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, hub.router()).into_future());
    (hub, address)
}

/// Events of every kind from 12 drones: good, malformed, repeated and spoofed ones.
fn events() -> Vec<SimulatedEvent> {
    let plan = Plan {
        scenario: Scenario {
            malformed: 0.1,
            spoofed: 0.1,
            ..Scenario::MIXED
        },
        ..Plan::new(12, 3)
    };
    let mut fleet = Fleet::new(&plan);
    let now = UtcDateTime::now();
    (0..400).filter_map(|_| fleet.next_event(now)).collect()
}

/// The bodies of each device in their order, as they were sent.
fn sent(events: &[SimulatedEvent]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut bodies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events {
        bodies
            .entry(event.device_id.clone())
            .or_default()
            .push(event.body.clone());
    }
    bodies
}

/// The same from the hub's log, by what tells the device.
fn arrived(
    hub: &Hub,
    device: impl Fn(&StoredEvent) -> Option<String>,
) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut bodies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for partition in 0..hub.partitions() {
        for event in hub.events(partition, 0) {
            let device = device(&event).expect("the event names its device");
            assert_eq!(partition, hub.partition_for_key(&device));
            bodies
                .entry(device)
                .or_default()
                .push(event.body().to_vec());
        }
    }
    bodies
}

fn authenticated(event: &StoredEvent) -> Option<String> {
    let properties = event.system_properties();
    let id = properties.get("iothub-connection-device-id")?;
    id.as_str().map(str::to_owned)
}

fn event_hubs(address: &str, hub: Option<&str>) -> Destination {
    let connection = format!(
        "Endpoint=sb://{address};SharedAccessKeyName=drones;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"
    );
    Destination::event_hubs(&connection, hub).unwrap()
}

fn iot_hub(listener: &MqttListener) -> String {
    let address = listener.address();
    format!(
        "HostName={address};SharedAccessKeyName=device;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"
    )
}

#[tokio::test]
async fn the_local_hub_gets_every_event_with_the_device_that_sent_it() {
    let (hub, address) = served().await;
    let events = events();
    let expected = sent(&events);
    let mut destination = Destination::local(&format!("http://{address}/telemetry")).unwrap();
    destination.send(events).await.unwrap();
    destination.flush().await.unwrap();
    assert_eq!(arrived(&hub, authenticated), expected);
}

#[tokio::test]
async fn an_event_hub_gets_every_event_under_its_devices_partition_key() {
    let (hub, address) = served().await;
    let events = events();
    let expected = sent(&events);
    let mut destination = event_hubs(&address, Some("telemetry"));
    destination.send(events).await.unwrap();
    let arrived = arrived(&hub, |event| {
        assert_eq!(authenticated(event), None, "Event Hubs knows no devices");
        event.partition_key.as_deref().map(str::to_owned)
    });
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn an_iot_hub_gets_every_event_on_its_devices_own_connection() {
    let hub = Hub::new("telemetry", 4);
    let listener = MqttListener::start(&hub, 0).unwrap();
    let events = events();
    let expected = sent(&events);
    let mut destination = Destination::iot_hub(&iot_hub(&listener)).unwrap();
    for event in events {
        destination.send(vec![event]).await.unwrap();
    }
    destination.flush().await.unwrap();
    assert_eq!(arrived(&hub, authenticated), expected);
    assert_eq!(*listener.watch_accepted().borrow(), 12);
}

/// What the Device Provisioning Service answers a drone: first that it is busy, then that it works on it, then its hub.
async fn provisioning(hub: String, asked: Arc<Mutex<Vec<String>>>) -> String {
    let answer = move |request: Request| {
        let (hub, asked) = (hub.clone(), Arc::clone(&asked));
        async move {
            let path = request.uri().path().to_owned();
            let token = request.headers()["authorization"].to_str().unwrap();
            let device = path.split('/').nth(3).unwrap();
            let resource = format!("sr=0ne00000001%2Fregistrations%2F{device}&");
            assert!(
                token.contains(&resource) && token.ends_with("&skn=registration"),
                "{token}"
            );
            assert_eq!(request.uri().query(), Some("api-version=2021-06-01"));
            let before = {
                let mut asked = asked.lock().unwrap();
                asked.push(format!("{} {path}", request.method()));
                asked.iter().filter(|asked| asked.ends_with(&path)).count()
            };
            let status = match (
                request.method().as_str(),
                path.ends_with("/register"),
                before,
            ) {
                ("PUT", true, 1) => {
                    return (
                        StatusCode::TOO_MANY_REQUESTS,
                        [("retry-after", "0")],
                        String::new(),
                    );
                }
                ("PUT", true, _) => json!({"operationId": "op.1", "status": "assigning"}),
                ("GET", false, 1) => json!({"operationId": "op.1", "status": "assigning"}),
                ("GET", false, _) if device == "banned" => json!({
                    "operationId": "op.1", "status": "disabled",
                    "registrationState": {"registrationId": device, "status": "disabled"},
                }),
                ("GET", false, _) => json!({
                    "operationId": "op.1", "status": "assigned",
                    "registrationState": {"registrationId": device, "assignedHub": hub, "deviceId": device, "status": "assigned"},
                }),
                other => panic!("{other:?}"),
            };
            (
                StatusCode::ACCEPTED,
                [("retry-after", "0")],
                status.to_string(),
            )
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

fn provisioned(endpoint: &str) -> Destination {
    let settings = |name| match name {
        "DPS_ID_SCOPE" => Some("0ne00000001".to_owned()),
        "DPS_GROUP_KEY" => Some("c2VjcmV0".to_owned()),
        "DPS_ENDPOINT" => Some(endpoint.to_owned()),
        _ => None,
    };
    Destination::iot_hub_from_settings(settings).unwrap()
}

#[tokio::test]
async fn drones_that_nobody_has_registered_are_told_their_hub_and_come_in() {
    let hub = Hub::new("telemetry", 4);
    let listener = MqttListener::start(&hub, 0).unwrap();
    let asked = Arc::default();
    let service = provisioning(listener.address().to_string(), Arc::clone(&asked)).await;
    let events = events();
    let expected = sent(&events);
    let mut destination = provisioned(&service);
    for event in events {
        destination.send(vec![event]).await.unwrap();
    }
    destination.flush().await.unwrap();
    assert_eq!(arrived(&hub, authenticated), expected);
    // Each drone: turned away once, taken, and asked twice what has become of it.
    assert_eq!(asked.lock().unwrap().len(), 12 * 4);
}

#[tokio::test]
async fn a_drone_that_may_not_come_in_is_named_and_no_key_is() {
    let hub = Hub::new("telemetry", 1);
    let listener = MqttListener::start(&hub, 0).unwrap();
    let service = provisioning(listener.address().to_string(), Arc::default()).await;
    let mut destination = provisioned(&service);
    let banned = SimulatedEvent {
        device_id: "banned".to_owned(),
        ..events().remove(0)
    };
    destination.send(vec![banned]).await.unwrap();
    let error = destination.flush().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "a drone was refused: banned: the registration is disabled"
    );

    let of = |key: &'static str, endpoint: &'static str| {
        let settings = move |name: &str| match name {
            "DPS_ID_SCOPE" => Some("0ne00000001".to_owned()),
            "DPS_GROUP_KEY" => Some(key.to_owned()).filter(|key| !key.is_empty()),
            "DPS_ENDPOINT" => Some(endpoint.to_owned()),
            _ => None,
        };
        Destination::iot_hub_from_settings(settings)
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        of("", "https://dps.example.com"),
        "DPS_GROUP_KEY is not set"
    );
    assert_eq!(
        of("***", "https://dps.example.com"),
        "DPS_GROUP_KEY has no valid value="
    );
    assert_eq!(
        of("c2VjcmV0", "http://dps.example.com"),
        "DPS_ENDPOINT has no valid value="
    );
}

#[tokio::test]
async fn a_drone_connects_anew_before_its_token_ends_and_loses_nothing() {
    let hub = Hub::new("telemetry", 1);
    let listener = MqttListener::start(&hub, 0).unwrap();
    let lifetime = Duration::from_millis(120);
    let mut destination = Destination::iot_hub_with_tokens(&iot_hub(&listener), lifetime).unwrap();
    let events: Vec<_> = events().into_iter().take(40).collect();
    let mut expected = sent(&events);
    let mut accepted = listener.watch_accepted();
    for (number, event) in events.into_iter().enumerate() {
        destination.send(vec![event]).await.unwrap();
        if number % 10 == 0 {
            // Every ten events, somebody has come back with a new token.
            let before = *accepted.borrow();
            let later = accepted.wait_for(|count| *count > before);
            tokio::time::timeout(PATIENCE, later)
                .await
                .unwrap()
                .unwrap();
        }
    }
    destination.flush().await.unwrap();
    // What was under way at that moment comes again: at least once, never none.
    let mut arrived = arrived(&hub, authenticated);
    for bodies in expected.values_mut().chain(arrived.values_mut()) {
        bodies.sort_unstable();
        bodies.dedup();
    }
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn a_destination_that_refuses_says_so_and_never_shows_a_key() {
    let (_hub, address) = served().await;
    let mut wrong_hub = event_hubs(&address, Some("other"));
    let error = wrong_hub.send(events()).await.unwrap_err();
    assert!(matches!(error, DestinationError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("c2VjcmV0"), "{error}");

    for (text, expected) in [
        ("", "EVENT_HUBS_CONNECTION_STRING has no valid Endpoint="),
        (
            "Endpoint=sb://fleet;SharedAccessKeyName=drones;SharedAccessKey=c2VjcmV0",
            "EVENT_HUB_NAME is not set",
        ),
    ] {
        let error = Destination::event_hubs(text, None).err().unwrap();
        assert_eq!(error.to_string(), expected);
    }
    for text in [
        "HostName=fleet;SharedAccessKeyName=device",
        "HostName=fleet;SharedAccessKeyName=device;SharedAccessKey=***",
    ] {
        let error = Destination::iot_hub(text).err().unwrap();
        let expected = "IOT_HUB_CONNECTION_STRING has no valid SharedAccessKey=";
        assert_eq!(error.to_string(), expected);
    }
}
