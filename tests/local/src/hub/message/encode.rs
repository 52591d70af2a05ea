//! What came over HTTPS or MQTT, as AMQP has it.

use serde_json::Value;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Message, PROPERTIES, is_the_hubs, offset, pairs, section, unix_millis};
use crate::hub::amqp::write::Write;
use crate::hub::event::NewEvent;

/// An annotation that holds a time, and in JSON its text.
const IOT_HUB_TIME: &str = "iothub-enqueuedtime";

impl Message {
    /// The form in which AMQP carries what came another way.
    pub(crate) fn encode(event: &NewEvent) -> Self {
        let mut out = Vec::with_capacity(event.body.len() + 512);
        let (properties, annotations): (Vec<_>, Vec<_>) = event
            .system_properties
            .iter()
            .partition(|(name, value)| property_index(name).is_some() && value.is_string());
        let mut range = (0, 0);
        if !annotations.is_empty() {
            out.descriptor(section::MESSAGE_ANNOTATIONS);
            out.map(pairs(annotations.len()), |out| {
                range.0 = offset(out.len());
                for (name, value) in &annotations {
                    out.symbol(name);
                    match (name.as_str(), value.as_str().and_then(millis)) {
                        (IOT_HUB_TIME, Some(millis)) => out.timestamp(millis),
                        _ => write_json(out, value),
                    }
                }
            });
            range.1 = offset(out.len());
        }
        let bare = offset(out.len());
        if !properties.is_empty() {
            write_properties(&mut out, &properties);
        }
        if !event.properties.is_empty() {
            out.descriptor(section::APPLICATION_PROPERTIES);
            out.map(pairs(event.properties.len()), |out| {
                for (name, value) in &event.properties {
                    out.string(name);
                    write_json(out, value);
                }
            });
        }
        match (event.amqp_value, std::str::from_utf8(&event.body)) {
            (true, Ok(text)) => {
                out.descriptor(section::VALUE);
                out.string(text);
            }
            (true, Err(_)) => {
                out.descriptor(section::VALUE);
                out.binary(&event.body);
            }
            (false, _) => {
                out.descriptor(section::DATA);
                out.binary(&event.body);
            }
        }
        out.shrink_to_fit();
        Self {
            bytes: out.into(),
            header_end: 0,
            annotations: range,
            annotation_count: pairs(annotations.len()),
            bare,
            plain: !annotations
                .iter()
                .any(|(name, _)| is_the_hubs(name.as_bytes())),
        }
    }
}

fn property_index(name: &str) -> Option<usize> {
    PROPERTIES.iter().position(|known| *known == name)
}

fn write_properties(out: &mut Vec<u8>, properties: &[(&String, &Value)]) {
    let mut fields: [Option<&str>; PROPERTIES.len()] = [None; PROPERTIES.len()];
    for (name, value) in properties {
        if let Some(index) = property_index(name) {
            fields[index] = value.as_str();
        }
    }
    out.descriptor(section::PROPERTIES);
    out.list(offset(fields.len()), |out| {
        for (name, value) in PROPERTIES.iter().zip(fields) {
            match (*name, value) {
                (_, None) => out.null(),
                ("user-id", Some(value)) => out.binary(value.as_bytes()),
                ("content-type" | "content-encoding", Some(value)) => out.symbol(value),
                ("absolute-expiry-time" | "creation-time", Some(value)) => match millis(value) {
                    Some(millis) => out.timestamp(millis),
                    None => out.null(),
                },
                ("group-sequence", Some(value)) => match value.parse() {
                    Ok(number) => out.uint(number),
                    Err(_) => out.null(),
                },
                (_, Some(value)) => out.string(value),
            }
        }
    });
}

fn millis(text: &str) -> Option<i64> {
    UtcDateTime::parse(text, &Rfc3339).ok().map(unix_millis)
}

/// What HTTP headers and MQTT topics can hold. Lists and objects have no place in a property, and go as their text.
fn write_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.null(),
        Value::Bool(value) => out.bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => out.long(value),
            (None, Some(value)) => out.ulong(value),
            (None, None) => out.double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => out.string(text),
        Value::Array(_) | Value::Object(_) => out.string(&value.to_string()),
    }
}
