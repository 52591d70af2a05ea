//! IoT Hub over MQTT: a connection for each drone, and a token that is renewed while it flies. A drone that nobody has registered
//! asks the Device Provisioning Service first which hub is its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use azure_functions_sdk::connection::SharedAccessKey;
use futures_util::{StreamExt, stream};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet,
    Publish, QoS, Request, Transport,
};
use rustls::{ClientConfig, RootCertStore};
use time::UtcDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::connection_string::ConnectionString;
use super::provisioning::{Assigned, NotAssigned, Provisioning};
use super::{DestinationError, by_device};
use crate::{SimulatedEvent, tls};

/// The variable with the connection string.
const SETTING: &str = "IOT_HUB_CONNECTION_STRING";

/// What the user name asks IoT Hub to speak.
const API_VERSION: &str = "2021-04-12";

/// Events of one drone that wait for the network, and how many drones are served at once.
const WAITING: usize = 64;
const CONCURRENCY: usize = 1_024;

/// Twice the article's cadence with room to spare: a drone that is heard of every 5 s needs no pings.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The pause before a drone connects again, which doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the last events may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest event that IoT Hub takes.
const MAX_PACKET: usize = 256 * 1024;

/// An IoT hub, or several of a Device Provisioning Service.
pub(super) struct IotHub {
    way: Arc<Way>,
    drones: HashMap<String, AsyncClient>,
    connections: JoinSet<()>,
    sent: u64,
    acknowledged: Arc<AtomicU64>,
    /// Why a drone was turned away for good; the first reason stays.
    refusal: watch::Sender<Option<String>>,
}

/// How drones get to their hub.
enum Way {
    /// All know it, and one key for all.
    Known(Arc<Account>),
    /// Each asks.
    Provisioned(Provisioning, Tokens),
}

/// How long a token is good, and how long it is used.
#[derive(Clone, Copy)]
struct Tokens {
    lifetime: Duration,
    used: Duration,
}

impl Tokens {
    fn of(lifetime: Duration) -> Self {
        Self {
            lifetime,
            used: lifetime * 5 / 6,
        }
    }
}

/// How drones present themselves.
struct Account {
    host: String,
    port: u16,
    transport: Transport,
    key: SharedAccessKey,
    /// The name of the key, for one that is good for every device.
    policy: Option<String>,
    tokens: Tokens,
}

impl IotHub {
    /// The connection string is that of a policy with the permission DeviceConnect, such as `device`: one
    /// key for all drones. The drones must be registered.
    pub(super) fn from_connection_string(
        text: &str,
        token_lifetime: Duration,
    ) -> Result<Self, DestinationError> {
        let parts = ConnectionString::new(SETTING, text);
        let host = parts.require("HostName")?;
        let key = parts.require("SharedAccessKey")?;
        let policy = parts.require("SharedAccessKeyName")?;
        let (host, port, transport) = if parts.is_emulator() {
            let (host, port) = host.split_once(':').unwrap_or((host, "1883"));
            let port = port.parse().map_err(|_| DestinationError::Part {
                setting: SETTING,
                name: "HostName",
            })?;
            (host, port, Transport::tcp())
        } else {
            (host, 8883, Transport::tls_with_config(tls_config()?.into()))
        };
        Ok(Self::new(Way::Known(Arc::new(Account {
            host: host.to_owned(),
            port,
            transport,
            key: SharedAccessKey::base64(key).ok_or(DestinationError::Part {
                setting: SETTING,
                name: "SharedAccessKey",
            })?,
            policy: Some(policy.to_owned()),
            tokens: Tokens::of(token_lifetime),
        }))))
    }

    /// Drones that nobody has registered.
    pub(super) fn provisioned(service: Provisioning, token_lifetime: Duration) -> Self {
        Self::new(Way::Provisioned(service, Tokens::of(token_lifetime)))
    }

