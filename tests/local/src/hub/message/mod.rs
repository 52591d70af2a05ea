//! An event as AMQP has it: bytes, and where its sections begin in them.
//!
//! What came over AMQP is kept as it came, whatever its body is, and goes to every reader as it came; only the annotations that
//! are the hub's to set are set on the way out. What came over HTTPS or MQTT is put into the same form once. The Functions host
//! sees the same bytes as JSON.

mod encode;
mod json;

use std::borrow::Cow;

use bytes::Bytes;
use time::UtcDateTime;

use super::amqp::value::{self, Items, Malformed};
use super::amqp::write::Write;

/// The section codes of AMQP 1.0, 3.2.
pub(super) mod section {
    pub(super) const HEADER: u8 = 0x70;
    pub(super) const DELIVERY_ANNOTATIONS: u8 = 0x71;
    pub(super) const MESSAGE_ANNOTATIONS: u8 = 0x72;
    pub(super) const PROPERTIES: u8 = 0x73;
    pub(super) const APPLICATION_PROPERTIES: u8 = 0x74;
    pub(super) const DATA: u8 = 0x75;
    pub(super) const VALUE: u8 = 0x77;
    pub(super) const FOOTER: u8 = 0x78;
}

/// The properties of a message in their order.
const PROPERTIES: [&str; 13] = [
    "message-id",
    "user-id",
    "to",
    "subject",
    "reply-to",
    "correlation-id",
    "content-type",
    "content-encoding",
    "absolute-expiry-time",
    "creation-time",
    "group-id",
    "group-sequence",
    "reply-to-group-id",
];

const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
const OFFSET: &str = "x-opt-offset";
const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
const PARTITION_KEY: &str = "x-opt-partition-key";

/// Whether an annotation is the hub's to set.
fn is_the_hubs(name: &[u8]) -> bool {
    [SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME, PARTITION_KEY]
        .iter()
        .any(|own| own.as_bytes() == name)
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAMessage {
    /// A section is no value.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A section is none of AMQP's, or stands where it must not.
    #[error("the sections of the message are not AMQP's in their order")]
    Section,
}

/// What the hub has to say of an event to whoever reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) sequence_number: i64,
    pub(crate) offset: u64,
    pub(crate) enqueued_at: UtcDateTime,
    pub(crate) partition_key: Option<&'a str>,
}

/// A message, checked.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Bytes,
    header_end: u32,
    /// The keys and values of the message annotations.
    annotations: (u32, u32),
    annotation_count: u32,
    /// Where properties, body and footer begin.
    bare: u32,
    /// Whether none of the annotations is the hub's to set.
    plain: bool,
}

