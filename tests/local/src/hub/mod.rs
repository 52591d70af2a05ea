//! A partitioned log in memory that takes events as Event Hubs does, gives them to whoever speaks AMQP, and keeps a checkpoint for
//! every consumer group of the local host.
//!
//! | module | what it is |
//! |---|---|
//! | `event` | an event on its way in, and an event as the log keeps it |
//! | `message` | its bytes, and what they say |
//! | `partition` | one partition's log: sequence numbers, offsets, times, retention |
//! | `groups` | consumer groups: checkpoints, and what a lost lease does to them |
//! | `http` | the send API: `POST /{hub}/messages` |
//! | `batch` | the body of a batch send |
//! | `mqtt` | what a device would say to IoT Hub |
//! | `amqp` | what every client of Event Hubs speaks |
//! | `readers` | who reads a partition over AMQP |
//!
//! The local host reads partitions through [`Hub`] in process.

pub mod amqp;
mod batch;
mod event;
mod groups;
mod http;
mod message;
mod mqtt;
mod partition;
mod readers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drone_delivery::domain::partition_key;
use time::UtcDateTime;
use tokio::sync::watch;

pub use amqp::{AmqpListener, Limits};
pub use event::{NewEvent, Position, StoredEvent};
use groups::Groups;
use message::Message;
pub use mqtt::{MAX_MESSAGE_BYTES, MqttListener};
use partition::Partition;
use readers::{Reader, ReaderRefused, Readers};

/// The largest event that the send API takes, in bytes: Event Hubs' own limit outside the Basic tier.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The consumer group that every event hub has.
const DEFAULT_GROUP: &str = "$Default";

/// How many events may come to a partition that no group is known of, before it is looked at what can be forgotten.
const FORGET_EVERY: i64 = 64;

/// The sequence numbers of the first event that is held and of the next one that comes.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    oldest: i64,
    head: i64,
}

/// What the log forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Nothing is ever dropped: for tests that compare what was sent with what came out.
    Everything,
    /// What every known consumer group has checkpointed is dropped, once there is more than a small tail of it. A long run then
    /// takes no more memory than its lag. Nothing is dropped while no group is known.
    #[default]
    UntilCheckpointed,
    /// As [`Retention::UntilCheckpointed`], but the newest events stay, as many as fit into this much memory, for readers that the
    /// hub knows nothing of: over AMQP, checkpoints are the clients' own. While no group is known, this is all that stays.
    Newest {
        /// Over all partitions.
        bytes: usize,
    },
}

/// The consumer groups that AMQP's readers may name. A group that is not there is an error in Azure too: a hub that takes any name
/// hides a mistake in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerGroups {
    /// These, `$Default`, and those that the local host reads for.
    Listed(Vec<String>),
    /// Whatever they say.
    Any,
}

/// An event hub. Clones share one log.
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Box<str>,
    partitions: Vec<PartitionSlot>,
    groups: Mutex<Groups>,
    consumer_groups: Mutex<ConsumerGroups>,
    created_at: UtcDateTime,
    retention: Mutex<Retention>,
    appended: AtomicU64,
    round_robin: AtomicU64,
    /// Counts checkpoints, so that whoever waits for the consumers can wait for the next one instead of asking again and again.
    progress: watch::Sender<u64>,
}

#[derive(Debug)]
struct PartitionSlot {
    log: Mutex<Partition>,
    /// The sequence number that the next event will get; readers wait on it.
    head: watch::Sender<i64>,
    /// Those that read over AMQP.
    readers: Readers,
}

