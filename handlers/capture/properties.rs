//! Property bags: from the JSON that the host sends to the unions of the Capture schema.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::UNREADABLE;

/// The entries of a JSON object, in its order, borrowed where they need no unescaping.
#[derive(Debug, PartialEq)]
pub(super) struct PropertyMap<'a>(Vec<(Cow<'a, str>, PropertyValue<'a>)>);

/// A value as the schema can hold it. What has no place of its own there (booleans, arrays, objects)
/// is kept as its JSON text.
#[derive(Debug, PartialEq)]
pub(super) enum PropertyValue<'a> {
    Null,
    Long(i64),
    Double(f64),
    Text(Cow<'a, str>),
}

impl<'a> PropertyMap<'a> {
    pub(super) fn parse(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_else(|_| {
            let kept = PropertyValue::Text(Cow::Borrowed(json));
            Self(vec![(Cow::Borrowed(UNREADABLE), kept)])
        })
    }

    pub(super) fn remove_nulls(&mut self) {
        self.0.retain(|(_, value)| *value != PropertyValue::Null);
    }

    pub(super) fn set(&mut self, name: Cow<'a, str>, value: PropertyValue<'a>) {
        self.0.retain(|(existing, _)| *existing != name);
        self.0.push((name, value));
    }
}

impl Serialize for PropertyMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for PropertyValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for PropertyMap<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = PropertyMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // IoT Hub and Event Hubs together set about a dozen.
                let mut entries = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry()? {
                    entries.push((name, value));
                }
                Ok(PropertyMap(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for PropertyValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = PropertyValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(PropertyValue::Null)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                let text = if value { "true" } else { "false" };
                Ok(PropertyValue::Text(Cow::Borrowed(text)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(PropertyValue::Long(value))
            }

            /// Above the range of a long, digits are worth more than the nearest double.
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(value).map_or_else(
                    |_| PropertyValue::Text(Cow::Owned(value.to_string())),
                    PropertyValue::Long,
                ))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(PropertyValue::Double(value))
            }

            fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(PropertyValue::Text(Cow::Borrowed(value)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(PropertyValue::Text(Cow::Owned(value.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = serde_json::Map::new();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    object.insert(name, value);
                }
                Ok(json_text(&serde_json::Value::Object(object)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut array = Vec::new();
                while let Some(value) = seq.next_element()? {
                    array.push(value);
                }
                Ok(json_text(&serde_json::Value::Array(array)))
            }
        }

        deserializer.deserialize_any(Value)
    }
}

fn json_text(value: &serde_json::Value) -> PropertyValue<'static> {
    PropertyValue::Text(Cow::Owned(value.to_string()))
}
