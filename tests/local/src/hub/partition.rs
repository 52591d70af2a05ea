//! One partition's log.

use std::collections::VecDeque;
use std::sync::Arc;

use time::{Duration, UtcDateTime};

use super::event::{Position, StoredEvent};
use super::message::Message;

/// Checkpointed events that stay, so that a rewind has something to go back to: "the last one or two batches" of the default size
/// and more.
const TAIL_EVENTS: usize = 512;

/// What an event takes in memory besides its message, once the host has read it.
const EVENT_BYTES: usize = 800;

/// One partition's log.
#[derive(Debug)]
pub(super) struct Partition {
    events: VecDeque<Arc<StoredEvent>>,
    /// The sequence number of the first event still held.
    oldest: i64,
    /// The offset of the first event ever.
    first_offset: u64,
    bytes: usize,
    last_enqueued_at: UtcDateTime,
}

impl Partition {
    /// An empty log whose offsets begin at `first_offset`.
    pub(super) fn new(first_offset: u64) -> Self {
        Self {
            events: VecDeque::new(),
            oldest: 0,
            first_offset,
            bytes: 0,
            last_enqueued_at: UtcDateTime::MIN,
        }
    }

    /// `partition` is this log's own number; `now` may go back, the enqueued time does not.
    pub(super) fn append(
        &mut self,
        partition: u16,
        message: Message,
        partition_key: Option<Box<str>>,
        now: UtcDateTime,
    ) -> Position {
        let whole_millis = now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000_000));
        self.last_enqueued_at = self.last_enqueued_at.max(whole_millis);
        self.bytes += message.len() + EVENT_BYTES;
        let sequence_number = self.head();
        let stored = StoredEvent::new(
            message,
            partition_key,
            sequence_number,
            self.offset(sequence_number),
            self.last_enqueued_at,
        );
        let position = Position {
            partition,
            sequence_number,
            offset: stored.offset.to_string(),
            enqueued_at: stored.enqueued_at,
        };
        self.events.push_back(Arc::new(stored));
        position
    }

    /// The offset of an event, which need not be there yet.
    fn offset(&self, sequence_number: i64) -> u64 {
        self.first_offset.saturating_add_signed(sequence_number)
    }

    /// The sequence number that belongs to an offset, or would: below 0 for an offset of an earlier log.
    pub(super) fn at_offset(&self, offset: u64) -> i64 {
        offset
            .checked_signed_diff(self.first_offset)
            .unwrap_or(i64::MAX)
    }

    /// The sequence number of the first event that is held and came after `time`; the head where there is none yet.
    pub(super) fn first_after(&self, time: UtcDateTime) -> i64 {
        let earlier = self
            .events
            .partition_point(|event| event.enqueued_at <= time);
        self.oldest + i64::try_from(earlier).unwrap_or(i64::MAX)
    }

    /// The event that came last, if it is still held.
    pub(super) fn last(&self) -> Option<&Arc<StoredEvent>> {
        self.events.back()
    }

    /// The sequence number that the next event will get.
    pub(super) fn head(&self) -> i64 {
        // A log of more than 2^63 events does not fit into memory.
        self.oldest + i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }

    /// The sequence number of the first event still held.
    pub(super) fn oldest(&self) -> i64 {
        self.oldest
    }

    /// At most `limit` events from the sequence number `from` on; from the oldest held where `from` is gone.
    pub(super) fn read(&self, from: i64, limit: usize) -> Vec<Arc<StoredEvent>> {
        let skip = usize::try_from(from - self.oldest).unwrap_or(0);
        if skip >= self.events.len() {
            return Vec::new();
        }
        let end = skip.saturating_add(limit).min(self.events.len());
        self.events.range(skip..end).cloned().collect()
    }

    /// Drops what lies before the sequence number `done`, but for the tail: the newest events, and as many more as `tail_bytes` hold.
    pub(super) fn forget_before(&mut self, done: i64, tail_bytes: usize) {
        while self.events.len() > TAIL_EVENTS
            && self.bytes > tail_bytes
            && self.oldest < done - TAIL_EVENTS as i64
            && let Some(event) = self.events.pop_front()
        {
            self.oldest += 1;
            self.bytes -= event.message.len() + EVENT_BYTES;
        }
    }
}
