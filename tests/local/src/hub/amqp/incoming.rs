//! Messages that come: events for the log, and questions.

use bytes::Bytes;
use fe2o3_amqp_types::performatives::Transfer;

use super::answer::{self, LinkFlow, MAX_MESSAGE_BYTES};
use super::error::{AmqpError, DECODE, INVALID_FIELD, LIMIT, NOT_FOUND, TOO_LARGE};
use super::limits::{INCOMING_WINDOW, PUBLISHER_CREDIT, WAITING_ANSWERS};
use super::link::{Answers, Incoming, Link, Partial};
use super::requests::Request;
use super::session::{Session, Shared, unattached};
use crate::hub::Hub;
use crate::hub::message::{Message, NotAMessage};

/// The message format of a batch.
const BATCH: u32 = 0x8001_3700;

impl Session {
    pub(super) fn transfer(
        &mut self,
        transfer: &Transfer,
        payload: &Bytes,
        shared: &mut Shared,
    ) -> Result<(), AmqpError> {
        self.windows.next_incoming_id = self.windows.next_incoming_id.wrapping_add(1);
        self.windows.incoming = self.windows.incoming.saturating_sub(1);
        let handle = transfer.handle.0;
        let complete = match self.links.get_mut(&handle) {
            Some(Link::Publisher(link)) => gather(link, transfer, payload, shared)?,
            Some(Link::Requests(link)) => gather(link, transfer, payload, shared)?,
            Some(Link::Gone) => return Ok(()),
            Some(_) | None => return Err(unattached(handle)),
        };
        if shared.partial_bytes > shared.limits.partial_bytes {
            let text = "the events of this connection that are not complete are too many bytes";
            self.end_link(handle, &AmqpError::new(LIMIT, text), shared);
            return Ok(());
        }
        // Whoever sends small frames of large messages needs a window all the same.
        if self.windows.incoming < INCOMING_WINDOW / 2 {
            self.windows.incoming = INCOMING_WINDOW;
            answer::flow(&mut shared.out, self.channel, self.windows, None);
        }
        if let Some(delivery) = complete {
            self.complete(handle, delivery, shared);
        }
        Ok(())
    }

    /// Takes a message that is all there, and says so.
    fn complete(&mut self, handle: u32, delivery: Partial, shared: &mut Shared) {
        let (id, settled) = (delivery.id, delivery.settled);
        let refusal = match self.links.get_mut(&handle) {
            Some(_) if delivery.too_large => Some(too_large()),
            Some(Link::Publisher(link)) => take(&shared.hub, link.to, delivery).err(),
            Some(Link::Requests(link)) => {
                let node = link.to;
                self.ask(node, &delivery.bytes, shared).err()
            }
            _ => None,
        };
        // First the credit, then the answer: a client that has its answer may end its session, and rhea's closes the connection where
        // a flow comes after that.
        if let Some(
            Link::Publisher(Incoming {
                credit,
                delivery_count,
                ..
            })
            | Link::Requests(Incoming {
                credit,
                delivery_count,
                ..
            }),
        ) = self.links.get_mut(&handle)
        {
            *delivery_count = delivery_count.wrapping_add(1);
            *credit = credit.saturating_sub(1);
            if *credit < PUBLISHER_CREDIT / 2 {
                *credit = PUBLISHER_CREDIT;
                let link = LinkFlow {
                    handle,
                    delivery_count: *delivery_count,
                    credit: *credit,
                    drain: false,
                };
                answer::flow(&mut shared.out, self.channel, self.windows, Some(link));
            }
        }
        if !settled {
            answer::disposition(&mut shared.out, self.channel, id, refusal.as_ref());
        }
        self.send_all_answers(shared);
    }

    /// Puts the answer on the link that the client has for it.
    fn ask(
        &mut self,
        node: &'static str,
        message: &[u8],
        shared: &mut Shared,
    ) -> Result<(), AmqpError> {
        let request = Request::parse(message)
            .ok_or_else(|| AmqpError::new(DECODE, "the request is no message"))?;
        let mut candidates: Vec<&mut Answers> = self
            .links
            .values_mut()
            .filter_map(|link| match link {
                Link::Answers(answers) if answers.node == node => Some(answers),
                _ => None,
            })
            .collect();
        let named = candidates
            .iter()
            .position(|answers| request.reply_to.is_some() && answers.address == request.reply_to);
        // Not every client says where, but then it has one link only.
        let Some(answers) = candidates.get_mut(named.unwrap_or(0)) else {
            let text = format!("there is no link from {node} for the answer");
            return Err(AmqpError::new(NOT_FOUND, text));
        };
        if answers.waiting.len() >= WAITING_ANSWERS {
            let text = format!("{WAITING_ANSWERS} answers of {node} have not been taken");
            return Err(AmqpError::new(LIMIT, text));
        }
        let message = request.answer(node, &shared.hub);
        answers.waiting.push_back(message);
        Ok(())
    }
}

fn too_large() -> AmqpError {
    let text = format!("a message holds {MAX_MESSAGE_BYTES} bytes at most");
    AmqpError::new(TOO_LARGE, text)
}

/// Adds a frame to a link's message; the message, once it is complete.
fn gather<To>(
    link: &mut Incoming<To>,
    transfer: &Transfer,
    payload: &Bytes,
    shared: &mut Shared,
) -> Result<Option<Partial>, AmqpError> {
    if transfer.aborted {
        if let Some(partial) = link.partial.take() {
            shared.partial_bytes -= partial.bytes.len();
        }
        return Ok(None);
    }
    let mut partial = match link.partial.take() {
        Some(partial) => {
            shared.partial_bytes -= partial.bytes.len();
            partial
        }
        None => Partial {
            id: transfer
                .delivery_id
                .ok_or_else(|| AmqpError::new(INVALID_FIELD, "a delivery without an id"))?,
            format: transfer.message_format.unwrap_or(0),
            settled: false,
            bytes: Vec::new(),
            too_large: false,
        },
    };
    partial.settled |= transfer.settled.unwrap_or(false);
    let length = partial.bytes.len() + payload.len();
    if partial.too_large || length as u64 > MAX_MESSAGE_BYTES {
        partial.too_large = true;
        partial.bytes = Vec::new();
    } else if partial.bytes.is_empty() && !transfer.more {
        // The usual case, with not a byte more than it takes: it may be kept for long.
        partial.bytes = payload.to_vec();
    } else {
        partial.bytes.extend_from_slice(payload);
    }
    if transfer.more {
        shared.partial_bytes += partial.bytes.len();
        link.partial = Some(partial);
        return Ok(None);
    }
    partial.bytes.shrink_to_fit();
    Ok(Some(partial))
}

/// Puts the events of a message into the log.
fn take(hub: &Hub, partition: Option<u16>, delivery: Partial) -> Result<(), AmqpError> {
    // Not copied again: a batch's events are parts of it.
    let bytes = Bytes::from(delivery.bytes);
    let no_message = |error: NotAMessage| AmqpError::new(DECODE, error.to_string());
    let whole = Message::parse(bytes.clone()).map_err(no_message)?;
    let key = whole.partition_key().map(str::to_owned);
    if delivery.format == BATCH {
        let messages = Message::parse_batch(&bytes).map_err(no_message)?;
        let key = key.or_else(|| messages.first()?.partition_key().map(str::to_owned));
        if !messages.is_empty() {
            hub.append_messages(messages, partition, key.as_deref());
        }
        return Ok(());
    }
    hub.append_messages(vec![whole], partition, key.as_deref());
    Ok(())
}
