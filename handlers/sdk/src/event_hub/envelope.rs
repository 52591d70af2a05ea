//! A batch's envelope, read in one pass.
//!
//! Large arrays come as a string that holds their JSON. Each is unescaped where it is found, and what
//! has no use here is skipped.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::scan::Scanner;
use crate::envelope::EnvelopeError;
use crate::json::{scalar, unwrapped};

/// What a batch is made of, still as text.
#[derive(Default)]
pub(super) struct BatchEnvelope<'a> {
    pub(super) data: Option<Data>,
    pub(super) columns: Columns,
    pub(super) trigger_partition: Option<&'a RawValue>,
    pub(super) partition: Option<&'a RawValue>,
    pub(super) retry: Option<&'a RawValue>,
}

/// The value of the trigger's binding.
pub(super) enum Data {
    /// The text of a JSON array.
    Many(Bytes),
    /// The text of one body.
    One(String),
}

/// Metadata that has one element for every event, each the text of a JSON array; of a single event, an
/// array of one element.
#[derive(Default)]
pub(super) struct Columns([Option<Bytes>; 7]);

#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    SequenceNumber,
    EnqueuedTime,
    OffsetString,
    Offset,
    PartitionKey,
    Properties,
    SystemProperties,
}

impl Column {
    const ALL: [Self; 7] = [
        Self::SequenceNumber,
        Self::EnqueuedTime,
        Self::OffsetString,
        Self::Offset,
        Self::PartitionKey,
        Self::Properties,
        Self::SystemProperties,
    ];

    /// The name in the metadata of a batch; a single event's has no `Array` at its end.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SequenceNumber => "SequenceNumberArray",
            Self::EnqueuedTime => "EnqueuedTimeUtcArray",
            Self::OffsetString => "OffsetStringArray",
            Self::Offset => "OffsetArray",
            Self::PartitionKey => "PartitionKeyArray",
            Self::Properties => "PropertiesArray",
            Self::SystemProperties => "SystemPropertiesArray",
        }
    }

    fn named(name: &str, many: bool) -> Option<Self> {
        Self::ALL.into_iter().find(|column| {
            let full = column.name();
            let wanted = if many {
                full
            } else {
                &full[..full.len() - "Array".len()]
            };
            wanted.eq_ignore_ascii_case(name)
        })
    }

    /// A single event's value as an array of one. Its texts and numbers are encoded twice by
    /// themselves, which the elements of a batch's arrays are not.
    fn of_one(self, value: &RawValue) -> Bytes {
        match self {
            Self::Properties | Self::SystemProperties => format!("[{}]", unwrapped(value)),
            _ => serde_json::json!([scalar(value)]).to_string(),
        }
        .into()
    }
}

impl Columns {
    pub(super) fn get(&self, column: Column) -> Option<&Bytes> {
        self.0[column as usize].as_ref()
    }
}

impl<'a> BatchEnvelope<'a> {
    /// `binding` is the trigger's name; `many` says which names its metadata has.
    pub(super) fn parse(body: &'a Bytes, binding: &str, many: bool) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::default();
        let mut scanner = Scanner::new(body)?;
        scanner.members(|scanner, name| {
            if name.eq_ignore_ascii_case("Data") {
                scanner.members(|scanner, name| envelope.read_data(scanner, name, binding, many))
            } else if name.eq_ignore_ascii_case("Metadata") {
                scanner.members(|scanner, name| envelope.read_metadata(scanner, name, many))
            } else {
                scanner.value().map(|_| ())
            }
        })?;
        scanner.end()?;
        Ok(envelope)
    }

    fn read_data(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: &str,
        binding: &str,
        many: bool,
    ) -> Result<(), EnvelopeError> {
        if !name.eq_ignore_ascii_case(binding) {
            return scanner.value().map(|_| ());
        }
        self.data = if many {
            scanner.unwrapped()?.map(Data::Many)
        } else {
            let value = present(scanner.value()?);
            value.map(|value| Data::One(scalar(value).into_owned()))
        };
        Ok(())
    }

    fn read_metadata(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: &str,
        many: bool,
    ) -> Result<(), EnvelopeError> {
        if let Some(column) = Column::named(name, many) {
            self.columns.0[column as usize] = if many {
                scanner.unwrapped()?
            } else {
                let value = present(scanner.value()?);
                value.map(|value| column.of_one(value))
            };
            return Ok(());
        }
        let value = present(scanner.value()?);
        match name.to_ascii_lowercase().as_str() {
            "triggerpartitioncontext" => self.trigger_partition = value,
            "partitioncontext" => self.partition = value,
            "retrycontext" => self.retry = value,
            _ => {}
        }
        Ok(())
    }
}

/// A member that is null counts as absent.
fn present(value: &RawValue) -> Option<&RawValue> {
    (value.get() != "null").then_some(value)
}
