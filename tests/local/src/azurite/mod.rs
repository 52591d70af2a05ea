//! Azurite: Blob and Queue storage on this machine.
//!
//! It is one Node process that keeps everything in a folder, which goes with it. In memory it would keep
//! each message and each version of a blob as an extent of its own, and rebuild an index of all of them for
//! each one that it throws away: after some thousands of messages it gives no answer for minutes.
//!
//! Its version is pinned by `tests/local/azurite/package-lock.json`; see [`Azurite::start`] for what is needed.
//!
//! | module | what it is |
//! |---|---|
//! | `folder` | where its files are |
//! | `account`, `queues` | a storage account, for looking at what is in it, and for the host's queues |
//! | `proxy` | the way to an account on which requests can be made to fail |

mod account;
mod folder;
mod proxy;
mod queues;

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use tokio::sync::watch;

use crate::child::{Child, ChildError};
use crate::npm::output::Output;
use crate::npm::{NODE, NpmError, Packages, installations};

use folder::Folder;

pub use account::{StorageAccount, StorageError};
pub use proxy::{FaultyStorage, StorageService};

/// Starting takes about 2 s; a loaded machine takes longer.
const START: Duration = Duration::from_secs(60);

/// Node's own limit is 5 s, and a client that writes at the moment of the close sees a broken
/// connection.
const KEEP_ALIVE_SECONDS: &str = "120";

/// What Azurite prints before the address of a service.
const BLOB_READY: &str = "Azurite Blob service is successfully listening at ";
const QUEUE_READY: &str = "Azurite Queue service is successfully listening at ";

/// Azurite's main script, inside of an installation.
const SCRIPT: &str = "node_modules/azurite/dist/src/azurite.js";

/// Azurite, as its lock file pins it.
pub(crate) const PACKAGES: Packages = Packages {
    name: "azurite",
    title: "Azurite (first use, about a minute)",
    package: include_str!("../../azurite/package.json"),
    lock: include_str!("../../azurite/package-lock.json"),
    proof: SCRIPT,
};

/// How Azurite is started.
#[derive(Debug, Clone)]
pub struct AzuriteOptions {
    /// Port of the Blob service on 127.0.0.1; 0 for any free one.
    pub blob_port: u16,
    /// Port of the Queue service on 127.0.0.1; 0 for any free one.
    pub queue_port: u16,
    /// Names of the storage accounts, of letters and digits. Each gets a new random key.
    pub accounts: Vec<String>,
}

/// A running Azurite. Dropping it ends it, and with it everything that was stored.
#[derive(Debug)]
pub struct Azurite {
    accounts: Vec<StorageAccount>,
    gone: watch::Receiver<bool>,
    // Dropped before the folder that it writes to.
    process: Child,
    _folder: Folder,
}

