//! The envelope of an Event Hubs call.
//!
//! Written straight into one string: at full load three functions read 25,000 events a second, and the host shares two cores with
//! the handler that it measures.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::{CallContext, begin, begin_metadata, end};
use crate::host::clock::{self, Zone};
use crate::host::function_json::{DataType, EventHubTrigger};
use crate::host::json_text::{check, escape_into, minify_into, string_into, string_twice_into};
use crate::hub::StoredEvent;

/// An event's metadata as it stands inside the arrays of an envelope, that is, as an item of JSON text escaped once.
#[derive(Debug)]
pub(crate) struct EncodedEvent {
    text: Box<str>,
    partition_key: u32,
    time: u32,
    properties: u32,
}

impl EncodedEvent {
    fn new(event: &StoredEvent) -> Self {
        let mut text = String::with_capacity(640);
        let mut item = String::with_capacity(480);

        write_key(&mut item, event);
        escape_into(&mut text, &item);
        let partition_key = text.len();

        item.clear();
        write_enqueued(&mut item, event);
        escape_into(&mut text, &item);
        let time = text.len();

        escape_into(&mut text, &object(&event.properties()));
        let properties = text.len();

        item.clear();
        write_system_properties(&mut item, event);
        escape_into(&mut text, &item);

        // An event's metadata came through headers of a bounded size, or from a test: far below 4 GiB.
        let end = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            partition_key: end(partition_key),
            time: end(time),
            properties: end(properties),
            text: text.into_boxed_str(),
        }
    }

    fn of(event: &StoredEvent) -> &Self {
        event.encoded.get_or_init(|| Box::new(Self::new(event)))
    }

    fn partition_key(&self) -> &str {
        &self.text[..self.partition_key as usize]
    }

    fn time(&self) -> &str {
        &self.text[self.partition_key as usize..self.time as usize]
    }

    fn properties(&self) -> &str {
        &self.text[self.time as usize..self.properties as usize]
    }

    fn system_properties(&self) -> &str {
        &self.text[self.properties as usize..]
    }
}

/// What stays the same for all calls of one function in one partition.
pub(crate) struct PartitionEnvelope {
    binding: String,
    data_type: DataType,
    contexts: String,
}

impl PartitionEnvelope {
    pub(crate) fn new(trigger: &EventHubTrigger, partition: u16) -> Self {
        let mut context =
            "{\"IsCheckpointingAfterInvocation\":true,\"FullyQualifiedNamespace\":".to_owned();
        string_into(&mut context, &trigger.namespace);
        context.push_str(",\"EventHubName\":");
        string_into(&mut context, &trigger.hub);
        context.push_str(",\"ConsumerGroup\":");
        string_into(&mut context, &trigger.consumer_group);
        _ = write!(context, ",\"PartitionId\":\"{partition}\"}}");
        Self {
            binding: trigger.binding.clone(),
            data_type: trigger.data_type,
            contexts: format!(
                "\"TriggerPartitionContext\":{context},\"PartitionContext\":{context},"
            ),
        }
    }

    /// The name of the trigger's binding.
    pub(crate) fn binding(&self) -> &str {
        &self.binding
    }

    /// The envelope of a batch, cardinality `many`.
    ///
    /// # Errors
    /// Where the data type is none and an event is not JSON: the real host fails the call before the handler sees it.
    pub(crate) fn many<E: AsRef<StoredEvent>>(
        &self,
        events: &[E],
        call: &CallContext<'_>,
    ) -> Result<String, String> {
        let events = || events.iter().map(AsRef::as_ref);
        let size: usize = events()
            .map(|event| event.body().len() * 3 / 2 + EncodedEvent::of(event).text.len() + 96)
            .sum();
        let mut out = String::with_capacity(size + 2_048);

        begin(&mut out, &self.binding);
        out.push_str("\"[");
        let mut scratch = String::new();
        for (index, event) in events().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.write_item(&mut out, &mut scratch, event)?;
        }
        out.push_str("]\"");

