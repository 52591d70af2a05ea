//! Reading JSON of which most is not wanted, without copying what need not be copied.
//!
//! The host encodes some values twice (see [`unwrapped`]), and Microsoft's documentation shows the same
//! values encoded once; whatever reads a value goes through here and takes both.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON string, borrowed from the input where it holds no escapes. (`Cow<str>` itself always copies.)
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// The members of a JSON object, unparsed. A member that is null counts as absent.
#[derive(Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// By name, whatever its case: names differ between host versions and the documentation.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The text of a string, number or boolean.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(scalar)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if value.get() != "null" {
                members.push((name, value));
            }
        }
        Ok(Members(members))
    }
}

/// The JSON text of an array or object that is encoded once or twice.
pub(crate) fn unwrapped(value: &RawValue) -> Cow<'_, str> {
    string(value.get()).unwrap_or(Cow::Borrowed(value.get()))
}

/// The text of a string, number or boolean that is encoded once or twice.
///
/// A string of the form `"…"` inside a string is taken as encoded twice: that is what the host sends.
pub(crate) fn scalar(value: &RawValue) -> Cow<'_, str> {
    match string(value.get()) {
        None => Cow::Borrowed(value.get()),
        Some(Cow::Borrowed(once)) => string(once).unwrap_or(Cow::Borrowed(once)),
        Some(Cow::Owned(once)) => match string(&once).map(Cow::into_owned) {
            Some(twice) => Cow::Owned(twice),
            None => Cow::Owned(once),
        },
    }
}

/// The content of a JSON string; `None` where the text is not one.
pub(crate) fn string(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(json)
        .ok()
        .map(|Text(text)| text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn scalars_are_read_encoded_once_or_twice() {
        for (json, text) in [
            ("1", "1"),
            (r#""1""#, "1"),
            (r#""abc""#, "abc"),
            (r#""\"abc\"""#, "abc"),
            (r#""\"a \\\"b\\\"\"""#, r#"a "b""#),
            (r#""\"open""#, "\"open"),
        ] {
            assert_eq!(scalar(raw(json)), text, "{json}");
        }
    }

    #[test]
    fn arrays_and_objects_are_read_encoded_once_or_twice() {
        assert_eq!(unwrapped(raw("[1,2]")), "[1,2]");
        assert_eq!(unwrapped(raw(r#""[1,2]""#)), "[1,2]");
    }

    #[test]
    fn members_are_found_in_any_case_and_nulls_are_absent() {
        let members = Members::parse(r#"{"IsPastDue":true,"Nothing":null}"#).unwrap();
        assert_eq!(members.get("isPastDue").unwrap().get(), "true");
        assert!(members.get("Nothing").is_none());
    }
}
