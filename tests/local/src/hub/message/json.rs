//! A message as the Functions host sees it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_amqp::Value as Amqp;
use serde_json::{Map, Value};
use time::{Duration, UtcDateTime};

use super::{Message, PROPERTIES, is_the_hubs, keys, section, text};
use crate::hub::amqp::value::Items;

impl Message {
    /// What the sender added, as the host writes it.
    pub(crate) fn properties(&self) -> Map<String, Value> {
        self.bare_sections()
            .find(|(code, _)| *code == section::APPLICATION_PROPERTIES)
            .map(|(_, content)| json_object(content))
            .unwrap_or_default()
    }

    /// The properties that are set, and the annotations but for the hub's own, as the host writes them.
    pub(crate) fn system_properties(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let properties = self
            .bare_sections()
            .find(|(code, _)| *code == section::PROPERTIES)
            .and_then(|(_, content)| Items::of_value(content).ok());
        for (name, value) in PROPERTIES.iter().zip(properties.into_iter().flatten()) {
            match decoded(value) {
                Amqp::Null => {}
                // A text, as far as anybody has seen.
                Amqp::Binary(bytes) if *name == "user-id" => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    all.insert((*name).to_owned(), text.into());
                }
                value => _ = all.insert((*name).to_owned(), json(value)),
            }
        }
        for (key, value) in keys(self.annotation_items()) {
            if !is_the_hubs(text(key)) {
                let name = String::from_utf8_lossy(text(key)).into_owned();
                all.insert(name, json(decoded(value)));
            }
        }
        all
    }
}

/// Of a value that has been checked: what the codec does not read nevertheless is shown as null.
pub(super) fn decoded(value: &[u8]) -> Amqp {
    serde_amqp::from_slice(value).unwrap_or_default()
}

fn json_object(map: &[u8]) -> Map<String, Value> {
    let items = Items::of_value(map).into_iter().flat_map(keys);
    items
        .map(|(key, value)| (name(decoded(key)), json(decoded(value))))
        .collect()
}

pub(super) fn name(value: Amqp) -> String {
    match json(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// As Newtonsoft.Json writes what the .NET client makes of it.
pub(super) fn json(value: Amqp) -> Value {
    match value {
        Amqp::Null => Value::Null,
        Amqp::Bool(value) => value.into(),
        Amqp::Ubyte(value) => value.into(),
        Amqp::Ushort(value) => value.into(),
        Amqp::Uint(value) => value.into(),
        Amqp::Ulong(value) => value.into(),
        Amqp::Byte(value) => value.into(),
        Amqp::Short(value) => value.into(),
        Amqp::Int(value) => value.into(),
        Amqp::Long(value) => value.into(),
        Amqp::Float(value) => value.into_inner().into(),
        Amqp::Double(value) => value.into_inner().into(),
        Amqp::Char(value) => value.to_string().into(),
        Amqp::Timestamp(value) => time_text(value.milliseconds()).into(),
        Amqp::Uuid(value) => uuid::Uuid::from_bytes(value.into_inner())
            .to_string()
            .into(),
        Amqp::Binary(value) => BASE64.encode(value).into(),
        Amqp::String(value) => value.into(),
        Amqp::Symbol(value) => value.into_inner().into(),
        Amqp::List(items) => items.into_iter().map(json).collect(),
        Amqp::Array(items) => items.into_inner().into_iter().map(json).collect(),
        Amqp::Map(entries) => entries
            .into_iter()
            .map(|(key, value)| (name(key), json(value)))
            .collect::<Map<_, _>>()
            .into(),
        Amqp::Described(described) => json(described.value),
        other @ (Amqp::Decimal32(_) | Amqp::Decimal64(_) | Amqp::Decimal128(_)) => {
            format!("{other:?}").into()
        }
    }
}

fn time_text(millis: i64) -> String {
    let time = UtcDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(millis));
    let mut text = String::with_capacity(24);
    crate::host::write_time(&mut text, time.unwrap_or(UtcDateTime::MIN));
    text
}
