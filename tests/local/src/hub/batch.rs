//! The body of a batch send: `[{"Body": "…", "UserProperties": {…}, "BrokerProperties": {"PartitionKey": "…"}}, …]`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::event::NewEvent;

/// The content type that makes a request's body a batch.
pub(super) const CONTENT_TYPE: &str = "application/vnd.microsoft.servicebus.json";

/// `BrokerProperties`, in a batch item or a request's header. Only what an event hub heeds; Service Bus has more.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BrokerProperties {
    #[serde(rename = "PartitionKey")]
    pub(super) partition_key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(rename = "Body")]
    body: String,
    #[serde(rename = "UserProperties", default)]
    user_properties: Map<String, Value>,
    #[serde(rename = "BrokerProperties", default)]
    broker_properties: BrokerProperties,
}

/// The events of a batch, in its order. A batch travels as text, so its bodies do too.
///
/// # Errors
/// Where the body is not such an array; the text says where it stops being one.
pub(super) fn parse(body: &Bytes) -> Result<Vec<NewEvent>, serde_json::Error> {
    let items: Vec<Item> = serde_json::from_slice(body)?;
    let events = items
        .into_iter()
        .map(|item| NewEvent {
            body: item.body.into(),
            partition_key: item.broker_properties.partition_key,
            properties: item.user_properties,
            ..NewEvent::default()
        })
        .collect();
    Ok(events)
}
