//! Where state is kept: narrow traits and their adapters. In-memory twins for tests are in `tests/memory_stores.rs`.
//!
//! | module | what it is |
//! |---|---|
//! | [`fleet`] | the reading side: [`FleetReader`](fleet::FleetReader) |
//! | [`alerts`] | what alerting needs: [`AlertStore`], [`SnapshotStore`](alerts::SnapshotStore) |
//! | [`files`] | files under their version: [`FileStore`] |
//! | [`cosmos`] | states and alerts in Cosmos DB |
//! | [`blob`], [`blob_files`], [`queue`] | blobs, snapshots and files in Blob storage; messages put back into a queue |
//! | [`event_hubs`] | ticks into quiet partitions of the hub |
//! | [`storage`] | what those two have in common |
//! | [`credentials`] | from a Functions connection to an Azure credential |
//!
//! The SDK crates' errors end here: everything above sees [`StoreError`].

pub mod alerts;
pub mod blob;
pub mod blob_files;
pub mod cosmos;
pub mod credentials;
pub mod event_hubs;
mod exchanges;
pub mod files;
pub mod fleet;
pub mod queue;
pub mod shared_key;
pub mod storage;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::alerts::{AlertFilter, AlertStore};
pub use self::files::FileStore;
use crate::domain::{Bucket, DeviceId, DroneState};

/// One operation's limit, its retries included: long enough for a throttled write to wait its turn,
/// short enough that a server that never answers cannot hold a call to its deadline by itself.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Gives an operation up after [`OPERATION_TIMEOUT`].
async fn in_time<T, E: From<StoreError>>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    within(OPERATION_TIMEOUT, operation, work).await
}

/// Gives an operation up after `limit`.
async fn within<T, E: From<StoreError>>(
    limit: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(E::from(StoreError {
            operation,
            message: format!("no answer within {} s", limit.as_secs()),
            transient: true,
        })),
    }
}

/// A store did not do what it was asked.
///
/// Never a property of an event: whoever gets this fails the call, so that the host runs it again.
#[derive(Debug, Clone, thiserror::Error)]
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

/// A drone's item as it was found, with the version to name when replacing it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDrone {
    /// The state; `None` where what is stored cannot be read as one. Whoever writes the drone replaces it.
    pub state: Option<DroneState>,
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

/// One drone's part of a batch.
#[derive(Debug, Clone, Copy)]
pub struct DroneWrite<'a> {
    /// What is to be stored.
    pub state: &'a DroneState,
    /// The version that it replaces; `None` where the drone must not be stored yet.
    pub expected: Option<&'a Version>,
}

/// Why nothing of a batch was written.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// At least one drone is not at the expected version: read them again, merge, and write again.
    #[error("a drone has changed since it was read")]
    Stale,
    /// The store takes no more for now.
    #[error("the store asks for less")]
    Throttled {
        /// When it wants to be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// The store will not take one of the drones, whatever the others are.
    #[error("drone {index} of the batch is refused: {error}")]
    Refused {
        /// Which one, counted from 0.
        index: usize,
        /// Why.
        error: StoreError,
    },
    /// The store failed; whether the batch was written is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The latest state of each drone, one item a drone, kept by [`Bucket`].
///
/// Contract, held by one test suite for every implementation:
/// - a state that was written is what [`load`](Self::load) returns, field by field;
/// - a batch is written whole or not at all;
/// - two writers that read the same version cannot both write: the second gets [`BatchError::Stale`];
/// - after [`BatchError::Store`] the batch may or may not have been written, and doing it again is safe because
///   states merge; after the other errors it has not;
/// - an item that cannot be read is found all the same, and can be replaced under its version.
#[async_trait]
pub trait DroneStore: Send + Sync + 'static {
    /// Reads drones of one bucket: one answer for each, in their order, `None` for those never written.
    ///
    /// At most [`MOST_WRITES`] at a time.
    async fn load(
        &self,
        bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError>;

    /// Writes drones of one bucket, each at most once. Returns their new versions, in their order.
    ///
    /// At most [`MOST_WRITES`] at a time.
    async fn write(
        &self,
        bucket: Bucket,
        drones: &[DroneWrite<'_>],
    ) -> Result<Vec<Version>, BatchError>;

    /// Checks that the container exists and can be reached with this credential.
    async fn check(&self) -> Result<(), StoreError>;
}

/// How many drones one call of a [`DroneStore`] takes: what Cosmos DB takes in a transactional batch. A
/// document has at most 2 KB, so that such a batch stays far below the 2 MB that it may have.
pub const MOST_WRITES: usize = 100;

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
