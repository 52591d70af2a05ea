//! The envelope: [`EventHubBatch::parse`] of any call, for every form that a function can have it in.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use azure_functions_sdk::{Event, EventHubBatch, FunctionConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::{Duration, UtcDateTime};

use crate::events;

/// Every cardinality with every data type.
static FORMS: LazyLock<Vec<(&str, &str, FunctionConfig)>> = LazyLock::new(|| {
    let mut forms = Vec::new();
    for cardinality in ["many", "one"] {
        for data_type in ["binary", "string", ""] {
            let mut trigger = json!({"type": "eventHubTrigger", "direction": "in", "name": "events",
                "eventHubName": "telemetry", "consumerGroup": "$Default", "connection": "TelemetryHub", "cardinality": cardinality});
            if !data_type.is_empty() {
                trigger["dataType"] = data_type.into();
            }
            let json = json!({"bindings": [trigger]}).to_string();
            let config = FunctionConfig::parse("Function", &json).unwrap();
            forms.push((cardinality, data_type, config));
        }
    }
    forms
});

/// Holds `bytes` against these, as the body of a call and as the raw material of events:
/// - a call is read or refused; a refusal is one short line that quotes nothing of the call;
/// - a batch has as many events as the call's array has elements, by a general JSON parser: none is made up, and none
///   is lost; with cardinality `one` it has one;
/// - bodies and properties together are no larger than the call, if that is UTF-8;
/// - events that are written as the host writes them are read as they were, whether arrays are encoded once or twice.
///
/// # Panics
/// Where one of them does not hold.
pub fn check(bytes: &[u8]) {
    let call = Bytes::copy_from_slice(bytes);
    for (cardinality, _, config) in FORMS.iter() {
        match EventHubBatch::parse(config, call.to_vec()) {
            Ok(batch) => check_batch(&call, &batch, *cardinality == "one"),
            Err(error) => {
                let line = error.to_string();
                assert!(
                    line.len() <= 200 && !line.contains(char::is_control),
                    "{line}"
                );
            }
        }
    }
    check_round_trip(bytes);
}

fn check_batch(call: &Bytes, batch: &EventHubBatch, one: bool) {
    if one {
        assert_eq!(batch.events.len(), 1);
    } else if let Some(elements) = elements(call) {
        assert_eq!(batch.events.len(), elements);
    }
    let size = |event: &Event| {
        event.body.len()
            + event.properties.as_json().len()
            + event.system_properties.as_json().len()
    };
    // Two bytes for each event whose properties are absent and shown as `{}`, twice. What is no UTF-8 is shown as a
    // replacement, of three bytes.
    let held: usize = batch.events.iter().map(size).sum();
    let growth = if std::str::from_utf8(call).is_ok() {
        1
    } else {
        3
    };
    assert!(
        held <= call.len() * growth + 4 * batch.events.len(),
        "{held} bytes out of {}",
        call.len()
    );
    for event in &batch.events {
        // Whoever looks at them must not stumble.
        _ = (
            event.properties.entries(),
            event
                .system_properties
                .get_str("iothub-connection-device-id"),
        );
    }
}

/// How many elements the call's array has; `None` where a general parser does not read what a host would not write, such
/// as half a surrogate pair.
fn elements(call: &Bytes) -> Option<usize> {
    let Members(call) = serde_json::from_slice(call).ok()?;
    let mut found = None;
    for (_, data) in call
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Data"))
    {
        let Members(data) = serde_json::from_str(data.get()).ok()?;
        for (_, value) in data
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("events"))
        {
            found = Some(
                serde_json::from_str::<String>(value.get())
                    .map_or(Cow::Borrowed(value.get()), Cow::Owned)
                    .into_owned(),
            );
        }
    }
    let array: Vec<&RawValue> = serde_json::from_str(found.as_deref()?).ok()?;
    Some(array.len())
}

/// An object's members in their order, repeated names included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// What a call is made of, and must come back as.
struct Sent<'a> {
    body: &'a [u8],
    text: Cow<'a, str>,
    sequence_number: i64,
    enqueued_at: UtcDateTime,
}

impl Sent<'_> {
    /// Whether this one came without a partition key.
    fn key(&self) -> Option<&str> {
        (self.sequence_number % 3 != 0).then_some(&*self.text)
    }

    fn properties(&self) -> Value {
        match self.sequence_number % 2 {
            0 => json!({}),
            _ => json!({"n": self.sequence_number, "text": self.text}),
        }
    }

    fn time(&self) -> String {
        let at = self.enqueued_at;
        format!(
            "{}T{:02}:{:02}:{:02}.{:03}",
            at.date(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

fn check_round_trip(bytes: &[u8]) {
    let sent: Vec<Sent<'_>> = events::split(bytes)
        .into_iter()
        .zip(1_i64..)
        .map(|(body, number)| Sent {
            body,
            text: String::from_utf8_lossy(body),
            sequence_number: number,
            enqueued_at: UtcDateTime::UNIX_EPOCH + Duration::milliseconds(number * 86_400_977),
        })
        .collect();
    for (cardinality, data_type, config) in FORMS.iter() {
        // The host refuses bodies that are not JSON where there is no data type.
        if *cardinality == "one" || data_type.is_empty() {
            continue;
        }
        let binary = *data_type == "binary";
        for twice in [true, false] {
            let call = Bytes::from(envelope(&sent, binary, twice));
            let batch = EventHubBatch::parse(config, call.to_vec())
                .unwrap_or_else(|error| panic!("{error}: {call:?}"));
            assert_eq!(batch.partition.partition_id, "7");
            assert_eq!(batch.events.len(), sent.len());
            for (event, sent) in batch.events.iter().zip(&sent) {
                if binary {
                    assert_eq!(event.body, sent.body);
                } else {
                    assert_eq!(event.body, sent.text.as_bytes());
                }
                assert_eq!(event.sequence_number, sent.sequence_number);
                assert_eq!(&*event.offset, sent.sequence_number.to_string());
                assert_eq!(event.enqueued_at, sent.enqueued_at);
                assert_eq!(event.partition_key.as_deref(), sent.key());
                assert_eq!(event.properties.as_json(), sent.properties().to_string());
                let device = event
                    .system_properties
                    .get_str("iothub-connection-device-id");
                assert_eq!(device.as_deref(), Some(&*sent.text));
            }
        }
    }
}

/// A call as the host writes it; `twice` says whether its arrays are encoded twice.
fn envelope(sent: &[Sent<'_>], binary: bool, twice: bool) -> String {
    let column = |value: &dyn Fn(&Sent<'_>) -> Value| -> Value {
        let array: Vec<Value> = sent.iter().map(value).collect();
        if twice {
            json!(Value::from(array).to_string())
        } else {
            array.into()
        }
    };
    json!({
        "Data": {"events": column(&|sent| match binary {
            true => STANDARD.encode(sent.body).into(),
            false => (*sent.text).into(),
        })},
        "Metadata": {
            "PartitionContext": {"EventHubName": "telemetry", "PartitionId": "7"},
            "PartitionKeyArray": column(&|sent| sent.key().into()),
            "OffsetStringArray": column(&|sent| sent.sequence_number.to_string().into()),
            "SequenceNumberArray": column(&|sent| sent.sequence_number.into()),
            "EnqueuedTimeUtcArray": column(&|sent| sent.time().into()),
            "PropertiesArray": column(&|sent| sent.properties()),
            "SystemPropertiesArray": column(&|sent| json!({"iothub-connection-device-id": sent.text})),
        },
    })
    .to_string()
}
