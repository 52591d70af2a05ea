//! A dead letter as it is read from the queue, and whether its event may be sent again.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drone_delivery::domain::timestamp::{parse_rfc3339, rfc3339};
use drone_delivery::domain::{DeviceId, EventContext, Intake, Reason, parse};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::summary::Why;

/// What [`DeadLetter`](drone_delivery::domain::DeadLetter) writes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Letter {
    /// The event's partition and number.
    pub(super) id: String,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) detail: String,
    /// The device that the body names, where that could be read.
    pub(super) device_id: Option<String>,
    #[serde(with = "rfc3339")]
    pub(super) enqueued_at: UtcDateTime,
    first_enqueued_at: Option<String>,
    /// The device that IoT Hub has authenticated.
    authenticated_device: Option<String>,
    body: Option<String>,
    body_blob: Option<String>,
}

/// Where a letter's body is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Here(Vec<u8>),
    Blob(String),
}

/// A message as the host has put it on the queue.
#[derive(Debug)]
pub(super) enum Message {
    Letter(Box<Letter>),
    /// Many letters, in a blob.
    Group(Group),
}

/// The message of many letters.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) blob: String,
    fields: serde_json::Map<String, Value>,
}

impl Message {
    /// Reads base64 of JSON. `None` for anything else.
    pub(super) fn read(stored: &str) -> Option<Self> {
        let json = STANDARD.decode(stored).ok()?;
        let fields: serde_json::Map<String, Value> = serde_json::from_slice(&json).ok()?;
        match fields.get("lettersBlob").and_then(Value::as_str) {
            Some(blob) => Some(Self::Group(Group {
                blob: blob.to_owned(),
                fields,
            })),
            None => serde_json::from_slice(&json).ok().map(Self::Letter),
        }
    }
}

/// What the name of the blob with the rest of a group has in it.
const REST: &str = ".rest-";

impl Group {
    /// The message and the name of the blob for those of the letters that stay, given as the blob's lines.
    pub(super) fn of_rest(&self, lines: &str) -> (String, String) {
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines.lines() {
            let reason = Letter::of_line(line).map_or_else(String::new, |letter| letter.reason);
            *reasons.entry(reason).or_default() += 1;
        }
        // By its content, so that no message of the same group leads to another rest.
        let hash = Sha256::digest(lines);
        let hash: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let whole = self.blob.trim_end_matches(".jsonl");
        let whole = whole.split_once(REST).map_or(whole, |(whole, _)| whole);
        let blob = format!("{whole}{REST}{hash}.jsonl");
        let mut fields = self.fields.clone();
        fields.insert("letters".to_owned(), json!(lines.lines().count()));
        fields.insert("reasons".to_owned(), json!(reasons));
        fields.insert("lettersBlob".to_owned(), json!(blob));
        (Value::Object(fields).to_string(), blob)
    }
}

impl Letter {
    /// Reads a line of a group's blob.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// `None` for a message that has neither.
    pub(super) fn body(&self) -> Option<Body> {
        match (&self.body, &self.body_blob) {
            (Some(text), _) => STANDARD.decode(text).ok().map(Body::Here),
            (None, Some(name)) => Some(Body::Blob(name.clone())),
            (None, None) => None,
        }
    }

    /// When a hub took the event the first time.
    pub(super) fn taken_at(&self) -> UtcDateTime {
        let first = self.first_enqueued_at.as_deref().map(parse_rfc3339);
        match first {
            Some(Ok(first)) => first.min(self.enqueued_at),
            _ => self.enqueued_at,
        }
    }

    /// Whom the event is from, as far as anybody knows.
    pub(super) fn device(&self) -> Option<&str> {
        self.authenticated_device
            .as_deref()
            .or(self.device_id.as_deref())
    }

    /// Whether another device sent it than it names. Such an event is never sent again: it would arrive
    /// without the device that IoT Hub has authenticated, and so be taken for what it says it is.
    pub(super) fn is_spoofed(&self) -> bool {
        self.reason == Reason::DeviceMismatch.as_str()
    }

