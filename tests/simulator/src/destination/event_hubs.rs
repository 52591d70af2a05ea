//! Event Hubs over HTTPS, and the local hub, which speaks the same over plain HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_functions_sdk::connection::SharedAccessKey;
use azure_identity::DeveloperToolsCredential;
use futures_util::{StreamExt, stream};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use time::UtcDateTime;
use tokio::sync::Mutex;
use tokio::time::{Duration, sleep};

use super::connection_string::ConnectionString;
use super::{DestinationError, TOKEN_LIFETIME, by_device};
use crate::{SimulatedEvent, tls};

/// Requests in flight at once.
const CONCURRENCY: usize = 64;

/// How often a request is made before the destination counts as unreachable, and the pause after the
/// first failure, which doubles.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes a request's body a batch of events.
const BATCH: &str = "application/vnd.microsoft.servicebus.json";

/// What a token of Entra ID is asked for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// The variable with the connection string.
const SETTING: &str = "EVENT_HUBS_CONNECTION_STRING";

/// The largest event, and the largest batch, that is taken; the Basic tier takes less.
const MAX_REQUEST: usize = 1024 * 1024;

/// An event hub, reached over HTTPS. Clones are not needed: it sends from as many places as one likes.
pub struct EventHub {
    client: Client,
    /// `https://{namespace}/{hub}`.
    url: String,
    authorization: Authorization,
    /// Whether to name the sending device as IoT Hub would: the local hub only.
    as_iot_hub: bool,
}

enum Authorization {
    None,
    Sas {
        key: SharedAccessKey,
        policy: String,
        token: Mutex<Option<(String, UtcDateTime)>>,
    },
    /// It keeps its tokens itself.
    Entra(Arc<dyn TokenCredential>),
}

/// An event that is text, with application properties, which are texts too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextEvent {
    /// Its bytes.
    #[serde(rename = "Body")]
    pub body: String,
    /// Names in lower case, and without what HTTP gives a meaning to: they may travel as headers.
    #[serde(rename = "UserProperties", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(rename = "Body")]
    body: &'a str,
}

#[derive(Serialize)]
struct BrokerProperties<'a> {
    #[serde(rename = "PartitionKey")]
    partition_key: &'a str,
}

impl EventHub {
    /// The hub of `cargo local up`: `http://127.0.0.1:7072/telemetry`. Events arrive there as from IoT Hub.
    pub(super) fn local(url: &str) -> Result<Self, DestinationError> {
        Self::new(url.to_owned(), Authorization::None, true)
    }

