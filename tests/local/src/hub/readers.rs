//! Who reads a partition over AMQP: at most five without an owner level, or one with it.
//!
//! A reader does not wait for its partition, it is rung: one connection reads many partitions, and a partition that fills up rings
//! once, not once an event.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;

/// Readers of one consumer group and partition that have no owner level, as Event Hubs bounds them.
const MAX_READERS: usize = 5;

/// Why somebody may not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReaderRefused {
    #[error(
        "a receiver with the higher epoch {there} exists already, so one with the epoch {asked} cannot be created"
    )]
    HigherEpoch { there: i64, asked: i64 },
    #[error(
        "a receiver with the epoch {0} exists, so one without an epoch is not allowed: take a higher epoch, or close that receiver"
    )]
    Epoch(i64),
    #[error("{MAX_READERS} receivers of this consumer group read the partition already")]
    TooMany,
}

/// What a connection waits for: some of its readers have something to read, or nothing more.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Vec<u32>>,
    notify: Notify,
}

impl Bell {
    /// Returns when some reader has been rung since [`Bell::take`].
    pub(super) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// The numbers of the readers that were rung, each once.
    pub(super) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut lock(&self.rung))
    }
}

/// One reader of one partition.
#[derive(Debug)]
pub(super) struct Reader {
    group: Box<str>,
    epoch: Option<i64>,
    number: u32,
    bell: Arc<Bell>,
    rung: AtomicBool,
    displaced: AtomicBool,
}

impl Reader {
    /// `number` is what the bell says when this reader is meant.
    pub(super) fn new(group: &str, epoch: Option<i64>, number: u32, bell: &Arc<Bell>) -> Self {
        Self {
            // Event Hubs' names know no case.
            group: group.to_ascii_lowercase().into(),
            epoch,
            number,
            bell: Arc::clone(bell),
            rung: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
        }
    }

    /// To be called before the log is looked at: whatever comes later rings again.
    pub(super) fn listen(&self) {
        self.rung.store(false, Ordering::Release);
    }

    /// Whether another reader has taken its place.
    pub(super) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }

    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            lock(&self.bell.rung).push(self.number);
            self.bell.notify.notify_one();
        }
    }
}

/// The readers of one partition.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Vec<Arc<Reader>>>);

impl Readers {
    /// Lets a reader in, which may cost others their place.
    pub(super) fn enter(&self, reader: Reader) -> Result<Arc<Reader>, ReaderRefused> {
        let mut all = lock(&self.0);
        let of_group = || all.iter().filter(|there| there.group == reader.group);
        let highest = of_group().filter_map(|there| there.epoch).max();
        match (reader.epoch, highest) {
            (Some(asked), Some(there)) if there > asked => {
                return Err(ReaderRefused::HigherEpoch { there, asked });
            }
            (None, Some(there)) => return Err(ReaderRefused::Epoch(there)),
            (None, None) if of_group().count() >= MAX_READERS => {
                return Err(ReaderRefused::TooMany);
            }
            _ => {}
        }
        if reader.epoch.is_some() {
            all.retain(|there| {
                let stays = there.group != reader.group;
                if !stays {
                    there.displaced.store(true, Ordering::Release);
                    there.ring();
                }
                stays
            });
        }
        let reader = Arc::new(reader);
        all.push(Arc::clone(&reader));
        Ok(reader)
    }

    pub(super) fn leave(&self, reader: &Arc<Reader>) {
        lock(&self.0).retain(|there| !Arc::ptr_eq(there, reader));
    }

    /// Something new is in the log.
    pub(super) fn ring(&self) {
        for reader in &*lock(&self.0) {
            reader.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn reader(group: &str, epoch: Option<i64>, bell: &Arc<Bell>) -> Reader {
        Reader::new(group, epoch, 1, bell)
    }

    #[test]
    fn a_higher_or_equal_epoch_takes_the_place_and_a_lower_one_is_refused() {
        let (readers, bell) = (Readers::default(), Arc::default());
        let plain = readers.enter(reader("g", None, &bell)).unwrap();
        let other = readers.enter(reader("other", None, &bell)).unwrap();
        let first = readers.enter(reader("G", Some(1), &bell)).unwrap();
        assert!(plain.is_displaced() && !other.is_displaced());
        assert_eq!(
            readers.enter(reader("g", Some(0), &bell)).unwrap_err(),
            ReaderRefused::HigherEpoch { there: 1, asked: 0 }
        );
        assert_eq!(
            readers.enter(reader("g", None, &bell)).unwrap_err(),
            ReaderRefused::Epoch(1)
        );
        let second = readers.enter(reader("g", Some(1), &bell)).unwrap();
        assert!(first.is_displaced() && !second.is_displaced());
        readers.leave(&second);
        readers.enter(reader("g", None, &bell)).unwrap();
    }

    #[test]
    fn five_may_read_side_by_side() {
        let (readers, bell) = (Readers::default(), Arc::default());
        let five: Vec<_> = (0..5)
            .map(|_| readers.enter(reader("g", None, &bell)).unwrap())
            .collect();
        assert_eq!(
            readers.enter(reader("g", None, &bell)).unwrap_err(),
            ReaderRefused::TooMany
        );
        readers.enter(reader("h", None, &bell)).unwrap();
        readers.leave(&five[0]);
        readers.enter(reader("g", None, &bell)).unwrap();
    }

    #[tokio::test]
    async fn many_events_ring_once_until_somebody_listens() {
        let (readers, bell) = (Readers::default(), Arc::default());
        let reader = readers.enter(reader("g", None, &bell)).unwrap();
        for _ in 0..3 {
            readers.ring();
        }
        bell.wait().await;
        assert_eq!(bell.take(), [1]);
        reader.listen();
        readers.ring();
        bell.wait().await;
        assert_eq!(bell.take(), [1]);
    }
}
