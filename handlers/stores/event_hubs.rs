//! [`TickSender`] over Event Hubs' send API: "Send partition event" of its REST reference.
//!
//! - A token or a signature goes to an https address or nowhere. Without either, plain http is for this machine alone: the hub of
//!   `cargo local`, which asks nobody who he is.
//! - Redirects are not followed.
//! - Neither a credential nor what the service answers is in an error or a log line.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{Secret, TokenCredential};
use azure_functions_sdk::connection::{
    Connection, ConnectionString, IdentityConnection, SharedAccessKey,
};
use opentelemetry::trace::SpanKind;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, StatusCode, Url};
use time::UtcDateTime;

use super::credentials::token_credential;
use super::{StoreError, in_time};
use crate::domain::{TICK_BODY, WATERMARK_TICK};
use crate::telemetry::exchange::Exchange;
use crate::tls;
use crate::webhook::{cause, drain, is_loopback};

const OPERATION: &str = "send tick to Event Hubs";

/// What a token of Entra ID is asked for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// How long a signature is good: it is made for one request, by a clock that may be slow.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);

/// As the reference has it, for an event that is sent alone.
const ONE_EVENT: HeaderValue =
    HeaderValue::from_static("application/atom+xml;type=entry;charset=utf-8");

/// A custom header is an application property. One that is text is in quotation marks.
const TICK: HeaderValue = HeaderValue::from_static("\"1\"");

/// Moves the time of partitions that are quiet.
#[async_trait]
pub trait TickSender: Send + Sync + 'static {
    /// Puts an event into the partition that carries nothing but the time at which the hub takes it: one with the application
    /// property [`WATERMARK_TICK`]. Ok means that the hub has it; after an error it may have it all the same, which does no harm.
    async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError>;
}

/// An Event Hubs namespace, reached through a Functions connection.
#[derive(Debug)]
pub struct EventHubsNamespace {
    endpoint: Url,
    access: Access,
    client: OnceLock<Client>,
}

enum Access {
    /// The local hub's.
    None,
    /// Kept by whoever made it, and asked for at each tick.
    Token(Arc<dyn TokenCredential>),
    Key {
        key: SharedAccessKey,
        policy: String,
    },
    /// A connection string may hold a signature in place of the key.
    Signature(Secret),
}

/// A connection does not lead to Event Hubs. The text names what is missing, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EventHubsConnectionError(String);

impl EventHubsNamespace {
    /// Reads the connection: `fullyQualifiedNamespace` with an identity, or a connection string with a key, with a signature, or
    /// with an http endpoint on this machine. Nothing is sent yet.
    ///
    /// `None` for Microsoft's emulator (`UseDevelopmentEmulator=true`), which speaks AMQP only: nobody can send to a partition of
    /// it over HTTPS.
    ///
    /// # Errors
    /// Where the connection has no endpoint or no usable credential.
    pub fn connect(connection: &Connection) -> Result<Option<Self>, EventHubsConnectionError> {
        match connection {
            Connection::Identity(identity) => Self::by_identity(identity).map(Some),
            Connection::ConnectionString(text) => Self::by_connection_string(text),
        }
    }

    fn by_identity(identity: &IdentityConnection) -> Result<Self, EventHubsConnectionError> {
        let namespace = identity
            .uri("fullyQualifiedNamespace")
            .map_err(|error| EventHubsConnectionError(error.to_string()))?;
        let credential = token_credential(&identity.credential)
            .map_err(|error| wrong(format!("no Azure credential: {error}")))?;
        Self::new(address(&namespace)?, Access::Token(credential))
    }

    fn by_connection_string(
        text: &ConnectionString,
    ) -> Result<Option<Self>, EventHubsConnectionError> {
        let endpoint = text
            .get("Endpoint")
            .ok_or_else(|| wrong("the connection string has no Endpoint"))?;
        let endpoint = address(endpoint)?;
        if endpoint.scheme() == "http" {
            return Self::new(endpoint, Access::None).map(Some);
        }
        let is_emulator = text
            .get("UseDevelopmentEmulator")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if is_emulator {
            return Ok(None);
        }
        let access = match (
            text.get("SharedAccessSignature"),
            text.get("SharedAccessKeyName"),
            text.get("SharedAccessKey"),
        ) {
            (Some(signature), ..) => Access::Signature(Secret::new(signature.to_owned())),
            (None, Some(policy), Some(key)) => Access::Key {
                key: SharedAccessKey::text(key),
                policy: policy.to_owned(),
            },
            _ => {
                return Err(wrong(
                    "the connection string has neither SharedAccessSignature nor SharedAccessKeyName with \
                     SharedAccessKey",
                ));
            }
        };
        Self::new(endpoint, access).map(Some)
    }

    fn new(endpoint: Url, access: Access) -> Result<Self, EventHubsConnectionError> {
        match (endpoint.scheme(), &access) {
            ("https", Access::Token(_) | Access::Key { .. } | Access::Signature(_)) => {}
            ("http", Access::None) if is_loopback(&endpoint) => {}
            ("http", Access::None) => {
                return Err(wrong("an http endpoint is for this machine only"));
            }
            _ => return Err(wrong("a credential is sent to an https endpoint only")),
        }
        Ok(Self {
            endpoint,
            access,
            client: OnceLock::new(),
        })
    }

