//! Where events are read and where they are sent: the system that runs here, or one in Azure.

use std::path::Path;

use azure_functions_sdk::connection::{Connection, ConnectionError};
use drone_delivery::stores::storage::{BLOB, ServiceAddress};
use simulator::EventHub;

use super::ReplayError;
use crate::running::RunningSystem;

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// What `cargo drones --to event-hubs` takes; any of them says that the hub is not the local one.
const HUB_SETTINGS: [&str; 2] = ["EVENT_HUBS_NAMESPACE", "EVENT_HUBS_CONNECTION_STRING"];

/// Storage, and the hub that belongs to it.
pub struct Connections {
    /// The account with the queue of dead letters, their bodies and the archive.
    pub storage: Connection,
    /// The hub.
    pub hub: EventHub,
    /// Which system this is: what was replayed in one says nothing of another.
    pub system: String,
}

impl Connections {
    /// What the environment names, else the system that runs on this machine.
    ///
    /// # Errors
    /// Where the environment names half a system, or there is none.
    pub fn find(repository: &Path) -> Result<Self, ReplayError> {
        let variable = |name: &'static str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        match Connection::from_env(STORAGE) {
            Ok(storage) => {
                let hub = EventHub::from_settings(variable)?;
                Ok(Self {
                    system: format!("{} {}", hub.url(), ServiceAddress::place(&storage, &BLOB)?),
                    storage,
                    hub,
                })
            }
            Err(ConnectionError::Missing(_))
                if HUB_SETTINGS.iter().all(|name| variable(name).is_none()) =>
            {
                RunningSystem::find_alive(repository)
                    .ok_or(ReplayError::NoSystem)
                    .and_then(|system| Self::of(&system))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Those of a local system.
    ///
    /// # Errors
    /// Where the storage connection is none.
    pub fn of(system: &RunningSystem) -> Result<Self, ReplayError> {
        Ok(Self {
            storage: system.storage()?,
            hub: EventHub::open(&system.hub_url)?,
            system: system.id.clone(),
        })
    }
}
