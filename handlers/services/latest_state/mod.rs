//! Merges changes into the drones' latest states, many drones a request.
//!
//! States only ever grow: merging is commutative, associative and idempotent. That is what makes everything
//! here safe: a stale cache costs a second read, a repeated batch costs nothing, and a write whose answer was
//! lost can be done again.
//!
//! ```text
//! apply ─┬─> bucket 3:   queue ─> one batch at a time ─┐
//! apply ─┼─> bucket 17:  queue ─> one batch at a time ─┼─ limit ─> DroneStore
//!        └─> bucket 126: queue ─> one batch at a time ─┘
//! ```
//!
//! A call puts each drone's change into the queue of its [`Bucket`] and waits until all are stored. Each bucket
//! has one batch under way at most, and what comes meanwhile, from whichever call, travels with the next one
//! (`bucket_queue`): the busier the store, the larger the batches. How many are under way over all buckets
//! follows what the store answers (`limit`).

mod batch;
mod bucket_queue;
mod limit;
mod ticket;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use self::bucket_queue::{BucketQueue, Change};
use self::limit::Limit;
use self::ticket::{GiveUp, Ticket};
use crate::domain::{Bucket, DeviceId, DroneState};
use crate::stores::{DroneStore, StoreError, Version};

/// How many drones are remembered with their version. Twice the design's fleet, so that a fleet
/// that moves between instances does not push itself out; an entry is below 1 KiB.
const CACHED_DRONES: usize = 20_000;

/// The latest state of every drone: a [`DroneStore`] with a bounded cache in front.
pub struct LatestState {
    writer: Arc<Writer>,
}

/// What applying a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Drones that were written.
    pub written: usize,
    /// Drones whose state already included everything.
    pub unchanged: usize,
}

/// What all buckets share.
struct Writer {
    store: Arc<dyn DroneStore>,
    cache: Cache<DeviceId, Arc<KnownDrone>>,
    limit: Limit,
    queues: Vec<BucketQueue>,
    /// Where batches are made and sent; `None` for where the calls are.
    runtime: Option<Handle>,
}

/// A drone as it was last read or written.
struct KnownDrone {
    state: DroneState,
    version: Version,
}

impl LatestState {
    /// Starts with an empty cache.
    pub fn new(store: Arc<dyn DroneStore>) -> Self {
        let writer = Writer {
            store,
            cache: Cache::new(CACHED_DRONES),
            limit: Limit::default(),
            queues: Bucket::all().map(BucketQueue::new).collect(),
            runtime: None,
        };
        Self {
            writer: Arc::new(writer),
        }
    }

    /// Has the batches made and sent in this runtime, and not in that of the calls.
    #[must_use]
    pub fn writing_in(mut self, runtime: Handle) -> Self {
        // Before the first call nobody else has it.
        if let Some(writer) = Arc::get_mut(&mut self.writer) {
            writer.runtime = Some(runtime);
        }
        self
    }

    /// Merges changes into the store, at most one for each drone, and returns when all are stored.
    ///
    /// After an error, or where the call is given up, some drones are written and some are not; apply the same
    /// changes again. What is under way then is still finished, what waits is dropped.
    ///
    /// # Errors
    /// The first thing that the store said.
    pub async fn apply(
        &self,
        changes: impl IntoIterator<Item = DroneState>,
    ) -> Result<Applied, StoreError> {
        let mut unchanged = 0;
        let mut by_bucket: Vec<(Bucket, DroneState)> = Vec::new();
        for change in changes {
            // An older state than the store's is enough to know that nothing would change.
            let known = self.writer.cache.get(&change.device_id);
            if known.is_some_and(|known| known.state.includes(&change)) {
                unchanged += 1;
            } else {
                by_bucket.push((Bucket::of(&change.device_id), change));
            }
        }
        if by_bucket.is_empty() {
            return Ok(Applied {
                written: 0,
                unchanged,
            });
        }
        by_bucket.sort_unstable_by_key(|(bucket, _)| *bucket);
        let ticket = Ticket::new(by_bucket.len());
        let waiting = GiveUp(&ticket);
        let mut changes = by_bucket.into_iter().peekable();
        while let Some((bucket, change)) = changes.next() {
            let mut together = vec![Change::new(change, &ticket)];
            while let Some((_, change)) = changes.next_if(|(next, _)| *next == bucket) {
                together.push(Change::new(change, &ticket));
            }
            self.writer.queues[bucket.index()].add(together, &self.writer);
        }
        let mut applied = ticket.settled().await?;
        drop(waiting);
        applied.unchanged += unchanged;
        Ok(applied)
    }
}

fn failure(message: String) -> StoreError {
    StoreError {
        operation: "write drones",
        message,
        transient: true,
    }
}
