//! Attributes of telemetry, as text and bounded: what sends them may be any program.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::Serialize;

/// Further attributes of one thing are left out.
const MOST: usize = 64;

/// Longer texts are cut.
pub(super) const LONGEST: usize = 512;

/// By their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn of(pairs: &[KeyValue]) -> Self {
        let texts = pairs
            .iter()
            .take(MOST)
            .map(|pair| (cut(&pair.key), text(pair.value.as_ref())));
        Self(texts.collect())
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The attributes' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is such an attribute.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The attribute as one with this value.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Attributes {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let owned = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(owned.collect())
    }
}

/// A text of a bounded length.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn text(value: Option<&AnyValue>) -> String {
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return String::new();
    };
    match value {
        Value::StringValue(text) => cut(text),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::BytesValue(bytes) => format!("{} bytes", bytes.len()),
        // One level is what attributes may have.
        Value::ArrayValue(array) => {
            let items = array
                .values
                .iter()
                .take(MOST)
                .map(|item| match &item.value {
                    Some(Value::ArrayValue(_) | Value::KvlistValue(_)) => "…".to_owned(),
                    _ => text(Some(item)),
                });
            cut(&items.collect::<Vec<_>>().join(", "))
        }
        Value::KvlistValue(list) => format!("{} values", list.values.len()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;

    use super::*;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    #[test]
    fn values_of_every_kind_are_texts_of_a_bounded_length() {
        let nested = AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![] })),
        };
        let array = ArrayValue {
            values: vec![
                AnyValue {
                    value: Some(Value::IntValue(1)),
                },
                nested,
            ],
        };
        let attributes = Attributes::of(&[
            pair("text", Value::StringValue("é".repeat(LONGEST + 1))),
            pair("yes", Value::BoolValue(true)),
            pair("number", Value::IntValue(-3)),
            pair("half", Value::DoubleValue(0.5)),
            pair("bytes", Value::BytesValue(vec![1, 2])),
            pair("array", Value::ArrayValue(array)),
            KeyValue::default(),
        ]);
        assert_eq!(
            attributes.get("text").map(|text| text.chars().count()),
            Some(LONGEST + 1)
        );
        for (name, value) in [
            ("yes", "true"),
            ("number", "-3"),
            ("half", "0.5"),
            ("bytes", "2 bytes"),
            ("array", "1, …"),
            ("", ""),
        ] {
            assert_eq!(attributes.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn too_many_are_left_out() {
        let pairs: Vec<_> = (0..MOST + 5)
            .map(|number| pair(&number.to_string(), Value::IntValue(1)))
            .collect();
        assert_eq!(Attributes::of(&pairs).0.len(), MOST);
    }
}
