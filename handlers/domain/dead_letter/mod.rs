//! An event put aside, and the queue message that says why; many of them, and the blob that holds them together.

mod group;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use time::UtcDateTime;

use super::batch::ReceivedEvent;
use super::identifier::DeviceId;
use super::telemetry::{Poison, Reason};
use super::timestamp::{Compact, Rfc3339, rfc3339};

pub use group::{DeadLetterGroup, MOST_MESSAGES};

/// The longest text of a queue message, in bytes: the host base64-encodes it, and Queue storage takes
/// 64 KiB of that.
pub const MAX_MESSAGE_TEXT: usize = 49_152;

/// An event that can never be applied, whole, with the reason and with where it came from: enough to
/// find it in the archive, to mend it, and to send it again.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The kind of fault.
    pub reason: Reason,
    /// What exactly; at most 200 bytes of printable ASCII.
    pub detail: String,
    /// The device that the payload names, where that could be read.
    pub device_id: Option<DeviceId>,
    /// The hub's partition that the event was in.
    pub partition_id: String,
    /// The event's number in its partition.
    pub sequence_number: i64,
    /// The event's place in its partition, opaque.
    pub offset: String,
    /// When the event reached the hub.
    pub enqueued_at: UtcDateTime,
    /// When it reached a hub the first time, where it was sent again.
    pub first_enqueued_at: Option<UtcDateTime>,
    /// The device that IoT Hub authenticated: whoever mends the body must not make it another's. At most
    /// [`MAX_AUTHENTICATED`] characters.
    pub authenticated_device: Option<String>,
    /// The event's body, byte for byte.
    pub body: Vec<u8>,
}

/// The longest authenticated device that is kept: that of IoT Hub's own ids.
pub const MAX_AUTHENTICATED: usize = 128;

/// The message, in the order of its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: String,
    reason: Reason,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a DeviceId>,
    partition_id: &'a str,
    sequence_number: i64,
    offset: &'a str,
    #[serde(with = "rfc3339")]
    enqueued_at: UtcDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_enqueued_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_device: Option<&'a str>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Content<'a> {
    /// In base64.
    Body(String),
    BodyBlob(&'a str),
}

impl DeadLetter {
    /// Puts `event` of `partition_id` aside. Copies the body: the batch it came in is let go.
    pub fn new(partition_id: &str, event: &ReceivedEvent<'_>, poison: Poison) -> Self {
        Self {
            reason: poison.reason,
            detail: poison.detail,
            device_id: poison.device_id,
            partition_id: partition_id.to_owned(),
            sequence_number: event.sequence_number,
            offset: event.offset.to_owned(),
            enqueued_at: event.enqueued_at,
            first_enqueued_at: Some(event.taken_at()).filter(|first| *first < event.enqueued_at),
            authenticated_device: event.authenticated_device.as_deref().map(bounded),
            body: event.body.to_vec(),
        }
    }

    /// `<partition>:<sequence>:<enqueued>`: the same event has the same id whenever it is put aside, so that readers of the
    /// queue recognize repeats. A hub that is made anew under its name counts from 0 again, but later.
    pub fn id(&self) -> String {
        let (number, time) = (self.sequence_number, Compact(self.enqueued_at));
        format!("{}:{number}:{time}", self.partition_id)
    }

    /// The queue message with the body in it; `None` where that is longer than [`MAX_MESSAGE_TEXT`]. Then
    /// the body goes to the blob [`blob_name`](Self::blob_name), and the message is
    /// [`message_with_blob`](Self::message_with_blob).
    pub fn message(&self) -> Option<String> {
        // Before anything is encoded: a body of 1 MiB need not be, only to be thrown away.
        let encoded = base64::encoded_len(self.body.len(), true)?;
        if encoded > MAX_MESSAGE_TEXT {
            return None;
        }
        let text = self.text(Content::Body(STANDARD.encode(&self.body)));
        (text.len() <= MAX_MESSAGE_TEXT).then_some(text)
    }

    /// The queue message that points at the blob which has the body. A few hundred bytes: nothing in it
    /// grows with the event.
    pub fn message_with_blob(&self, name: &str) -> String {
        self.text(Content::BodyBlob(name))
    }

    /// The blob for a body that no message can hold: `<hub>/<partition>/<enqueued>-<sequence>.bin`, in an order in which
    /// names sort as events do. Made from the event alone, so that a call that is run again writes the same blob, and
    /// no other event ever does.
    pub fn blob_name(&self, event_hub_name: &str) -> String {
        let (number, time) = (self.sequence_number, Compact(self.enqueued_at));
        format!(
            "{event_hub_name}/{}/{time}-{number:020}.bin",
            self.partition_id
        )
    }

    /// The message with the body in it, however long: a line of a [`DeadLetterGroup`].
    fn line(&self) -> String {
        self.text(Content::Body(STANDARD.encode(&self.body)))
    }

    #[expect(
        clippy::expect_used,
        reason = "writing strings and numbers to memory cannot fail"
    )]
    fn text(&self, content: Content<'_>) -> String {
        serde_json::to_string(&Message {
            id: self.id(),
            reason: self.reason,
            detail: &self.detail,
            device_id: self.device_id.as_ref(),
            partition_id: &self.partition_id,
            sequence_number: self.sequence_number,
            offset: &self.offset,
            enqueued_at: self.enqueued_at,
            first_enqueued_at: self
                .first_enqueued_at
                .map(|first| Rfc3339(first).to_string()),
            authenticated_device: self.authenticated_device.as_deref(),
            content,
        })
        .expect("strings and numbers")
    }
}

