//! Many dead letters of one batch: a blob with all of them, and one queue message that points at it.
//!
//! The host puts an output's messages on their queue one after the other, measured 6 to 7 ms each: a fleet whose clock is wrong
//! would hold up the state of the drones whose clock is right. A line of the blob is the message that its letter would be alone,
//! with the body in it whatever its size.

use std::collections::BTreeMap;

use serde::Serialize;
use time::UtcDateTime;

use super::DeadLetter;
use crate::domain::telemetry::Reason;
use crate::domain::timestamp::{Compact, rfc3339};

/// The most letters of a batch that are messages each.
pub const MOST_MESSAGES: usize = 8;

/// What the bodies of one group are together, in bytes, before a further one is begun; one letter may be more.
const LARGEST: usize = 8 * 1024 * 1024;

/// Letters that are put aside together.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// The blob: `<hub>/<partition>/<enqueued>-<first>-<last>.jsonl`, by the first letter's time. Made from the letters alone, so
    /// that a call that is run again writes the same blob.
    pub blob_name: String,
    /// Its content: a letter a line.
    pub lines: String,
    /// The queue message. A few hundred bytes: nothing in it grows with the letters.
    pub message: String,
}

/// The message, in the order of its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: String,
    letters: usize,
    /// How many letters have which.
    reasons: BTreeMap<&'static str, usize>,
    partition_id: &'a str,
    first_sequence_number: i64,
    last_sequence_number: i64,
    /// When the first reached the hub.
    #[serde(with = "rfc3339")]
    enqueued_at: UtcDateTime,
    letters_blob: &'a str,
}

impl DeadLetterGroup {
    /// Makes groups of the letters of one batch, in their order, and takes their bodies. There is one, unless their bodies are
    /// more than 8 MiB.
    pub fn of(event_hub_name: &str, letters: &mut [DeadLetter]) -> Vec<Self> {
        let mut groups = Vec::new();
        let mut rest = letters;
        while !rest.is_empty() {
            let mut size = 0;
            let many = rest.iter().take_while(|letter| {
                let fits = size <= LARGEST;
                size += letter.body.len();
                fits
            });
            let (group, after) = rest.split_at_mut(many.count());
            groups.extend(Self::whole(event_hub_name, group));
            rest = after;
        }
        groups
    }

    fn whole(event_hub_name: &str, letters: &mut [DeadLetter]) -> Option<Self> {
        let mut lines = String::new();
        let mut reasons = BTreeMap::new();
        for letter in &mut *letters {
            lines.push_str(&letter.line());
            lines.push('\n');
            // One body in two forms at a time.
            letter.body = Vec::new();
            *reasons.entry(Reason::as_str(letter.reason)).or_default() += 1;
        }
        let (first, last) = (letters.first()?, letters.last()?);
        let partition_id = first.partition_id.as_str();
        let time = Compact(first.enqueued_at);
        let (from, to) = (first.sequence_number, last.sequence_number);
        let blob_name = format!("{event_hub_name}/{partition_id}/{time}-{from:020}-{to:020}.jsonl");
        let message = Message {
            id: format!("{partition_id}:{from}-{to}:{time}"),
            letters: letters.len(),
            reasons,
            partition_id,
            first_sequence_number: from,
            last_sequence_number: to,
            enqueued_at: first.enqueued_at,
            letters_blob: &blob_name,
        };
        // Strings and numbers always become JSON.
        let message = serde_json::to_string(&message).ok()?;
        Some(Self {
            blob_name,
            lines,
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;
    use time::macros::utc_datetime;

    use super::*;

    fn letter(sequence_number: i64, body: Vec<u8>) -> DeadLetter {
        DeadLetter {
            reason: match sequence_number % 2 {
                0 => Reason::MalformedJson,
                _ => Reason::OutOfRange,
            },
            detail: "what is wrong".to_owned(),
            device_id: None,
            partition_id: "7".to_owned(),
            sequence_number,
            offset: "1".to_owned(),
            enqueued_at: utc_datetime!(2024-05-01 12:00:00.5),
            first_enqueued_at: None,
            authenticated_device: None,
            body,
        }
    }

    #[test]
    fn a_line_is_the_letter_and_the_message_says_what_is_there() {
        let mut letters: Vec<_> = (41..44).map(|number| letter(number, vec![b'x'])).collect();
        let alone: Vec<_> = letters
            .iter()
            .map(|letter| letter.message().unwrap())
            .collect();
        let groups = DeadLetterGroup::of("telemetry", &mut letters);
        let [group] = &groups[..] else {
            panic!("{} groups", groups.len());
        };
        assert_eq!(group.lines.lines().collect::<Vec<_>>(), alone);
        assert_eq!(
            group.message,
            concat!(
                r#"{"id":"7:41-43:20240501T120000.500Z","letters":3,"reasons":{"malformed-json":1,"out-of-range":2},"#,
                r#""partitionId":"7","firstSequenceNumber":41,"lastSequenceNumber":43,"enqueuedAt":"2024-05-01T12:00:00.5Z","#,
                r#""lettersBlob":"telemetry/7/20240501T120000.500Z-00000000000000000041-00000000000000000043.jsonl"}"#,
            )
        );
        assert!(letters.iter().all(|letter| letter.body.is_empty()));
        assert!(DeadLetterGroup::of("telemetry", &mut []).is_empty());
    }

    #[test]
    fn large_letters_are_not_all_in_one_blob() {
        let body = vec![b'x'; LARGEST / 2];
        let mut letters: Vec<_> = (0..7).map(|number| letter(number, body.clone())).collect();
        let groups = DeadLetterGroup::of("telemetry", &mut letters);
        let numbers: Vec<i64> = groups
            .iter()
            .flat_map(|group| group.lines.lines())
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["sequenceNumber"]
                    .as_i64()
                    .unwrap()
            })
            .collect();
        assert_eq!(numbers, (0..7).collect::<Vec<_>>());
        assert!(groups.len() > 1);
        let largest = groups.iter().map(|group| group.lines.len()).max();
        assert!(largest < Some(LARGEST * 5 / 2));
    }
}
