//! The send API, as Event Hubs has it over HTTPS, here over plain HTTP and without authorization.
//!
//! Two things are local. A header `amqp-body-type: value` makes an event whose body is an AMQP value, which a client over AMQP could
//! send, and which no Functions host can bind. And a sender may set `iothub-connection-device-id` as a header. It stands for IoT Hub, which notes there the
//! device that it has authenticated, and brings the other annotations of a routed telemetry message with it. The event then
//! goes to the device's partition, and has no partition key of its own, as it is with IoT Hub.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use time::UtcDateTime;

use super::batch::{self, BrokerProperties};
use super::{Hub, MAX_EVENT_BYTES, NewEvent};

const BROKER_PROPERTIES: &str = "brokerproperties";
const DEVICE_ID: &str = "iothub-connection-device-id";
const BODY_TYPE: &str = "amqp-body-type";

/// Headers that belong to HTTP, to a proxy or to tracing, and are no application properties.
const NOT_PROPERTIES: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    BODY_TYPE,
    "authorization",
    BROKER_PROPERTIES,
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "origin",
    "referer",
    "request-id",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
];

impl Hub {
    /// The send API: `POST /{hub}/messages`, `POST /{hub}/partitions/{id}/messages`, and one line of help at `GET /`.
    ///
    /// One event per request, its bytes the body; or a batch, with the content type
    /// `application/vnd.microsoft.servicebus.json`. 201 when the events are in the log; 400 for a request that cannot be read, 404
    /// for another hub or partition, 413 for a body of more than [`MAX_EVENT_BYTES`].
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(help))
            .route("/{hub}/messages", post(send))
            .route("/{hub}/partitions/{partition}/messages", post(send_to))
            .with_state(self.clone())
    }
}

async fn help(State(hub): State<Hub>) -> String {
    format!(
        "Event hub '{}', {} partitions: POST /{}/messages, with the header BrokerProperties: {{\"PartitionKey\":\"…\"}}\n",
        hub.name(),
        hub.partitions(),
        hub.name()
    )
}

async fn send(State(hub): State<Hub>, Path(name): Path<String>, request: Request) -> Response {
    take(&hub, &name, None, request).await
}

async fn send_to(
    State(hub): State<Hub>,
    Path((name, partition)): Path<(String, String)>,
    request: Request,
) -> Response {
    match partition.parse::<u16>() {
        Ok(partition) if partition < hub.partitions() => {
            take(&hub, &name, Some(partition), request).await
        }
        _ => refuse(
            StatusCode::NOT_FOUND,
            format!(
                "There is no partition '{partition}': they are numbered 0 to {}.\n",
                hub.partitions() - 1
            ),
        )
        .into_response(),
    }
}

async fn take(hub: &Hub, name: &str, partition: Option<u16>, request: Request) -> Response {
    // Event Hubs' names know no case.
    if !name.eq_ignore_ascii_case(hub.name()) {
        return refuse(
            StatusCode::NOT_FOUND,
            format!(
                "There is no event hub '{name}': this one is '{}'.\n",
                hub.name()
            ),
        )
        .into_response();
    }
    let (parts, body) = request.into_parts();
    let events = match read(hub, partition, &parts.headers, body).await {
        Ok(events) => events,
        Err(refusal) => return refusal.into_response(),
    };
    for event in events {
        hub.append(event);
    }
    StatusCode::CREATED.into_response()
}

/// Everything is read and checked before the first event is appended: a batch is taken whole or not at all.
async fn read(
    hub: &Hub,
    partition: Option<u16>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<NewEvent>, Refusal> {
    let broker_properties = broker_properties(headers)?;
    let body = collect(body).await?;
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    let is_batch = content_type.is_some_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case(batch::CONTENT_TYPE)
    });
    let device_id = text(headers, DEVICE_ID);
    let mut events = if is_batch {
        batch::parse(&body).map_err(|error| {
            refuse(
                StatusCode::BAD_REQUEST,
                format!("The batch is not an array of {{\"Body\": \"…\"}}: {error}.\n"),
            )
        })?
    } else {
        let mut event = NewEvent::new(body);
        event.properties = properties(headers);
        event.amqp_value = text(headers, BODY_TYPE) == Some("value");
        if let Some(content_type) = content_type {
            event
                .system_properties
                .insert("content-type".to_owned(), content_type.into());
        }
        vec![event]
    };

    // Without a key, a batch goes to one partition as a whole, as it does with Event Hubs.
    let shared = partition.or_else(|| {
        if broker_properties.partition_key.is_some() {
            return None;
        }
        device_id
            .map(|device| hub.partition_for_key(device))
            .or_else(|| Some(hub.next_in_turn()))
    });
    let now = UtcDateTime::now();
    for event in &mut events {
        if event.partition_key.is_none() {
            event
                .partition_key
                .clone_from(&broker_properties.partition_key);
        }
        event.partition = match partition {
            Some(partition) => Some(partition),
            None if event.partition_key.is_some() => None,
            None => shared,
        };
    }
    if let Some(device_id) = device_id {
        events = events
            .into_iter()
            .map(|event| event.with_iot_hub_device(device_id, now))
            .collect();
    }
    Ok(events)
}

async fn collect(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, MAX_EVENT_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("An event or a batch holds {MAX_EVENT_BYTES} bytes at most.\n"),
        )),
        Err(error) => Err(refuse(
            StatusCode::BAD_REQUEST,
            format!("The request ended early: {error}.\n"),
        )),
    }
}

fn broker_properties(headers: &HeaderMap) -> Result<BrokerProperties, Refusal> {
    let Some(value) = headers.get(BROKER_PROPERTIES) else {
        return Ok(BrokerProperties::default());
    };
    serde_json::from_slice(value.as_bytes()).map_err(|error| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!(
                "The header BrokerProperties is not like {{\"PartitionKey\":\"…\"}}: {error}.\n"
            ),
        )
    })
}

/// A custom header is an application property: a JSON string, number or boolean as that, anything else as the text it is.
fn properties(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .filter(|(name, _)| is_property(name))
        .filter_map(|(name, value)| {
            let text = value.to_str().ok()?;
            let value = match serde_json::from_str::<Value>(text) {
                Ok(scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => scalar,
                _ => Value::from(text),
            };
            Some((name.as_str().to_owned(), value))
        })
        .collect()
}

fn is_property(name: &HeaderName) -> bool {
    let name = name.as_str();
    !(NOT_PROPERTIES.contains(&name)
        || name.starts_with("iothub-")
        || name.starts_with("sec-")
        || name.starts_with("x-forwarded-"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What is said to a sender whose request is not taken.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

fn refuse(status: StatusCode, text: String) -> Refusal {
    Refusal(status, text)
}
