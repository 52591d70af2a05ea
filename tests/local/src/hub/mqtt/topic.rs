//! What a device's topic says: an event with its properties, or a word to IoT Hub itself.
//!
//! "Communicate with an IoT hub using the MQTT protocol" in the documentation of IoT Hub; what it does not say of colons and spaces
//! is in Azure/azure-iot-sdk-c#869 and amenzhinsky/iothub#54, where they closed the connection.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::hub::NewEvent;

/// Properties of the protocol, and the AMQP names under which IoT Hub passes them on.
const SYSTEM_PROPERTIES: [(&str, &str); 5] = [
    ("$.ct", "content-type"),
    ("$.ce", "content-encoding"),
    ("$.mid", "message-id"),
    ("$.cid", "correlation-id"),
    ("$.uid", "user-id"),
];

/// Why IoT Hub would close the connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TopicError {
    #[error("events go to devices/{{deviceId}}/messages/events/")]
    Unknown,
    #[error("the topic is another device's")]
    NotOwn,
    #[error("a property is not UTF-8")]
    Property,
    #[error("a property holds what has to be percent-encoded there")]
    NotEncoded,
}

/// What is published, by its topic.
#[derive(Debug, PartialEq)]
pub(super) enum Topic {
    /// Telemetry: `devices/{deviceId}/messages/events/{properties}`.
    Event(Properties),
    /// `$iothub/twin/GET/?$rid={rid}`
    TwinGet { request: String },
    /// `$iothub/twin/PATCH/properties/reported/?$rid={rid}`
    TwinReport { request: String },
    /// `$iothub/methods/res/{status}/?$rid={rid}`: the answer of a method that nobody has called.
    MethodAnswer,
}

impl Topic {
    /// The topic of what `device` publishes.
    pub(super) fn parse(device: &str, topic: &str) -> Result<Self, TopicError> {
        let Some(rest) = topic.strip_prefix("$iothub/") else {
            return properties(device, topic).map(Self::Event);
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Without a request id the answer could be told from no other, and IoT Hub gives none.
        let request = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("$rid="))
            .unwrap_or_default()
            .to_owned();
        match path.trim_end_matches('/') {
            "twin/GET" => Ok(Self::TwinGet { request }),
            "twin/PATCH/properties/reported" => Ok(Self::TwinReport { request }),
            path if path.starts_with("methods/res/") => Ok(Self::MethodAnswer),
            _ => Err(TopicError::Unknown),
        }
    }
}

/// The properties in the topic of an event that `device` sends: `devices/{device}/messages/events/`
/// and then, as in a URL's query, `name=value&name=value`.
fn properties(device: &str, topic: &str) -> Result<Properties, TopicError> {
    let rest = topic.strip_prefix("devices/").ok_or(TopicError::Unknown)?;
    let (owner, rest) = rest.split_once('/').ok_or(TopicError::Unknown)?;
    let bag = match rest.strip_prefix("messages/events") {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').ok_or(TopicError::Unknown)?,
        None => return Err(TopicError::Unknown),
    };
    if decoded(owner)? != device {
        return Err(TopicError::NotOwn);
    }
    if bag.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
        return Err(TopicError::NotEncoded);
    }
    let mut properties = Properties::default();
    // A bag may end with the slash of a topic.
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, Value::from(decoded(value)?));
        let system = SYSTEM_PROPERTIES.iter().find(|(short, _)| *short == name);
        match system {
            Some((_, amqp)) => properties.system.insert((*amqp).to_owned(), value),
            None => properties.application.insert(name, value),
        };
    }
    Ok(properties)
}

/// See [`properties`].
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties {
    pub(super) application: Map<String, Value>,
    pub(super) system: Map<String, Value>,
}

impl Properties {
    pub(super) fn put_into(self, event: &mut NewEvent) {
        event.properties.extend(self.application);
        event.system_properties.extend(self.system);
    }
}

fn decoded(text: &str) -> Result<String, TopicError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| TopicError::Property)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_bag_has_application_and_system_properties() {
        let topic = "devices/drone-7/messages/events/alert=engine%20hot&%24.ct=application%2Fjson&$.ce=utf-8&flag&$.mid=7/";
        let properties = properties("drone-7", topic).unwrap();
        assert_eq!(
            Value::from(properties.application),
            json!({"alert": "engine hot", "flag": ""})
        );
        assert_eq!(
            Value::from(properties.system),
            json!({"content-type": "application/json", "content-encoding": "utf-8", "message-id": "7"})
        );
    }

    #[test]
    fn a_topic_without_a_bag_has_no_properties() {
        for topic in [
            "devices/drone-7/messages/events/",
            "devices/drone-7/messages/events",
            "devices/drone%2D7/messages/events/&",
        ] {
            assert_eq!(properties("drone-7", topic), Ok(Properties::default()));
        }
    }

    #[test]
    fn other_topics_and_other_devices_are_refused() {
        for (topic, error) in [
            ("devices/drone-8/messages/events/", TopicError::NotOwn),
            (
                "devices/drone-7/messages/events/a=%ff",
                TopicError::Property,
            ),
            (
                "devices/drone-7/messages/events/at=2019-02-15T13:14:15Z",
                TopicError::NotEncoded,
            ),
            (
                "devices/drone-7/messages/events/a=b c",
                TopicError::NotEncoded,
            ),
            (
                "devices/drone-7/messages/eventsandmore",
                TopicError::Unknown,
            ),
            ("devices/drone-7", TopicError::Unknown),
            ("telemetry", TopicError::Unknown),
            ("", TopicError::Unknown),
        ] {
            assert_eq!(Topic::parse("drone-7", topic), Err(error), "{topic}");
        }
    }

    #[test]
    fn iot_hubs_own_topics_are_told_apart() {
        let request = "7".to_owned();
        for (topic, expected) in [
            (
                "$iothub/twin/GET/?$rid=7",
                Topic::TwinGet {
                    request: request.clone(),
                },
            ),
            (
                "$iothub/twin/PATCH/properties/reported/?$rid=7&x=1",
                Topic::TwinReport { request },
            ),
            ("$iothub/methods/res/200/?$rid=7", Topic::MethodAnswer),
        ] {
            assert_eq!(Topic::parse("drone-7", topic), Ok(expected), "{topic}");
        }
        for topic in ["$iothub/", "$iothub/twin/res/200/?$rid=7", "$iothub/else"] {
            assert_eq!(Topic::parse("drone-7", topic), Err(TopicError::Unknown));
        }
    }
}
