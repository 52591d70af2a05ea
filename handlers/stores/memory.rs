//! In-memory twins of the stores, for unit tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobStore, DroneStore, PutError, StoreError, Version, VersionedState};
use crate::domain::{DeviceId, DroneState};

/// A [`DroneStore`] in a map.
#[derive(Default)]
pub struct MemoryDrones {
    items: Mutex<HashMap<DeviceId, (DroneState, u64)>>,
}

/// A [`BlobStore`] in a map.
#[derive(Default)]
pub struct MemoryBlobs {
    blobs: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryDrones {
    /// How many drones are stored.
    pub fn len(&self) -> usize {
        lock(&self.items).len()
    }

    /// Whether no drone is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl MemoryBlobs {
    /// Every blob, by name.
    pub fn snapshot(&self) -> BTreeMap<String, Bytes> {
        lock(&self.blobs).clone()
    }
}

#[async_trait]
impl DroneStore for MemoryDrones {
    async fn get(&self, drone: &DeviceId) -> Result<Option<VersionedState>, StoreError> {
        Ok(lock(&self.items)
            .get(drone)
            .map(|(state, version)| VersionedState {
                state: state.clone(),
                version: version_of(*version),
            }))
    }

    async fn put(
        &self,
        state: &DroneState,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        let mut items = lock(&self.items);
        let current = items.get(&state.device_id).map(|(_, version)| *version);
        if current.map(version_of).as_ref() != expected {
            return Err(PutError::Stale);
        }
        let next = current.unwrap_or(0) + 1;
        items.insert(state.device_id.clone(), (state.clone(), next));
        Ok(version_of(next))
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        lock(&self.blobs).insert(name.to_owned(), body);
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn version_of(counter: u64) -> Version {
    Version(counter.to_string().into())
}

/// The maps stay whole even where a test panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
