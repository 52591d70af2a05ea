//! From the envelope to events.

use std::borrow::Cow;

use bytes::Bytes;
use compact_str::CompactString;
use serde_json::value::RawValue;
use time::UtcDateTime;

use super::envelope::{ArrayText, BatchEnvelope, Column, Columns};
use super::{Event, EventHubBatch, Format, PartitionContext, Properties, RetryContext, bodies};
use crate::body::CallBody;
use crate::envelope::EnvelopeError;
use crate::json::{Members, Text, scalar, string, unwrapped};
use crate::timestamp::parse_utc;

pub(super) fn batch(
    binding: &str,
    format: Format,
    call: CallBody,
) -> Result<EventHubBatch, EnvelopeError> {
    let envelope = BatchEnvelope::parse(&call, binding, format.many, format.is_binary())?;
    let data = envelope
        .data
        .ok_or_else(|| EnvelopeError::NoData(binding.to_owned()))?;
    let (bodies, call) = bodies::decode(format.data_type, data, call)?;
    let rows = Rows {
        call: &call,
        columns: &envelope.columns,
        events: bodies.len(),
    };
    let system_properties = rows.properties(Column::SystemProperties)?;
    let sequence_numbers = match rows.sequence_numbers()? {
        Some(numbers) => numbers,
        None => rows.out_of_system(
            &system_properties,
            Column::SequenceNumber,
            "SequenceNumber",
            |text| text.parse().ok(),
        )?,
    };
    let times = match rows.times()? {
        Some(times) => times,
        None => rows.out_of_system(
            &system_properties,
            Column::EnqueuedTime,
            "EnqueuedTimeUtc",
            parse_utc,
        )?,
    };
    let properties = rows.properties(Column::Properties)?;
    let mut offsets = rows.offsets()?.into_iter();
    let mut partition_keys = rows.partition_keys()?.into_iter();
    let events = bodies
        .into_iter()
        .zip(sequence_numbers)
        .zip(times)
        .zip(properties)
        .zip(system_properties);
    let events = events
        .map(
            |((((body, sequence_number), enqueued_at), properties), system_properties)| Event {
                body,
                sequence_number,
                enqueued_at,
                offset: offsets.next().unwrap_or_default(),
                partition_key: partition_keys.next().flatten(),
                properties,
                system_properties,
            },
        )
        .collect();
    Ok(EventHubBatch {
        partition: partition(envelope.trigger_partition.or(envelope.partition).as_deref())?,
        events,
        retry: envelope.retry.as_deref().map(retry).transpose()?,
    })
}

/// Columns of the metadata, as many elements each as there are events.
struct Rows<'a> {
    call: &'a Bytes,
    columns: &'a Columns,
    events: usize,
}