    fn new(way: Way) -> Self {
        Self {
            way: Arc::new(way),
            drones: HashMap::new(),
            connections: JoinSet::new(),
            sent: 0,
            acknowledged: Arc::default(),
            refusal: watch::Sender::new(None),
        }
    }

    /// Returns when every event is with its drone's connection; [`IotHub::flush`] waits for IoT Hub.
    pub(super) async fn send(
        &mut self,
        events: Vec<SimulatedEvent>,
    ) -> Result<(), DestinationError> {
        self.sent += events.len() as u64;
        let batches: Vec<_> = by_device(events)
            .into_iter()
            .map(|(device, events)| (self.client(&device), device, events))
            .collect();
        let publishing = stream::iter(batches)
            .map(|(client, device, events)| async move {
                let topic = format!("devices/{device}/messages/events/");
                for event in events {
                    // Fails only where the connection is gone for good, and that is told elsewhere.
                    _ = client
                        .publish(&topic, QoS::AtLeastOnce, false, event.body)
                        .await;
                }
            })
            .buffer_unordered(CONCURRENCY)
            .for_each(|()| async {});
        let mut refusal = self.refusal.subscribe();
        tokio::select! {
            () = publishing => Ok(()),
            refused = refused(&mut refusal) => Err(refused),
        }
    }