    /// Whether `body`, mended or not, would be applied, and as whose.
    ///
    /// For the same reason it must be of the device that was authenticated. Most letters have been checked for that
    /// before they were found to be poison; a body in which no device could be read has not.
    ///
    /// # Errors
    /// Why it must stay where it is.
    pub(super) fn check(&self, body: &[u8]) -> Result<DeviceId, Why> {
        if self.is_spoofed() {
            return Err(Why::AnotherDevice);
        }
        let context = EventContext {
            authenticated_device: self.authenticated_device.as_deref(),
            enqueued_at: self.taken_at(),
            intake: Intake::default(),
        };
        let telemetry = parse(body, &context).map_err(|poison| match poison.reason {
            Reason::DeviceMismatch => Why::AnotherDevice,
            reason => Why::Still(reason),
        })?;
        match &self.device_id {
            Some(named) if named != telemetry.device_id.as_str() => Err(Why::AnotherDevice),
            _ => Ok(telemetry.device_id),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use drone_delivery::domain::{ReceivedEvent, fold};
    use time::macros::utc_datetime;

    use super::*;

    const GOOD: &str = r#"{"deviceId":"drone-1","deliveryId":"d","occurrenceUtcTime":"2018-04-17T20:25:09Z","sensorType":"drone-state-sensor;v1","temperature":1,"batteryStatus":"low","batteryLevel":0.2}"#;

    /// The letter that the handler writes for a body.
    fn letter(body: &str, authenticated: Option<&str>) -> Letter {
        let event = ReceivedEvent {
            body: body.as_bytes(),
            sequence_number: 41,
            offset: "1",
            enqueued_at: utc_datetime!(2024-05-02 12:00:00.5),
            first_enqueued_at: Some(utc_datetime!(2024-05-01 12:00:00.123)),
            authenticated_device: authenticated.map(Into::into),
            marked_as_tick: false,
            partition_key: None,
        };
        let letters = fold(Intake::default(), "7", [event]).dead_letters;
        let text = letters[0].message().unwrap();
        match Message::read(&STANDARD.encode(text)) {
            Some(Message::Letter(letter)) => *letter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_letter_is_read_as_the_handler_writes_it() {
        let letter = letter(&GOOD.replace("0.2", "7"), Some("drone-1"));
        assert_eq!(
            (letter.id.as_str(), letter.reason.as_str()),
            ("7:41:20240502T120000.500Z", "out-of-range")
        );
        assert_eq!(letter.taken_at(), utc_datetime!(2024-05-01 12:00:00.123));
        assert_eq!(letter.device(), Some("drone-1"));
        let body = GOOD.replace("0.2", "7").into_bytes();
        assert_eq!(letter.body(), Some(Body::Here(body.clone())));
        assert_eq!(letter.check(&body), Err(Why::Still(Reason::OutOfRange)));
        assert_eq!(letter.check(GOOD.as_bytes()).unwrap().as_str(), "drone-1");
    }

    #[test]
    fn a_spoofed_event_stays_whatever_is_made_of_it() {
        let spoofed = letter(GOOD, Some("drone-2"));
        assert!(spoofed.is_spoofed());
        for body in [GOOD.to_owned(), GOOD.replace("drone-1", "drone-2")] {
            assert_eq!(spoofed.check(body.as_bytes()), Err(Why::AnotherDevice));
        }
    }

    /// The sender of malformed JSON was authenticated, but nobody could compare it with the body.
    #[test]
    fn mending_makes_no_event_another_devices() {
        for broken in [GOOD.replacen('{', "", 1), GOOD.replacen("drone-1", "", 1)] {
            let letter = letter(&broken, Some("drone-2"));
            assert!(!letter.is_spoofed() && letter.device_id.is_none());
            assert_eq!(letter.check(GOOD.as_bytes()), Err(Why::AnotherDevice));
            let own = GOOD.replace("drone-1", "drone-2");
            assert_eq!(letter.check(own.as_bytes()).unwrap().as_str(), "drone-2");
        }
        let direct = letter(&GOOD.replace("0.2", "7"), None);
        let other = GOOD.replace("drone-1", "drone-3");
        assert_eq!(direct.check(other.as_bytes()), Err(Why::AnotherDevice));
    }

    #[test]
    fn what_occurred_in_the_future_of_its_first_time_stays() {
        let early = GOOD.replace("2018-04-17T20:25:09Z", "2024-05-01T12:05:01Z");
        let letter = letter(&early, None);
        assert_eq!(letter.reason, "occurred-in-future");
        let stays = Err(Why::Still(Reason::OccurredInFuture));
        assert_eq!(letter.check(early.as_bytes()), stays);
    }

    #[test]
    fn what_is_no_letter_is_none() {
        for text in ["", "{}", "not base64", &STANDARD.encode("{}")] {
            assert!(Message::read(text).is_none(), "{text}");
        }
    }
}
