//! A session: its windows, and its links by the client's handles.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::{Begin, Flow, Transfer};

use super::answer::{self, Delivery, LinkFlow, MAX_MESSAGE_BYTES, TRANSFER_BYTES, Windows};
use super::error::{AmqpError, DECODE, LIMIT, STOLEN, TOO_LARGE, UNATTACHED};
use super::limits::{INCOMING_WINDOW, Limits, PUBLISHER_CREDIT, TURN_EVENTS, WAITING_ANSWERS};
use super::link::{Answers, Consumer, Incoming, Link, Partial};
use super::requests::Request;
use crate::hub::message::Message;
use crate::hub::readers::Bell;
use crate::hub::{Hub, StoredEvent};

/// The message format of a batch.
const BATCH: u32 = 0x8001_3700;

/// What the sessions of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) limits: Limits,
    /// What is to be sent.
    pub(super) out: Vec<u8>,
    /// The largest frame that the client takes.
    pub(super) frame_bytes: usize,
    pub(super) bell: Arc<Bell>,
    /// Readers with something to do, by number, each once.
    pub(super) ready: VecDeque<u32>,
    /// Where a reader's link is: channel and handle.
    pub(super) readers: HashMap<u32, (u16, u32)>,
    pub(super) next_reader: u32,
    pub(super) links: usize,
    pub(super) partial_bytes: usize,
}

impl Shared {
    pub(super) fn make_ready(&mut self, number: u32) {
        if !self.ready.contains(&number) {
            self.ready.push_back(number);
        }
    }
}

/// What a reader's turn has led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has something left.
    Again,
    /// It has to be rung, or to be asked for more.
    Over,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) channel: u16,
    windows: Windows,
    /// Frames that the client still takes, and the most that it has ever taken.
    remote_window: u32,
    widest_window: u32,
    pub(super) links: HashMap<u32, Link>,
}

impl Session {
    pub(super) fn new(channel: u16, begin: &Begin) -> Self {
        Self {
            channel,
            windows: Windows {
                next_incoming_id: begin.next_outgoing_id,
                incoming: INCOMING_WINDOW,
                next_outgoing_id: 1,
                outgoing: INCOMING_WINDOW,
            },
            remote_window: begin.incoming_window,
            widest_window: begin.incoming_window,
            links: HashMap::new(),
        }
    }

    pub(super) fn windows(&self) -> Windows {
        self.windows
    }

    /// Lets a link go, and what the connection knows of it.
    pub(super) fn forget(link: Link, shared: &mut Shared) {
        shared.links -= 1;
        match link {
            Link::Consumer(consumer) => _ = shared.readers.remove(&consumer.seat.number),
            Link::Publisher(Incoming { partial, .. })
            | Link::Requests(Incoming { partial, .. }) => {
                shared.partial_bytes -= partial.map_or(0, |partial| partial.bytes.len());
            }
            Link::Answers(_) | Link::Gone => {}
        }
    }

    pub(super) fn forget_all(&mut self, shared: &mut Shared) {
        for (_, link) in self.links.drain() {
            Self::forget(link, shared);
        }
    }

    /// Ends a link from the hub's side.
    fn end_link(&mut self, handle: u32, error: &AmqpError, shared: &mut Shared) {
        if let Some(link) = self.links.insert(handle, Link::Gone) {
            Self::forget(link, shared);
            shared.links += 1;
        }
        answer::detach(&mut shared.out, self.channel, handle, Some(error));
    }