/// What is too long for a device of IoT Hub is cut, so that a message stays small, and marked, so that it is no
/// other device's id.
fn bounded(device: &str) -> String {
    match device.char_indices().nth(MAX_AUTHENTICATED) {
        None => device.to_owned(),
        Some((end, _)) => format!("{}…", &device[..end]),
    }
}

/// Without the body, which belongs in no log.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id())
            .field("reason", &self.reason)
            .field("detail", &self.detail)
            .field("device_id", &self.device_id)
            .field("offset", &self.offset)
            .field("enqueued_at", &self.enqueued_at)
            .field("first_enqueued_at", &self.first_enqueued_at)
            .field("authenticated_device", &self.authenticated_device)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::Value;
    use time::macros::utc_datetime;

    use super::*;

    fn letter(body: &[u8]) -> DeadLetter {
        DeadLetter {
            reason: Reason::OutOfRange,
            detail: "position: latitude 90.4 is out of range -90..90".to_owned(),
            device_id: Some("drone-1".parse().unwrap()),
            partition_id: "7".to_owned(),
            sequence_number: 41,
            offset: "4294970632".to_owned(),
            enqueued_at: utc_datetime!(2024-05-01 12:00:00.123),
            first_enqueued_at: None,
            authenticated_device: None,
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_message_has_the_body_in_base64() {
        assert_eq!(
            letter(b"{\xff").message().unwrap(),
            concat!(
                r#"{"id":"7:41:20240501T120000.123Z","reason":"out-of-range","detail":"position: latitude 90.4 is out of range -90..90","#,
                r#""deviceId":"drone-1","partitionId":"7","sequenceNumber":41,"offset":"4294970632","#,
                r#""enqueuedAt":"2024-05-01T12:00:00.123Z","body":"e/8="}"#,
            )
        );
    }

    #[test]
    fn a_message_without_the_body_points_at_the_blob() {
        let mut letter = letter(b"");
        letter.device_id = None;
        let name = letter.blob_name("telemetry");
        assert_eq!(
            name,
            "telemetry/7/20240501T120000.123Z-00000000000000000041.bin"
        );
        assert_eq!(
            letter.message_with_blob(&name),
            concat!(
                r#"{"id":"7:41:20240501T120000.123Z","reason":"out-of-range","detail":"position: latitude 90.4 is out of range -90..90","#,
                r#""partitionId":"7","sequenceNumber":41,"offset":"4294970632","#,
                r#""enqueuedAt":"2024-05-01T12:00:00.123Z","bodyBlob":"telemetry/7/20240501T120000.123Z-00000000000000000041.bin"}"#,
            )
        );
    }

    #[test]
    fn a_message_says_who_sent_it_and_when_a_hub_took_it_first() {
        let event = ReceivedEvent {
            body: b"{",
            sequence_number: 41,
            offset: "1",
            enqueued_at: utc_datetime!(2024-05-02 12:00:00),
            first_enqueued_at: Some(utc_datetime!(2024-05-01 12:00:00.123)),
            authenticated_device: Some("drone-1".into()),
            marked_as_tick: false,
            partition_key: None,
        };
        let poison = Poison {
            reason: Reason::MalformedJson,
            detail: "".to_owned(),
            device_id: None,
        };
        let letter = DeadLetter::new("7", &event, poison);
        let message: Value = serde_json::from_str(&letter.message().unwrap()).unwrap();
        assert_eq!(message["enqueuedAt"], "2024-05-02T12:00:00Z");
        assert_eq!(message["firstEnqueuedAt"], "2024-05-01T12:00:00.123Z");
        assert_eq!(message["authenticatedDevice"], "drone-1");
    }

    #[test]
    fn a_device_too_long_to_be_one_is_cut_and_is_no_other_devices_id() {
        assert_eq!(bounded(&"é".repeat(128)), "é".repeat(128));
        let cut = bounded(&"a".repeat(1_000));
        assert_eq!(cut, format!("{}…", "a".repeat(128)));
        assert!(cut.parse::<DeviceId>().is_err());
    }

    #[test]
    fn an_empty_body_is_still_a_body() {
        let message: Value = serde_json::from_str(&letter(b"").message().unwrap()).unwrap();
        assert_eq!(message["body"], "");
    }

    #[test]
    fn the_body_is_in_the_message_exactly_as_long_as_the_message_fits() {
        let overhead = letter(b"").message().unwrap().len();
        let fits = (MAX_MESSAGE_TEXT - overhead) / 4 * 3;
        let largest = letter(&vec![b'x'; fits]).message().unwrap();
        assert!(largest.len() <= MAX_MESSAGE_TEXT && largest.len() > MAX_MESSAGE_TEXT - 4);
        assert_eq!(letter(&vec![b'x'; fits + 1]).message(), None);
        assert_eq!(letter(&vec![b'x'; 1 << 20]).message(), None);
    }

    #[test]
    fn the_pointing_message_fits_whatever_the_event_held() {
        let context = crate::domain::EventContext {
            authenticated_device: Some(&"\u{1}".repeat(128)),
            enqueued_at: UtcDateTime::UNIX_EPOCH,
            intake: crate::domain::Intake::default(),
        };
        let body = format!(r#"{{"deviceId":"{}"}}"#, "'".repeat(128));
        let poison = crate::domain::parse(body.as_bytes(), &context).unwrap_err();
        let mut letter = letter(b"");
        letter.device_id = poison.device_id;
        letter.detail = poison.detail;
        letter.sequence_number = i64::MAX;
        letter.first_enqueued_at = Some(letter.enqueued_at);
        letter.authenticated_device = context.authenticated_device.map(bounded);
        let message = letter.message_with_blob(&letter.blob_name(&"h".repeat(256)));
        assert!(letter.device_id.is_some());
        assert!(message.len() < 3_000, "{}", message.len());
    }

    #[test]
    fn debug_output_does_not_show_the_body() {
        let shown = format!("{:?}", letter(b"secret"));
        assert!(shown.contains("6 bytes"), "{shown}");
        assert!(
            !shown.contains("secret") && !shown.contains("115"),
            "{shown}"
        );
    }
}
