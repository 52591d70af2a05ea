//! Where alerts are kept for those who ask, and where the rules keep what they know.

use async_trait::async_trait;
use bytes::Bytes;
use time::UtcDateTime;

use super::fleet::Read;
use super::{PutError, StoreError, Version};
use crate::domain::DeviceId;
use crate::domain::alerts::Alert;

/// Which alerts somebody asks for; all that match everything that is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertFilter {
    /// Only open ones, or only those that have been cleared.
    pub active: Option<bool>,
    /// Only those of one drone.
    pub device_id: Option<DeviceId>,
    /// Only those raised then or later, in event time.
    pub since: Option<UtcDateTime>,
    /// Only those of one rule.
    pub rule: Option<String>,
}

/// The alerts, one item each.
///
/// Contract, held by one test suite for every implementation:
/// - an alert only goes forward: raised, reminded, cleared. Recording an earlier state of one that is
///   stored further on changes nothing, so a call that comes again does no harm;
/// - after an error the alert may or may not have been recorded, and recording it again is safe.
#[async_trait]
pub trait AlertStore: Send + Sync + 'static {
    /// Writes an alert of a partition, `telemetry/3`, unless it is stored as it is or further on.
    async fn record(&self, partition: &str, alert: &Alert) -> Result<(), StoreError>;

    /// Reads the open alerts that were recorded for a partition. One that cannot be read is named in the log, and left out.
    async fn open_of(&self, partition: &str) -> Result<Vec<Alert>, StoreError>;

    /// Reads the newest alerts that match, newest first, at most `limit`.
    async fn list(&self, filter: &AlertFilter, limit: u16) -> Result<Read<Vec<Alert>>, StoreError>;
}

const SNAPSHOT: &str = ".snapshot";

/// The name of the snapshot of a partition: `telemetry/3.snapshot`.
pub fn snapshot_name(hub: &str, partition_id: &str) -> String {
    format!("{hub}/{partition_id}{SNAPSHOT}")
}

/// The hub and the partition that a snapshot of this name is of; `None` for whatever else is there.
pub fn snapshot_of(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(SNAPSHOT)?.rsplit_once('/')
}

/// What a snapshot says of itself to those who do not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The latest time at which the hub took one of the events that went into it.
    pub watermark: UtcDateTime,
    /// When something happens next without an event; `None` where nothing is waited for.
    pub next_deadline: Option<UtcDateTime>,
}

/// A snapshot, with the version to name when replacing it.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its bytes.
    pub body: Bytes,
    /// Its version in the store.
    pub version: Version,
}

/// What a function knows after a batch, kept for whoever takes the partition next.
///
/// Contract, held by one test suite for every implementation:
/// - what was saved is what [`load`](Self::load) returns, byte for byte;
/// - its mark is the one that it was saved with;
/// - two writers that loaded the same version cannot both save: the second gets [`PutError::Stale`]. That
///   is what keeps an instance that has lost its partition from writing behind the back of the other;
/// - after [`PutError::Store`] it may or may not have been saved: load it again.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Reads a snapshot; `None` where none was ever saved.
    async fn load(&self, name: &str) -> Result<Option<Snapshot>, StoreError>;

    /// The marks of all snapshots, by name, without reading one. Those of an older version, which have none, are left out.
    async fn marks(&self) -> Result<Vec<(String, Mark)>, StoreError>;

    /// Saves a snapshot if the stored one is still at `expected`; `None` means that there must be none.
    async fn save(
        &self,
        name: &str,
        body: Bytes,
        mark: Mark,
        expected: Option<&Version>,
    ) -> Result<Version, PutError>;
}
