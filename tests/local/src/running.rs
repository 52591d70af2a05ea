//! How another program finds the system that `cargo local up` runs: a file in the target folder.
//!
//! It holds the storage account's key, which is new with each start and worth nothing after it, so only its
//! owner may read it, and it goes when the system ends.

use std::fs;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_functions_sdk::connection::{Connection, ConnectionError};
use serde::{Deserialize, Serialize};

use crate::services::Services;
use crate::system::System;

/// Where the file is, in the repository.
const FILE: &str = "target/local-system.json";

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// How long a hub on this machine may take to answer the telephone.
const KNOCK: Duration = Duration::from_secs(2);

/// What it says. No `Debug`: the storage connection has a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningSystem {
    /// Made anew with each start: everything that is stored belongs to one run.
    pub id: String,
    /// `http://127.0.0.1:7072/telemetry`.
    pub hub_url: String,
    /// The connection string of the storage account.
    pub fleet_storage: String,
}

impl RunningSystem {
    /// The system that runs, as others reach it.
    #[must_use]
    pub fn of(system: &System) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            hub_url: system.hub_url().trim_end_matches("/messages").to_owned(),
            fleet_storage: system.storage.connection_string().to_owned(),
        }
    }

    /// Services that another host runs on.
    #[must_use]
    pub fn beside(services: &Services) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            hub_url: services
                .doors
                .url()
                .trim_end_matches("/messages")
                .to_owned(),
            fleet_storage: services.storage.connection_string().to_owned(),
        }
    }

    /// Leaves it in `repository`, in the place of an earlier one, until the result is dropped.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn announce(self, repository: &Path) -> io::Result<Announcement> {
        let path = repository.join(FILE);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // What a killed run has left may have other permissions, so it is never written into.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options
            .open(&path)?
            .write_all(&serde_json::to_vec(&self)?)?;
        Ok(Announcement { path, system: self })
    }

    /// The system that was announced last; `None` where there is none.
    #[must_use]
    pub fn find(repository: &Path) -> Option<Self> {
        read(&repository.join(FILE))
    }

    /// The system that was announced last, if it still runs: one that was killed leaves its file behind.
    #[must_use]
    pub fn find_alive(repository: &Path) -> Option<Self> {
        Self::find(repository).filter(|system| answers(&system.hub_url))
    }

    /// The connection to its storage account.
    ///
    /// # Errors
    /// Where what was announced is none.
    pub fn storage(&self) -> Result<Connection, ConnectionError> {
        let storage = self.fleet_storage.clone();
        Connection::resolve(STORAGE, move |name| {
            (name == STORAGE).then(|| storage.clone())
        })
    }

    /// The name of its hub, by which its archive is kept.
    #[must_use]
    pub fn hub_name(&self) -> &str {
        self.hub_url.rsplit('/').next().unwrap_or_default()
    }
}

fn answers(hub_url: &str) -> bool {
    let address = hub_url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .and_then(|address| address.parse().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, KNOCK).is_ok())
}

/// Takes the file away when it is dropped, unless it is somebody else's by then.
pub struct Announcement {
    path: PathBuf,
    system: RunningSystem,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if read(&self.path).is_some_and(|found| found == self.system) {
            // Who finds it later finds nobody there.
            _ = fs::remove_file(&self.path);
        }
    }
}

fn read(path: &Path) -> Option<RunningSystem> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn system(id: &str) -> RunningSystem {
        RunningSystem {
            id: id.to_owned(),
            hub_url: "http://127.0.0.1:7072/telemetry".to_owned(),
            fleet_storage: "AccountName=a;AccountKey=b".to_owned(),
        }
    }

    #[test]
    fn a_hub_that_is_gone_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/telemetry", listener.local_addr().unwrap());
        assert!(answers(&url));
        drop(listener);
        assert!(!answers(&url));
        assert!(!answers("telemetry"));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_the_file_whatever_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "open to everybody").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let _announcement = system("1").announce(folder.path()).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn the_file_goes_with_its_system_and_not_with_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let found = || RunningSystem::find(folder.path()).map(|system| system.id);
        let first = system("1").announce(folder.path()).unwrap();
        assert_eq!(found().as_deref(), Some("1"));
        let second = system("2").announce(folder.path()).unwrap();
        drop(first);
        assert_eq!(found().as_deref(), Some("2"));
        drop(second);
        assert_eq!(found(), None);
    }
}
