//! Sends ticks to Event Hubs, over HTTPS.
//!
//! The operation is "Send partition event" of the Event Hubs REST API: `POST /{hub}/partitions/{id}/messages`. It needs the
//! role Azure Event Hubs Data Sender, or a key with the claim Send.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::hmac::hmac_sha256;
use azure_functions_sdk::connection::{Connection, ConnectionString};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::AUTHORIZATION;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use time::UtcDateTime;

use super::credentials::token_credential;
use super::{OPERATION_TIMEOUT, StoreError};
use crate::domain::{TICK_BODY, WATERMARK_TICK};

const OPERATION: &str = "send tick to Event Hubs";

/// What a token is asked for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// What may stand in a URL's query as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How long a signature is good for: one request.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// Lets the time of a quiet partition go on.
#[async_trait]
pub trait TickSender: Send + Sync + 'static {
    /// Appends a tick to a partition.
    async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError>;
}

/// The namespace of a Functions connection.
pub struct EventHubsNamespace {
    endpoint: Url,
    access: Access,
    client: Client,
}

enum Access {
    Token(Arc<dyn TokenCredential>),
    Key {
        name: String,
        /// In base64, as the signing wants it. Event Hubs signs with the characters of the key as they are.
        key: Secret,
    },
    /// A hub on this machine, which asks nobody.
    Open,
}

/// A connection does not lead to a namespace that takes events over HTTPS. The text never holds a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EventHubsConnectionError(String);

