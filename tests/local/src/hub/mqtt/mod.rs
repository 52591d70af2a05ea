//! The hub's MQTT side: what a device would say to IoT Hub, over plain TCP and without a password.
//!
//! MQTT 3.1.1. The client id is the device id, and stands for the identity that IoT Hub would have
//! checked: it becomes `iothub-connection-device-id`, whatever the payload says. Events go to
//! `devices/{deviceId}/messages/events/`, with a property bag if there is one, at QoS 0 or 1; an
//! acknowledged event is in the log.
//!
//! What IoT Hub does besides, and this does too:
//! - QoS 2, another device's topic, a topic that is none, and a colon or a space in a property that is not percent-encoded close
//!   the connection.
//! - A device has one connection: the next one under its name closes the one before.
//! - The will, on the topic of events, is an event with the property `iothub-MessageType` = `Will`, when a connection ends without a
//!   DISCONNECT.
//! - A twin is asked for and reported to on `$iothub/twin/…`: everybody has an empty one, which counts its versions and keeps nothing.
//!   The answers go to those who have subscribed to `$iothub/twin/res/#`.
//! - Answers of direct methods, `$iothub/methods/res/…`, are taken, and nobody calls one.
//!
//! Other subscriptions are accepted, and nothing comes of them.

mod connections;
mod topic;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use drone_delivery::domain::DeviceId;
use ntex_mqtt::v3::{
    Connect, ConnectAck, MqttServer, ProtocolMessage, ProtocolMessageAck, Publish, Session,
};
use ntex_mqtt::{MqttServiceConfig, QoS};
use ntex_net::Reactor as _;
use ntex_net::tokio::Reactor;
use ntex_service::Pipeline;
use ntex_service::cfg::SharedCfg;
use time::UtcDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot, watch};

use super::{Hub, NewEvent};
use connections::{Connected, Connections};
use topic::{Properties, Topic, TopicError};

/// Where the answers about twins go, as it is subscribed to.
const TWIN_ANSWERS: &str = "$iothub/twin/res/#";

/// The largest event that IoT Hub takes from a device, with its properties: 256 KB.
pub const MAX_MESSAGE_BYTES: u32 = 256 * 1024;

/// Accepts devices until it is dropped.
#[derive(Debug)]
pub struct MqttListener {
    address: SocketAddr,
    accepted: watch::Receiver<u64>,
    /// Closing it ends the thread and every connection.
    _stop: oneshot::Sender<Infallible>,
}

impl MqttListener {
    /// Listens on 127.0.0.1; 0 for any free port.
    ///
    /// # Errors
    /// Where the port is in use, or no thread can be started.
    pub fn start(hub: &Hub, port: u16) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (count, accepted) = watch::channel(0);
        let hub = hub.clone();
        // The MQTT library's connections stay on the thread that made them; one is enough, and it has
        // nothing else to do.
        std::thread::Builder::new()
            .name("mqtt".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else { return };
                let system = ntex_rt::System::build()
                    .name("mqtt")
                    .signals(false)
                    .build(ntex_net::DefaultRuntime);
                runtime.block_on(system.run_local(async move {
                    tokio::select! {
                        _ = stopped => {}
                        _ = accept(listener, hub, count) => {}
                    }
                }));
            })?;
        Ok(Self {
            address,
            accepted,
            _stop: stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows how many connections there were so far.
    #[must_use]
    pub fn watch_accepted(&self) -> watch::Receiver<u64> {
        self.accepted.clone()
    }
}

async fn accept(
    listener: std::net::TcpListener,
    hub: Hub,
    count: watch::Sender<u64>,
) -> std::io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let settings: SharedCfg = SharedCfg::new("mqtt")
        .add(
            MqttServiceConfig::new()
                .set_max_qos(QoS::AtLeastOnce)
                .set_max_size(MAX_MESSAGE_BYTES)
                .set_max_receive_size(MAX_MESSAGE_BYTES as usize)
                // A client that says its piece and goes has been heard.
                .set_handle_qos_after_disconnect(Some(QoS::AtLeastOnce)),
        )
        .into();
    let connections = Connections::default();
    let server = MqttServer::new(take)
        .protocol(answer)
        .build(async move |connect: Connect| {
            Ok::<_, TakeError>(greet(connect, &hub, &connections))
        });
    let server = std::rc::Rc::new(Pipeline::new((), server));
    loop {
        // What fails here is one connection, such as for want of file handles; the next may not.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let io = stream
            .into_std()
            .and_then(|stream| Reactor.from_tcp_stream(stream, settings.clone()));
        let Ok(io) = io else { continue };
        count.send_modify(|count| *count += 1);
        let server = std::rc::Rc::clone(&server);
        tokio::task::spawn_local(async move {
            // A device that breaks the protocol or goes away is its own affair.
            _ = server.call(ntex_io::IoBoxed::from(io)).await;
        });
    }
}

/// A connected device.
struct Device {
    id: String,
    hub: Hub,
    /// Serves a device's events first come, first served: a large payload comes in pieces, and the next
    /// event must not overtake it.
    turn: Mutex<()>,
    /// What is to be said when the connection ends without a word; `None` once it has ended well.
    will: RefCell<Option<NewEvent>>,
    /// Whether it waits for answers about its twin.
    hears_of_twin: Cell<bool>,
    /// How often the twin was reported to on this connection, and once for its beginning.
    twin_version: Cell<u64>,
    /// Its place among the connections, which it leaves when it goes.
    _connected: Connected,
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(will) = self.will.take() {
            self.hub.append(will);
        }
    }
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("the payload did not come: {0:?}")]
    Payload(ntex_mqtt::error::PayloadError),
}

