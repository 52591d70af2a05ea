//! A session: its windows, and its links by the client's handles.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::{Begin, Flow};

use super::answer::{self, LinkFlow, Windows};
use super::error::{AmqpError, UNATTACHED};
use super::limits::{INCOMING_WINDOW, Limits, PUBLISHER_CREDIT};
use super::link::{Incoming, Link};
use crate::hub::Hub;
use crate::hub::readers::Bell;

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

#[derive(Debug)]
pub(super) struct Session {
    pub(super) channel: u16,
    pub(super) windows: Windows,
    /// Frames that the client still takes, and the most that it has ever taken.
    pub(super) remote_window: u32,
    pub(super) widest_window: u32,
    /// Deliveries are counted by themselves: one may take several frames.
    pub(super) next_delivery: u32,
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
            next_delivery: 0,
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
    pub(super) fn end_link(&mut self, handle: u32, error: &AmqpError, shared: &mut Shared) {
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

pub(super) fn unattached(handle: u32) -> AmqpError {
    AmqpError::new(
        UNATTACHED,
        format!("no link is attached by the handle {handle}"),
    )
}
