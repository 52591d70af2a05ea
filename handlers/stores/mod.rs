//! Where state is kept: narrow traits, the services behind them, and in-memory twins for tests.
//!
//! | module | what it is |
//! |---|---|
//! | [`latest_state`] | applies a batch's changes to a [`DroneStore`]: cache, merge, bounded writes |
//! | [`fleet`] | the reading side: [`FleetReader`](fleet::FleetReader) |
//! | [`episodes`] | holds a batch against the rules: snapshots, alerts, and what has to be told |
//! | [`alerts`] | what that needs: [`AlertStore`], [`SnapshotStore`](alerts::SnapshotStore) |
//! | [`backlog`] | how far UpdateDroneState is behind |
//! | [`silence`] | looks for silent drones, and keeps their alerts |
//! | [`cosmos`] | states and alerts in Cosmos DB |
//! | [`blob`], [`queue`] | blobs, snapshots and notes in Blob storage, messages in Queue storage |
//! | [`storage`] | what those two have in common |
//! | [`memory`] | all of them, in memory; held to the same contract tests as the real ones |
//! | [`credentials`] | from a Functions connection to an Azure credential |
//!
//! The SDK crates' errors end here: everything above sees [`StoreError`].

pub mod alerts;
mod at_hand;
pub mod backlog;
pub mod blob;
pub mod cosmos;
pub mod credentials;
pub mod episodes;
pub mod fleet;
pub mod latest_state;
pub mod memory;
pub mod queue;
pub mod shared_key;
pub mod silence;
pub mod storage;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::alerts::{AlertFilter, AlertStore};
use crate::domain::{DeviceId, DroneState};

/// One operation's limit, its retries included: long enough for a throttled write to wait its turn,
/// short enough that a server that never answers cannot hold a call to its deadline by itself.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Gives an operation up after [`OPERATION_TIMEOUT`].
async fn in_time<T, E: From<StoreError>>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(OPERATION_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_) => Err(E::from(StoreError {
            operation,
            message: format!("no answer within {} s", OPERATION_TIMEOUT.as_secs()),
            transient: true,
        })),
    }
}

/// A store did not do what it was asked.
///
/// Never a property of an event: whoever gets this fails the call, so that the host runs it again.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {message}")]
pub struct StoreError {
    /// What was tried, such as `write drone to Cosmos DB`.
    pub operation: &'static str,
    /// What the service or the client said, without request or response bodies.
    pub message: String,
    /// Whether the same call is likely to succeed later (throttling, outage, time-out).
    /// Otherwise somebody has to act first: a missing role, container or setting.
    pub transient: bool,
}

/// An opaque version of a stored item: the service's ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub Box<str>);

/// A drone's state as it was read, with the version to name when replacing it.
#[derive(Debug, Clone)]
pub struct VersionedState {
    /// The state.
    pub state: DroneState,
    /// Its version in the store.
    pub version: Version,
}

/// Why a conditional write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The item is not at the expected version: read it again, merge, and write again.
    #[error("the item has changed since it was read")]
    Stale,
    /// The store failed; whether the write happened is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The latest state of each drone, one item a drone.
///
/// Contract, held by one test suite for every implementation:
/// - a state that was put is what [`get`](Self::get) returns, field by field;
/// - two writers that read the same version cannot both write: the second gets [`PutError::Stale`];
/// - after [`PutError::Store`] the write may or may not have happened, and doing it again is safe
///   because states merge.
#[async_trait]
pub trait DroneStore: Send + Sync + 'static {
    /// Reads one drone; `None` where it was never written.
    async fn get(&self, drone: &DeviceId) -> Result<Option<VersionedState>, StoreError>;

    /// Writes one drone if it is still at `expected`; `None` means that it must not exist yet.
    async fn put(
        &self,
        state: &DroneState,
        expected: Option<&Version>,
    ) -> Result<Version, PutError>;

    /// Checks that the container exists and can be reached with this credential.
    async fn check(&self) -> Result<(), StoreError>;
}

/// A container of blobs, addressed by name.
///
/// Contract: a blob that was put has exactly the bytes of the last successful put; putting the same
/// bytes under the same name again changes nothing.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Writes a blob, replacing one of the same name.
    async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError>;

    /// Checks that the container exists and can be reached with this credential.
    async fn check(&self) -> Result<(), StoreError>;
}