/// The client id is the device's. A user name, where there is one, is IoT Hub's
/// `{host}/{deviceId}/?api-version=…`, and says the same.
fn greet(connect: Connect, hub: &Hub, connections: &Connections) -> ConnectAck<Device> {
    let packet = connect.packet();
    let id = packet.client_id.to_string();
    if id.parse::<DeviceId>().is_err() {
        return connect.identifier_rejected();
    }
    let named = packet
        .username
        .as_ref()
        .and_then(|name| name.split('/').nth(1));
    if named.is_some_and(|named| named != id) {
        return connect.not_authorized();
    }
    let will = match &packet.last_will {
        None => None,
        Some(will) => match Topic::parse(&id, &will.topic) {
            Ok(Topic::Event(properties)) => {
                let body = Bytes::copy_from_slice(&will.message);
                let mut event = event(hub, &id, body, properties, will.retain);
                let will = "Will".into();
                event
                    .system_properties
                    .insert(MESSAGE_TYPE.to_owned(), will);
                Some(event)
            }
            // A will that could never be told.
            _ => return connect.service_unavailable(),
        },
    };
    let connected = connections.enter(&id, connect.sink());
    let device = Device {
        id,
        hub: hub.clone(),
        turn: Mutex::default(),
        will: RefCell::new(will),
        hears_of_twin: Cell::new(false),
        twin_version: Cell::new(1),
        _connected: connected,
    };
    connect.ack(device, false)
}

/// The system property that tells a will from other events.
const MESSAGE_TYPE: &str = "iothub-MessageType";

/// What IoT Hub puts into the hub for what a device has sent.
fn event(hub: &Hub, device: &str, body: Bytes, properties: Properties, retain: bool) -> NewEvent {
    let mut event = NewEvent::new(body).with_iot_hub_device(device, UtcDateTime::now());
    properties.put_into(&mut event);
    if retain {
        // IoT Hub keeps nothing, and tells the reader that it was asked to.
        event
            .properties
            .insert("mqtt-retain".to_owned(), "true".into());
    }
    event.partition = Some(hub.partition_for_key(device));
    event
}

async fn take(device: &Session<Device>, publish: Publish) -> Result<(), TakeError> {
    let _turn = device.turn.lock().await;
    let topic = Topic::parse(&device.id, publish.publish_topic())?;
    let payload = match publish.payload_size() {
        0 => Bytes::new(),
        _ => {
            let payload = publish.read_all().await.map_err(TakeError::Payload)?;
            Bytes::copy_from_slice(&payload)
        }
    };
    match topic {
        Topic::Event(properties) => {
            let event = event(
                &device.hub,
                &device.id,
                payload,
                properties,
                publish.retain(),
            );
            device.hub.append(event);
        }
        Topic::TwinGet { request } => {
            let version = device.twin_version.get();
            let twin =
                format!(r#"{{"desired":{{"$version":1}},"reported":{{"$version":{version}}}}}"#);
            tell_of_twin(device, &format!("200/?$rid={request}"), twin);
        }
        Topic::TwinReport { request } => {
            let is_object = serde_json::from_slice::<serde_json::Map<_, _>>(&payload).is_ok();
            let answer = if is_object {
                let version = device.twin_version.get() + 1;
                device.twin_version.set(version);
                format!("204/?$rid={request}&$version={version}")
            } else {
                format!("400/?$rid={request}")
            };
            tell_of_twin(device, &answer, String::new());
        }
        Topic::MethodAnswer => {}
    }
    Ok(())
}

fn tell_of_twin(device: &Session<Device>, answer: &str, body: String) {
    if device.hears_of_twin.get() {
        let topic = format!("$iothub/twin/res/{answer}");
        // Whoever is gone does not hear it.
        _ = device.sink().publish(topic).send_at_most_once(body.into());
    }
}

async fn answer(
    device: &Session<Device>,
    message: ProtocolMessage,
) -> Result<ProtocolMessageAck, TakeError> {
    Ok(match message {
        ProtocolMessage::Subscribe(mut subscribe) => {
            for mut subscription in &mut subscribe {
                if subscription.topic() == TWIN_ANSWERS {
                    device.hears_of_twin.set(true);
                }
                // QoS 2 is granted as 1.
                let quality = match subscription.qos() {
                    QoS::AtMostOnce => QoS::AtMostOnce,
                    _ => QoS::AtLeastOnce,
                };
                subscription.confirm(quality);
            }
            subscribe.ack()
        }
        ProtocolMessage::Unsubscribe(unsubscribe) => {
            if unsubscribe.iter().any(|topic| topic == TWIN_ANSWERS) {
                device.hears_of_twin.set(false);
            }
            unsubscribe.ack()
        }
        ProtocolMessage::Disconnect(disconnect) => {
            device.will.take();
            disconnect.ack()
        }
        other => other.ack(),
    })
}

#[cfg(test)]
mod tests;
