//! The properties of an event, kept as text until somebody asks.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::json::Text;

/// A bag of properties: the text of a JSON object, parsed only on demand.
///
/// Most properties of most events are never looked at, so finding one by name reads the text again
/// each time, up to that name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Empty for no properties. UTF-8, because it is a part of a string.
    json: Bytes,
}

impl Properties {
    /// `json` must be UTF-8; whether it is an object is found out when it is read.
    pub(super) fn new(json: Bytes) -> Self {
        Self { json }
    }

    /// The value of a property that is a string; names are case-sensitive.
    pub fn get_str(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut found = None;
        let search = Search {
            name,
            found: &mut found,
        };
        // Stops in the middle of the object, which the parser then reports as an error; what it has
        // found by then is good.
        _ = serde_json::Deserializer::from_str(self.as_json()).deserialize_map(search);
        found
    }

    /// All properties, in the order of the text.
    pub fn entries(&self) -> Vec<(String, Value)> {
        // With serde_json's default features a `Map` would sort them.
        serde_json::from_str::<Entries>(self.as_json()).map_or_else(|_| Vec::new(), |all| all.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let inner = self.json.trim_ascii();
        inner.is_empty()
            || inner
                .strip_prefix(b"{")
                .is_some_and(|rest| rest.trim_ascii() == b"}")
    }

    /// The text of the JSON object; `{}` for no properties.
    pub fn as_json(&self) -> &str {
        match std::str::from_utf8(&self.json) {
            Ok("") | Err(_) => "{}",
            Ok(json) => json,
        }
    }
}

impl fmt::Debug for Properties {
    /// Without contents, which are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Properties({} bytes)", self.json.len())
    }
}

struct Search<'n, 'f, 'de> {
    name: &'n str,
    found: &'f mut Option<Cow<'de, str>>,
}

impl<'de> Visitor<'de> for Search<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            if name == self.name {
                let Text(value) = map.next_value()?;
                *self.found = Some(value);
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct Entries(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn properties(json: &'static str) -> Properties {
        Properties::new(Bytes::from_static(json.as_bytes()))
    }

    #[test]
    fn a_string_is_found_by_its_exact_name() {
        let bag = properties(r#"{"n":1,"o":{"kind":"no"},"kind":"flight","esc":"a\"b","b":true}"#);
        assert_eq!(bag.get_str("kind").as_deref(), Some("flight"));
        assert_eq!(bag.get_str("esc").as_deref(), Some("a\"b"));
        for name in ["Kind", "n", "o", "b", "x"] {
            assert_eq!(bag.get_str(name), None, "{name}");
        }
    }

    #[test]
    fn entries_keep_their_order_and_types() {
        let bag = properties(r#"{"z":1,"a":null,"m":"text"}"#);
        let expected = [("z", json!(1)), ("a", json!(null)), ("m", json!("text"))];
        assert_eq!(
            bag.entries(),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        assert!(!bag.is_empty());
    }

    #[test]
    fn no_properties_are_an_empty_object() {
        for bag in [Properties::default(), properties("{}"), properties(" { } ")] {
            assert!(bag.is_empty());
            assert!(bag.entries().is_empty());
            assert_eq!(bag.get_str("a"), None);
        }
        assert_eq!(Properties::default().as_json(), "{}");
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(json in "\\PC*", name in "\\PC*") {
            let bag = Properties::new(Bytes::from(json));
            _ = (bag.get_str(&name), bag.entries(), bag.is_empty());
        }
    }
}
