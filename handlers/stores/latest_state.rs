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
const CONCURRENT_OPERATIONS: usize = 64;

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
        stream::iter(changes)
            .for_each_concurrent(CONCURRENT_OPERATIONS, |change| async {
                if failed.load(Ordering::Relaxed) {
                    return;
                }
                match self.apply_one(change).await {
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
    async fn apply_one(&self, change: DroneState) -> Result<bool, StoreError> {
        let mut known = self.cache.get(&change.device_id);
        if let Some(known) = &known {
            // An older state than the store's is enough to know that nothing would change.
            let mut merged = known.state.clone();
            if !merged.merge(change.clone()) {
                return Ok(false);
            }
        }
        let Ok(_permit) = self.operations.acquire().await else {
            return Err(StoreError {
                operation: "write drone",
                message: "the handler is shutting down".to_owned(),
                transient: true,
            });
        };
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
