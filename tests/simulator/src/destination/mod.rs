//! Where drones' events go.
//!
//! | module | what it is |
//! |---|---|
//! | `event_hubs` | Event Hubs over HTTPS, and the local hub |
//! | `iot_hub` | IoT Hub over MQTT, a connection for each drone |
//! | `connection_string` | how both are reached |
//! | `provisioning` | which IoT hub is a drone's own |

mod connection_string;
mod event_hubs;
mod iot_hub;
mod provisioning;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::SimulatedEvent;
pub use event_hubs::{EventHub, TextEvent};
use iot_hub::IotHub;
use provisioning::Provisioning;

/// How long a token is good, unless one asks for another time. Both services take longer ones; a leaked
/// one should not live for long. Five sixths of the time a token is used, then there is a new one.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// Takes events.
pub struct Destination(Kind);

enum Kind {
    EventHub(EventHub),
    // Large beside the others.
    IotHub(Box<IotHub>),
    Lines(Box<dyn Write + Send>),
}

/// An event did not get where it should. No text has a key, a token or a body in it.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// A variable is not set.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A connection string lacks a part, or the part is malformed.
    #[error("{setting} has no valid {name}=")]
    Part {
        /// The variable with the connection string.
        setting: &'static str,
        /// The part.
        name: &'static str,
    },
    /// It will not be better the next time.
    #[error("{what} was refused: {why}")]
    Refused {
        /// What.
        what: String,
        /// What the other side says.
        why: String,
    },
    /// It was tried several times.
    #[error("the destination cannot be reached: {0}")]
    Unreachable(String),
    /// Sent, perhaps, but nobody says so.
    #[error("{events} events were not acknowledged in time")]
    Unacknowledged {
        /// How many.
        events: u64,
    },
    /// The output is closed.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

/// A line of [`Destination::lines`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl Destination {
    /// The hub of `cargo local up`, such as `http://127.0.0.1:7072/telemetry`. Events arrive there as
    /// from IoT Hub: with the device that sends them.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn local(url: &str) -> Result<Self, DestinationError> {
        EventHub::local(url.trim_end_matches('/')).map(|hub| Self(Kind::EventHub(hub)))
    }

    /// Event Hubs, with a shared access key: `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…`.
    /// `hub` is its name where the connection string has no `EntityPath`. With
    /// `UseDevelopmentEmulator=true` over plain HTTP.
    ///
    /// # Errors
    /// Where a part is missing.
    pub fn event_hubs(
        connection_string: &str,
        hub: Option<&str>,
    ) -> Result<Self, DestinationError> {
        EventHub::from_connection_string(connection_string, hub)
            .map(|hub| Self(Kind::EventHub(hub)))
    }

    /// IoT Hub, with the key of a policy that lets devices connect:
    /// `HostName=…;SharedAccessKeyName=device;SharedAccessKey=…`. With `UseDevelopmentEmulator=true`,
    /// which is a custom of this simulator, without TLS, and to the port in `HostName`.
    ///
    /// # Errors
    /// Where a part is missing or malformed, or no certificates are trusted here.
    pub fn iot_hub(connection_string: &str) -> Result<Self, DestinationError> {
        Self::iot_hub_with_tokens(connection_string, TOKEN_LIFETIME)
    }

    /// As [`Destination::iot_hub`], with tokens that are good for another time than an hour. Each drone
    /// connects anew before its token ends.
    ///
    /// # Errors
    /// As there.
    pub fn iot_hub_with_tokens(
        connection_string: &str,
        lifetime: Duration,
    ) -> Result<Self, DestinationError> {
        IotHub::from_connection_string(connection_string, lifetime)
            .map(|hub| Self(Kind::IotHub(Box::new(hub))))
    }

    /// The IoT hubs of a Device Provisioning Service, where `variable` gives `DPS_ID_SCOPE` and `DPS_GROUP_KEY`, the key of an enrolment
    /// group; else the IoT hub of `IOT_HUB_CONNECTION_STRING`, as [`Destination::iot_hub`] takes it.
    ///
    /// # Errors
    /// Where neither is set, or one is malformed.
    pub fn iot_hub_from_settings(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, DestinationError> {
        const HUB: &str = "IOT_HUB_CONNECTION_STRING";
        match Provisioning::from_settings(&variable)? {
            Some(service) => {
                let hub = IotHub::provisioned(service, TOKEN_LIFETIME);
                Ok(Self(Kind::IotHub(Box::new(hub))))
            }
            None => Self::iot_hub(&variable(HUB).ok_or(DestinationError::Missing(HUB))?),
        }
    }

    /// A JSON object a line: `deviceId`, and `body`, or `bodyBase64` for what is not JSON.
    #[must_use]
    pub fn lines(output: Box<dyn Write + Send>) -> Self {
        Self(Kind::Lines(output))
    }

    /// Sends events; those of one drone in order. Slow destinations make this slow.
    ///
    /// # Errors
    /// Where the destination refuses an event, or cannot be reached for about 15 seconds.
    pub async fn send(&mut self, events: Vec<SimulatedEvent>) -> Result<(), DestinationError> {
        match &mut self.0 {
            Kind::EventHub(hub) => hub.send(events).await,
            Kind::IotHub(hub) => hub.send(events).await,
            Kind::Lines(output) => {
                for event in events {
                    write_line(output, &event)?;
                }
                Ok(output.flush()?)
            }
        }
    }

    /// Waits until everything that was sent has arrived.
    ///
    /// # Errors
    /// Where that does not happen within a minute.
    pub async fn flush(&mut self) -> Result<(), DestinationError> {
        match &mut self.0 {
            Kind::EventHub(_) | Kind::Lines(_) => Ok(()),
            Kind::IotHub(hub) => hub.flush().await,
        }
    }
}

fn write_line(output: &mut dyn Write, event: &SimulatedEvent) -> Result<(), DestinationError> {
    let json = serde_json::from_slice::<&RawValue>(&event.body).ok();
    let line = Line {
        device_id: &event.device_id,
        body: json,
        body_base64: json.is_none().then(|| STANDARD.encode(&event.body)),
    };
    // Text and checked JSON always become JSON.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    Ok(output.write_all(&text)?)
}

impl From<EventHub> for Destination {
    fn from(hub: EventHub) -> Self {
        Self(Kind::EventHub(hub))
    }
}

/// The events of each device, in their order.
fn by_device(events: Vec<SimulatedEvent>) -> BTreeMap<String, Vec<SimulatedEvent>> {
    let mut devices: BTreeMap<String, Vec<SimulatedEvent>> = BTreeMap::new();
    for event in events {
        devices
            .entry(event.device_id.clone())
            .or_default()
            .push(event);
    }
    devices
}
