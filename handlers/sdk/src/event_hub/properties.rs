//! The properties of an event, kept as text until somebody asks.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::scan::{Unescaped, unescape};
use crate::json::Text;

/// A bag of properties: the text of a JSON object, parsed only on demand.
///
/// Most properties of most events are never looked at, so finding one by name reads the text again
/// each time, up to that name.
#[derive(Clone, Default)]
pub struct Properties {
    /// Empty for no properties.
    text: Bytes,
    /// Whether it is still the content of a JSON string, in which the host sends the properties of a batch.
    escaped: bool,
}

impl Properties {
    /// Whether `json` is an object is found out when it is read.
    pub(super) fn new(json: Bytes) -> Self {
        Self {
            text: json,
            escaped: false,
        }
    }

    /// `text` is the content of a JSON string.
    pub(super) fn escaped(text: Bytes) -> Self {
        Self {
            escaped: memchr::memchr(b'\\', &text).is_some(),
            text,
        }
    }

    /// The value of a property that is a string; names are case-sensitive.
    pub fn get_str(&self, name: &str) -> Option<Cow<'_, str>> {
        // Many senders set none, and this is asked of each event.
        if self.text.len() <= "{}".len() {
            return None;
        }
        if self.escaped
            && let Some(found) = find_escaped(&self.text, name)
        {
            return found.map(Cow::Borrowed);
        }
        match self.as_json() {
            Cow::Borrowed(json) => search(json, name),
            Cow::Owned(json) => search(&json, name).map(|found| Cow::Owned(found.into_owned())),
        }
    }

    /// All properties, in the order of the text.
    pub fn entries(&self) -> Vec<(String, Value)> {
        // With serde_json's default features a `Map` would sort them.
        serde_json::from_str::<Entries>(&self.as_json()).map_or_else(|_| Vec::new(), |all| all.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let inner = self.text.trim_ascii();
        inner.is_empty()
            || inner
                .strip_prefix(b"{")
                .is_some_and(|rest| rest.trim_ascii() == b"}")
    }

    /// What the host has sent, where that was the content of a JSON string: the text of the object with its quotes and
    /// backslashes escaped. For whoever can do without [`as_json`](Self::as_json), which makes a text of its own of it.
    pub fn as_escaped(&self) -> Option<&[u8]> {
        self.escaped.then_some(&self.text)
    }

    /// The text of the JSON object; `{}` for no properties.
    pub fn as_json(&self) -> Cow<'_, str> {
        if self.text.is_empty() {
            return Cow::Borrowed("{}");
        }
        if self.escaped
            && let Unescaped::Whole(json) = unescape(&self.text)
        {
            let json = String::from_utf8(json);
            return Cow::Owned(
                json.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            );
        }
        // What cannot be unescaped is shown as it is: no JSON, but all there is.
        String::from_utf8_lossy(&self.text)
    }
}

/// By what they say, not by how they came.
impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Properties {}

/// Walks an object that is still escaped up to a property, and returns its value if that is a string; `None` where
/// it takes a closer look: inner objects and arrays, white space, names and values with escapes of their own.
fn find_escaped<'a>(object: &'a [u8], name: &str) -> Option<Option<&'a str>> {
    let mut rest = object.strip_prefix(b"{")?;
    loop {
        let (found, after) = escaped_string(rest)?;
        let value = after.strip_prefix(b":")?;
        if found.contains(&b'\\') {
            return None;
        }
        let is_wanted = found == name.as_bytes();
        rest = match value.first()? {
            b'\\' => {
                let (text, after) = escaped_string(value)?;
                if is_wanted {
                    let plain = !text.contains(&b'\\');
                    return std::str::from_utf8(text).ok().filter(|_| plain).map(Some);
                }
                after
            }
            b'{' | b'[' => return None,
            _ if is_wanted => return Some(None),
            _ => &value[memchr::memchr2(b',', b'}', value)?..],
        };
        rest = match rest {
            [b',', more @ ..] => more,
            b"}" => return Some(None),
            _ => return None,
        };
    }
}

/// What stands between the quotes of a string, each of which has a backslash here, and what comes after it.
fn escaped_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = text.strip_prefix(b"\\\"")?;
    let mut at = 0;
    loop {
        at += memchr::memchr(b'\\', content.get(at..)?)?;
        at += match content.get(at + 1..)? {
            [b'"', after @ ..] => return Some((&content[..at], after)),
            // An escape of the string's own: a backslash, and the character it belongs to.
            [b'\\', b'\\', b'"' | b'\\', ..] => 4,
            [b'\\', other, ..] if *other != b'\\' => 3,
            _ => return None,
        };
    }
}

