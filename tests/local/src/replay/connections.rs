//! Where events are read and where they are sent: the system that runs here, or one in Azure.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use azure_functions_sdk::connection::{Connection, ConnectionError};
use drone_delivery::stores::storage::{BLOB, ServiceAddress};
use simulator::EventHub;

use super::ReplayError;
use crate::running::RunningSystem;

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// What `cargo drones --to event-hubs` takes; any of them says that the hub is not the local one.
const HUB_SETTINGS: [&str; 2] = ["EVENT_HUBS_NAMESPACE", "EVENT_HUBS_CONNECTION_STRING"];

/// How long a hub on this machine may take to answer the telephone.
const KNOCK: Duration = Duration::from_secs(2);

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
                RunningSystem::find(repository)
                    .filter(|system| answers(&system.hub_url))
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
        let storage = system.fleet_storage.clone();
        Ok(Self {
            storage: Connection::resolve(STORAGE, move |name| {
                (name == STORAGE).then(|| storage.clone())
            })?,
            hub: EventHub::open(&system.hub_url)?,
            system: system.id.clone(),
        })
    }
}

/// A run that was killed leaves its file behind.
fn answers(hub_url: &str) -> bool {
    let address = hub_url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .and_then(|address| address.parse().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, KNOCK).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_hub_that_is_gone_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/telemetry", listener.local_addr().unwrap());
        assert!(answers(&url));
        drop(listener);
        assert!(!answers(&url));
        assert!(!answers("telemetry"));
    }
}