    /// Waits until IoT Hub has acknowledged everything.
    pub(super) async fn flush(&mut self) -> Result<(), DestinationError> {
        let mut refusal = self.refusal.subscribe();
        let all = async {
            while self.acknowledged.load(Ordering::Acquire) < self.sent {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            done = timeout(PATIENCE, all) => done.map_err(|_| DestinationError::Unacknowledged {
                events: self.sent - self.acknowledged.load(Ordering::Acquire),
            }),
            refused = refused(&mut refusal) => Err(refused),
        }
    }

    /// The drone's client; it connects with the drone's first event, so that a fleet does not connect as
    /// a herd.
    fn client(&mut self, device: &str) -> AsyncClient {
        if let Some(client) = self.drones.get(device) {
            return client.clone();
        }
        // Without a host until its hub is known; nothing connects before.
        let (client, events) = AsyncClient::new(MqttOptions::new(device, "", 0), WAITING);
        self.connections.spawn(come_in(
            events,
            device.to_owned(),
            Arc::clone(&self.way),
            Arc::clone(&self.acknowledged),
            self.refusal.clone(),
        ));
        self.drones.insert(device.to_owned(), client.clone());
        client
    }
}

impl Way {
    /// The hub of a drone. Asks until there is one.
    async fn account(&self, device: &str) -> Result<Arc<Account>, String> {
        let (service, tokens) = match self {
            Self::Known(account) => return Ok(Arc::clone(account)),
            Self::Provisioned(service, tokens) => (service, *tokens),
        };
        let mut pause = PAUSE;
        loop {
            match service.assign(device).await {
                Ok(assigned) => return Account::assigned(service, assigned, tokens).map(Arc::new),
                Err(NotAssigned::Refused(why)) => return Err(why),
                Err(NotAssigned::Later) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Account {
    fn assigned(
        service: &Provisioning,
        assigned: Assigned,
        tokens: Tokens,
    ) -> Result<Self, String> {
        let Assigned { hub, key } = assigned;
        let (host, port, transport) = match hub.split_once(':') {
            Some((host, port)) if service.is_emulator() => {
                let port = port.parse().map_err(|_| "its hub has no port".to_owned())?;
                (host.to_owned(), port, Transport::tcp())
            }
            _ => {
                let tls = tls_config().map_err(|error| error.to_string())?;
                (hub, 8883, Transport::tls_with_config(tls.into()))
            }
        };
        Ok(Self {
            host,
            port,
            transport,
            key,
            policy: None,
            tokens,
        })
    }

    fn options(&self, device: &str) -> MqttOptions {
        let mut options = MqttOptions::new(device, &self.host, self.port);
        options.set_transport(self.transport.clone());
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        self.sign(&mut options, device);
        options
    }

    fn sign(&self, options: &mut MqttOptions, device: &str) {
        let host = &self.host;
        let expires = UtcDateTime::now() + self.tokens.lifetime;
        let resource = format!("{host}/devices/{device}");
        options.set_credentials(
            format!("{host}/{device}/?api-version={API_VERSION}"),
            self.key.token(&resource, self.policy.as_deref(), expires),
        );
    }
}

/// Finds the drone's hub, and keeps it connected there.
async fn come_in(
    mut events: EventLoop,
    device: String,
    way: Arc<Way>,
    acknowledged: Arc<AtomicU64>,
    refusal: watch::Sender<Option<String>>,
) {
    match way.account(&device).await {
        Ok(account) => {
            events.mqtt_options = account.options(&device);
            fly(events, device, account, acknowledged, refusal).await;
        }
        Err(why) => refuse(&refusal, why),
    }
}

/// The first reason stays.
fn refuse(refusal: &watch::Sender<Option<String>>, why: String) {
    refusal.send_if_modified(|refusal| {
        let first = refusal.is_none();
        if first {
            *refusal = Some(why);
        }
        first
    });
}

/// Keeps a drone connected until it is dropped or turned away. What was not acknowledged on one
/// connection is sent again on the next.
async fn fly(
    mut events: EventLoop,
    device: String,
    account: Arc<Account>,
    acknowledged: Arc<AtomicU64>,
    refusal: watch::Sender<Option<String>>,
) {
    let mut renewal = Instant::now() + account.tokens.used;
    let mut pause = PAUSE;
    // Not left to the library: it forgets them where the other side has kept no session.
    let mut again = VecDeque::new();
    loop {
        match timeout_at(renewal, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => {
                acknowledged.fetch_add(1, Ordering::AcqRel);
                pause = PAUSE;
            }
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                again.append(&mut events.pending);
                events.pending.append(&mut again);
            }
            Ok(Ok(_)) => {}
            Ok(Err(ConnectionError::ConnectionRefused(code))) if is_final(code) => {
                refuse(&refusal, format!("{device}: {code:?}"));
                return;
            }
            Ok(Err(ConnectionError::RequestsDone)) => return,
            Ok(Err(_)) => {
                again.extend(unacknowledged(&mut events));
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                account.sign(&mut events.mqtt_options, &device);
                renewal = Instant::now() + account.tokens.used;
            }
            Err(_) => {
                // IoT Hub would close the connection when the token ends; this closes it before.
                events.clean();
                again.extend(unacknowledged(&mut events));
                account.sign(&mut events.mqtt_options, &device);
                renewal = Instant::now() + account.tokens.used;
            }
        }
    }
}

/// What is to be sent again on the next connection, which numbers its packets anew.
fn unacknowledged(events: &mut EventLoop) -> impl Iterator<Item = Request> {
    std::mem::take(&mut events.pending)
        .into_iter()
        .map(|request| match request {
            Request::Publish(publish) => Request::Publish(Publish { pkid: 0, ..publish }),
            other => other,
        })
}

fn is_final(code: ConnectReturnCode) -> bool {
    matches!(
        code,
        ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::BadClientId
    )
}

async fn refused(refusal: &mut watch::Receiver<Option<String>>) -> DestinationError {
    let why = refusal.wait_for(Option::is_some).await;
    DestinationError::Refused {
        what: "a drone".to_owned(),
        why: why
            .ok()
            .and_then(|why| why.clone())
            .unwrap_or_else(|| "the connection ended".to_owned()),
    }
}

/// TLS with the roots that this machine trusts.
fn tls_config() -> Result<ClientConfig, DestinationError> {
    let mut roots = RootCertStore::empty();
    // Some of a machine's certificates are often odd; without any, the check below says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(DestinationError::Refused {
            what: "TLS".to_owned(),
            why: "this machine has no root certificates".to_owned(),
        });
    }
    let provider = Arc::new(tls::provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DestinationError::Refused {
            what: "TLS".to_owned(),
            why: error.to_string(),
        })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
