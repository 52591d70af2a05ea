//! The envelope of a queue message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

use super::{CallContext, begin, begin_metadata, end};
use crate::host::clock::{self, Zone};
use crate::host::function_json::DataType;
use crate::host::json_text::{minify_into, string_into, string_twice_into};
use crate::host::queue_store::ReceivedMessage;

/// The envelope: `Data.<binding>` is the message's text, encoded twice, or base64 of its bytes where the binding says `binary`.
pub(crate) fn envelope(
    binding: &str,
    data_type: DataType,
    message: &ReceivedMessage,
    body: &[u8],
    call: &CallContext<'_>,
) -> String {
    let text = String::from_utf8_lossy(body);
    let mut out = String::with_capacity(body.len() * 3 + 1_024);
    begin(&mut out, binding);
    match data_type {
        DataType::Binary => string_into(&mut out, &BASE64.encode(body)),
        DataType::String | DataType::Untyped => string_twice_into(&mut out, &text),
    }
    begin_metadata(&mut out);
    let mut metadata = built_in(message);
    if data_type != DataType::Binary {
        for (name, value) in properties(&text) {
            overwrite(&mut metadata, name, value);
        }
    }
    for (name, value) in metadata {
        string_into(&mut out, &name);
        out.push(':');
        out.push_str(&value);
        out.push(',');
    }
    end(&mut out, call);
    out
}

/// Names, and values as JSON.
type Metadata = Vec<(String, String)>;

