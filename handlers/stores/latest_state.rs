//! Applies a batch's changes to the drones' latest state.
//!
//! States only ever grow: merging is commutative, associative and idempotent. That is what makes
//! everything here safe: a stale cache costs a second read, a repeated batch costs nothing, and a
//! write whose answer was lost can be done again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::stream;
use quick_cache::sync::Cache;
use tokio::sync::{OnceCell, Semaphore};

use super::{DroneStore, PutError, StoreError, VersionedState};
use crate::domain::{DeviceId, DroneState};

/// How many drones are remembered with their version. Twice the design's fleet, so that a fleet
/// that moves between instances does not push itself out; an entry is below 1 KiB.
const CACHED_DRONES: usize = 20_000;

/// How many store operations are under way at once, over all calls. More only queue in the client,
/// and after an outage this is what keeps the backlog from arriving all at once.
const CONCURRENT_OPERATIONS: usize = 32;

/// How many operations a call begins with. Each that succeeds lets one more be under way at a time, so
/// that their number doubles with each answer: a store that is out of order is asked little, and one that
/// has just come back is not asked by every partition at once with all that it has.
const FIRST_OPERATIONS: usize = 4;

/// How often one drone is read and merged again after somebody else wrote it first. Two instances
/// share a partition only for a moment, so a second round is rare and a fourth is a sign of trouble.
const STALE_ROUNDS: usize = 5;

/// The latest state of every drone: a [`DroneStore`] with a bounded cache in front.
pub struct LatestState {
    store: Arc<dyn DroneStore>,
    cache: Cache<DeviceId, Arc<VersionedState>>,
    operations: Semaphore,
}

/// What applying a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Drones that were written.
    pub written: usize,
    /// Drones whose state already included everything.
    pub unchanged: usize,
}

impl LatestState {
    /// Starts with an empty cache.
    pub fn new(store: Arc<dyn DroneStore>) -> Self {
        Self {
            store,
            cache: Cache::new(CACHED_DRONES),
            operations: Semaphore::new(CONCURRENT_OPERATIONS),
        }
    }

