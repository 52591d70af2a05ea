//! Messages that go: events to readers, and answers.

use super::answer::{self, Delivery, LinkFlow, TRANSFER_BYTES};
use super::error::{AmqpError, STOLEN};
use super::limits::TURN_EVENTS;
use super::link::{Consumer, Link};
use super::session::{Session, Shared};
use crate::hub::StoredEvent;

/// What a reader's turn has led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has something left.
    Again,
    /// It has to be rung, or to be asked for more.
    Over,
}

impl Session {
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
                id: self.next_delivery,
                settled,
                more: false,
            };
            answer::transfer(&mut shared.out, self.channel, delivery, |out| {
                event.write_message(out, latest);
            });
            self.next_delivery = self.next_delivery.wrapping_add(1);
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

    pub(super) fn send_all_answers(&mut self, shared: &mut Shared) {
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

    pub(super) fn send_answers(&mut self, handle: u32, shared: &mut Shared) {
        while let Some(Link::Answers(answers)) = self.links.get_mut(&handle)
            && answers.credit > 0
            && let Some(message) = answers.waiting.pop_front()
        {
            answers.credit -= 1;
            answers.delivery_count = answers.delivery_count.wrapping_add(1);
            self.send_whole(handle, &message, true, shared);
        }
    }

    pub(super) fn drain_answers(&mut self, handle: u32, shared: &mut Shared) {
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
        let id = self.next_delivery;
        self.next_delivery = id.wrapping_add(1);
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