impl Hub {
    /// An empty hub. A hub has at least one partition, whatever was asked for.
    #[must_use]
    pub fn new(name: &str, partitions: u16) -> Self {
        let created_at = UtcDateTime::now();
        // 292,000 years after 1970 it would not fit.
        let first_offset = u64::try_from(created_at.unix_timestamp_nanos() / 1_000).unwrap_or(0);
        let partitions = (0..partitions.max(1))
            .map(|_| PartitionSlot {
                log: Mutex::new(Partition::new(first_offset)),
                head: watch::Sender::new(0),
                readers: Readers::default(),
            })
            .collect();
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                partitions,
                groups: Mutex::default(),
                consumer_groups: Mutex::new(ConsumerGroups::Listed(Vec::new())),
                created_at,
                retention: Mutex::default(),
                appended: AtomicU64::new(0),
                round_robin: AtomicU64::new(0),
                progress: watch::Sender::new(0),
            }),
        }
    }

    /// The hub's name, as in `POST /{name}/messages`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How many partitions there are; they are numbered from 0.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        // `new` was given a u16, so the length fits.
        u16::try_from(self.inner.partitions.len()).unwrap_or(u16::MAX)
    }

    /// The events taken since the hub was made, dropped ones included.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.inner.appended.load(Ordering::Acquire)
    }

    /// The partition that a key belongs to, as Event Hubs and its clients have it.
    #[must_use]
    pub fn partition_for_key(&self, key: &str) -> u16 {
        partition_key::partition(key.as_bytes(), self.partitions())
    }

    /// Takes one event. Its partition is the one asked for (modulo the number of partitions), else its key's, else the next in turn.
    ///
    /// The body is kept byte for byte, whatever it is.
    pub fn append(&self, event: NewEvent) -> Position {
        let message = Message::encode(&event);
        let key = event.partition_key;
        let partition = self.choose_partition(event.partition, key.as_deref());
        let slot = &self.inner.partitions[usize::from(partition)];
        let key = key.map(String::into_boxed_str);
        let position = lock(&slot.log).append(partition, message, key, UtcDateTime::now());
        self.appended_to(slot, position.sequence_number + 1, 1);
        position
    }

    /// Takes messages into one partition, without others between them. The partition is chosen as for [`Hub::append`].
    fn append_messages(&self, messages: Vec<Message>, partition: Option<u16>, key: Option<&str>) {
        let partition = self.choose_partition(partition, key);
        let slot = &self.inner.partitions[usize::from(partition)];
        let (count, now) = (messages.len() as u64, UtcDateTime::now());
        let mut log = lock(&slot.log);
        for message in messages {
            let key = key.map(Into::into);
            log.append(partition, message, key, now);
        }
        let head = log.head();
        drop(log);
        self.appended_to(slot, head, count);
    }

    fn appended_to(&self, slot: &PartitionSlot, head: i64, count: u64) {
        self.inner.appended.fetch_add(count, Ordering::AcqRel);
        // Not `send_replace(head)`: another thread may have published a later head already.
        slot.head.send_if_modified(|seen| {
            let newer = head > *seen;
            if newer {
                *seen = head;
            }
            newer
        });
        slot.readers.ring();
        // Where a group is known, its checkpoints are when something is forgotten.
        if head % FORGET_EVERY < i64::try_from(count).unwrap_or(i64::MAX)
            && let Retention::Newest { bytes } = *lock(&self.inner.retention)
            && lock(&self.inner.groups).is_empty()
        {
            lock(&slot.log).forget_before(head, bytes / self.inner.partitions.len());
        }
    }

    fn choose_partition(&self, asked: Option<u16>, key: Option<&str>) -> u16 {
        match (asked, key) {
            (Some(partition), _) => partition % self.partitions(),
            (None, Some(key)) => self.partition_for_key(key),
            (None, None) => self.next_in_turn(),
        }
    }

    fn next_in_turn(&self) -> u16 {
        let turn = self.inner.round_robin.fetch_add(1, Ordering::Relaxed);
        u16::try_from(turn % self.inner.partitions.len() as u64).unwrap_or_default()
    }

    /// What a partition still holds from the sequence number `from` on, oldest first; empty for a partition that does not exist.
    #[must_use]
    pub fn events(&self, partition: u16, from: i64) -> Vec<Arc<StoredEvent>> {
        self.read(partition, from, usize::MAX)
    }

    /// As [`Hub::events`], at most `limit` of them.
    #[must_use]
    pub fn read(&self, partition: u16, from: i64, limit: usize) -> Vec<Arc<StoredEvent>> {
        self.slot(partition)
            .map(|slot| lock(&slot.log).read(from, limit))
            .unwrap_or_default()
    }

    /// Follows the sequence number that a partition's next event will get. `None` for a partition that does not exist.
    #[must_use]
    pub fn watch_head(&self, partition: u16) -> Option<watch::Receiver<i64>> {
        self.slot(partition).map(|slot| slot.head.subscribe())
    }

    /// Changes on every checkpoint of any group.
    #[must_use]
    pub fn watch_progress(&self) -> watch::Receiver<u64> {
        self.inner.progress.subscribe()
    }

    /// Says what the log may forget from now on.
    pub fn set_retention(&self, retention: Retention) {
        *lock(&self.inner.retention) = retention;
    }

    /// Makes a consumer group known, at the beginning of every partition (`initialOffsetOptions` `fromStart`, the default). A group
    /// that is known already keeps its checkpoints.
    pub fn join(&self, group: &str) {
        lock(&self.inner.groups).join(group, self.inner.partitions.len());
    }

    /// Says which consumer groups AMQP's readers may name from now on.
    pub fn set_consumer_groups(&self, groups: ConsumerGroups) {
        *lock(&self.inner.consumer_groups) = groups;
    }

    /// Whether a reader may name this group.
    fn has_consumer_group(&self, name: &str) -> bool {
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        match &*lock(&self.inner.consumer_groups) {
            ConsumerGroups::Any => true,
            ConsumerGroups::Listed(listed) => {
                is_it(DEFAULT_GROUP)
                    || listed.iter().any(|known| is_it(known))
                    || self.groups().iter().any(|known| is_it(known))
            }
        }
    }

    /// The names of the consumer groups that have ever joined.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        lock(&self.inner.groups).names()
    }

    /// The events that a group has not checkpointed, over all partitions. A group that never joined lags behind by everything.
    #[must_use]
    pub fn lag(&self, group: &str) -> u64 {
        (0..self.partitions())
            .map(|partition| {
                let head = self
                    .slot(partition)
                    .map_or(0, |slot| lock(&slot.log).head());
                let next = lock(&self.inner.groups)
                    .cursor(group, partition)
                    .map_or(0, |cursor| cursor.next);
                u64::try_from(head - next).unwrap_or_default()
            })
            .sum()
    }

    /// The sequence number of the last event that a group has checkpointed in a partition, if any.
    #[must_use]
    pub fn checkpoint(&self, group: &str, partition: u16) -> Option<i64> {
        let cursor = lock(&self.inner.groups).cursor(group, partition)?;
        (cursor.next > 0).then(|| cursor.next - 1)
    }

    /// Moves a group's checkpoint back, as a lost lease does: the last `events` events come again. A batch that is in flight goes on,
    /// but its checkpoint no longer counts, because its reader has lost the partition.
    ///
    /// Returns how many events really come again: not more than the group had checkpointed, nor than the log still holds.
    pub fn rewind(&self, group: &str, partition: u16, events: u64) -> u64 {
        let Some(slot) = self.slot(partition) else {
            return 0;
        };
        let oldest = lock(&slot.log).oldest();
        let again = lock(&self.inner.groups).rewind(group, partition, events, oldest);
        // Wakes a reader that waits for new events: old ones are new to it now.
        slot.head.send_modify(|_| {});
        again
    }

    /// Where a group's reader stands in a partition. Opaque: hand it back to [`Hub::commit`].
    pub(crate) fn cursor(&self, group: &str, partition: u16) -> Option<groups::Cursor> {
        lock(&self.inner.groups).cursor(group, partition)
    }

    /// Writes a checkpoint: everything before the sequence number `next` is done. Without effect, and `false`, when the reader has
    /// lost the partition since it got its cursor.
    pub(crate) fn commit(&self, group: &str, partition: u16, epoch: u64, next: i64) -> bool {
        let (written, done) = {
            let mut groups = lock(&self.inner.groups);
            let written = groups.commit(group, partition, epoch, next);
            (written, groups.done_by_all(partition))
        };
        if written {
            let tail_bytes = match *lock(&self.inner.retention) {
                Retention::Everything => None,
                Retention::UntilCheckpointed => Some(0),
                Retention::Newest { bytes } => Some(bytes / self.inner.partitions.len()),
            };
            if let (Some(tail_bytes), Some(done), Some(slot)) =
                (tail_bytes, done, self.slot(partition))
            {
                lock(&slot.log).forget_before(done, tail_bytes);
            }
            self.inner.progress.send_modify(|count| *count += 1);
        }
        written
    }

    /// When the hub was made.
    fn created_at(&self) -> UtcDateTime {
        self.inner.created_at
    }

    /// What a partition holds; nothing of one that does not exist.
    fn range(&self, partition: u16) -> Held {
        self.slot(partition).map_or_else(Held::default, |slot| {
            let log = lock(&slot.log);
            Held {
                oldest: log.oldest(),
                head: log.head(),
            }
        })
    }

    /// The event that came last to a partition, if it is still held.
    fn last_event(&self, partition: u16) -> Option<Arc<StoredEvent>> {
        lock(&self.slot(partition)?.log).last().cloned()
    }

    /// The sequence number that an offset stands for: below 0 for one of an earlier hub.
    fn at_offset(&self, partition: u16, offset: u64) -> i64 {
        self.slot(partition)
            .map_or(0, |slot| lock(&slot.log).at_offset(offset))
    }

    /// The sequence number of the first event that came after `time`, to the millisecond.
    fn first_after(&self, partition: u16, time: UtcDateTime) -> i64 {
        self.slot(partition)
            .map_or(0, |slot| lock(&slot.log).first_after(time))
    }

    /// Lets somebody read a partition, over AMQP.
    fn enter(&self, partition: u16, reader: Reader) -> Result<Arc<Reader>, ReaderRefused> {
        // A partition that does not exist was refused before.
        match self.slot(partition) {
            Some(slot) => slot.readers.enter(reader),
            None => Ok(Arc::new(reader)),
        }
    }

    fn leave(&self, partition: u16, reader: &Arc<Reader>) {
        if let Some(slot) = self.slot(partition) {
            slot.readers.leave(reader);
        }
    }

    fn slot(&self, partition: u16) -> Option<&PartitionSlot> {
        self.inner.partitions.get(usize::from(partition))
    }
}

/// A panic elsewhere does not make a log or a checkpoint wrong: each change is complete before the lock is released.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod destination_tests;
#[cfg(test)]
mod tests;
