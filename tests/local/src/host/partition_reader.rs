//! One consumer group's reader of one partition: cuts the log into batches and writes checkpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::host_json::EventHubsOptions;
use crate::hub::{Hub, StoredEvent};

/// How often a reader looks again while a batch fills up. Waking for every event would cost more than the events do.
const FILLING: Duration = Duration::from_millis(20);

pub(crate) struct PartitionReader {
    hub: Hub,
    group: Arc<str>,
    partition: u16,
    options: EventHubsOptions,
    head: watch::Receiver<i64>,
    /// The sequence number of the next event to read.
    next: i64,
    epoch: u64,
    batches_since_checkpoint: u64,
}

impl PartitionReader {
    /// Begins after the group's checkpoint. The group must have joined; `None` for a partition that does not exist.
    pub(crate) fn new(
        hub: &Hub,
        group: &str,
        partition: u16,
        options: EventHubsOptions,
    ) -> Option<Self> {
        let cursor = hub.cursor(group, partition)?;
        Some(Self {
            hub: hub.clone(),
            group: group.into(),
            partition,
            options,
            head: hub.watch_head(partition)?,
            next: cursor.next,
            epoch: cursor.epoch,
            batches_since_checkpoint: 0,
        })
    }

    /// The next batch, never empty: as soon as there are `minEventBatchSize` events, or `maxWaitTime` after the first of fewer was
    /// seen; `maxEventBatchSize` at most.
    pub(crate) async fn next_batch(&mut self) -> Vec<Arc<StoredEvent>> {
        let mut deadline = None;
        loop {
            let head = *self.head.borrow_and_update();
            self.follow_rewind();
            let available = usize::try_from(head - self.next).unwrap_or(0);
            if available == 0 {
                deadline = None;
                if self.head.changed().await.is_err() {
                    // The hub outlives its readers, since they hold it.
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let now = Instant::now();
            let due = *deadline.get_or_insert(now + self.options.max_wait);
            if available >= self.options.min_batch || now >= due {
                return self
                    .hub
                    .read(self.partition, self.next, self.options.max_batch);
            }
            sleep_until(due.min(now + FILLING)).await;
        }
    }

    /// The batch has been dealt with, one way or the other: the next one follows, and a checkpoint is due every
    /// `batchCheckpointFrequency` batches. A reader that has lost the partition meanwhile writes none.
    pub(crate) fn done(&mut self, batch: &[Arc<StoredEvent>]) {
        let Some(last) = batch.last() else {
            return;
        };
        self.next = last.sequence_number + 1;
        self.batches_since_checkpoint += 1;
        if self.batches_since_checkpoint >= self.options.checkpoint_every {
            self.batches_since_checkpoint = 0;
            self.hub
                .commit(&self.group, self.partition, self.epoch, self.next);
        }
        self.follow_rewind();
    }

    fn follow_rewind(&mut self) {
        if let Some(cursor) = self.hub.cursor(&self.group, self.partition)
            && cursor.epoch != self.epoch
        {
            self.epoch = cursor.epoch;
            self.next = cursor.next;
            self.batches_since_checkpoint = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::hub::NewEvent;

    const WAIT: Duration = Duration::from_secs(5);

    fn reader(
        hub: &Hub,
        min_batch: usize,
        max_batch: usize,
        checkpoint_every: u64,
    ) -> PartitionReader {
        hub.join("g");
        let options = EventHubsOptions {
            max_batch,
            min_batch,
            max_wait: WAIT,
            checkpoint_every,
        };
        PartitionReader::new(hub, "g", 0, options).unwrap()
    }

    fn fill(hub: &Hub, events: usize) {
        for _ in 0..events {
            hub.append(NewEvent::new("x"));
        }
    }

    fn numbers(batch: &[Arc<StoredEvent>]) -> Vec<i64> {
        batch.iter().map(|event| event.sequence_number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn batches_come_in_order_and_no_larger_than_the_maximum() {
        let hub = Hub::new("h", 1);
        fill(&hub, 5);
        let mut reader = reader(&hub, 1, 2, 1);
        for expected in [vec![0, 1], vec![2, 3], vec![4]] {
            let batch = reader.next_batch().await;
            assert_eq!(numbers(&batch), expected);
            reader.done(&batch);
        }
        assert_eq!(hub.checkpoint("g", 0), Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn fewer_than_the_minimum_wait_for_max_wait_time_and_no_longer() {
        let hub = Hub::new("h", 1);
        fill(&hub, 2);
        let mut reader = reader(&hub, 3, 10, 1);
        let start = Instant::now();
        assert_eq!(reader.next_batch().await.len(), 2);
        assert_eq!(start.elapsed(), WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_as_soon_as_the_minimum_is_there() {
        let hub = Hub::new("h", 1);
        fill(&hub, 2);
        let mut reader = reader(&hub, 3, 10, 1);
        let start = Instant::now();
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fill(&hub, 1);
        };
        let (batch, ()) = tokio::join!(reader.next_batch(), late);
        assert_eq!(batch.len(), 3);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn max_wait_time_counts_only_where_the_minimum_is_more_than_one() {
        let hub = Hub::new("h", 1);
        fill(&hub, 1);
        let start = Instant::now();
        assert_eq!(reader(&hub, 1, 10, 1).next_batch().await.len(), 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_checkpoint_may_come_after_several_batches_only() {
        let hub = Hub::new("h", 1);
        fill(&hub, 3);
        let mut reader = reader(&hub, 1, 1, 2);
        for expected in [None, Some(1), Some(1)] {
            let batch = reader.next_batch().await;
            reader.done(&batch);
            assert_eq!(hub.checkpoint("g", 0), expected);
        }
    }

    #[tokio::test]
    async fn after_a_rewind_events_come_again_and_the_batch_in_flight_has_no_checkpoint() {
        let hub = Hub::new("h", 1);
        fill(&hub, 4);
        let mut reader = reader(&hub, 1, 2, 1);
        let first = reader.next_batch().await;
        reader.done(&first);
        let in_flight = reader.next_batch().await;
        assert_eq!(hub.rewind("g", 0, 1), 1);
        reader.done(&in_flight);
        assert_eq!(hub.checkpoint("g", 0), Some(0));
        assert_eq!(numbers(&reader.next_batch().await), [1, 2]);
    }

    #[tokio::test]
    async fn a_rewind_wakes_a_reader_that_waits_for_new_events() {
        let hub = Hub::new("h", 1);
        fill(&hub, 1);
        let mut reader = reader(&hub, 1, 2, 1);
        let batch = reader.next_batch().await;
        reader.done(&batch);
        let waiting = tokio::spawn(async move { numbers(&reader.next_batch().await) });
        tokio::task::yield_now().await;
        hub.rewind("g", 0, 1);
        assert_eq!(waiting.await.unwrap(), [0]);
    }
}
