//! The Cosmos DB emulator of the SDK's own team, behind a socket.
//!
//! The emulator ships inside the SDK's driver and works on requests, not on connections; this is the
//! server around it, with faults on request. It keeps everything in memory and checks no signature.
//!
//! | module | what it is |
//! |---|---|
//! | `account` | the emulated account: requests in, answers out, and what they cost |
//! | `server` | its socket |

mod account;
mod server;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use account::WriteWatcher;
use account::{Account, Answer};

use crate::fault::{Fault, FaultPlan, Faults};

/// Physical partitions of a container. The emulator copies a whole one for each transactional batch, so many
/// small ones are quicker than the few that the service would begin with.
const PHYSICAL_PARTITIONS: u32 = 64;

/// A running Cosmos DB account of one region. Dropping it closes its connections and forgets its items.
pub struct CosmosEmulator {
    address: SocketAddr,
    key: String,
    account: Arc<Account>,
    faults: Arc<Faults>,
    server: JoinHandle<()>,
}

/// The emulator could not be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CosmosError {
    /// Somebody else listens there.
    #[error("port {0} is in use: stop what uses it or pass --cosmos-port PORT")]
    Port(u16),
    /// The socket cannot be used for another reason.
    #[error("Cosmos DB cannot listen on port {port}: {error}")]
    Listen {
        /// Which port.
        port: u16,
        /// Why not.
        error: io::Error,
    },
    /// The emulator refused its configuration.
    #[error("the Cosmos DB emulator does not start: {0}")]
    Emulator(String),
    /// A database or container could not be made.
    #[error("Cosmos DB did not make {name}: it answered {status}")]
    Create {
        /// Of what.
        name: String,
        /// The HTTP status.
        status: u16,
    },
}

impl CosmosEmulator {
    /// Starts an account on 127.0.0.1; port 0 is any free one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(port: u16) -> Result<Self, CosmosError> {
        let listen = async || {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let address = listener.local_addr()?;
            io::Result::Ok((listener, address))
        };
        // First the socket: the account tells clients where its region is, which must be right here.
        let (listener, address) = listen().await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => CosmosError::Port(port),
            _ => CosmosError::Listen { port, error },
        })?;
        let account = Arc::new(Account::new(address).map_err(CosmosError::Emulator)?);
        let faults = Arc::new(Faults::default());
        let mut key = [0; 64];
        rand::fill(&mut key);
        Ok(Self {
            address,
            key: STANDARD.encode(key),
            server: tokio::spawn(server::serve(
                listener,
                Arc::clone(&account),
                Arc::clone(&faults),
            )),
            account,
            faults,
        })
    }

    /// Where the account is: `http://127.0.0.1:8081/`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Endpoint and key, as an app setting takes them. The key is a new one each time, and a secret only
    /// in form: nobody checks it.
    pub fn connection_string(&self) -> String {
        format!(
            "AccountEndpoint={};AccountKey={};",
            self.endpoint(),
            self.key
        )
    }

    /// Makes a container and its database, where they are not there yet. The partition key is a path
    /// such as `/deviceId`. Faults do not touch it.
    ///
    /// # Errors
    /// Where the emulator refuses a name.
    pub async fn create_container(
        &self,
        database: &str,
        container: &str,
        partition_key: &str,
    ) -> Result<(), CosmosError> {
        let make = async |parent: &[&str], name: &str, body: Value| {
            match self.account.post(parent, &body).await.status {
                // 409: it is there.
                200..=299 | 409 => Ok(()),
                status => Err(CosmosError::Create {
                    name: name.to_owned(),
                    status,
                }),
            }
        };
        make(&["dbs"], database, json!({"id": database})).await?;
        let path = ["dbs", database, "colls", container];
        if self.account.get(&path, None).await.is_success() {
            return Ok(());
        }
        self.account
            .create_container(database, container, partition_key, PHYSICAL_PARTITIONS)
            .map_err(|error| CosmosError::Emulator(error.to_string()))
    }

    /// Stores an item, whatever it is, behind everybody's back; whether the emulator took it. Faults do not
    /// touch it.
    pub async fn upsert_item(
        &self,
        database: &str,
        container: &str,
        partition_key: &str,
        item: &Value,
    ) -> bool {
        let path = ["dbs", database, "colls", container, "docs"];
        let answer = self.account.upsert(&path, partition_key, item).await;
        answer.is_success()
    }

    /// Every item of a container, with what Cosmos DB adds (`_etag` and the like), in no particular
    /// order; none where there is no such container. Faults do not touch it.
    pub async fn items(&self, database: &str, container: &str) -> Vec<Value> {
        let path = ["dbs", database, "colls", container, "docs"];
        // The emulator pages only for those who name a page's size.
        let mut feed = self
            .account
            .get(&path, None)
            .await
            .json()
            .unwrap_or_default();
        match feed["Documents"].take() {
            Value::Array(documents) => documents,
            _ => Vec::new(),
        }
    }

    /// One item, by the value of its partition key and its id. Faults do not touch it.
    pub async fn item(
        &self,
        database: &str,
        container: &str,
        partition_key: &str,
        id: &str,
    ) -> Option<Value> {
        let path = ["dbs", database, "colls", container, "docs", id];
        let answer = self.account.get(&path, Some(partition_key)).await;
        Some(answer).filter(Answer::is_success)?.json()
    }

    /// Deletes one item, behind everybody's back; whether it was there. Faults do not touch it.
    pub async fn delete_item(
        &self,
        database: &str,
        container: &str,
        partition_key: &str,
        id: &str,
    ) -> bool {
        let path = ["dbs", database, "colls", container, "docs", id];
        self.account.delete(&path, partition_key).await.is_success()
    }

    /// Item writes that came over the socket and succeeded, since the start.
    pub fn writes(&self) -> u64 {
        self.account.writes()
    }

    /// Request units that requests over the socket cost, since the start.
    pub fn request_units(&self) -> f64 {
        self.account.request_units()
    }

    /// Makes every request over the socket fail so, or, with `None`, none any more.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.set_fault_plan(fault.map(FaultPlan::from));
    }

    /// Makes a share of the requests fail.
    pub fn set_fault_plan(&self, plan: Option<FaultPlan>) {
        self.faults.set(plan);
    }

    /// Requests that a fault has met, since the start.
    pub fn faults(&self) -> u64 {
        self.faults.met()
    }

    /// Shows each item that is created or replaced over the socket, as its writer sent it, together with the
    /// name of its container: before the writer has its answer, so that of two writes to one item, the
    /// second knowing the first, the first is shown first. Batches and patches are not shown.
    ///
    /// # Errors
    /// Gives the watcher back where there is one already.
    pub fn watch_writes(&self, watcher: WriteWatcher) -> Result<(), WriteWatcher> {
        self.account.watch_writes(watcher)
    }
}

impl fmt::Debug for CosmosEmulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosmosEmulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for CosmosEmulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[cfg(test)]
mod tests;