fn built_in(message: &ReceivedMessage) -> Metadata {
    let time = |time: UtcDateTime| {
        let mut out = String::from('"');
        clock::write_seconds(&mut out, time, Zone::Offset);
        out.push('"');
        out
    };
    let text = |text: &str| {
        let mut out = String::new();
        string_twice_into(&mut out, text);
        out
    };
    [
        ("DequeueCount", format!("\"{}\"", message.dequeue_count)),
        ("ExpirationTime", time(message.expires)),
        ("Id", text(&message.id)),
        ("InsertionTime", time(message.inserted)),
        ("NextVisibleTime", time(message.next_visible)),
        ("PopReceipt", text(&message.receipt)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Names have no case, and the first spelling stays. A name that ends in "trigger" is left out of every call's metadata.
fn overwrite(metadata: &mut Metadata, name: String, value: String) {
    if name.to_lowercase().ends_with("trigger") {
        return;
    }
    match metadata
        .iter_mut()
        .find(|(known, _)| known.eq_ignore_ascii_case(&name))
    {
        Some((_, old)) => *old = value,
        None => metadata.push((name, value)),
    }
}

/// The top-level properties of a message that is a JSON object: scalars as text, encoded twice, objects as they are; arrays and nulls
/// are left out.
fn properties(text: &str) -> Metadata {
    let Ok(members) = serde_json::from_str::<Members>(text) else {
        return Vec::new();
    };
    let json = |(name, value): (String, Box<RawValue>)| {
        let mut out = String::new();
        match serde_json::from_str(value.get()).ok()? {
            Value::Null | Value::Array(_) => return None,
            Value::Object(_) => minify_into(&mut out, value.get()),
            Value::String(text) => string_twice_into(&mut out, &as_dates_are_written(&text)),
            // As .NET writes them.
            Value::Bool(flag) => string_twice_into(&mut out, if flag { "True" } else { "False" }),
            Value::Number(_) => string_twice_into(&mut out, value.get()),
        }
        Some((name, out))
    };
    members.0.into_iter().filter_map(json).collect()
}

/// A text that the host's JSON reader takes for a date comes out as .NET writes one, in UTC and in whole seconds.
fn as_dates_are_written(text: &str) -> Cow<'_, str> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    // A date need not say where it is.
    let date = parse(text).or_else(|| parse(&format!("{text}Z")));
    let Some(date) = date.filter(|_| text.as_bytes().get(10) == Some(&b'T')) else {
        return Cow::Borrowed(text);
    };
    let date = date.to_utc();
    Cow::Owned(format!(
        "{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
        u8::from(date.month()),
        date.day(),
        date.year(),
        date.hour(),
        date.minute(),
        date.second()
    ))
}

/// The members of an object in their order, with numbers as they are written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;
    use time::macros::utc_datetime;

    use super::*;

    fn called(data_type: DataType, body: &str) -> Value {
        let message = ReceivedMessage {
            id: "800ae4b3-bdd2-4c08-badd-f08e5a34b865".to_owned(),
            receipt: "AgAAAAMAAAAAAAAAAgtnj8x+1QE=".to_owned(),
            text: String::new(),
            dequeue_count: 1,
            inserted: utc_datetime!(2024-05-01 12:00:00.7),
            expires: utc_datetime!(2024-05-08 12:00),
            next_visible: utc_datetime!(2024-05-01 12:10:01),
        };
        let call = CallContext {
            function: "NotifyAlert",
            now: utc_datetime!(2024-05-01 12:00:01.220_539_9),
            retry: None,
        };
        let text = envelope("alert", data_type, &message, body.as_bytes(), &call);
        let mut envelope: Value = serde_json::from_str(&text).unwrap();
        // The one thing that is new in every call.
        envelope["Metadata"]["sys"]["RandGuid"] = json!("24ad4c06-24ad-4e5b-8294-3da9714877e9");
        envelope
    }

    fn recorded(name: &str) -> Value {
        let path = format!(
            "{}/../fixtures/host/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn envelopes_are_as_the_real_host_sends_them() {
        for (fixture, data_type, body) in [
            ("queue", DataType::Untyped, r#"{"A":3,"device":"drone-1"}"#),
            ("queue_text", DataType::String, r#"battery low, "drone-1""#),
            (
                "queue_binary",
                DataType::Binary,
                r#"{"A":3,"device":"drone-1"}"#,
            ),
            (
                "queue_overwritten_id",
                DataType::Untyped,
                r#"{"Id":"mine","dequeueCount":77,"device":"drone-1"}"#,
            ),
        ] {
            assert_eq!(called(data_type, body), recorded(fixture), "{fixture}");
        }
    }

    /// Those of a real host 4.1037, each made anew from what it shows of its message.
    #[test]
    fn envelopes_are_as_a_real_host_was_recorded_to_send_them() {
        for name in [
            "alert",
            "empty",
            "json_array",
            "json_number",
            "json_object",
            "json_string",
            "text",
        ] {
            let recorded = recorded(&format!("real/queue_{name}"));
            let metadata = &recorded["Metadata"];
            let inner = |value: &Value| -> String {
                serde_json::from_str(value.as_str().unwrap()).unwrap()
            };
            let time = |value: &Value| {
                let time = OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339);
                time.unwrap().to_utc()
            };
            let body = inner(&recorded["Data"]["alert"]);
            let message = ReceivedMessage {
                id: inner(&metadata["Id"]),
                receipt: inner(&metadata["PopReceipt"]),
                text: String::new(),
                dequeue_count: metadata["DequeueCount"].as_str().unwrap().parse().unwrap(),
                inserted: time(&metadata["InsertionTime"]),
                expires: time(&metadata["ExpirationTime"]),
                next_visible: time(&metadata["NextVisibleTime"]),
            };
            let call = CallContext {
                function: "NotifyAlert",
                now: time(&metadata["sys"]["UtcNow"]),
                retry: None,
            };
            let text = envelope("alert", DataType::String, &message, body.as_bytes(), &call);
            let mut made: Value = serde_json::from_str(&text).unwrap();
            made["Metadata"]["sys"]["RandGuid"] = metadata["sys"]["RandGuid"].clone();
            assert_eq!(made, recorded, "{name}");
        }
    }

    #[test]
    fn objects_stay_objects_and_arrays_nulls_and_triggers_are_left_out() {
        let body =
            r#"{"data":{"value":1.50,"b":[ 1 ]},"list":[1],"none":null,"mytrigger":1,"on":true}"#;
        let metadata = &called(DataType::Untyped, body)["Metadata"];
        assert_eq!(metadata["data"], json!({"value": 1.50, "b": [1]}));
        assert_eq!(metadata["on"], "\"True\"");
        for name in ["list", "none", "mytrigger"] {
            assert!(metadata.get(name).is_none(), "{name}");
        }
    }
}
