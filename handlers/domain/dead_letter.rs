//! An event put aside, and the queue message that says why.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use time::UtcDateTime;

use super::batch::ReceivedEvent;
use super::identifier::DeviceId;
use super::telemetry::{Poison, Reason};
use super::timestamp::rfc3339;

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
    /// The event's body, byte for byte.
    pub body: Vec<u8>,
}

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
            body: event.body.to_vec(),
        }
    }

    /// `<partition>:<sequence>`: the same event has the same id whenever it is put aside, so that
    /// readers of the queue recognize repeats.
    pub fn id(&self) -> String {
        format!("{}:{}", self.partition_id, self.sequence_number)
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

    /// The blob for a body that no message can hold: `<hub>/<partition>/<sequence>.bin`, the sequence
    /// number with 20 digits so that names sort as events do. Made from the event alone, so that a call
    /// that is run again writes the same blob.
    pub fn blob_name(&self, event_hub_name: &str) -> String {
        format!(
            "{event_hub_name}/{}/{:020}.bin",
            self.partition_id, self.sequence_number
        )
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
            content,
        })
        .expect("strings and numbers")
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
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_message_has_the_body_in_base64() {
        assert_eq!(
            letter(b"{\xff").message().unwrap(),
            concat!(
                r#"{"id":"7:41","reason":"out-of-range","detail":"position: latitude 90.4 is out of range -90..90","#,
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
        assert_eq!(name, "telemetry/7/00000000000000000041.bin");
        assert_eq!(
            letter.message_with_blob(&name),
            concat!(
                r#"{"id":"7:41","reason":"out-of-range","detail":"position: latitude 90.4 is out of range -90..90","#,
                r#""partitionId":"7","sequenceNumber":41,"offset":"4294970632","#,
                r#""enqueuedAt":"2024-05-01T12:00:00.123Z","bodyBlob":"telemetry/7/00000000000000000041.bin"}"#,
            )
        );
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
        };
        let body = format!(r#"{{"deviceId":"{}"}}"#, "'".repeat(128));
        let poison = crate::domain::parse(body.as_bytes(), &context).unwrap_err();
        let mut letter = letter(b"");
        letter.device_id = poison.device_id;
        letter.detail = poison.detail;
        letter.sequence_number = i64::MAX;
        let message = letter.message_with_blob(&letter.blob_name(&"h".repeat(256)));
        assert!(letter.device_id.is_some());
        assert!(message.len() < 2_000, "{}", message.len());
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