    /// Reads one drone from the store, past the cache: another instance may have written since.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get(&self, drone: &DeviceId) -> Result<Option<DroneState>, StoreError> {
        Ok(self.store.get(drone).await?.map(|found| found.state))
    }

    /// Merges each drone's changes into the store, many at once.
    ///
    /// After an error some drones are written and some are not; apply the same changes again.
    /// The first error ends the work, but writes under way are awaited: cutting one off would leave
    /// its outcome unknown and cost a read later.
    ///
    /// # Errors
    /// The first thing that the store said.
    pub async fn apply(
        &self,
        changes: impl IntoIterator<Item = DroneState>,
    ) -> Result<Applied, StoreError> {
        let written = AtomicUsize::new(0);
        let unchanged = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let first_error = OnceCell::new();
        let turns = Semaphore::new(FIRST_OPERATIONS);
        stream::iter(changes)
            .for_each_concurrent(CONCURRENT_OPERATIONS, |change| async {
                let known = self.cache.get(&change.device_id);
                if let Some(known) = &known {
                    // An older state than the store's is enough to know that nothing would change.
                    let mut merged = known.state.clone();
                    if !merged.merge(change.clone()) {
                        unchanged.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
                // Neither is ever closed.
                let _turn = turns.acquire().await.ok();
                let _operation = self.operations.acquire().await.ok();
                if failed.load(Ordering::Relaxed) {
                    return;
                }
                let outcome = self.apply_one(change, known).await;
                if outcome.is_ok() {
                    turns.add_permits(1);
                }
                match outcome {
                    Ok(true) => _ = written.fetch_add(1, Ordering::Relaxed),
                    Ok(false) => _ = unchanged.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        // Later errors are most likely the same trouble.
                        _ = first_error.set(error);
                    }
                }
            })
            .await;
        match first_error.into_inner() {
            Some(error) => Err(error),
            None => Ok(Applied {
                written: written.into_inner(),
                unchanged: unchanged.into_inner(),
            }),
        }
    }

    /// Returns whether the drone was written.
    async fn apply_one(
        &self,
        change: DroneState,
        mut known: Option<Arc<VersionedState>>,
    ) -> Result<bool, StoreError> {
        for _ in 0..STALE_ROUNDS {
            if known.is_none() {
                known = self.store.get(&change.device_id).await?.map(Arc::new);
            }
            let state = match &known {
                None => change.clone(),
                Some(found) => {
                    let mut merged = found.state.clone();
                    if !merged.merge(change.clone()) {
                        self.cache.insert(change.device_id, Arc::clone(found));
                        return Ok(false);
                    }
                    merged
                }
            };
            let expected = known.as_ref().map(|found| &found.version);
            match self.store.put(&state, expected).await {
                Ok(version) => {
                    let stored = VersionedState { state, version };
                    self.cache.insert(change.device_id, Arc::new(stored));
                    return Ok(true);
                }
                Err(PutError::Stale) => known = None,
                Err(PutError::Store(error)) => {
                    // Whether it was written is unknown, so the version is too.
                    self.cache.remove(&change.device_id);
                    return Err(error);
                }
            }
        }
        self.cache.remove(&change.device_id);
        Err(StoreError {
            operation: "write drone",
            message: format!("somebody else wrote it first, {STALE_ROUNDS} times in a row"),
            transient: true,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::future::join_all;
    use time::UtcDateTime;
    use tokio::time::{Instant, sleep};

    use super::super::memory::MemoryDrones;
    use super::super::{OPERATION_TIMEOUT, Version};
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(10);

    /// A store at some distance, which can be out of order.
    #[derive(Default)]
    struct Distant {
        stored: MemoryDrones,
        hangs: AtomicBool,
        asked: AtomicUsize,
        under_way: AtomicUsize,
        most_under_way: AtomicUsize,
    }

    impl Distant {
        async fn round_trip(&self) -> Result<(), StoreError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_under_way.fetch_max(under_way, Ordering::Relaxed);
            let hangs = self.hangs.load(Ordering::Relaxed);
            sleep(if hangs { OPERATION_TIMEOUT } else { ROUND_TRIP }).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            match hangs {
                false => Ok(()),
                true => Err(StoreError {
                    operation: "work",
                    message: "no answer".to_owned(),
                    transient: true,
                }),
            }
        }
    }

    #[async_trait]
    impl DroneStore for Distant {
        async fn get(&self, drone: &DeviceId) -> Result<Option<VersionedState>, StoreError> {
            self.round_trip().await?;
            self.stored.get(drone).await
        }

        async fn put(
            &self,
            state: &DroneState,
            expected: Option<&Version>,
        ) -> Result<Version, PutError> {
            self.round_trip().await?;
            self.stored.put(state, expected).await
        }

        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn batch(partition: usize) -> impl Iterator<Item = DroneState> {
        (0..300).map(move |drone| DroneState {
            device_id: format!("drone-{partition}-{drone}").parse().unwrap(),
            last_seen_at: UtcDateTime::UNIX_EPOCH,
            flight: None,
            operating: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_begins_with_few_operations_and_soon_has_many_under_way() {
        let store = Arc::new(Distant::default());
        let states = LatestState::new(Arc::clone(&store) as _);
        let start = Instant::now();
        let first = async {
            sleep(ROUND_TRIP / 2).await;
            store.most_under_way.load(Ordering::Relaxed)
        };
        let (applied, first) = tokio::join!(states.apply(batch(0)), first);
        assert_eq!(applied.unwrap().written, 300);
        assert_eq!(first, FIRST_OPERATIONS);
        let most = store.most_under_way.load(Ordering::Relaxed);
        assert_eq!(most, CONCURRENT_OPERATIONS);
        // A read and a write each; at full width they would take ten.
        assert!(start.elapsed() < 25 * ROUND_TRIP, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_every_partition_asks_little_and_hears_of_it_in_time() {
        let store = Arc::new(Distant::default());
        let states = LatestState::new(Arc::clone(&store) as _);
        store.hangs.store(true, Ordering::Relaxed);
        let start = Instant::now();
        // As many calls as the app lets run at a time.
        let outcomes = join_all((0..8).map(|partition| states.apply(batch(partition)))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(start.elapsed(), OPERATION_TIMEOUT, "all at the same time");
        let asked = store.asked.load(Ordering::Relaxed);
        assert_eq!(asked, 8 * FIRST_OPERATIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_the_store_is_not_asked_for_everything_at_once() {
        let store = Arc::new(Distant::default());
        let states = LatestState::new(Arc::clone(&store) as _);
        let outcomes = join_all((0..32).map(|partition| states.apply(batch(partition)))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(store.stored.len(), 32 * 300);
        let most = store.most_under_way.load(Ordering::Relaxed);
        assert_eq!(most, CONCURRENT_OPERATIONS);
    }
}
