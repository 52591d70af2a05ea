//! The reading side of the drones' latest state: one drone, or a page of those that somebody asks for.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::fleet::DroneFilter;
use crate::domain::{DeviceId, DroneState};

/// What was read, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Read<T> {
    /// The answer.
    pub value: T,
    /// Request units, as the store counts them; 0 for a store that has none.
    pub request_charge: f64,
}

/// Some of the drones that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct DronePage {
    /// In the order of their device ids, byte by byte.
    pub drones: Vec<DroneState>,
    /// Where the next page begins. `None` on the last page.
    pub next: Option<Position>,
}

/// Where a page begins, in the words of the store that says so: ASCII, of [`Position::MOST`] bytes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(Box<str>);

impl Position {
    /// The longest: two bounds of a range of hashed partition keys, and a device id.
    pub const MOST: usize = 256;

    /// What a store has said before, or somebody who pretends it.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// As the store said it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The position is not one that the store has given.
    #[error("no page begins there")]
    NoSuchPosition,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the drones that a [`DroneStore`](super::DroneStore) keeps.
///
/// Contract, held by one test suite for every implementation:
/// - a page has drones that match the filter, and at most `limit` of them;
/// - following `next` until it is `None` gives each drone that matched all the while exactly once,
///   however many were written meanwhile: the order of the pages is that of the drones' hashes and ids, which
///   never change;
/// - what one call reads grows with `limit`, not with the fleet. A page may be shorter than `limit`, even empty,
///   and still have a `next`.
#[async_trait]
pub trait FleetReader: Send + Sync + 'static {
    /// Reads one drone; `None` where it was never written.
    async fn find(&self, drone: &DeviceId) -> Result<Read<Option<DroneState>>, StoreError>;

    /// Reads a page, the first one where `from` is `None`. `limit` is at least 1.
    async fn list(
        &self,
        filter: &DroneFilter,
        from: Option<&Position>,
        limit: u16,
    ) -> Result<Read<DronePage>, ListError>;
}
