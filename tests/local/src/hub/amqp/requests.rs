//! What is asked of `$cbs` and `$management`, and the answers.

use serde_amqp::Value;
use time::UtcDateTime;

use super::node::CBS;
use super::value::{self, Items};
use super::write::Write;
use crate::hub::{Hub, message};

const HUB: &str = "com.microsoft:eventhub";
const PARTITION: &str = "com.microsoft:partition";

/// A request as it came.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Encoded, to be given back with its type.
    message_id: Vec<u8>,
    /// The address of the link that the answer goes to; not every client says it.
    pub(super) reply_to: Option<String>,
    operation: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    partition: Option<String>,
}

impl Request {
    /// `None` for what is no message.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let mut request = Self {
            message_id: vec![0x40],
            ..Self::default()
        };
        let mut rest = message;
        while !rest.is_empty() {
            let (code, begin) = value::descriptor(rest)?;
            let end = begin + value::check(&rest[begin..]).ok()?;
            let content = &rest[begin..end];
            match code {
                0x73 => {
                    let mut fields = Items::of_value(content).ok()?;
                    request.message_id = fields.next().unwrap_or(&[0x40]).to_vec();
                    request.reply_to = fields.nth(3).and_then(text);
                }
                0x74 => {
                    let mut entries = Items::of_value(content).ok()?;
                    while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
                        match text(key).as_deref() {
                            Some("operation") => request.operation = text(value),
                            Some("type") => request.kind = text(value),
                            Some("name") => request.name = text(value),
                            Some("partition") => request.partition = text(value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
            rest = &rest[end..];
        }
        Some(request)
    }

    /// The message that answers it.
    pub(super) fn answer(&self, node: &str, hub: &Hub) -> Vec<u8> {
        if node == CBS {
            return match self.operation.as_deref() {
                // Whatever it is: there is nothing here to protect.
                Some("put-token") => self.message(202, "Accepted", |out| out.null()),
                other => self.refusal(400, &format!("$cbs does not know {other:?}")),
            };
        }
        match (self.operation.as_deref(), self.kind.as_deref()) {
            (Some("READ"), Some(HUB | PARTITION))
                if !self
                    .name
                    .as_deref()
                    .is_some_and(|name| name.eq_ignore_ascii_case(hub.name())) =>
            {
                let text = format!("there is no event hub {:?} here", self.name);
                self.refusal(404, &text)
            }
            (Some("READ"), Some(HUB)) => self.message(200, "OK", |out| hub_properties(out, hub)),
            (Some("READ"), Some(PARTITION)) => {
                let number = self.partition.as_deref().and_then(|id| id.parse().ok());
                match number.filter(|number: &u16| *number < hub.partitions()) {
                    Some(number) => {
                        self.message(200, "OK", |out| partition_properties(out, hub, number))
                    }
                    None => {
                        let text = format!("there is no partition {:?}", self.partition);
                        self.refusal(404, &text)
                    }
                }
            }
            (operation, kind) => {
                let text = format!("$management does not know {operation:?} of {kind:?}");
                self.refusal(501, &text)
            }
        }
    }

    fn refusal(&self, status: i32, description: &str) -> Vec<u8> {
        self.message(status, description, |out| out.null())
    }

    fn message(&self, status: i32, description: &str, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.descriptor(0x73);
        out.list(13, |out| {
            for _ in 0..5 {
                out.null();
            }
            out.extend_from_slice(&self.message_id);
            for _ in 0..7 {
                out.null();
            }
        });
        let condition = match status {
            200..300 => None,
            404 => Some(super::error::NOT_FOUND),
            501 => Some(super::error::NOT_IMPLEMENTED),
            _ => Some(super::error::NOT_ALLOWED),
        };
        out.descriptor(0x74);
        out.map(if condition.is_some() { 6 } else { 4 }, |out| {
            out.string("status-code");
            out.int(status);
            out.string("status-description");
            out.string(description);
            if let Some(condition) = condition {
                out.string("error-condition");
                out.symbol(condition);
            }
        });
        out.descriptor(0x77);
        body(&mut out);
        out
    }
}

fn hub_properties(out: &mut Vec<u8>, hub: &Hub) {
    let partitions: Vec<String> = (0..hub.partitions()).map(|id| id.to_string()).collect();
    out.map(12, |out| {
        out.string("name");
        out.string(hub.name());
        out.string("type");
        out.string(HUB);
        out.string("created_at");
        out.timestamp(message::unix_millis(hub.created_at()));
        out.string("partition_count");
        out.int(i32::from(hub.partitions()));
        out.string("partition_ids");
        out.strings(&partitions);
        out.string("georeplication_factor");
        out.int(1);
    });
}

fn partition_properties(out: &mut Vec<u8>, hub: &Hub, partition: u16) {
    let range = hub.range(partition);
    let last = hub.last_event(partition);
    let offset = last.as_ref().map(|last| last.offset.to_string());
    let time = last.map_or(UtcDateTime::UNIX_EPOCH, |last| last.enqueued_at);
    out.map(20, |out| {
        out.string("name");
        out.string(hub.name());
        out.string("type");
        out.string(PARTITION);
        out.string("partition");
        out.string(&partition.to_string());
        out.string("begin_sequence_number");
        out.long(range.oldest);
        out.string("last_enqueued_sequence_number");
        out.long(range.head - 1);
        out.string("last_enqueued_sequence_number_epoch");
        out.long(-1);
        out.string("last_enqueued_offset");
        out.string(offset.as_deref().unwrap_or("-1"));
        out.string("last_enqueued_time_utc");
        out.timestamp(message::unix_millis(time));
        out.string("is_partition_empty");
        out.bool(range.oldest == range.head);
        out.string("runtime_info_retrieval_time_utc");
        out.timestamp(message::unix_millis(UtcDateTime::now()));
    });
}

/// What an encoded string or symbol says; a number's digits, for a partition may be one.
fn text(value: &[u8]) -> Option<String> {
    match serde_amqp::from_slice::<Value>(value).ok()? {
        Value::String(text) => Some(text),
        Value::Symbol(text) => Some(text.into_inner()),
        Value::Int(number) => Some(number.to_string()),
        Value::Uint(number) => Some(number.to_string()),
        _ => None,
    }
}
