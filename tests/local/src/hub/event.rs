//! An event on its way in, and an event as the log keeps it.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};
use time::UtcDateTime;

use super::message::{Message, Place};
use crate::host::EncodedEvent;

/// An event on its way in.
#[derive(Debug, Clone, Default)]
pub struct NewEvent {
    /// Any bytes.
    pub body: Bytes,
    /// Events of one key share a partition and keep their order.
    pub partition_key: Option<String>,
    /// The partition, where the sender chooses it itself. Stronger than the key.
    pub partition: Option<u16>,
    /// What the sender added: AMQP application properties.
    pub properties: Map<String, Value>,
    /// AMQP properties and annotations: `content-type`, `iothub-connection-device-id` and their like.
    pub system_properties: Map<String, Value>,
    /// Whether the body is an AMQP value or sequence, which clients make of texts and maps, instead of data. No Functions host can
    /// bind it, and the batch that it is in reaches no function.
    pub amqp_value: bool,
}

impl NewEvent {
    /// An event that has a body and nothing else.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// The same event with a partition key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// The same event with the annotations that IoT Hub adds to what a device sends, under the names that it gives them.
    ///
    /// `enqueued_at` is when IoT Hub took it, at or before the time that the hub itself notes.
    #[must_use]
    pub fn with_iot_hub_device(mut self, device_id: &str, enqueued_at: UtcDateTime) -> Self {
        let mut time = String::with_capacity(24);
        crate::host::write_time(&mut time, enqueued_at);
        for (name, value) in [
            (
                "iothub-connection-auth-generation-id",
                "638500000000000000".to_owned(),
            ),
            (
                "iothub-connection-auth-method",
                r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
                    .to_owned(),
            ),
            ("iothub-connection-device-id", device_id.to_owned()),
            ("iothub-enqueuedtime", time),
            ("iothub-message-source", "Telemetry".to_owned()),
        ] {
            self.system_properties.insert(name.to_owned(), value.into());
        }
        self
    }
}

/// Where an event was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// From 0.
    pub partition: u16,
    /// From 0 in each hub that is made, without gaps, within the partition.
    pub sequence_number: i64,
    /// Above every offset of an earlier hub, for it counts from the microsecond at which this one was made: a checkpoint that has
    /// outlived its hub leads to the beginning of the new log instead of past it. A number today; Event Hubs calls it opaque.
    pub offset: String,
    /// When the hub took it, to the millisecond, which is all that an AMQP timestamp can tell.
    pub enqueued_at: UtcDateTime,
}

/// An event as the log keeps it.
#[derive(Debug)]
pub struct StoredEvent {
    pub(super) message: Message,
    /// See [`NewEvent::partition_key`].
    pub partition_key: Option<Box<str>>,
    /// See [`Position::sequence_number`].
    pub sequence_number: i64,
    /// See [`Position::offset`].
    pub offset: u64,
    /// See [`Position::enqueued_at`].
    pub enqueued_at: UtcDateTime,
    /// The event's metadata as the host writes it. Kept here because every consumer group's envelope repeats it, and writing it is
    /// most of what an event costs the host.
    pub(crate) encoded: OnceLock<Box<EncodedEvent>>,
}

impl StoredEvent {
    pub(super) fn new(
        message: Message,
        partition_key: Option<Box<str>>,
        sequence_number: i64,
        offset: u64,
        enqueued_at: UtcDateTime,
    ) -> Self {
        Self {
            message,
            partition_key,
            sequence_number,
            offset,
            enqueued_at,
            encoded: OnceLock::new(),
        }
    }

    /// An event at a place of a test's choice.
    #[cfg(test)]
    pub(crate) fn at(
        event: &NewEvent,
        sequence_number: i64,
        offset: u64,
        enqueued_at: UtcDateTime,
    ) -> Self {
        let key = event.partition_key.as_deref().map(Into::into);
        let message = Message::encode(event);
        Self::new(message, key, sequence_number, offset, enqueued_at)
    }

    /// Byte for byte what was sent. Of an AMQP value that is a text or bytes, those; of any other its encoded form.
    #[must_use]
    pub fn body(&self) -> Cow<'_, [u8]> {
        self.message.body()
    }

    /// See [`NewEvent::properties`]. Made anew with each call.
    #[must_use]
    pub fn properties(&self) -> Map<String, Value> {
        self.message.properties()
    }

    /// See [`NewEvent::system_properties`]. Made anew with each call.
    #[must_use]
    pub fn system_properties(&self) -> Map<String, Value> {
        self.message.system_properties()
    }

    /// See [`NewEvent::amqp_value`].
    #[must_use]
    pub fn is_amqp_value(&self) -> bool {
        self.message.is_value()
    }

    /// Appends the event to `out` as AMQP's readers get it; with what is known of the partition's latest event, if they want that.
    pub(super) fn write_message(&self, out: &mut Vec<u8>, latest: Option<&StoredEvent>) {
        let latest = latest.map(StoredEvent::place);
        self.message.write(out, &self.place(), latest.as_ref());
    }

    /// How long what [`StoredEvent::write_message`] writes can be.
    pub(super) fn largest_message(&self) -> usize {
        const ANNOTATIONS: usize = 512;
        let key = self.partition_key.as_deref().map_or(0, str::len);
        self.message.len() + key + ANNOTATIONS
    }

    fn place(&self) -> Place<'_> {
        Place {
            sequence_number: self.sequence_number,
            offset: self.offset,
            enqueued_at: self.enqueued_at,
            partition_key: self.partition_key.as_deref(),
        }
    }
}
