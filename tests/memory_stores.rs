//! In-memory twins of the stores, held to the same contract tests as the real ones.
//!
//! No program has them: the unit tests of `drone_delivery`, its integration tests and its bench each take this file in.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use drone_delivery::domain::alerts::Alert;
use drone_delivery::domain::fleet::DroneFilter;
use drone_delivery::domain::{Bucket, DeviceId, DroneState};
use drone_delivery::stores::alerts::{AlertFilter, AlertStore, Mark, Snapshot, SnapshotStore};
use drone_delivery::stores::files::{FileEntry, FileStore, StoredFile};
use drone_delivery::stores::fleet::{DronePage, FleetReader, ListError, Position, Read};
use drone_delivery::stores::{
    BatchError, BlobStore, DroneStore, DroneWrite, PutError, StoreError, StoredDrone, Version,
};

/// A [`DroneStore`] and [`FleetReader`] in a map.
#[derive(Default)]
pub struct MemoryDrones {
    items: Mutex<BTreeMap<DeviceId, (DroneState, u64)>>,
}

/// A [`BlobStore`] in a map.
#[derive(Default)]
pub struct MemoryBlobs {
    blobs: Mutex<BTreeMap<String, Bytes>>,
}

/// A [`FileStore`] in a map.
#[derive(Default)]
pub struct MemoryFiles {
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    stored: BTreeMap<String, StoredFile>,
    /// Of the version given last: a file that is made anew has another than it ever had.
    counter: u64,
}

/// An [`AlertStore`] in a map.
#[derive(Default)]
pub struct MemoryAlerts {
    items: Mutex<BTreeMap<String, (String, Alert)>>,
}

/// A [`SnapshotStore`] in a map.
#[derive(Default)]
pub struct MemorySnapshots {
    snapshots: Mutex<BTreeMap<String, (Bytes, u64)>>,
    marks: Mutex<BTreeMap<String, Mark>>,
}

impl MemoryDrones {
    /// How many drones are stored.
    pub fn len(&self) -> usize {
        lock(&self.items).len()
    }

