//! A device's client library against the hub's MQTT side.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, QoS as ClientQoS, StateError,
};
use serde_json::json;

use super::*;
use crate::hub::StoredEvent;

/// Generous, because a loaded machine is slow and no test measures time.
const PATIENCE: Duration = Duration::from_secs(60);

fn hub() -> (Hub, MqttListener) {
    let hub = Hub::new("telemetry", 4);
    let listener = MqttListener::start(&hub, 0).unwrap();
    (hub, listener)
}

fn client(listener: &MqttListener, device: &str) -> (AsyncClient, EventLoop) {
    let address = listener.address();
    let mut options = MqttOptions::new(device, address.ip().to_string(), address.port());
    options.set_max_packet_size(1 << 20, 1 << 20);
    AsyncClient::new(options, 16)
}

/// Drives the client until `done` says so, or until the connection fails.
async fn drive(
    events: &mut EventLoop,
    mut done: impl FnMut(&Event) -> bool,
) -> Result<(), ConnectionError> {
    tokio::time::timeout(PATIENCE, async {
        loop {
            if done(&events.poll().await?) {
                return Ok(());
            }
        }
    })
    .await
    .expect("the server answers")
}

fn acknowledged(event: &Event) -> bool {
    matches!(event, Event::Incoming(Packet::PubAck(_)))
}

fn all_events(hub: &Hub) -> Vec<std::sync::Arc<StoredEvent>> {
    (0..hub.partitions())
        .flat_map(|partition| hub.events(partition, 0))
        .collect()
}