    pub(super) fn flow(&mut self, flow: &Flow, shared: &mut Shared) -> Result<(), AmqpError> {
        // Before the client has seen our begin it does not know where we start.
        let seen = flow.next_incoming_id.unwrap_or(1);
        let in_flight = self.windows.next_outgoing_id.wrapping_sub(seen);
        self.remote_window = flow.incoming_window.saturating_sub(in_flight);
        self.widest_window = self.widest_window.max(self.remote_window);
        let Some(handle) = flow.handle.as_ref().map(|handle| handle.0) else {
            if flow.echo {
                answer::flow(&mut shared.out, self.channel, self.windows, None);
            }
            for link in self.links.values() {
                if let Link::Consumer(consumer) = link
                    && consumer.credit > 0
                {
                    shared.make_ready(consumer.seat.number);
                }
            }
            return Ok(());
        };
        let Some(link) = self.links.get_mut(&handle) else {
            return Err(unattached(handle));
        };
        let asked = flow.link_credit.unwrap_or(0);
        let credit = |delivery_count: u32| {
            let theirs = flow.delivery_count.unwrap_or(0);
            theirs.wrapping_add(asked).wrapping_sub(delivery_count)
        };
        let (delivery_count, granted) = match link {
            Link::Consumer(consumer) => {
                consumer.credit = credit(consumer.delivery_count);
                // Less than has been sent already, on its way.
                if consumer.credit > u32::MAX / 2 {
                    consumer.credit = 0;
                }
                consumer.drain = flow.drain;
                shared.make_ready(consumer.seat.number);
                (consumer.delivery_count, consumer.credit)
            }
            Link::Answers(answers) => {
                answers.credit = credit(answers.delivery_count);
                if answers.credit > u32::MAX / 2 {
                    answers.credit = 0;
                }
                let (count, granted) = (answers.delivery_count, answers.credit);
                self.send_answers(handle, shared);
                if flow.drain {
                    self.drain_answers(handle, shared);
                }
                (count, granted)
            }
            Link::Publisher(Incoming {
                credit,
                delivery_count,
                ..
            })
            | Link::Requests(Incoming {
                credit,
                delivery_count,
                ..
            }) => (*delivery_count, *credit),
            Link::Gone => return Ok(()),
        };
        if flow.echo && !flow.drain {
            let link = LinkFlow {
                handle,
                delivery_count,
                credit: granted,
                drain: false,
            };
            answer::flow(&mut shared.out, self.channel, self.windows, Some(link));
        }
        Ok(())
    }

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
            return Err(AmqpError::new(super::error::NOT_FOUND, text));
        };
        if answers.waiting.len() >= WAITING_ANSWERS {
            let text = format!("{WAITING_ANSWERS} answers of {node} have not been taken");
            return Err(AmqpError::new(LIMIT, text));
        }
        let message = request.answer(node, &shared.hub);
        answers.waiting.push_back(message);
        Ok(())
    }

    fn send_all_answers(&mut self, shared: &mut Shared) {
        let waiting: Vec<u32> = self
            .links
            .iter()
            .filter(
                |(_, link)| matches!(link, Link::Answers(answers) if !answers.waiting.is_empty()),
            )
            .map(|(handle, _)| *handle)
            .collect();
        for handle in waiting {
            self.send_answers(handle, shared);
        }
    }

    fn send_answers(&mut self, handle: u32, shared: &mut Shared) {
        while let Some(Link::Answers(answers)) = self.links.get_mut(&handle)
            && answers.credit > 0
            && let Some(message) = answers.waiting.pop_front()
        {
            answers.credit -= 1;
            answers.delivery_count = answers.delivery_count.wrapping_add(1);
            self.send_whole(handle, &message, true, shared);
        }
    }

    fn drain_answers(&mut self, handle: u32, shared: &mut Shared) {
        if let Some(Link::Answers(answers)) = self.links.get_mut(&handle) {
            answers.delivery_count = answers.delivery_count.wrapping_add(answers.credit);
            answers.credit = 0;
            let link = LinkFlow {
                handle,
                delivery_count: answers.delivery_count,
                credit: 0,
                drain: true,
            };
            answer::flow(&mut shared.out, self.channel, self.windows, Some(link));
        }
    }

    /// Sends a message in as many frames as it takes.
    fn send_whole(&mut self, handle: u32, message: &[u8], settled: bool, shared: &mut Shared) {
        let room = room(shared);
        let id = self.windows.next_outgoing_id;
        let mut chunks = message.chunks(room).peekable();
        while let Some(chunk) = chunks.next() {
            let delivery = Delivery {
                handle,
                id,
                settled,
                more: chunks.peek().is_some(),
            };
            answer::transfer(&mut shared.out, self.channel, delivery, |out| {
                out.extend_from_slice(chunk);
            });
            self.frame_sent();
        }
    }

    fn frame_sent(&mut self) {
        self.windows.next_outgoing_id = self.windows.next_outgoing_id.wrapping_add(1);
        self.remote_window = self.remote_window.saturating_sub(1);
    }

    /// Sends a reader what there is for it, as far as it has asked for it and others wait no longer than a turn.
    pub(super) fn deliver(&mut self, handle: u32, shared: &mut Shared) -> Turn {
        let Some(Link::Consumer(consumer)) = self.links.get_mut(&handle) else {
            return Turn::Over;
        };
        consumer.seat.reader.listen();
        if consumer.seat.reader.is_displaced() {
            let text =
                "a receiver with a higher epoch has been created, so this one is disconnected";
            self.end_link(handle, &AmqpError::new(STOLEN, text), shared);
            return Turn::Over;
        }
        let most = TURN_EVENTS
            .min(consumer.credit as usize)
            .min(self.remote_window as usize);
        if most == 0 {
            self.finish_drain(handle, shared);
            return Turn::Over;
        }
        let events = shared
            .hub
            .read(consumer.seat.partition, consumer.next, most);
        if events.is_empty() {
            self.finish_drain(handle, shared);
            return Turn::Over;
        }
        let latest = consumer
            .tells_latest
            .then(|| shared.hub.last_event(consumer.seat.partition))
            .flatten();
        for event in &events {
            if shared.out.len() >= shared.limits.output_bytes / 4 {
                break;
            }
            if !self.send_event(handle, event, latest.as_deref(), shared) {
                return Turn::Over;
            }
        }
        Turn::Again
    }

    /// Whether the event has gone; it has not where the client's window is too small for it now.
    fn send_event(
        &mut self,
        handle: u32,
        event: &StoredEvent,
        latest: Option<&StoredEvent>,
        shared: &mut Shared,
    ) -> bool {
        let Some(Link::Consumer(consumer)) = self.links.get_mut(&handle) else {
            return false;
        };
        let settled = consumer.settled;
        let room = room(shared);
        if event.largest_message() <= room {
            if self.remote_window == 0 {
                return false;
            }
            advance(consumer, event);
            let delivery = Delivery {
                handle,
                id: self.windows.next_outgoing_id,
                settled,
                more: false,
            };
            answer::transfer(&mut shared.out, self.channel, delivery, |out| {
                event.write_message(out, latest);
            });
            self.frame_sent();
            return true;
        }
        let mut message = Vec::with_capacity(event.largest_message());
        event.write_message(&mut message, latest);
        let frames = u32::try_from(message.len().div_ceil(room)).unwrap_or(u32::MAX);
        // A client whose window is never that wide gets it nevertheless, or it would stand still for ever.
        if self.remote_window < frames && self.remote_window < self.widest_window {
            return false;
        }
        advance(consumer, event);
        self.send_whole(handle, &message, settled, shared);
        true
    }

    /// A client that drains hears when there is nothing more: what it had asked for and did not get is void.
    fn finish_drain(&mut self, handle: u32, shared: &mut Shared) {
        let Some(Link::Consumer(consumer)) = self.links.get_mut(&handle) else {
            return;
        };
        if !consumer.drain {
            return;
        }
        // The window alone may be what it waits for.
        if consumer.credit > 0 && self.remote_window == 0 {
            return;
        }
        consumer.drain = false;
        consumer.delivery_count = consumer.delivery_count.wrapping_add(consumer.credit);
        consumer.credit = 0;
        let link = LinkFlow {
            handle,
            delivery_count: consumer.delivery_count,
            credit: 0,
            drain: true,
        };
        answer::flow(&mut shared.out, self.channel, self.windows, Some(link));
    }

    /// Whether the client has a link by this handle.
    pub(super) fn has(&self, handle: u32) -> bool {
        self.links.contains_key(&handle)
    }

    /// Puts in a link that has been attached, and gives it what it needs to begin.
    pub(super) fn enter(&mut self, handle: u32, link: Link, role: &Role, shared: &mut Shared) {
        shared.links += 1;
        let incoming = *role == Role::Sender;
        let delivery_count = match &link {
            Link::Publisher(link) => link.delivery_count,
            Link::Requests(link) => link.delivery_count,
            _ => 0,
        };
        let gone = matches!(link, Link::Gone);
        self.links.insert(handle, link);
        if incoming && !gone {
            let link = LinkFlow {
                handle,
                delivery_count,
                credit: PUBLISHER_CREDIT,
                drain: false,
            };
            answer::flow(&mut shared.out, self.channel, self.windows, Some(link));
        }
    }
}

/// What a frame can carry.
fn room(shared: &Shared) -> usize {
    shared.frame_bytes.saturating_sub(TRANSFER_BYTES).max(1)
}

fn advance(consumer: &mut Consumer, event: &StoredEvent) {
    consumer.next = event.sequence_number + 1;
    consumer.credit = consumer.credit.saturating_sub(1);
    consumer.delivery_count = consumer.delivery_count.wrapping_add(1);
}

fn unattached(handle: u32) -> AmqpError {
    AmqpError::new(
        UNATTACHED,
        format!("no link is attached by the handle {handle}"),
    )
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
            id: transfer.delivery_id.ok_or_else(|| {
                AmqpError::new(super::error::INVALID_FIELD, "a delivery without an id")
            })?,
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
    let no_message =
        |error: crate::hub::message::NotAMessage| AmqpError::new(DECODE, error.to_string());
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
