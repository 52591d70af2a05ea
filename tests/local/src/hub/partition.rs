//! One partition's log.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use time::{Duration, UtcDateTime};

use super::event::{NewEvent, Position, StoredEvent};

/// What every event costs in the log besides its body, so that an empty event has an offset of its own too.
const EVENT_OVERHEAD_BYTES: u64 = 48;

/// Checkpointed events that stay, so that a rewind has something to go back to: "the last one or two batches" of the default size
/// and more.
const TAIL_EVENTS: i64 = 512;

/// One partition's log.
#[derive(Debug)]
pub(super) struct Partition {
    events: VecDeque<Arc<StoredEvent>>,
    /// The sequence number of the first event still held.
    oldest: i64,
    next_offset: u64,
    last_enqueued_at: UtcDateTime,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            events: VecDeque::new(),
            oldest: 0,
            next_offset: 0,
            last_enqueued_at: UtcDateTime::MIN,
        }
    }
}

impl Partition {
    /// `partition` is this log's own number; `now` may go back, the enqueued time does not.
    pub(super) fn append(&mut self, partition: u16, event: NewEvent, now: UtcDateTime) -> Position {
        let whole_millis = now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000_000));
        self.last_enqueued_at = self.last_enqueued_at.max(whole_millis);
        let stored = StoredEvent {
            body: event.body,
            partition_key: event.partition_key,
            properties: event.properties,
            system_properties: event.system_properties,
            amqp_value: event.amqp_value,
            sequence_number: self.head(),
            offset: self.next_offset,
            enqueued_at: self.last_enqueued_at,
            encoded: OnceLock::new(),
        };
        self.next_offset += stored.body.len() as u64 + EVENT_OVERHEAD_BYTES;
        let position = Position {
            partition,
            sequence_number: stored.sequence_number,
            offset: stored.offset.to_string(),
            enqueued_at: stored.enqueued_at,
        };
        self.events.push_back(Arc::new(stored));
        position
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

    /// Drops what lies before the sequence number `done`, but for the tail.
    pub(super) fn forget_before(&mut self, done: i64) {
        let drop = usize::try_from(done - TAIL_EVENTS - self.oldest).unwrap_or(0);
        let drop = drop.min(self.events.len());
        self.events.drain(..drop);
        self.oldest += i64::try_from(drop).unwrap_or(0);
    }
}
