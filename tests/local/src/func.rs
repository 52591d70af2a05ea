//! The real Functions host, Core Tools' `func`, on the local services: what it needs to be told, and how far it has come.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_core::http::StatusCode;
use azure_functions_sdk::connection::Connection;
use azure_storage_blob::models::BlobClientGetPropertiesResultHeaders as _;
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use serde_json::json;
use tokio::process::Command;

use crate::child::{Child, ChildError};
use crate::services::Services;
use crate::system::{ALERT_QUEUE, HUB};

/// The program of Core Tools.
pub const FUNC: &str = "func";

/// The settings' file, in the script root.
const SETTINGS: &str = "local.settings.json";

/// Where the host's Event Hubs extension keeps its checkpoints.
const CHECKPOINTS: &str = "azure-webjobs-eventhub";

/// The namespace by which the extension knows the local hub: the host of its address.
const NAMESPACE: &str = "127.0.0.1";

/// The consumer groups of the functions.
pub const GROUPS: [&str; 3] = ["drone-state", "telemetry-archive", "drone-alerts"];

/// How often the checkpoints are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The real host cannot be used; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FuncError {
    /// No Core Tools.
    #[error(
        "there is no program func on the PATH: install Azure Functions Core Tools 4 (npm install --global azure-functions-core-tools@4), or leave --host func out"
    )]
    Missing,
    /// The settings could not be written.
    #[error("cannot write {file}: {error}")]
    Settings {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It did not start.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Its checkpoints cannot be read.
    #[error("cannot read the checkpoints of the Functions host: {0}")]
    Checkpoints(String),
    /// It did not come to the end of the hub.
    #[error("the Functions host has not caught up with the hub after {seconds} s: {left}")]
    Behind {
        /// How long it had.
        seconds: u64,
        /// What is left, by consumer group.
        left: String,
    },
}

/// Whether there is a `func` on the PATH.
///
/// # Errors
/// Where there is none.
pub fn find() -> Result<(), FuncError> {
    let names: &[&str] = match cfg!(windows) {
        true => &["func.cmd", "func.exe"],
        false => &[FUNC],
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .any(|folder| names.iter().any(|name| folder.join(name).is_file()));
    match found {
        true => Ok(()),
        false => Err(FuncError::Missing),
    }
}

/// The app settings of an app that the real host runs on these services: its own storage too, and a connection to the hub that host
/// and handler share. .NET's client takes the endpoint's host and port whatever its scheme, and the handler sends its ticks there.
#[must_use]
pub fn settings(services: &Services, extra: &[(String, String)]) -> BTreeMap<String, String> {
    let amqp = services.doors.amqp();
    let mut settings = services.settings(&amqp.connection_string().replace("sb://", "http://"));
    let storage = services.storage.connection_string().to_owned();
    settings.insert("AzureWebJobsStorage".to_owned(), storage);
    settings.extend(extra.iter().cloned());
    if !settings.contains_key("AlertWebhookUrl") {
        settings
            .entry("AzureWebJobs.NotifyAlert.Disabled".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    settings
}

/// Writes the settings to where `func start` reads them. They hold the key of the local storage account and nothing of any cloud.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_settings(
    script_root: &Path,
    settings: &BTreeMap<String, String>,
) -> Result<PathBuf, FuncError> {
    let file = script_root.join(SETTINGS);
    let content = json!({"IsEncrypted": false, "Values": settings});
    std::fs::write(&file, format!("{content:#}\n")).map_err(|error| FuncError::Settings {
        file: file.clone(),
        error,
    })?;
    Ok(file)
}

/// How `func` is started, as a line for a terminal.
#[must_use]
pub fn command_line(script_root: &Path, port: u16) -> String {
    format!(
        "{FUNC} start --script-root {} --port {port}",
        script_root.display()
    )
}

/// Starts `func`. Dropping it ends the host and its handler.
///
/// # Errors
/// Where there is no `func`, or it does not start.
pub fn start(script_root: &Path, port: u16) -> Result<Child, FuncError> {
    find()?;
    let mut command = Command::new(if cfg!(windows) { "func.cmd" } else { FUNC });
    command
        .args(["start", "--port", &port.to_string()])
        .current_dir(script_root);
    Ok(Child::spawn(command, "the Functions host")?)
}

/// Waits until the host has checkpointed everything that the hub has taken, and nothing waits in the alert queue that it would take.
///
/// # Errors
/// Where that is not so within `patience`, or storage does not answer.
pub async fn settled(
    services: &Services,
    takes_alerts: bool,
    patience: Duration,
) -> Result<(), FuncError> {
    let container = checkpoints(services)?;
    let wait = async {
        loop {
            if behind(services, &container).await?.is_empty()
                && (!takes_alerts || is_empty(services).await)
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if let Ok(outcome) = tokio::time::timeout(patience, wait).await {
        return outcome;
    }
    let left = behind(services, &container).await?;
    let left: Vec<String> = left
        .iter()
        .map(|(group, events)| format!("{group} lags behind by {events} events"))
        .collect();
    Err(FuncError::Behind {
        seconds: patience.as_secs(),
        left: match left.is_empty() {
            true => format!("{ALERT_QUEUE} is not empty"),
            false => left.join(", "),
        },
    })
}

/// A queue that cannot be asked may hold anything.
async fn is_empty(services: &Services) -> bool {
    let waiting = services.storage.peek_queue_messages(ALERT_QUEUE).await;
    waiting.is_ok_and(|waiting| waiting.is_empty())
}

fn checkpoints(services: &Services) -> Result<BlobContainer, FuncError> {
    let failed = |error: &dyn std::error::Error| FuncError::Checkpoints(error.to_string());
    let storage = services.storage.connection_string();
    let connection = Connection::resolve("Storage", |name: &str| {
        (name == "Storage").then(|| storage.to_owned())
    })
    .map_err(|error| failed(&error))?;
    BlobService::connect(&connection)
        .and_then(|service| service.container(CHECKPOINTS))
        .map_err(|error| failed(&error))
}

/// The groups that have not checkpointed everything, with how much.
async fn behind(
    services: &Services,
    container: &BlobContainer,
) -> Result<Vec<(&'static str, u64)>, FuncError> {
    let mut behind = Vec::new();
    for group in GROUPS {
        let mut events = 0;
        for partition in 0..services.hub.partitions() {
            let head = services.hub.watch_head(partition);
            let head = head.map_or(0, |head| *head.borrow());
            if head > 0 {
                let done = checkpoint(container, group, partition).await?;
                events += u64::try_from(head - 1 - done.unwrap_or(-1)).unwrap_or(0);
            }
        }
        if events > 0 {
            behind.push((group, events));
        }
    }
    Ok(behind)
}

/// The sequence number of the last event that a group has checkpointed.
async fn checkpoint(
    container: &BlobContainer,
    group: &str,
    partition: u16,
) -> Result<Option<i64>, FuncError> {
    // The extension writes names in lower case.
    let name = format!("{NAMESPACE}/{HUB}/{group}/checkpoint/{partition}").to_lowercase();
    let found = container
        .client()
        .blob_client(&name)
        .get_properties(None)
        .await;
    match found {
        Ok(found) => Ok(found
            .metadata()
            .unwrap_or_default()
            .get("sequencenumber")
            .and_then(|number| number.parse().ok())),
        // Before its first checkpoint, and before the host has made the container.
        Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
        Err(error) => Err(FuncError::Checkpoints(
            drone_delivery::stores::storage::why(&error, container.client().url()),
        )),
    }
}

#[cfg(test)]
#[path = "func_tests.rs"]
mod tests;