    /// Stores a drone, whatever was there.
    pub fn insert(&self, state: DroneState) {
        let mut items = lock(&self.items);
        let next = items
            .get(&state.device_id)
            .map_or(1, |(_, version)| version + 1);
        items.insert(state.device_id.clone(), (state, next));
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
    async fn load(
        &self,
        _bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError> {
        let items = lock(&self.items);
        let stored = |drone: &&DeviceId| {
            items.get(*drone).map(|(state, version)| StoredDrone {
                state: Some(state.clone()),
                version: version_of(*version),
            })
        };
        Ok(drones.iter().map(stored).collect())
    }

    async fn write(
        &self,
        _bucket: Bucket,
        drones: &[DroneWrite<'_>],
    ) -> Result<Vec<Version>, BatchError> {
        let mut items = lock(&self.items);
        let mut next = Vec::with_capacity(drones.len());
        for DroneWrite { state, expected } in drones {
            let current = items.get(&state.device_id).map(|(_, version)| *version);
            if current.map(version_of).as_ref() != *expected {
                return Err(BatchError::Stale);
            }
            next.push(current.unwrap_or(0) + 1);
        }
        for (DroneWrite { state, .. }, version) in drones.iter().zip(&next) {
            items.insert(state.device_id.clone(), ((*state).clone(), *version));
        }
        Ok(next.into_iter().map(version_of).collect())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl FleetReader for MemoryDrones {
    async fn find(&self, drone: &DeviceId) -> Result<Read<Option<DroneState>>, StoreError> {
        Ok(Read {
            value: lock(&self.items).get(drone).map(|(state, _)| state.clone()),
            request_charge: 0.0,
        })
    }

    async fn list(
        &self,
        filter: &DroneFilter,
        from: Option<&Position>,
        limit: u16,
    ) -> Result<Read<DronePage>, ListError> {
        let after: Option<DeviceId> = from
            .map(|position| position.as_str().parse())
            .transpose()
            .map_err(|_| ListError::NoSuchPosition)?;
        let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let limit = usize::from(limit);
        let mut drones: Vec<DroneState> = lock(&self.items)
            .range::<DeviceId, _>((start, Bound::Unbounded))
            .map(|(_, (state, _))| state)
            .filter(|state| filter.matches(state))
            .take(limit + 1)
            .cloned()
            .collect();
        let more = drones.len() > limit;
        drones.truncate(limit);
        let last = drones
            .last()
            .map(|drone| Position::new(drone.device_id.as_str()));
        Ok(Read {
            value: DronePage {
                drones,
                next: last.filter(|_| more),
            },
            request_charge: 0.0,
        })
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

#[async_trait]
impl FileStore for MemoryFiles {
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError> {
        let files = lock(&self.files);
        let from = files.stored.range(prefix.to_owned()..);
        let listed = from.take_while(|(name, _)| name.starts_with(prefix));
        Ok(listed
            .map(|(name, file)| FileEntry {
                name: name.clone(),
                version: file.version.clone(),
                size: file.body.len() as u64,
            })
            .collect())
    }

    async fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        Ok(!self.list(prefix).await?.is_empty())
    }

    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError> {
        Ok(lock(&self.files).stored.get(name).cloned())
    }

    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        let mut files = lock(&self.files);
        if files.stored.get(name).map(|file| &file.version) != expected {
            return Err(PutError::Stale);
        }
        files.counter += 1;
        let version = version_of(files.counter);
        let file = StoredFile {
            body,
            version: version.clone(),
        };
        files.stored.insert(name.to_owned(), file);
        Ok(version)
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), PutError> {
        let mut files = lock(&self.files);
        if files.stored.get(name).map(|file| &file.version) != Some(expected) {
            return Err(PutError::Stale);
        }
        files.stored.remove(name);
        Ok(())
    }
}

#[async_trait]
impl AlertStore for MemoryAlerts {
    async fn record(&self, partition: &str, alert: &Alert) -> Result<(), StoreError> {
        let mut items = lock(&self.items);
        let ahead = |(_, stored): &(String, Alert)| stored.progress() >= alert.progress();
        if !items.get(&alert.id).is_some_and(ahead) {
            items.insert(alert.id.clone(), (partition.to_owned(), alert.clone()));
        }
        Ok(())
    }

    async fn open_of(&self, partition: &str) -> Result<Vec<Alert>, StoreError> {
        let items = lock(&self.items);
        let open = items
            .values()
            .filter(|(of, alert)| of == partition && alert.is_open());
        Ok(open.map(|(_, alert)| alert.clone()).collect())
    }

    async fn list(&self, filter: &AlertFilter, limit: u16) -> Result<Read<Vec<Alert>>, StoreError> {
        let AlertFilter {
            active,
            device_id,
            since,
            rule,
        } = filter;
        let mut alerts: Vec<Alert> = lock(&self.items)
            .values()
            .map(|(_, alert)| alert)
            .filter(|alert| active.is_none_or(|active| alert.is_open() == active))
            .filter(|alert| device_id.as_ref().is_none_or(|id| alert.device_id == *id))
            .filter(|alert| since.is_none_or(|since| alert.raised_at >= since))
            .filter(|alert| rule.as_ref().is_none_or(|rule| alert.rule == *rule))
            .cloned()
            .collect();
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.raised_at));
        alerts.truncate(limit.into());
        Ok(Read {
            value: alerts,
            request_charge: 0.0,
        })
    }
}

#[async_trait]
impl SnapshotStore for MemorySnapshots {
    async fn load(&self, name: &str) -> Result<Option<Snapshot>, StoreError> {
        Ok(lock(&self.snapshots)
            .get(name)
            .map(|(body, version)| Snapshot {
                body: body.clone(),
                version: version_of(*version),
            }))
    }

    async fn marks(&self) -> Result<Vec<(String, Mark)>, StoreError> {
        let marks = lock(&self.marks);
        Ok(marks
            .iter()
            .map(|(name, mark)| (name.clone(), *mark))
            .collect())
    }

    async fn save(
        &self,
        name: &str,
        body: Bytes,
        mark: Mark,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        let mut snapshots = lock(&self.snapshots);
        let current = snapshots.get(name).map(|(_, version)| *version);
        if current.map(version_of).as_ref() != expected {
            return Err(PutError::Stale);
        }
        let next = current.unwrap_or(0) + 1;
        snapshots.insert(name.to_owned(), (body, next));
        lock(&self.marks).insert(name.to_owned(), mark);
        Ok(version_of(next))
    }
}

fn version_of(counter: u64) -> Version {
    Version(counter.to_string().into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