impl Message {
    /// The message that `bytes` are.
    ///
    /// # Errors
    /// Where they are none.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, NotAMessage> {
        let mut message = Self {
            bytes: Bytes::new(),
            header_end: 0,
            annotations: (0, 0),
            annotation_count: 0,
            bare: 0,
            plain: true,
        };
        let mut at = 0;
        let mut before = 0;
        while at < bytes.len() {
            let (code, start) = code(&bytes[at..])?;
            let begin = at + start;
            let length = match code {
                // Of any size and kind, and nobody's business here.
                section::DATA..=section::VALUE => value::length(&bytes[begin..])?,
                _ => value::check(&bytes[begin..])?,
            };
            let end = begin + length;
            let repeated = code == before && (section::DATA..section::VALUE).contains(&code);
            if code <= before && !repeated {
                return Err(NotAMessage::Section);
            }
            match code {
                section::HEADER => message.header_end = offset(end),
                section::MESSAGE_ANNOTATIONS => {
                    message.annotations(&bytes, begin, end)?;
                }
                section::PROPERTIES | section::APPLICATION_PROPERTIES => {
                    Items::of_value(&bytes[begin..end])?;
                }
                // Node's client writes a null where there is no body.
                section::DATA if !matches!(bytes[begin], 0xa0 | 0xb0 | 0x40) => {
                    return Err(NotAMessage::Section);
                }
                _ => {}
            }
            if code <= section::MESSAGE_ANNOTATIONS {
                message.bare = offset(end);
            }
            before = code;
            at = end;
        }
        message.bytes = bytes;
        Ok(message)
    }

    fn annotations(&mut self, bytes: &[u8], begin: usize, end: usize) -> Result<(), NotAMessage> {
        let items = Items::of_value(&bytes[begin..end])?;
        self.annotation_count = items.count;
        self.annotations = (offset(end - items.bytes.len()), offset(end));
        self.plain = !keys(items).any(|(key, _)| is_the_hubs(text(key)));
        Ok(())
    }

    /// The messages that a batch holds: each a data section.
    ///
    /// # Errors
    /// Where it is no batch, or one of them is no message.
    pub(crate) fn parse_batch(bytes: &Bytes) -> Result<Vec<Self>, NotAMessage> {
        let batch = Self::parse(bytes.clone())?;
        let mut messages = Vec::new();
        for (code, content) in batch.bare_sections() {
            if code == section::DATA {
                let bytes = binary(content).ok_or(NotAMessage::Section)?;
                messages.push(Self::parse(batch.bytes.slice_ref(bytes))?);
            }
        }
        Ok(messages)
    }

    /// How many bytes it is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The partition key that its sender has given it.
    pub(crate) fn partition_key(&self) -> Option<&str> {
        if self.plain {
            return None;
        }
        keys(self.annotation_items())
            .find(|(key, _)| text(key) == PARTITION_KEY.as_bytes())
            .and_then(|(_, value)| std::str::from_utf8(text(value)).ok())
            .filter(|key| !key.is_empty())
    }

    /// Whether the body is an AMQP value or sequence.
    pub(crate) fn is_value(&self) -> bool {
        self.bare_sections()
            .any(|(code, _)| code > section::DATA && code < section::FOOTER)
    }

    /// The bytes of the body; of an AMQP value that is a text or bytes, of those; of any other its encoded form.
    pub(crate) fn body(&self) -> Cow<'_, [u8]> {
        let mut bodies = self
            .bare_sections()
            .filter(|(code, _)| (section::DATA..section::FOOTER).contains(code))
            .map(|(code, content)| match (code, content.first()) {
                (section::DATA, _) | (section::VALUE, Some(0xa0 | 0xa1 | 0xb0 | 0xb1)) => {
                    text(content)
                }
                _ => content,
            });
        let first = bodies.next().unwrap_or_default();
        let mut whole = Cow::Borrowed(first);
        for more in bodies {
            whole.to_mut().extend_from_slice(more);
        }
        whole
    }

    /// Appends the message as a reader gets it; `latest` is where the newest event is, for readers that ask for it.
    pub(crate) fn write(&self, out: &mut Vec<u8>, place: &Place<'_>, latest: Option<&Place<'_>>) {
        out.extend_from_slice(&self.bytes[..self.header_end as usize]);
        if let Some(latest) = latest {
            write_latest(out, latest);
        }
        let own = if place.partition_key.is_some() { 8 } else { 6 };
        let kept = if self.plain {
            self.annotation_count
        } else {
            let kept = keys(self.annotation_items()).filter(|(key, _)| !is_the_hubs(text(key)));
            pairs(kept.count())
        };
        out.descriptor(section::MESSAGE_ANNOTATIONS);
        out.map(kept + own, |out| {
            if self.plain {
                out.extend_from_slice(self.annotation_items().bytes);
            } else {
                for (key, value) in keys(self.annotation_items()) {
                    if !is_the_hubs(text(key)) {
                        out.extend_from_slice(key);
                        out.extend_from_slice(value);
                    }
                }
            }
            out.symbol(SEQUENCE_NUMBER);
            out.long(place.sequence_number);
            out.symbol(OFFSET);
            out.string(itoa(place.offset, &mut [0; 20]));
            out.symbol(ENQUEUED_TIME);
            out.timestamp(unix_millis(place.enqueued_at));
            if let Some(key) = place.partition_key {
                out.symbol(PARTITION_KEY);
                out.string(key);
            }
        });
        out.extend_from_slice(&self.bytes[self.bare as usize..]);
    }

    fn annotation_items(&self) -> Items<'_> {
        Items {
            count: self.annotation_count,
            bytes: &self.bytes[self.annotations.0 as usize..self.annotations.1 as usize],
        }
    }

    /// The sections from the properties on: code and content.
    fn bare_sections(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &self.bytes[self.bare as usize..];
        std::iter::from_fn(move || {
            let (code, start) = code(rest).ok()?;
            let end = start + value::length(&rest[start..]).ok()?;
            let content = &rest[start..end];
            rest = &rest[end..];
            Some((code, content))
        })
    }
}

/// What clients call the last enqueued event properties.
fn write_latest(out: &mut Vec<u8>, latest: &Place<'_>) {
    out.descriptor(section::DELIVERY_ANNOTATIONS);
    out.map(8, |out| {
        out.symbol("last_enqueued_sequence_number");
        out.long(latest.sequence_number);
        out.symbol("last_enqueued_offset");
        out.string(itoa(latest.offset, &mut [0; 20]));
        out.symbol("last_enqueued_time_utc");
        out.timestamp(unix_millis(latest.enqueued_at));
        out.symbol("runtime_info_retrieval_time_utc");
        out.timestamp(unix_millis(UtcDateTime::now()));
    });
}

/// Milliseconds since 1970, as AMQP's timestamps count.
pub(crate) fn unix_millis(time: UtcDateTime) -> i64 {
    // A UtcDateTime is within the years -9999 to 9999.
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

fn code(bytes: &[u8]) -> Result<(u8, usize), NotAMessage> {
    let (code, length) = value::descriptor(bytes).ok_or(NotAMessage::Section)?;
    match u8::try_from(code) {
        Ok(code @ section::HEADER..=section::FOOTER) => Ok((code, length)),
        _ => Err(NotAMessage::Section),
    }
}

/// No message is longer than a mebibyte.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The count of a map with so many keys.
fn pairs(keys: usize) -> u32 {
    offset(keys * 2)
}

fn keys(mut items: Items<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

/// The bytes of a symbol, string or binary, without constructor and length; nothing of another value.
fn text(value: &[u8]) -> &[u8] {
    match value {
        [0xa0 | 0xa1 | 0xa3, _, text @ ..] => text,
        [0xb0 | 0xb1 | 0xb3, _, _, _, _, text @ ..] => text,
        _ => &[],
    }
}

fn binary(value: &[u8]) -> Option<&[u8]> {
    matches!(value.first(), Some(0xa0 | 0xb0)).then(|| text(value))
}

/// A number's digits.
fn itoa(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of ten is one digit.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // Digits are ASCII.
    std::str::from_utf8(&digits[at..]).unwrap_or_default()
}

#[cfg(test)]
mod tests;