        begin_metadata(&mut out);
        out.push_str(&self.contexts);
        array(&mut out, "PartitionKeyArray", events(), |out, event| {
            out.push_str(EncodedEvent::of(event).partition_key());
        });
        let quoted_offset = |out: &mut String, event: &StoredEvent| {
            _ = write!(out, "\\\"{}\\\"", event.offset);
        };
        array(&mut out, "OffsetArray", events(), quoted_offset);
        array(&mut out, "OffsetStringArray", events(), quoted_offset);
        array(&mut out, "SequenceNumberArray", events(), |out, event| {
            _ = write!(out, "{}", event.sequence_number);
        });
        array(&mut out, "EnqueuedTimeUtcArray", events(), |out, event| {
            out.push_str(EncodedEvent::of(event).time());
        });
        array(&mut out, "PropertiesArray", events(), |out, event| {
            out.push_str(EncodedEvent::of(event).properties());
        });
        array(&mut out, "SystemPropertiesArray", events(), |out, event| {
            out.push_str(EncodedEvent::of(event).system_properties());
        });
        end(&mut out, call);
        Ok(out)
    }

    fn write_item(
        &self,
        out: &mut String,
        scratch: &mut String,
        event: &StoredEvent,
    ) -> Result<(), String> {
        match self.data_type {
            // Base64 holds nothing that JSON escapes.
            DataType::Binary => {
                out.push_str("\\\"");
                BASE64.encode_string(event.body(), out);
                out.push_str("\\\"");
            }
            DataType::String => {
                scratch.clear();
                string_into(scratch, &String::from_utf8_lossy(&event.body()));
                escape_into(out, scratch);
            }
            DataType::Untyped => {
                let body = event.body();
                let text = String::from_utf8_lossy(&body);
                check(&text).map_err(|error| {
                    format!(
                        "event {} is not JSON, and the binding has no dataType: {error}",
                        event.sequence_number
                    )
                })?;
                scratch.clear();
                minify_into(scratch, &text);
                escape_into(out, scratch);
            }
        }
        Ok(())
    }

    /// The envelope of one event, cardinality `one`.
    pub(crate) fn one(&self, event: &StoredEvent, call: &CallContext<'_>) -> String {
        let mut out = String::with_capacity(event.body().len() * 3 / 2 + 2_048);
        begin(&mut out, &self.binding);
        match self.data_type {
            DataType::Binary => {
                out.push('"');
                BASE64.encode_string(event.body(), &mut out);
                out.push('"');
            }
            DataType::String | DataType::Untyped => {
                string_twice_into(&mut out, &String::from_utf8_lossy(&event.body()));
            }
        }
        begin_metadata(&mut out);
        out.push_str(&self.contexts);
        // A null is dropped from the metadata.
        if let Some(key) = &event.partition_key {
            out.push_str("\"PartitionKey\":");
            string_twice_into(&mut out, key);
            out.push(',');
        }
        for name in ["Offset", "OffsetString"] {
            _ = write!(out, "\"{name}\":");
            string_twice_into(&mut out, &event.offset.to_string());
            out.push(',');
        }
        _ = write!(
            out,
            "\"SequenceNumber\":\"{}\",\"EnqueuedTimeUtc\":\"",
            event.sequence_number
        );
        clock::write_seconds(&mut out, event.enqueued_at, Zone::Unspecified);
        out.push_str("\",\"Properties\":");
        out.push_str(&object(&event.properties()));
        out.push_str(",\"SystemProperties\":");
        write_system_properties(&mut out, event);
        out.push(',');
        end(&mut out, call);
        out
    }
}

fn array<'a>(
    out: &mut String,
    name: &str,
    events: impl Iterator<Item = &'a StoredEvent>,
    item: impl Fn(&mut String, &'a StoredEvent),
) {
    _ = write!(out, "\"{name}\":\"[");
    for (index, event) in events.enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(out, event);
    }
    out.push_str("]\",");
}

fn write_key(out: &mut String, event: &StoredEvent) {
    match &event.partition_key {
        Some(key) => string_into(out, key),
        None => out.push_str("null"),
    }
}

fn write_enqueued(out: &mut String, event: &StoredEvent) {
    out.push('"');
    clock::write_fraction(out, event.enqueued_at, Zone::Unspecified);
    out.push('"');
}

/// First what came with the event, then what the hub knows of it, in the order of the real host.
fn write_system_properties(out: &mut String, event: &StoredEvent) {
    let own = event.system_properties();
    let text = object(&own);
    // Without the closing brace.
    out.push_str(&text[..text.len() - 1]);
    if !own.is_empty() {
        out.push(',');
    }
    _ = write!(
        out,
        "\"SequenceNumber\":{},\"Offset\":{},\"OffsetString\":\"{}\",\"PartitionKey\":",
        event.sequence_number, event.offset, event.offset
    );
    write_key(out, event);
    out.push_str(",\"EnqueuedTimeUtc\":");
    write_enqueued(out, event);
    out.push('}');
}

fn object(map: &Map<String, Value>) -> String {
    // A map with string keys always serializes.
    serde_json::to_string(map).unwrap_or_else(|_| "{}".to_owned())
}

#[cfg(test)]
#[path = "event_hub_tests.rs"]
mod tests;
