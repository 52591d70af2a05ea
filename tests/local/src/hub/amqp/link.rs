//! What the hub knows of a link.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::Hub;
use crate::hub::readers::Reader;

use super::limits::PUBLISHER_CREDIT;

/// One link of a session, by what is at the hub's end of it.
#[derive(Debug)]
pub(super) enum Link {
    /// The client sends events.
    Publisher(Incoming<Option<u16>>),
    /// The client asks.
    Requests(Incoming<&'static str>),
    /// The client is answered.
    Answers(Answers),
    /// The client reads a partition.
    Consumer(Consumer),
    /// The hub has ended it. What the client sends until it knows is passed over.
    Gone,
}

/// A link on which the hub receives.
#[derive(Debug)]
pub(super) struct Incoming<To> {
    /// The partition that is sent to, or the node that is asked.
    pub(super) to: To,
    pub(super) credit: u32,
    pub(super) delivery_count: u32,
    pub(super) partial: Option<Partial>,
}

impl<To> Incoming<To> {
    pub(super) fn new(to: To, delivery_count: u32) -> Self {
        Self {
            to,
            credit: PUBLISHER_CREDIT,
            delivery_count,
            partial: None,
        }
    }
}

/// A message of which not all frames have come.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) id: u32,
    pub(super) format: u32,
    pub(super) settled: bool,
    pub(super) bytes: Vec<u8>,
    /// It has grown too large, and what comes of it is passed over.
    pub(super) too_large: bool,
}

/// A link on which the hub answers.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) node: &'static str,
    /// What the client calls its end.
    pub(super) address: Option<String>,
    pub(super) credit: u32,
    pub(super) delivery_count: u32,
    pub(super) waiting: VecDeque<Vec<u8>>,
}

/// A reader of one partition.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) seat: Seat,
    /// The sequence number of the next event to send.
    pub(super) next: i64,
    pub(super) credit: u32,
    pub(super) delivery_count: u32,
    pub(super) drain: bool,
    pub(super) settled: bool,
    /// Whether each event comes with what is known of the partition's end.
    pub(super) tells_latest: bool,
}

/// A reader's place in a partition, which it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) hub: Hub,
    pub(super) partition: u16,
    pub(super) reader: Arc<Reader>,
    /// What the connection knows it by.
    pub(super) number: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.leave(self.partition, &self.reader);
    }
}
