//! Property bags: from the JSON that the host sends to the unions of the Capture schema.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

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
    pub(super) fn parse(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
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
                let mut entries = Vec::with_capacity(12);
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &RawValue>()? {
                    entries.push((name, property(value)));
                }
                Ok(PropertyMap(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn property(raw: &RawValue) -> PropertyValue<'_> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'n') => PropertyValue::Null,
        Some(b'"') => match serde_json::from_str::<Text<'_>>(json) {
            Ok(Text(text)) => PropertyValue::Text(text),
            // A lone surrogate: JSON has a way to write it, text has not.
            Err(_) => PropertyValue::Text(Cow::Borrowed(json)),
        },
        Some(b'-' | b'0'..=b'9') => match (json.parse(), json.parse::<f64>()) {
            (Ok(long), _) => PropertyValue::Long(long),
            (Err(_), Ok(double)) if double.is_finite() => PropertyValue::Double(double),
            _ => PropertyValue::Text(Cow::Borrowed(json)),
        },
        _ => PropertyValue::Text(Cow::Borrowed(json)),
    }
}
