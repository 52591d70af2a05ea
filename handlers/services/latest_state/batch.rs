//! One batch: drones of one bucket, read if need be, merged, and written together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::bucket_queue::Change;
use super::limit::Turn;
use super::{KnownDrone, Writer, failure};
use crate::domain::{Bucket, DeviceId, DroneState};
use crate::stores::{
    BatchError, DroneWrite, MOST_WRITES, OPERATION_TIMEOUT, StoreError, StoredDrone, Version,
};

/// How often a batch is read and merged again after somebody else wrote one of its drones first. Two
/// instances share a partition only for a moment, so a second round is rare and a fourth is a sign of trouble.
const STALE_ROUNDS: usize = 5;

/// Before a throttled batch is sent again, where the store does not say when; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The least, whatever the store says.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Drones of one bucket that are written together.
pub(super) struct Batch {
    bucket: Bucket,
    drones: Vec<Drone>,
    places: HashMap<DeviceId, usize>,
}

struct Drone {
    /// What is to be merged into the state.
    change: Change,
    /// What other calls want of the same drone, merged into it already.
    others: Vec<Change>,
    known: Known,
}

/// What is known of a drone in the store.
enum Known {
    Nothing,
    Absent,
    /// Something is there that is no drone's state.
    Unreadable(Version),
    Drone(Arc<KnownDrone>),
}

impl Batch {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            drones: Vec::new(),
            places: HashMap::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.drones.len() >= MOST_WRITES
    }

    pub(super) fn add(&mut self, change: Change) {
        let place = self.drones.len();
        let known = *self
            .places
            .entry(change.state.device_id.clone())
            .or_insert(place);
        if let Some(drone) = self.drones.get_mut(known) {
            drone.change.state.merge(change.state.clone());
            drone.others.push(change);
        } else {
            self.drones.push(Drone {
                change,
                others: Vec::new(),
                known: Known::Nothing,
            });
        }
    }

    /// Stores the batch, or tells its calls why not.
    pub(super) async fn store(mut self, writer: &Writer, mut turn: Turn<'_>) {
        let latest = Instant::now() + OPERATION_TIMEOUT;
        let mut stale = 0;
        let mut wait = FIRST_WAIT;
        while !self.drones.is_empty() {
            if Instant::now() > latest {
                return self.failed(&failure("it took too long".to_owned()));
            }
            match self.attempt(writer).await {
                Ok(()) => return turn.good(),
                Err(BatchError::Stale) => {
                    stale += 1;
                    self.forget(writer);
                    if stale == STALE_ROUNDS {
                        return self.failed(&failure(format!(
                            "somebody else wrote it first, {STALE_ROUNDS} times in a row"
                        )));
                    }
                }
                Err(BatchError::Throttled { retry_after }) => {
                    turn.too_much();
                    // The service may say 0, and all who were refused together would come back together.
                    let pause = match retry_after {
                        Some(told) => told.max(self.spread(SHORTEST_WAIT)),
                        None => self.spread(wait),
                    };
                    wait = wait.saturating_mul(2);
                    if Instant::now() + pause > latest {
                        return self
                            .failed(&failure("Cosmos DB takes no more for now (429)".to_owned()));
                    }
                    sleep(pause).await;
                }
                // The others must not suffer from it.
                Err(BatchError::Refused { index, error }) => self.refuse(index, &error),
                Err(BatchError::Store(error)) => {
                    if error.transient {
                        turn.too_much();
                    }
                    // What was written is unknown, and so are the versions.
                    self.forget(writer);
                    return self.failed(&error);
                }
            }
        }
    }

    /// Reads what is not known, and writes what changes, once. What is done leaves the batch.
    async fn attempt(&mut self, writer: &Writer) -> Result<(), BatchError> {
        self.look_up(writer).await?;
        let mut merged: Vec<DroneState> = Vec::with_capacity(self.drones.len());
        let mut at = 0;
        while let Some(drone) = self.drones.get(at) {
            if let Some(state) = drone.merged() {
                merged.push(state);
                at += 1;
            } else {
                self.drones.swap_remove(at).settle(Change::unchanged);
            }
        }
        if merged.is_empty() {
            return Ok(());
        }
        let writes: Vec<DroneWrite<'_>> = merged
            .iter()
            .zip(&self.drones)
            .map(|(state, drone)| DroneWrite {
                state,
                expected: drone.known.version(),
            })
            .collect();
        let versions = writer.store.write(self.bucket, &writes).await?;
        for ((state, version), drone) in merged.into_iter().zip(versions).zip(self.drones.drain(..))
        {
            let device = state.device_id.clone();
            let known = KnownDrone { state, version };
            writer.cache.insert(device, Arc::new(known));
            drone.settle(Change::written);
        }
        Ok(())
    }

    /// Takes from the cache what is there, and reads the rest in one request.
    async fn look_up(&mut self, writer: &Writer) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        for drone in &mut self.drones {
            if !matches!(drone.known, Known::Nothing) {
                continue;
            }
            match writer.cache.get(&drone.change.state.device_id) {
                Some(known) => drone.known = Known::Drone(known),
                None => unknown.push(drone),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let ids: Vec<&DeviceId> = unknown
            .iter()
            .map(|drone| &drone.change.state.device_id)
            .collect();
        let found = writer.store.load(self.bucket, &ids).await?;
        for (drone, found) in unknown.into_iter().zip(found) {
            drone.known = match found {
                None => Known::Absent,
                Some(StoredDrone {
                    state: None,
                    version,
                }) => Known::Unreadable(version),
                Some(StoredDrone {
                    state: Some(state),
                    version,
                }) => {
                    let known = Arc::new(KnownDrone { state, version });
                    let device = drone.change.state.device_id.clone();
                    writer.cache.insert(device, Arc::clone(&known));
                    Known::Drone(known)
                }
            };
        }
        Ok(())
    }

    /// The next attempt reads everything anew: of several drones that somebody else has written, the store
    /// names only the first.
    fn forget(&mut self, writer: &Writer) {
        for drone in &mut self.drones {
            drone.known = Known::Nothing;
            writer.cache.remove(&drone.change.state.device_id);
        }
    }

    fn refuse(&mut self, index: usize, error: &StoreError) {
        if index < self.drones.len() {
            let drone = self.drones.swap_remove(index);
            drone.settle(|change| change.failed(error));
        }
    }

    fn failed(self, error: &StoreError) {
        for drone in self.drones {
            drone.settle(|change| change.failed(error));
        }
    }

    /// Between one and two times `wait`, so that buckets that were refused together do not come back together.
    fn spread(&self, wait: Duration) -> Duration {
        let share = self.bucket.index() as f64 / f64::from(Bucket::COUNT);
        wait.mul_f64(1.0 + share)
    }
}

impl Drone {
    /// The state with the change in it; `None` where that makes no difference.
    fn merged(&self) -> Option<DroneState> {
        let change = self.change.state.clone();
        match &self.known {
            Known::Drone(known) => {
                let mut state = known.state.clone();
                state.merge(change).then_some(state)
            }
            Known::Nothing | Known::Absent | Known::Unreadable(_) => Some(change),
        }
    }

    fn settle(self, mut outcome: impl FnMut(Change)) {
        outcome(self.change);
        self.others.into_iter().for_each(outcome);
    }
}

impl Known {
    fn version(&self) -> Option<&Version> {
        match self {
            Self::Nothing | Self::Absent => None,
            Self::Unreadable(version) => Some(version),
            Self::Drone(known) => Some(&known.version),
        }
    }
}
