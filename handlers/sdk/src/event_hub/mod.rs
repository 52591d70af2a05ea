//! The Event Hubs trigger: one batch of events of one partition a call.
//!
//! A batch can hold a thousand events, so this is where time and memory go. The call stays the one buffer that it
//! was read into: bodies are decoded where they stand and handed out as slices, and the properties of an event stay
//! the text that they came as until somebody asks for one.

mod bodies;
mod envelope;
mod parse;
mod properties;
mod scan;

use std::fmt;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use compact_str::CompactString;
use time::UtcDateTime;

use crate::body::{self, CallBody};
use crate::error::CallError;
use crate::function_json::{Cardinality, DataType, FunctionConfig};

pub use properties::Properties;

/// The extractor of an Event Hubs trigger: the events of one call, in the order of their partition.
///
/// Works with every `dataType` and `cardinality`; with `one` it holds a single event. A call whose
/// events cannot be read as a whole fails: half a batch would be lost.
#[derive(Debug, Clone)]
pub struct EventHubBatch {
    /// Where the events come from.
    pub partition: PartitionContext,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Which repetition this is, where the function has a retry policy.
    pub retry: Option<RetryContext>,
}

/// The extractor of an Event Hubs trigger with cardinality `one`.
#[derive(Debug, Clone)]
pub struct EventHubEvent {
    /// Where the event comes from.
    pub partition: PartitionContext,
    /// The event.
    pub event: Event,
    /// Which repetition this is, where the function has a retry policy.
    pub retry: Option<RetryContext>,
}

/// One partition, as one consumer group reads it. What the host did not send is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionContext {
    /// Such as `ns.servicebus.windows.net`.
    pub fully_qualified_namespace: String,
    /// The hub's name.
    pub event_hub_name: String,
    /// The consumer group's name.
    pub consumer_group: String,
    /// The partition's id: a number, as text.
    pub partition_id: String,
}

/// The state of the host's retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryContext {
    /// 0 at the first try.
    pub retry_count: u32,
    /// -1 for no end.
    pub max_retry_count: i32,
}

/// One event.
#[derive(Clone)]
pub struct Event {
    /// The body: byte for byte with dataType `binary`, otherwise what the host's decoding left of it.
    pub body: Bytes,
    /// Its number in the partition.
    pub sequence_number: i64,
    /// Its offset in the partition; empty where the host sent none.
    pub offset: CompactString,
    /// When the hub took it.
    pub enqueued_at: UtcDateTime,
    /// The partition key that its sender gave.
    pub partition_key: Option<CompactString>,
    /// What its sender set.
    pub properties: Properties,
    /// What the hub set: `iothub-*` and `x-opt-*` annotations, and the AMQP properties in use.
    pub system_properties: Properties,
}

impl fmt::Debug for Event {
    /// Without body and properties, which are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("sequence_number", &self.sequence_number)
            .field("offset", &self.offset)
            .field("enqueued_at", &self.enqueued_at)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl EventHubBatch {
    /// Reads the body of a call as the host writes it for the function of this configuration. The
    /// extractor does this; it is public for tools and benchmarks.
    ///
    /// # Errors
    /// Where the body is not such a call; the message says which part, and never quotes it.
    pub fn parse(function: &FunctionConfig, body: Vec<u8>) -> Result<Self, CallError> {
        Self::read(function, CallBody::unaccounted(body))
    }

    fn read(function: &FunctionConfig, body: CallBody) -> Result<Self, CallError> {
        let trigger = &function.trigger;
        let format = Format {
            many: trigger.cardinality != Some(Cardinality::One),
            data_type: trigger.data_type,
        };
        parse::batch(&trigger.name, format, body).map_err(CallError::from_error)
    }
}

/// What function.json says of the form of the bodies; the payload alone cannot tell.
#[derive(Debug, Clone, Copy)]
struct Format {
    many: bool,
    data_type: Option<DataType>,
}

impl Format {
    fn is_binary(self) -> bool {
        matches!(self.data_type, Some(DataType::Binary | DataType::Stream))
    }
}

impl<S: Sync> FromRequest<S> for EventHubBatch {
    type Rejection = CallError;

    async fn from_request(request: Request, _: &S) -> Result<Self, CallError> {
        let (context, body) = body::read(request).await?;
        let batch = Self::read(&context.function, body)?;
        context
            .span
            .record("partition.id", batch.partition.partition_id.as_str());
        context.call.has(&batch);
        Ok(batch)
    }
}

impl<S: Sync> FromRequest<S> for EventHubEvent {
    type Rejection = CallError;

    async fn from_request(request: Request, state: &S) -> Result<Self, CallError> {
        let mut batch = EventHubBatch::from_request(request, state).await?;
        match (batch.events.pop(), batch.events.is_empty()) {
            (Some(event), true) => Ok(Self {
                partition: batch.partition,
                event,
                retry: batch.retry,
            }),
            _ => Err(CallError::new(
                "EventHubEvent reads one event a call; with cardinality `many` use EventHubBatch",
            )),
        }
    }
}