impl Rows<'_> {
    fn sequence_numbers(&self) -> Result<Option<Vec<i64>>, EnvelopeError> {
        let quick = |array: &[u8]| serde_json::from_slice(array).ok();
        self.column(Column::SequenceNumber, "a whole number", quick, |element| {
            scalar(element).parse().ok()
        })
    }

    fn times(&self) -> Result<Option<Vec<UtcDateTime>>, EnvelopeError> {
        let quick = |array: &[u8]| {
            let texts: Vec<Text<'_>> = serde_json::from_slice(array).ok()?;
            texts.iter().map(|Text(text)| parse_utc(text)).collect()
        };
        self.column(Column::EnqueuedTime, "a time", quick, |element| {
            parse_utc(&scalar(element))
        })
    }

    /// `OffsetStringArray` is the newer one, and holds offsets that are no numbers.
    fn offsets(&self) -> Result<Vec<CompactString>, EnvelopeError> {
        let quick = |array: &[u8]| {
            let texts: Vec<Text<'_>> = serde_json::from_slice(array).ok()?;
            Some(texts.into_iter().map(|Text(text)| text.into()).collect())
        };
        for column in [Column::OffsetString, Column::Offset] {
            let offsets = self.optional_column(column, quick, |element| match element.get() {
                "null" => Some(CompactString::default()),
                _ => Some(scalar(element).into()),
            })?;
            if !offsets.is_empty() {
                return Ok(offsets);
            }
        }
        Ok(Vec::new())
    }

    fn partition_keys(&self) -> Result<Vec<Option<CompactString>>, EnvelopeError> {
        let quick = |array: &[u8]| {
            let keys: Vec<Option<Text<'_>>> = serde_json::from_slice(array).ok()?;
            let owned = |key: Option<Text<'_>>| key.map(|Text(text)| text.into());
            Some(keys.into_iter().map(owned).collect())
        };
        self.optional_column(Column::PartitionKey, quick, |element| match element.get() {
            "null" => Some(None),
            _ => Some(Some(scalar(element).into())),
        })
    }

    /// One bag for each event; empty ones where the column is absent.
    fn properties(&self, column: Column) -> Result<Vec<Properties>, EnvelopeError> {
        let Some(text) = self.columns.get(column) else {
            return Ok(vec![Properties::default(); self.events]);
        };
        // Most are never looked at, and stay as they came.
        if let ArrayText::Escaped(range) = text
            && let Some(objects) = split_objects(&self.call.slice(range.clone()), self.events)
        {
            return Ok(objects.into_iter().map(Properties::escaped).collect());
        }
        let array = text.get(self.call)?;
        if let Some(objects) = split_objects(&array, self.events) {
            return Ok(objects.into_iter().map(Properties::new).collect());
        }
        let elements: Vec<&RawValue> = elements(column, &array)?;
        if elements.is_empty() {
            return Ok(vec![Properties::default(); self.events]);
        }
        self.check_length(column, elements.len())?;
        let bag = |element: &RawValue| match element.get() {
            "null" => Properties::default(),
            json => match string(json) {
                Some(inner) => Properties::new(inner.into_owned().into()),
                None => Properties::new(array.slice_ref(json.as_bytes())),
            },
        };
        Ok(elements.into_iter().map(bag).collect())
    }

    /// A column that may be absent or empty.
    fn optional_column<T>(
        &self,
        column: Column,
        quick: impl Fn(&[u8]) -> Option<Vec<T>>,
        thorough: impl Fn(&RawValue) -> Option<T>,
    ) -> Result<Vec<T>, EnvelopeError> {
        let Some(text) = self.columns.get(column) else {
            return Ok(Vec::new());
        };
        if text.get(self.call)?.trim_ascii() == b"[]" {
            return Ok(Vec::new());
        }
        let values = self.column(column, "a string", quick, thorough)?;
        Ok(values.unwrap_or_default())
    }

    /// Reads a column as what the host writes today, and element by element only where that fails.
    fn column<T>(
        &self,
        column: Column,
        expected: &'static str,
        quick: impl Fn(&[u8]) -> Option<Vec<T>>,
        thorough: impl Fn(&RawValue) -> Option<T>,
    ) -> Result<Option<Vec<T>>, EnvelopeError> {
        let Some(text) = self.columns.get(column) else {
            return Ok(None);
        };
        let array = text.get(self.call)?;
        let values = match quick(&array) {
            Some(values) => values,
            None => elements(column, &array)?
                .into_iter()
                .enumerate()
                .map(|(index, element)| {
                    thorough(element).ok_or(EnvelopeError::Element {
                        name: column.name(),
                        index,
                        expected,
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        self.check_length(column, values.len())?;
        Ok(Some(values))
    }

    /// A column that is missing, out of each event's system properties.
    fn out_of_system<T>(
        &self,
        system_properties: &[Properties],
        column: Column,
        property: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, EnvelopeError> {
        let value = |bag: &Properties| {
            let json = bag.as_json();
            let members = Members::parse(&json).ok()?;
            read(&members.text(property)?)
        };
        system_properties
            .iter()
            .map(|bag| value(bag).ok_or(EnvelopeError::NoMetadata(column.name())))
            .collect()
    }

    fn check_length(&self, column: Column, found: usize) -> Result<(), EnvelopeError> {
        if found == self.events {
            return Ok(());
        }
        Err(EnvelopeError::Length {
            name: column.name(),
            found,
            events: self.events,
        })
    }
}

/// The elements of an array of objects without white space between them, which is how the host writes
/// properties; `None` where there may be another number of elements, or another form.
///
/// Every `},{` between two elements is found, and perhaps some inside of them. So where as many are found
/// as the events need, they are the right ones; no parser has to walk through what nobody may ask for. In the content of a string
/// none of the three is written in another way.
fn split_objects(array: &Bytes, events: usize) -> Option<Vec<Bytes>> {
    let inner_end = array.len().checked_sub(1)?;
    if !array.starts_with(b"[{") || !array.ends_with(b"}]") {
        return None;
    }
    let mut objects = Vec::with_capacity(events);
    let mut start = 1;
    for separator in memchr::memmem::find_iter(array, b"},{") {
        objects.push(array.slice(start..separator + 1));
        start = separator + 2;
    }
    objects.push(array.slice(start..inner_end));
    (objects.len() == events).then_some(objects)
}

fn elements(column: Column, array: &Bytes) -> Result<Vec<&RawValue>, EnvelopeError> {
    serde_json::from_slice(array).map_err(|error| EnvelopeError::json(column.name(), &error))
}

fn partition(context: Option<&RawValue>) -> Result<PartitionContext, EnvelopeError> {
    let Some(context) = context else {
        return Err(EnvelopeError::NoMetadata("PartitionContext"));
    };
    let text = unwrapped(context);
    let members =
        Members::parse(&text).map_err(|error| EnvelopeError::json("PartitionContext", &error))?;
    let member = |name| members.text(name).map(Cow::into_owned).unwrap_or_default();
    Ok(PartitionContext {
        fully_qualified_namespace: member("FullyQualifiedNamespace"),
        event_hub_name: member("EventHubName"),
        consumer_group: member("ConsumerGroup"),
        partition_id: member("PartitionId"),
    })
}

fn retry(context: &RawValue) -> Result<RetryContext, EnvelopeError> {
    let text = unwrapped(context);
    let members =
        Members::parse(&text).map_err(|error| EnvelopeError::json("RetryContext", &error))?;
    let count = |name| members.text(name);
    Ok(RetryContext {
        retry_count: count("RetryCount")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        max_retry_count: count("MaxRetryCount")
            .and_then(|text| text.parse().ok())
            .unwrap_or(-1),
    })
}