impl EventHubsNamespace {
    /// Reads a connection: `fullyQualifiedNamespace` with an identity, or a connection string with a key. `http` is for
    /// a hub on this machine, and is sent no credential. `None` for the emulator, which speaks no HTTPS.
    ///
    /// # Errors
    /// Where there is no endpoint, or no credential for it. Nothing is sent yet.
    pub fn connect(connection: &Connection) -> Result<Option<Self>, EventHubsConnectionError> {
        let wrong = EventHubsConnectionError;
        let (endpoint, access) = match connection {
            Connection::Identity(identity) => {
                let host = identity
                    .uri("fullyQualifiedNamespace")
                    .map_err(|error| wrong(error.to_string()))?;
                let credential = token_credential(&identity.credential)
                    .map_err(|error| wrong(format!("no Azure credential: {error}")))?;
                (format!("https://{host}/"), Access::Token(credential))
            }
            Connection::ConnectionString(text) => match from_text(text)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let endpoint = Url::parse(&endpoint)
            .map_err(|_| wrong("the endpoint of Event Hubs is not a host name".to_owned()))?;
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(OPERATION_TIMEOUT)
            .user_agent(concat!("drone-delivery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| wrong(format!("no HTTP client: {error}")))?;
        Ok(Some(Self {
            endpoint,
            access,
            client,
        }))
    }

    async fn authorization(&self, resource: &Url) -> Result<Option<String>, StoreError> {
        let failed = |error: azure_core::Error, transient| StoreError {
            operation: OPERATION,
            message: error.to_string(),
            transient,
        };
        match &self.access {
            Access::Open => Ok(None),
            Access::Token(credential) => {
                let token = credential.get_token(&[SCOPE], None).await;
                let token = token.map_err(|error| failed(error, true))?;
                Ok(Some(format!("Bearer {}", token.token.secret())))
            }
            Access::Key { name, key } => {
                let expires = UtcDateTime::now() + SIGNED_FOR;
                let token = signature(resource.as_str(), name, key, expires);
                token.map(Some).map_err(|error| failed(error, false))
            }
        }
    }
}

/// `None` for the emulator.
fn from_text(
    text: &ConnectionString,
) -> Result<Option<(String, Access)>, EventHubsConnectionError> {
    let missing = |part: &str| {
        EventHubsConnectionError(format!("the connection string of Event Hubs has no {part}"))
    };
    let endpoint = text.get("Endpoint").ok_or_else(|| missing("Endpoint"))?;
    let is_loopback = |url: &Url| matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    if let Ok(url) = Url::parse(endpoint)
        && url.scheme() == "http"
        && is_loopback(&url)
    {
        return Ok(Some((endpoint.to_owned(), Access::Open)));
    }
    let emulator = text
        .get("UseDevelopmentEmulator")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if emulator {
        return Ok(None);
    }
    let host = endpoint
        .strip_prefix("sb://")
        .ok_or_else(|| missing("Endpoint that begins with sb://"))?;
    let name = text.get("SharedAccessKeyName");
    let key = text.get("SharedAccessKey");
    let access = Access::Key {
        name: name
            .ok_or_else(|| missing("SharedAccessKeyName"))?
            .to_owned(),
        key: Secret::from(STANDARD.encode(key.ok_or_else(|| missing("SharedAccessKey"))?)),
    };
    Ok(Some((
        format!("https://{}/", host.trim_end_matches('/')),
        access,
    )))
}

/// A shared access signature for a resource, as "Authenticate access to Event Hubs with SAS" has it.
fn signature(
    resource: &str,
    name: &str,
    key: &Secret,
    expires: UtcDateTime,
) -> azure_core::Result<String> {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let resource = encoded(resource);
    let expires = expires.unix_timestamp();
    let signature = encoded(&hmac_sha256(&format!("{resource}\n{expires}"), key)?);
    Ok(format!(
        "SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={}",
        encoded(name)
    ))
}

#[async_trait]
impl TickSender for EventHubsNamespace {
    async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError> {
        let failed = |message: String, transient| StoreError {
            operation: OPERATION,
            message,
            transient,
        };
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| failed("the endpoint takes no path".to_owned(), false))?
            .pop_if_empty()
            .extend([hub, "partitions", partition_id, "messages"]);
        let mut request = self
            .client
            .post(url.clone())
            // Application properties are headers; a text among them stands in double quotes.
            .header(WATERMARK_TICK, "\"1\"")
            .header("content-type", "application/json")
            .body(TICK_BODY);
        if let Some(authorization) = self.authorization(&url).await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = request.send().await;
        // The error names the address, which holds no secret.
        let answer = answer.map_err(|error| failed(error.to_string(), true))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(failed(
                format!(
                    "Event Hubs answered {}: the app needs the role Azure Event Hubs Data Sender on the hub {hub}",
                    answer.status().as_u16()
                ),
                false,
            )),
            StatusCode::NOT_FOUND => Err(failed(
                format!("Event Hubs has no partition {partition_id} of the hub {hub}"),
                false,
            )),
            status => Err(failed(
                format!("Event Hubs answered {}", status.as_u16()),
                true,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use axum::Router;
    use axum::extract::Request;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;

    fn connection(text: &str) -> Connection {
        Connection::ConnectionString(ConnectionString::parse("TelemetryHub", text).unwrap())
    }

    /// A hub that answers so, and what it was asked.
    async fn hub(status: StatusCode) -> (String, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let take = move |request: Request| async move {
            let header = |name: &str| {
                let value = request.headers().get(name);
                value.map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            let line = format!(
                "{} {} {}",
                request.uri().path(),
                header(WATERMARK_TICK),
                header("authorization")
            );
            seen.lock().unwrap().push(line);
            status
        };
        let router = Router::new().route("/{hub}/partitions/{id}/messages", post(take));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (format!("Endpoint=http://{address}"), asked)
    }

    #[tokio::test]
    async fn a_tick_is_an_event_for_one_partition_with_a_property_and_no_credential_in_the_clear() {
        let (text, asked) = hub(StatusCode::CREATED).await;
        let text = format!("{text};SharedAccessKeyName=Root;SharedAccessKey=c2VjcmV0");
        let namespace = EventHubsNamespace::connect(&connection(&text)).unwrap();
        namespace.unwrap().tick("telemetry", "3").await.unwrap();
        assert_eq!(
            *asked.lock().unwrap(),
            ["/telemetry/partitions/3/messages \"1\" "]
        );
    }

    #[tokio::test]
    async fn what_stands_in_the_way_is_named() {
        for (status, transient, part) in [
            (StatusCode::FORBIDDEN, false, "Azure Event Hubs Data Sender"),
            (
                StatusCode::NOT_FOUND,
                false,
                "partition 3 of the hub telemetry",
            ),
            (StatusCode::SERVICE_UNAVAILABLE, true, "503"),
        ] {
            let (text, _) = hub(status).await;
            let namespace = EventHubsNamespace::connect(&connection(&text)).unwrap();
            let error = namespace.unwrap().tick("telemetry", "3").await.unwrap_err();
            assert_eq!(error.transient, transient, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn connections_are_read_and_the_emulator_is_known() {
        let read = |text: &str| EventHubsNamespace::connect(&connection(text));
        let key = "SharedAccessKeyName=Root;SharedAccessKey=c2VjcmV0";
        let azure = read(&format!(
            "Endpoint=sb://fleet.servicebus.windows.net/;{key}"
        ));
        let azure = azure.unwrap().unwrap();
        assert_eq!(
            azure.endpoint.as_str(),
            "https://fleet.servicebus.windows.net/"
        );
        let emulator = format!("Endpoint=sb://localhost;{key};UseDevelopmentEmulator=true;");
        assert!(read(&emulator).unwrap().is_none());
        assert!(read("Endpoint=sb://fleet.servicebus.windows.net/").is_err());
        assert!(read(&format!("Endpoint=http://fleet.example/;{key}")).is_err());
    }

    /// Tokens that others have made with the same keys.
    #[test]
    fn a_signature_is_the_one_that_event_hubs_takes() {
        let cases: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/sas_tokens.json")).unwrap();
        let of_event_hubs = cases
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["base64"] == false);
        let mut checked = 0;
        for case in of_event_hubs {
            let text = |name: &str| case[name].as_str().unwrap();
            let key = Secret::from(STANDARD.encode(text("key")));
            let expires = case["expires"].as_i64().unwrap();
            let expires = UtcDateTime::from_unix_timestamp(expires).unwrap();
            let token = signature(text("resource"), text("policy"), &key, expires);
            assert_eq!(token.unwrap(), text("token"));
            checked += 1;
        }
        assert_eq!(checked, 2);
    }
}