    /// Made for the first tick: it reads the system's certificates, which takes milliseconds that the start would have to wait for.
    fn client(&self) -> Result<&Client, StoreError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        tls::choose();
        let client = Client::builder()
            .redirect(Policy::none())
            .user_agent(concat!("drone-delivery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(format!("no HTTP client: {}", cause(&error)), false))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// `now` is for the signature.
    async fn request(
        &self,
        hub: &str,
        partition_id: &str,
        now: UtcDateTime,
    ) -> Result<Request, StoreError> {
        let cannot = |message: String| failed(message, false);
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| cannot("the endpoint takes no path".to_owned()))?
            .clear()
            .push(hub);
        let authorization = match &self.access {
            Access::None => None,
            Access::Token(credential) => {
                let token = credential.get_token(&[SCOPE], None).await;
                let token = token.map_err(|error| {
                    failed(format!("no token from Entra ID: {}", error.kind()), true)
                })?;
                Some(format!("Bearer {}", token.token.secret()))
            }
            Access::Key { key, policy } => {
                Some(key.token(url.as_str(), Some(policy), now + SIGNED_FOR))
            }
            Access::Signature(signature) => Some(signature.secret().to_owned()),
        };
        url.path_segments_mut()
            .map_err(|()| cannot("the endpoint takes no path".to_owned()))?
            .extend(["partitions", partition_id, "messages"]);
        url.set_query(Some("api-version=2014-01"));
        let mut request = self
            .client()?
            .post(url)
            .header(CONTENT_TYPE, ONE_EVENT)
            .header(WATERMARK_TICK, TICK)
            .body(TICK_BODY);
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization)
                .map_err(|_| cannot("the credential cannot be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.build().map_err(|error| cannot(cause(&error)))
    }

    /// What an answer other than 2xx means.
    fn refusal(&self, status: StatusCode, hub: &str, partition_id: &str) -> StoreError {
        let code = status.as_u16();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let lacks = match &self.access {
                    Access::Token(_) => {
                        format!(
                            "the app's identity needs the role Azure Event Hubs Data Sender on the hub {hub}"
                        )
                    }
                    _ => format!(
                        "the policy of the connection string needs the right to send to the hub {hub}, as the role \
                         Azure Event Hubs Data Sender gives it to an identity"
                    ),
                };
                failed(format!("Event Hubs answered {code}: {lacks}"), false)
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => failed(
                format!(
                    "Event Hubs answered {code}: there is no partition {partition_id} of a hub {hub}"
                ),
                false,
            ),
            _ => {
                let transient = status.is_server_error()
                    || matches!(
                        status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    );
                failed(format!("Event Hubs answered {code}"), transient)
            }
        }
    }
}

#[async_trait]
impl TickSender for EventHubsNamespace {
    async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError> {
        in_time(OPERATION, async {
            let request = self.request(hub, partition_id, UtcDateTime::now()).await?;
            let (host, path) = (request.url().host_str(), request.url().path());
            let exchange =
                Exchange::begin("event_hubs", SpanKind::Producer, "POST", host, Some(path));
            let answer = self.client()?.execute(request).await;
            exchange.end(match &answer {
                Ok(response) => Ok(response.status().as_u16()),
                Err(_) => Err("unreachable"),
            });
            let answer = answer.map_err(|error| {
                failed(
                    format!("Event Hubs cannot be reached: {}", cause(&error)),
                    true,
                )
            })?;
            let status = answer.status();
            if !status.is_success() {
                return Err(self.refusal(status, hub, partition_id));
            }
            drain(answer).await;
            Ok(())
        })
        .await
    }
}

/// Where HTTPS is: `sb://namespace.servicebus.windows.net/`, of which a port would be AMQP's, or the name alone.
fn address(endpoint: &str) -> Result<Url, EventHubsConnectionError> {
    let (place, is_name) = match endpoint.split_once("://") {
        Some((scheme, place)) if scheme.eq_ignore_ascii_case("sb") => (place, true),
        Some(_) => (endpoint, false),
        None => (endpoint, true),
    };
    let url = match is_name {
        true => Url::parse(&format!("https://{place}")),
        false => Url::parse(place),
    };
    let mut url = url
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| wrong("the endpoint is not like `sb://namespace.servicebus.windows.net`"))?;
    if is_name {
        // An https URL takes any port.
        _ = url.set_port(None);
    }
    Ok(url)
}

fn wrong(text: impl Into<String>) -> EventHubsConnectionError {
    EventHubsConnectionError(text.into())
}

fn failed(message: String, transient: bool) -> StoreError {
    StoreError {
        operation: OPERATION,
        message,
        transient,
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::Key { .. } => "Key",
            Self::Signature(_) => "Signature",
        })
    }
}

#[cfg(test)]
#[path = "event_hubs_tests.rs"]
mod tests;
