//! A batch's envelope, read in one pass.
//!
//! Large arrays come as a string that holds their JSON. They are unescaped where they are found, and
//! never looked at twice; whatever has no use here is skipped.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::envelope::EnvelopeError;
use crate::json::{Text, scalar};

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
        let reader = Reader {
            body,
            binding,
            many,
            part: Part::Root,
            envelope: &mut envelope,
        };
        let mut json = serde_json::Deserializer::from_slice(body);
        reader
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| EnvelopeError::json("the call", &error))?;
        Ok(envelope)
    }
}

struct Reader<'a, 'r> {
    body: &'a Bytes,
    binding: &'r str,
    many: bool,
    part: Part,
    envelope: &'r mut BatchEnvelope<'a>,
}

#[derive(Clone, Copy)]
enum Part {
    Root,
    Data,
    Metadata,
}

impl<'a> DeserializeSeed<'a> for Reader<'a, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Reader<'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            match self.part {
                Part::Root => self.root_member(&name, &mut map)?,
                Part::Data => self.data_member(&name, &mut map)?,
                Part::Metadata => self.metadata_member(&name, &mut map)?,
            }
        }
        Ok(())
    }
}

impl<'a> Reader<'a, '_> {
    fn root_member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let part = if name.eq_ignore_ascii_case("Data") {
            Part::Data
        } else if name.eq_ignore_ascii_case("Metadata") {
            Part::Metadata
        } else {
            return map.next_value().map(|IgnoredAny| ());
        };
        map.next_value_seed(Reader {
            part,
            envelope: &mut *self.envelope,
            ..*self
        })
    }

    fn data_member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if !name.eq_ignore_ascii_case(self.binding) {
            return map.next_value().map(|IgnoredAny| ());
        }
        self.envelope.data = if self.many {
            map.next_value_seed(ArrayText(self.body))?.map(Data::Many)
        } else {
            let value: &RawValue = map.next_value()?;
            (value.get() != "null").then(|| Data::One(scalar(value).into_owned()))
        };
        Ok(())
    }

    fn metadata_member<A: MapAccess<'a>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if let Some(column) = Column::named(name, self.many) {
            let text = if self.many {
                map.next_value_seed(ArrayText(self.body))?
            } else {
                let value: &RawValue = map.next_value()?;
                (value.get() != "null").then(|| format!("[{}]", value.get()).into())
            };
            self.envelope.columns.0[column as usize] = text;
            return Ok(());
        }
        let envelope = &mut *self.envelope;
        let slot = match name.to_ascii_lowercase().as_str() {
            "triggerpartitioncontext" => &mut envelope.trigger_partition,
            "partitioncontext" => &mut envelope.partition,
            "retrycontext" => &mut envelope.retry,
            _ => return map.next_value().map(|IgnoredAny| ()),
        };
        let value: &RawValue = map.next_value()?;
        *slot = (value.get() != "null").then_some(value);
        Ok(())
    }
}

/// The JSON text of an array that is encoded once or twice; `None` for null.
struct ArrayText<'r>(&'r Bytes);

impl<'a> DeserializeSeed<'a> for ArrayText<'a> {
    type Value = Option<Bytes>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<Bytes>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ArrayText<'a> {
    type Value = Option<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array, or a string that holds one")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Option<Bytes>, E> {
        let null = text == "null";
        Ok((!null).then(|| self.0.slice_ref(text.as_bytes())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<Bytes>, E> {
        Ok(Some(text.to_owned().into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Bytes>, E> {
        Ok(None)
    }

    /// Encoded once, as the documentation has it. Copied, because only a whole value can be borrowed
    /// as text.
    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Option<Bytes>, A::Error> {
        let mut text = String::from("[");
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(element.get());
        }
        text.push(']');
        Ok(Some(text.into()))
    }
}