fn search<'de>(json: &'de str, name: &str) -> Option<Cow<'de, str>> {
    let mut found = None;
    let search = Search {
        name,
        found: &mut found,
    };
    // Stops in the middle of the object, which the parser then reports as an error; what it has
    // found by then is good.
    _ = serde_json::Deserializer::from_str(json).deserialize_map(search);
    found
}

impl fmt::Debug for Properties {
    /// Without contents, which are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Properties({} bytes)", self.text.len())
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

    /// As the host writes a batch's: the content of a string.
    fn as_sent(json: &str) -> Properties {
        let string = serde_json::to_string(json).unwrap_or_default();
        let content = string[1..string.len() - 1].to_owned();
        Properties::escaped(content.into())
    }

    #[test]
    fn bags_that_are_still_escaped_are_the_same_bags() {
        for json in [
            "{}",
            r#"{"kind":"flight"}"#,
            r#"{"n":1,"o":{"kind":"no"},"kind":"flight"}"#,
            r#"{"o":["kind",{"kind":"no"}],"kind":"flight"}"#,
            r#"{"text":"\"kind\":\"no\"","kind":"flight"}"#,
            r#"{"text":",\"kind\":\"no\",","kind":"flight"}"#,
            r#"{"text":"{\"a\":{\"kind\":\"no\"}}","kind":"flight"}"#,
            r#"{"text":"\\","kind":"flight"}"#,
            r#"{"kind":"fl\"ight"}"#,
            r#"{"kind":"back\\"}"#,
            r#"{"kind":"caf\u00e9 é"}"#,
            r#"{"\u006bind":"flight"}"#,
            r#"{ "kind" : "flight" }"#,
            r#"{"kind":7,"kinds":"no"}"#,
            r#"{"mankind":"no"}"#,
            r#"{"kind":"","x":"y"}"#,
            r#"{"kind":"first","kind":"second"}"#,
            r#"{"kind":null,"kind":"second"}"#,
            r#"{"t":true,"n":-1.5e3,"kind":"flight"}"#,
            "[]",
            "{",
        ] {
            let (sent, plain) = (as_sent(json), Properties::new(json.to_owned().into()));
            assert_eq!(sent.as_json(), json);
            assert_eq!(sent, plain);
            assert_eq!(sent.entries(), plain.entries());
            assert_eq!(sent.is_empty(), plain.is_empty());
            for name in ["kind", "text", "x", "n", "no", "", "ki\"nd"] {
                assert_eq!(sent.get_str(name), plain.get_str(name), "{name} in {json}");
            }
        }
    }

    #[test]
    fn what_cannot_be_unescaped_is_shown_as_it_is() {
        let bag = Properties::escaped(Bytes::from_static(br#"{\"a\":\"\x\"}"#));
        assert_eq!(bag.as_json(), r#"{\"a\":\"\x\"}"#);
        assert!(bag.entries().is_empty());
        let bag = Properties::escaped(Bytes::from_static(b"{\\\"a\\\":\\\"\xff\\\"}"));
        assert_eq!(bag.as_json(), "{\"a\":\"\u{fffd}\"}");
    }

    proptest! {
        #[test]
        fn properties_are_found_escaped_as_they_are_otherwise(
            values in prop::collection::vec(("[abé\"\\\\]{0,2}", "[a-c{}:,é\"\\\\\n\\[\\]]{0,12}"), 0..6),
            nested in any::<bool>(),
        ) {
            let mut object = serde_json::Map::new();
            for (name, value) in &values {
                object.insert(name.clone(), json!(value));
            }
            if nested {
                object.insert("o".to_owned(), json!({"a": "no", "b": ["no"]}));
            }
            let json = Value::from(object).to_string();
            let (sent, plain) = (as_sent(&json), Properties::new(json.into()));
            for name in values.iter().map(|(name, _)| name.as_str()).chain(["a", "b", "", "o"]) {
                prop_assert_eq!(sent.get_str(name), plain.get_str(name));
            }
            prop_assert_eq!(sent, plain);
        }

        #[test]
        fn no_text_makes_them_panic(json in "\\PC*", name in "\\PC*") {
            let escaped = Properties::escaped(Bytes::from(json.clone()));
            _ = (escaped.get_str(&name), escaped.entries(), escaped.is_empty());
            let bag = Properties::new(Bytes::from(json));
            _ = (bag.get_str(&name), bag.entries(), bag.is_empty());
        }
    }
}
