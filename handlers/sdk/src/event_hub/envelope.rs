//! A batch's envelope, read in one pass.
//!
//! Large arrays come as a string that holds their JSON. What stands where is all that is found out here: an array
//! is unescaped when it is asked for, and what has no use is skipped.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::scan::{Scanner, Unescaped, unescape};
use crate::envelope::EnvelopeError;
use crate::json::{scalar, unwrapped};

/// What a batch is made of, still as text.
#[derive(Default)]
pub(super) struct BatchEnvelope {
    pub(super) data: Option<Data>,
    pub(super) columns: Columns,
    pub(super) trigger_partition: Option<Box<RawValue>>,
    pub(super) partition: Option<Box<RawValue>>,
    pub(super) retry: Option<Box<RawValue>>,
}

/// The value of the trigger's binding.
pub(super) enum Data {
    /// The base64 of each body, where it stands in the call.
    Base64(Vec<Range<usize>>),
    /// A JSON array.
    Many(ArrayText),
    /// The text of one body.
    One(String),
}

/// The text of a JSON array.
pub(super) enum ArrayText {
    /// Where it stands in the call.
    Plain(Range<usize>),
    /// The content of a string that stands there.
    Escaped(Range<usize>),
    /// What was made of a single value.
    Own(Bytes),
}

impl ArrayText {
    /// A part of the call, or unescaped.
    pub(super) fn get(&self, call: &Bytes) -> Result<Bytes, EnvelopeError> {
        match self {
            Self::Plain(range) => Ok(call.slice(range.clone())),
            Self::Own(text) => Ok(text.clone()),
            Self::Escaped(range) => match unescape(&call[range.clone()]) {
                Unescaped::Whole(text) => Ok(text.into()),
                Unescaped::WrongAt(at) => Err(EnvelopeError::At {
                    byte: range.start + at,
                }),
            },
        }
    }
}

/// Metadata that has one element for every event, each the text of a JSON array; of a single event, an
/// array of one element.
#[derive(Default)]
pub(super) struct Columns([Option<ArrayText>; 7]);

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
    fn of_one(self, value: &RawValue) -> ArrayText {
        let text = match self {
            Self::Properties | Self::SystemProperties => format!("[{}]", unwrapped(value)),
            _ => serde_json::json!([scalar(value)]).to_string(),
        };
        ArrayText::Own(text.into())
    }
}

impl Columns {
    pub(super) fn get(&self, column: Column) -> Option<&ArrayText> {
        self.0[column as usize].as_ref()
    }
}

impl BatchEnvelope {
    /// `binding` is the trigger's name; `many` says which names its metadata has, and `binary` whether its bodies
    /// are in base64.
    pub(super) fn parse(
        body: &[u8],
        binding: &str,
        many: bool,
        binary: bool,
    ) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::default();
        let mut scanner = Scanner::new(body);
        scanner.members(|scanner, name| {
            if name.eq_ignore_ascii_case("Data") {
                scanner.members(|scanner, name| {
                    if name.eq_ignore_ascii_case(binding) {
                        envelope.data = read_data(scanner, many, binary)?;
                        return Ok(());
                    }
                    scanner.value().map(|_| ())
                })
            } else if name.eq_ignore_ascii_case("Metadata") {
                scanner.members(|scanner, name| envelope.read_metadata(scanner, name, many))
            } else {
                scanner.value().map(|_| ())
            }
        })?;
        scanner.end()?;
        Ok(envelope)
    }

    fn read_metadata(
        &mut self,
        scanner: &mut Scanner<'_>,
        name: &str,
        many: bool,
    ) -> Result<(), EnvelopeError> {
        if let Some(column) = Column::named(name, many) {
            self.columns.0[column as usize] = if many {
                scanner.array()?
            } else {
                present(scanner.value()?).map(|value| column.of_one(value))
            };
            return Ok(());
        }
        let place = match name.to_ascii_lowercase().as_str() {
            "triggerpartitioncontext" => &mut self.trigger_partition,
            "partitioncontext" => &mut self.partition,
            "retrycontext" => &mut self.retry,
            _ => return scanner.value().map(|_| ()),
        };
        *place = present(scanner.value()?).map(RawValue::to_owned);
        Ok(())
    }
}

fn read_data(
    scanner: &mut Scanner<'_>,
    many: bool,
    binary: bool,
) -> Result<Option<Data>, EnvelopeError> {
    if !many {
        let value = present(scanner.value()?);
        return Ok(value.map(|value| Data::One(scalar(value).into_owned())));
    }
    if binary && let Some(bodies) = scanner.escaped_strings() {
        return Ok(Some(Data::Base64(bodies)));
    }
    Ok(scanner.array()?.map(Data::Many))
}

/// A member that is null counts as absent.
fn present(value: &RawValue) -> Option<&RawValue> {
    (value.get() != "null").then_some(value)
}