    /// A hub that asks nobody who he is, such as that of `cargo local up`: `http://127.0.0.1:7072/telemetry`.
    /// Events arrive there as from Event Hubs, without the device that sends them.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn open(url: &str) -> Result<Self, DestinationError> {
        Self::new(
            url.trim_end_matches('/').to_owned(),
            Authorization::None,
            false,
        )
    }

    /// The hub that `EVENT_HUBS_NAMESPACE` and `EVENT_HUB_NAME` lead to, as whoever is signed in to `az` or
    /// `azd`; or else `EVENT_HUBS_CONNECTION_STRING`, with `EVENT_HUB_NAME` where that has no `EntityPath`.
    ///
    /// # Errors
    /// Where one of them is missing, malformed or refused by the identity library.
    pub fn from_settings(
        lookup: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, DestinationError> {
        const HUB: &str = "EVENT_HUB_NAME";
        let require = |name| lookup(name).ok_or(DestinationError::Missing(name));
        match lookup("EVENT_HUBS_NAMESPACE") {
            Some(namespace) => Self::from_namespace(&namespace, &require(HUB)?),
            None => Self::from_connection_string(&require(SETTING)?, lookup(HUB).as_deref()),
        }
    }

    /// `hub` where the connection string has no `EntityPath`.
    pub(super) fn from_connection_string(
        text: &str,
        hub: Option<&str>,
    ) -> Result<Self, DestinationError> {
        let parts = ConnectionString::new(SETTING, text);
        let endpoint = parts.require("Endpoint")?;
        let host = endpoint.strip_prefix("sb://").unwrap_or(endpoint);
        let host = host.trim_end_matches('/');
        let hub = parts
            .get("EntityPath")
            .or(hub)
            .ok_or(DestinationError::Missing("EVENT_HUB_NAME"))?;
        let scheme = match parts.is_emulator() {
            true => "http",
            false => "https",
        };
        let authorization = Authorization::Sas {
            key: SharedAccessKey::text(parts.require("SharedAccessKey")?),
            policy: parts.require("SharedAccessKeyName")?.to_owned(),
            token: Mutex::default(),
        };
        Self::new(format!("{scheme}://{host}/{hub}"), authorization, false)
    }

    /// Signs in as whoever is signed in to `az` or `azd`.
    pub(super) fn from_namespace(namespace: &str, hub: &str) -> Result<Self, DestinationError> {
        tls::choose();
        let credential =
            DeveloperToolsCredential::new(None).map_err(|error| DestinationError::Refused {
                what: "the identity".to_owned(),
                why: error.to_string(),
            })?;
        let namespace = namespace.trim_end_matches('/');
        Self::new(
            format!("https://{namespace}/{hub}"),
            Authorization::Entra(credential),
            false,
        )
    }

    fn new(
        url: String,
        authorization: Authorization,
        as_iot_hub: bool,
    ) -> Result<Self, DestinationError> {
        tls::choose();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| DestinationError::Unreachable(error.without_url().to_string()))?;
        Ok(Self {
            client,
            url,
            authorization,
            as_iot_hub,
        })
    }

    /// `https://{namespace}/{hub}`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The hub's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// Sends events under one partition key, in as few requests as they fit into. Returns when the hub has all
    /// of them, in their order; after an error it may have the first of them.
    ///
    /// # Errors
    /// Where the hub refuses a request, or cannot be reached for some seconds.
    pub async fn send_keyed(
        &self,
        partition_key: &str,
        events: &[TextEvent],
    ) -> Result<(), DestinationError> {
        let mut batch = Vec::new();
        for event in events {
            // Text and text always become JSON.
            let item = serde_json::to_vec(event).unwrap_or_default();
            if !batch.is_empty() && batch.len() + item.len() + 2 > MAX_REQUEST {
                self.post_items(partition_key, &mut batch).await?;
            }
            if item.len() + 2 > MAX_REQUEST {
                // As an item it grew by what JSON escapes; alone it is as long as it is.
                let body = event.body.clone().into_bytes();
                self.post(partition_key, None, &event.properties, body)
                    .await?;
                continue;
            }
            batch.push(if batch.is_empty() { b'[' } else { b',' });
            batch.extend(item);
        }
        self.post_items(partition_key, &mut batch).await
    }

    /// `batch` is an array but for its end.
    async fn post_items(
        &self,
        partition_key: &str,
        batch: &mut Vec<u8>,
    ) -> Result<(), DestinationError> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.push(b']');
        let batch = std::mem::take(batch);
        self.post(partition_key, Some(BATCH), &BTreeMap::new(), batch)
            .await
    }

    /// Returns when the hub has all of them. Events of one drone stay in order.
    pub(super) async fn send(&self, events: Vec<SimulatedEvent>) -> Result<(), DestinationError> {
        let mut sends = stream::iter(by_device(events))
            .map(|(device, events)| self.send_of(device, events))
            .buffer_unordered(CONCURRENCY);
        while let Some(sent) = sends.next().await {
            sent?;
        }
        Ok(())
    }

    /// A batch has one partition key, so it holds one drone's events. It travels as text, so what is
    /// none travels alone.
    async fn send_of(
        &self,
        device: String,
        events: Vec<SimulatedEvent>,
    ) -> Result<(), DestinationError> {
        let texts: Option<Vec<&str>> = events
            .iter()
            .map(|event| std::str::from_utf8(&event.body).ok())
            .collect();
        match texts {
            Some(texts) if texts.len() > 1 => {
                let items: Vec<_> = texts.into_iter().map(|body| Item { body }).collect();
                // Strings always become JSON.
                let batch = serde_json::to_vec(&items).unwrap_or_default();
                self.post(&device, Some(BATCH), &BTreeMap::new(), batch)
                    .await
            }
            _ => {
                for event in events {
                    self.post(&device, None, &BTreeMap::new(), event.body)
                        .await?;
                }
                Ok(())
            }
        }
    }

    async fn post(
        &self,
        device: &str,
        content_type: Option<&str>,
        properties: &BTreeMap<&'static str, String>,
        body: Vec<u8>,
    ) -> Result<(), DestinationError> {
        let key = BrokerProperties {
            partition_key: device,
        };
        let key = serde_json::to_string(&key).unwrap_or_default();
        let body = bytes::Bytes::from(body);
        let mut attempt = 1;
        loop {
            let mut request = self
                .client
                .post(format!("{}/messages", self.url))
                .query(&[("api-version", "2014-01")])
                .header("BrokerProperties", &key)
                .body(body.clone());
            if let Some(content_type) = content_type {
                request = request.header("Content-Type", content_type);
            }
            for (name, value) in properties {
                // A property that is text is quoted, as a JSON string is.
                let value = serde_json::Value::from(value.as_str()).to_string();
                request = request.header(*name, value);
            }
            if self.as_iot_hub {
                request = request.header("iothub-connection-device-id", device);
            }
            if let Some(token) = self.token().await? {
                request = request.header("Authorization", token);
            }
            let why = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) if is_transient(response.status()) => response.status().to_string(),
                Ok(response) => {
                    return Err(DestinationError::Refused {
                        what: "an event".to_owned(),
                        why: response.status().to_string(),
                    });
                }
                Err(error) => chain(&error.without_url()),
            };
            if attempt == ATTEMPTS {
                return Err(DestinationError::Unreachable(why));
            }
            sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }

    async fn token(&self) -> Result<Option<String>, DestinationError> {
        match &self.authorization {
            Authorization::None => Ok(None),
            Authorization::Sas { key, policy, token } => {
                let mut token = token.lock().await;
                let now = UtcDateTime::now();
                if let Some((token, renewed)) = &*token
                    && now < *renewed
                {
                    return Ok(Some(token.clone()));
                }
                let fresh = key.token(&self.url, Some(policy), now + TOKEN_LIFETIME);
                *token = Some((fresh.clone(), now + TOKEN_LIFETIME * 5 / 6));
                Ok(Some(fresh))
            }
            Authorization::Entra(credential) => credential
                .get_token(&[SCOPE], None)
                .await
                .map(|token| Some(format!("Bearer {}", token.token.secret())))
                .map_err(|error| DestinationError::Refused {
                    what: "the identity".to_owned(),
                    why: error.to_string(),
                }),
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

/// The last cause says what a person can act on: "connection refused".
fn chain(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