/// Azurite did not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AzuriteError {
    /// It could not be installed.
    #[error("no Azurite: {0}")]
    Install(#[from] NpmError),
    /// Somebody else listens there.
    #[error("port {port} is in use: stop what uses it or pass {option} PORT")]
    Port {
        /// Which port.
        port: u16,
        /// The option that chooses another.
        option: &'static str,
    },
    /// It ended by itself.
    #[error("Azurite ended while starting: {0}")]
    Ended(String),
    /// It said nothing for too long.
    #[error("Azurite is not ready after {seconds} s: {0}", seconds = START.as_secs())]
    Slow(String),
    /// An account's name that cannot be one.
    #[error("{0:?} cannot be the name of a storage account: use letters and digits")]
    AccountName(String),
    /// There is no place for its files.
    #[error("no folder for the files of Azurite: {0}")]
    Folder(#[source] io::Error),
    /// The process could not be started.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl Azurite {
    /// Starts Azurite and waits until both services take requests. Needs Node.js 20 or later; the
    /// first use also needs npm and its registry, takes about a minute and says so on stderr.
    ///
    /// # Errors
    /// Where Node is missing or too old, the installation fails, a port is taken, there is no place for its
    /// files, or Azurite ends.
    pub async fn start(options: AzuriteOptions) -> Result<Self, AzuriteError> {
        let keys = options
            .accounts
            .iter()
            .map(|name| account_with_key(name))
            .collect::<Result<Vec<_>, _>>()?;
        let script = PACKAGES.installed().await?.join(SCRIPT);
        let files = Folder::create_in(&installations()).map_err(AzuriteError::Folder)?;
        let mut command = Command::new(NODE);
        command
            .arg(&script)
            .arg("--location")
            .arg(files.path())
            .args(["--disableTelemetry", "--silent"])
            .args(["--blobHost", "127.0.0.1", "--queueHost", "127.0.0.1"])
            .args(["--blobPort", &options.blob_port.to_string()])
            .args(["--queuePort", &options.queue_port.to_string()])
            .args(["--blobKeepAliveTimeout", KEEP_ALIVE_SECONDS])
            .args(["--queueKeepAliveTimeout", KEEP_ALIVE_SECONDS])
            // There is no Azurite without the Table service; at least it takes nobody's port.
            .args(["--tableHost", "127.0.0.1", "--tablePort", "0"])
            .env("AZURITE_ACCOUNTS", accounts_variable(&keys))
            // Would turn it into a client of a SQL server.
            .env_remove("AZURITE_DB");
        if let Some(folder) = script.parent() {
            command.current_dir(folder);
        }
        let mut process = Child::spawn(command, "Azurite")?;
        let mut output = Output::of(&mut process);
        let starting = addresses(&mut output);
        let (blob, queue) = match tokio::time::timeout(START, starting).await {
            Ok(Some(addresses)) => addresses,
            Ok(None) => return Err(why_it_ended(&output.tail(), &options)),
            Err(_) => return Err(AzuriteError::Slow(output.tail())),
        };
        let accounts = keys
            .iter()
            .map(|(name, key)| StorageAccount::new(name, key, &blob, &queue))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| AzuriteError::Ended(error.to_string()))?;
        Ok(Self {
            accounts,
            gone: output.swallow(),
            process,
            _folder: files,
        })
    }

    /// One of the accounts given at the start. Each call makes a client of its own, which belongs to
    /// the runtime that first uses it.
    pub fn account(&self, name: &str) -> Option<StorageAccount> {
        self.accounts
            .iter()
            .find(|account| account.name() == name)
            .map(StorageAccount::with_new_connections)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns when the process has ended by itself.
    pub async fn died(&self) {
        // An error means that nobody watches any more, which happens at its end only.
        _ = self.gone.clone().wait_for(|gone| *gone).await;
    }
}

type NameAndKey = (String, String);

fn account_with_key(name: &str) -> Result<NameAndKey, AzuriteError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(AzuriteError::AccountName(name.to_owned()));
    }
    // As long as the keys of Azure.
    let mut key = [0; 64];
    rand::fill(&mut key);
    Ok((name.to_owned(), STANDARD.encode(key)))
}

/// `account1:key1;account2:key2`, see "AZURITE_ACCOUNTS" in Azurite's README.
fn accounts_variable(keys: &[NameAndKey]) -> String {
    let pairs: Vec<String> = keys
        .iter()
        .map(|(name, key)| format!("{name}:{key}"))
        .collect();
    pairs.join(";")
}

/// The addresses of the Blob and the Queue service, `None` where the process ends before it has both.
async fn addresses(output: &mut Output) -> Option<(String, String)> {
    let (mut blob, mut queue) = (None, None);
    while let Some(line) = output.next_line().await {
        if let Some(address) = line.strip_prefix(BLOB_READY) {
            blob = Some(address.trim().to_owned());
        } else if let Some(address) = line.strip_prefix(QUEUE_READY) {
            queue = Some(address.trim().to_owned());
        }
        if let (Some(blob), Some(queue)) = (&blob, &queue) {
            return Some((blob.clone(), queue.clone()));
        }
    }
    None
}

fn why_it_ended(said: &str, options: &AzuriteOptions) -> AzuriteError {
    let taken = said.contains("EADDRINUSE");
    for (port, option) in [
        (options.blob_port, "--azurite-blob-port"),
        (options.queue_port, "--azurite-queue-port"),
    ] {
        if taken && port != 0 && said.contains(&format!("127.0.0.1:{port}")) {
            return AzuriteError::Port { port, option };
        }
    }
    AzuriteError::Ended(said.to_owned())
}

#[cfg(test)]
mod tests;
