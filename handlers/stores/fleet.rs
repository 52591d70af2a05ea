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
    /// Where the next page begins: after this device. `None` on the last page.
    pub next: Option<DeviceId>,
}

/// Reads the drones that a [`DroneStore`](super::DroneStore) keeps.
///
/// Contract, held by one test suite for every implementation:
/// - a page has the drones that match the filter and come after `after`, in the order of their device
///   ids, and at most `limit` of them;
/// - following `next` until it is `None` gives each drone that matched all the while exactly once,
///   however many were written meanwhile: the order is that of the ids, which never change;
/// - one call reads at most `limit` + 1 drones. A page may be shorter than `limit` and still have a
///   `next`.
#[async_trait]
pub trait FleetReader: Send + Sync + 'static {
    /// Reads one drone; `None` where it was never written.
    async fn find(&self, drone: &DeviceId) -> Result<Read<Option<DroneState>>, StoreError>;

    /// Reads a page. `limit` is at least 1.
    async fn list(
        &self,
        filter: &DroneFilter,
        after: Option<&DeviceId>,
        limit: u16,
    ) -> Result<Read<DronePage>, StoreError>;
}
