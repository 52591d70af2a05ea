//! Property bags: from the JSON that the host sends to the maps of the Capture schema, in one pass.
//!
//! What has no place of its own in the schema (booleans, arrays, objects) is kept as its JSON text.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::received::LastBag;
use super::schema::{DOUBLE, LONG, NULL, STRING};
use super::writer::{append_bytes, append_long};
use super::{ENQUEUED_TIME, PropertyBag, UNREADABLE};

/// Appends the hub's properties with the enqueued time, in milliseconds since 1970, as one of them. `last` are those of the
/// event before.
pub(super) fn append_system<'a>(
    bag: &PropertyBag<'a>,
    last: &mut LastBag<'a>,
    enqueued_at: i64,
    out: &mut Vec<u8>,
) {
    let mut map = MapWriter::new(out, true);
    if !map.repeat(bag, last) {
        map.read(&bag.as_json());
    }
    map.long(ENQUEUED_TIME, enqueued_at);
    map.end();
}

/// Appends the sender's properties.
pub(super) fn append(bag: &PropertyBag<'_>, out: &mut Vec<u8>) {
    let json = bag.as_json();
    // Most senders set none.
    if json == "{}" {
        return out.push(0);
    }
    let mut map = MapWriter::new(out, false);
    map.read(&json);
    map.end();
}

/// An Avro map of one block, as it grows.
struct MapWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where its count belongs, which is known at the end.
    start: usize,
    entries: i64,
    /// The schema has no null among the system properties, and one of them is ours.
    system: bool,
}

impl<'o> MapWriter<'o> {
    fn new(out: &'o mut Vec<u8>, system: bool) -> Self {
        let start = out.len();
        // Room for a count of up to 63, which is one byte, or the end of an empty map.
        out.push(0);
        Self {
            out,
            start,
            entries: 0,
            system,
        }
    }

    /// Takes what the host has sent as it stands, if it is plain enough; otherwise nothing is written.
    fn repeat<'a>(&mut self, bag: &PropertyBag<'a>, last: &mut LastBag<'a>) -> bool {
        let PropertyBag::Received(properties) = bag else {
            return false;
        };
        let object = properties.as_escaped();
        match object.and_then(|object| last.append(object, self.out)) {
            Some(entries) => self.entries = entries,
            None => self.out.truncate(self.start + 1),
        }
        self.entries > 0
    }

    /// Nothing about an event may keep it out of the archive: what is no JSON object is one text.
    fn read(&mut self, json: &str) {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = deserializer
            .deserialize_map(&mut *self)
            .and_then(|()| deserializer.end());
        if read.is_err() {
            self.out.truncate(self.start + 1);
            self.entries = 1;
            append_bytes(UNREADABLE.as_bytes(), self.out);
            append_text(json, self.out);
        }
    }

    fn long(&mut self, name: &str, value: i64) {
        append_bytes(name.as_bytes(), self.out);
        append_long(LONG, self.out);
        append_long(value, self.out);
        self.entries += 1;
    }

    fn end(self) {
        if self.entries == 0 {
            return;
        }
        let mut count = Vec::with_capacity(10);
        append_long(self.entries, &mut count);
        match count[..] {
            [one] => self.out[self.start] = one,
            _ => _ = self.out.splice(self.start..=self.start, count),
        }
        self.out.push(0);
    }
}

impl<'de> Visitor<'de> for &mut MapWriter<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        loop {
            let start = self.out.len();
            let Some(is_ours) = map.next_key_seed(NameWriter(self.out))? else {
                return Ok(());
            };
            let kept = if self.system && is_ours {
                map.next_value::<IgnoredAny>()?;
                false
            } else {
                let is_null = map.next_value_seed(ValueWriter(self.out))?;
                !(self.system && is_null)
            };
            if kept {
                self.entries += 1;
            } else {
                self.out.truncate(start);
            }
        }
    }
}

/// Appends a name, and says whether it is [`ENQUEUED_TIME`].
struct NameWriter<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for NameWriter<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameWriter<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        append_bytes(name.as_bytes(), self.0);
        Ok(name == ENQUEUED_TIME)
    }
}

/// Appends a value with its variant, and says whether it is null.
struct ValueWriter<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ValueWriter<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueWriter<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        append_long(NULL, self.0);
        Ok(true)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        append_long(LONG, self.0);
        append_long(value, self.0);
        Ok(false)
    }

    /// Above the range of a long, digits are worth more than the nearest double.
    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_str(&value.to_string()),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        append_long(DOUBLE, self.0);
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(false)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        append_text(value, self.0);
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let object = Value::deserialize(MapAccessDeserializer::new(map))?;
        self.visit_str(&object.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        let array = Value::deserialize(SeqAccessDeserializer::new(seq))?;
        self.visit_str(&array.to_string())
    }
}

fn append_text(text: &str, out: &mut Vec<u8>) {
    append_long(STRING, out);
    append_bytes(text.as_bytes(), out);
}