#[tokio::test]
async fn an_acknowledged_event_is_in_the_log_as_iot_hub_would_put_it_there() {
    let (hub, listener) = hub();
    let (client, mut events) = client(&listener, "drone-7");
    let topic = "devices/drone-7/messages/events/mission=blue%20sky&$.ct=application%2Fjson";
    client
        .publish(topic, ClientQoS::AtLeastOnce, false, r#"{"a":1}"#)
        .await
        .unwrap();
    drive(&mut events, acknowledged).await.unwrap();

    let partition = hub.partition_for_key("drone-7");
    let [event] = &hub.events(partition, 0)[..] else {
        panic!("{:?}", all_events(&hub));
    };
    assert_eq!(event.body(), &br#"{"a":1}"#[..]);
    assert_eq!(event.partition_key, None);
    assert_eq!(
        serde_json::Value::from(event.properties()),
        json!({"mission": "blue sky"})
    );
    let system = event.system_properties();
    assert_eq!(system["iothub-connection-device-id"], "drone-7");
    assert_eq!(system["content-type"], "application/json");
    assert!(system.contains_key("iothub-enqueuedtime"));
}

#[tokio::test]
async fn events_of_quality_0_arrive_in_order_with_those_of_quality_1() {
    let (hub, listener) = hub();
    let (client, mut events) = client(&listener, "drone-7");
    let send = async {
        for number in 0..50 {
            let quality = match number % 2 {
                0 => ClientQoS::AtMostOnce,
                _ => ClientQoS::AtLeastOnce,
            };
            let topic = "devices/drone-7/messages/events/";
            client
                .publish(topic, quality, false, number.to_string())
                .await
                .unwrap();
        }
    };
    // The last one is of quality 1: when it is acknowledged, all are there.
    let mut acknowledgements = 0;
    let receive = drive(&mut events, |event| {
        acknowledgements += usize::from(acknowledged(event));
        acknowledgements == 25
    });
    let ((), received) = tokio::join!(send, receive);
    received.unwrap();
    let bodies: Vec<_> = hub
        .events(hub.partition_for_key("drone-7"), 0)
        .iter()
        .map(|event| String::from_utf8(event.body().to_vec()).unwrap())
        .collect();
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn any_payload_arrives_byte_for_byte_up_to_the_largest() {
    let (hub, listener) = hub();
    let (client, mut events) = client(&listener, "drone-7");
    let topic = "devices/drone-7/messages/events/";
    let large: Vec<u8> = (0..200 * 1024).map(|byte| byte as u8).collect();
    for payload in [vec![], vec![0xff, 0, 1], large] {
        client
            .publish(topic, ClientQoS::AtLeastOnce, false, payload.clone())
            .await
            .unwrap();
        drive(&mut events, acknowledged).await.unwrap();
        let stored = hub.events(hub.partition_for_key("drone-7"), 0);
        assert_eq!(stored.last().unwrap().body(), payload);
    }
    client
        .publish(topic, ClientQoS::AtLeastOnce, false, vec![1; 300 * 1024])
        .await
        .unwrap();
    drive(&mut events, acknowledged).await.unwrap_err();
    assert_eq!(hub.appended(), 3);
}

#[tokio::test]
async fn what_iot_hub_would_not_take_closes_the_connection() {
    for (topic, quality) in [
        ("devices/drone-8/messages/events/", ClientQoS::AtLeastOnce),
        ("devices/drone-8/messages/events/", ClientQoS::AtMostOnce),
        ("telemetry", ClientQoS::AtLeastOnce),
        ("devices/drone-7/messages/events/", ClientQoS::ExactlyOnce),
        (
            "devices/drone-7/messages/events/at=12:30",
            ClientQoS::AtLeastOnce,
        ),
        ("$iothub/else", ClientQoS::AtLeastOnce),
    ] {
        let (hub, listener) = hub();
        let (client, mut events) = client(&listener, "drone-7");
        client.publish(topic, quality, false, "{}").await.unwrap();
        let error = drive(&mut events, acknowledged).await.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectionError::MqttState(StateError::Io(_) | StateError::ConnectionAborted)
            ),
            "{topic}: {error:?}"
        );
        assert_eq!(hub.appended(), 0, "{topic}");
    }
}

#[tokio::test]
async fn a_client_that_is_no_device_or_names_another_is_turned_away() {
    for (id, user, code) in [
        ("not a device", None, ConnectReturnCode::BadClientId),
        (
            "drone-7",
            Some("hub.example/drone-8/?api-version=2021-04-12"),
            ConnectReturnCode::NotAuthorized,
        ),
    ] {
        let (_hub, listener) = hub();
        let address = listener.address();
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        if let Some(user) = user {
            options.set_credentials(user, "SharedAccessSignature sr=nobody");
        }
        let (_client, mut events) = AsyncClient::new(options, 1);
        let error = drive(&mut events, |_| false).await.unwrap_err();
        assert!(
            matches!(&error, ConnectionError::ConnectionRefused(refusal) if *refusal == code),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn subscriptions_and_pings_are_answered() {
    let (_hub, listener) = hub();
    let address = listener.address();
    let mut options = MqttOptions::new("drone-7", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(1));
    let (client, mut events) = AsyncClient::new(options, 16);
    client
        .subscribe(
            "devices/drone-7/messages/devicebound/#",
            ClientQoS::AtLeastOnce,
        )
        .await
        .unwrap();
    drive(&mut events, |event| {
        matches!(event, Event::Incoming(Packet::SubAck(_)))
    })
    .await
    .unwrap();
    drive(&mut events, |event| {
        matches!(event, Event::Incoming(Packet::PingResp))
    })
    .await
    .unwrap();
    client.disconnect().await.unwrap();
    drive(&mut events, |event| {
        matches!(event, Event::Outgoing(Outgoing::Disconnect))
    })
    .await
    .unwrap();
}

fn subscribed(event: &Event) -> bool {
    matches!(event, Event::Incoming(Packet::SubAck(_)))
}

fn connected(event: &Event) -> bool {
    matches!(event, Event::Incoming(Packet::ConnAck(_)))
}

const EVENTS: &str = "devices/drone-7/messages/events/";

/// A device's client library asks for its twin at the start, and goes on to send.
#[tokio::test]
async fn a_twin_is_answered_for_and_the_telemetry_after_it_taken() {
    let (hub, listener) = hub();
    let (client, mut events) = client(&listener, "drone-7");
    // Before anybody has subscribed there is no answer, and no harm.
    let qos = ClientQoS::AtLeastOnce;
    client
        .publish("$iothub/twin/GET/?$rid=0", qos, false, "")
        .await
        .unwrap();
    drive(&mut events, acknowledged).await.unwrap();
    for topic in ["$iothub/twin/res/#", "$iothub/methods/POST/#"] {
        client
            .subscribe(topic, ClientQoS::AtMostOnce)
            .await
            .unwrap();
        drive(&mut events, subscribed).await.unwrap();
    }
    let report = "$iothub/twin/PATCH/properties/reported/?$rid=";
    let (first, second) = (format!("{report}2"), format!("{report}3"));
    for (topic, payload, answer, body) in [
        (
            "$iothub/twin/GET/?$rid=1",
            "",
            "$iothub/twin/res/200/?$rid=1",
            r#"{"desired":{"$version":1},"reported":{"$version":1}}"#,
        ),
        (
            &first,
            r#"{"firmware":"1.2"}"#,
            "$iothub/twin/res/204/?$rid=2&$version=2",
            "",
        ),
        (&second, "no JSON", "$iothub/twin/res/400/?$rid=3", ""),
    ] {
        client.publish(topic, qos, false, payload).await.unwrap();
        let mut said = None;
        drive(&mut events, |event| {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                said = Some((publish.topic.clone(), publish.payload.clone()));
            }
            said.is_some()
        })
        .await
        .unwrap();
        let (topic, payload) = said.unwrap();
        assert_eq!((topic.as_str(), &payload[..]), (answer, body.as_bytes()));
    }
    for (topic, payload) in [
        ("$iothub/methods/res/200/?$rid=1", "{}"),
        (EVENTS, "telemetry"),
    ] {
        client.publish(topic, qos, false, payload).await.unwrap();
    }
    until(|| hub.appended() == 1, &mut events).await;
    assert_eq!(all_events(&hub)[0].body(), &b"telemetry"[..]);
}

/// Drives the client until something is true of the hub.
async fn until(done: impl Fn() -> bool, events: &mut EventLoop) {
    let wait = async {
        while !done() {
            _ = tokio::time::timeout(Duration::from_millis(20), events.poll()).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it becomes true");
}

#[tokio::test]
async fn a_device_has_one_connection_and_the_newest_is_it() {
    let (hub, listener) = hub();
    let (_first, mut first_events) = client(&listener, "drone-7");
    drive(&mut first_events, connected).await.unwrap();
    let (_other, mut other_events) = client(&listener, "drone-8");
    drive(&mut other_events, connected).await.unwrap();
    let (second, mut second_events) = client(&listener, "drone-7");
    drive(&mut second_events, connected).await.unwrap();
    drive(&mut first_events, |_| false).await.unwrap_err();
    second
        .publish(EVENTS, ClientQoS::AtLeastOnce, false, "{}")
        .await
        .unwrap();
    drive(&mut second_events, acknowledged).await.unwrap();
    assert_eq!(hub.appended(), 1);
}

#[tokio::test]
async fn a_will_is_an_event_of_a_connection_that_broke_and_of_no_other() {
    for breaks in [true, false] {
        let (hub, listener) = hub();
        let address = listener.address();
        let mut options = MqttOptions::new("drone-7", address.ip().to_string(), address.port());
        let topic = format!("{EVENTS}why=gone");
        let will = rumqttc::LastWill::new(topic, "lost", ClientQoS::AtLeastOnce, false);
        options.set_last_will(will);
        let (client, mut events) = AsyncClient::new(options, 16);
        drive(&mut events, connected).await.unwrap();
        if !breaks {
            client.disconnect().await.unwrap();
            let gone = |event: &Event| matches!(event, Event::Outgoing(Outgoing::Disconnect));
            drive(&mut events, gone).await.unwrap();
        }
        drop(events);
        // What is sent after it shows that the one before has ended.
        let (client, mut events) = self::client(&listener, "drone-8");
        let wait = async {
            while breaks && hub.appended() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a will");
        let topic = "devices/drone-8/messages/events/";
        client
            .publish(topic, ClientQoS::AtLeastOnce, false, "{}")
            .await
            .unwrap();
        drive(&mut events, acknowledged).await.unwrap();
        let told = all_events(&hub);
        let told: Vec<_> = told
            .iter()
            .filter(|event| event.body() == &b"lost"[..])
            .collect();
        assert_eq!(told.len(), usize::from(breaks));
        for event in told {
            assert_eq!(event.system_properties()["iothub-MessageType"], "Will");
            assert_eq!(
                event.system_properties()["iothub-connection-device-id"],
                "drone-7"
            );
            assert_eq!(event.properties()["why"], "gone");
        }
    }
}

#[tokio::test]
async fn a_dropped_listener_closes_its_connections_and_frees_its_port() {
    let (_hub, listener) = hub();
    let address = listener.address();
    let (_client, mut events) = client(&listener, "drone-7");
    drive(&mut events, |event| {
        matches!(event, Event::Incoming(Packet::ConnAck(_)))
    })
    .await
    .unwrap();
    drop(listener);
    drive(&mut events, |_| false).await.unwrap_err();
    let bound = async {
        while std::net::TcpListener::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, bound).await.unwrap();
}
