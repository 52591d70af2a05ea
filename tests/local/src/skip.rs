//! `cargo local skip`: moves a checkpoint past an event that no host can bind, which would hold its partition for ever.
//!
//! Checkpoints belong to the Event Hubs extension of the Functions host, which keeps them as metadata of blobs, in the container
//! `azure-webjobs-eventhub` of the storage account `AzureWebJobsStorage`:
//! `<namespace>/<hub>/<group>/checkpoint/<partition>`, and beside it `…/ownership/<partition>` with the host that holds the partition.
//! Its `BlobCheckpointStoreInternal` (Azure/azure-sdk-for-net) begins after the `offset`, or, where that is a placeholder, after the
//! `sequencenumber`. A host reads them when it takes a partition over, so it must not hold this one meanwhile.

#![allow(clippy::print_stdout, reason = "this is the program's voice")]

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use azure_core::error::ErrorKind;
use azure_core::http::Etag;
use azure_core::time::OffsetDateTime;
use azure_functions_sdk::connection::{Connection, ConnectionError};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::{
    BlobClientGetPropertiesResultHeaders, BlobClientSetMetadataOptions, BlobClientUploadOptions,
};
use clap::Args;
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use drone_delivery::stores::storage::{StorageConnectionError, why};
use serde::Serialize;

use crate::build;

/// The connection of the Functions host itself; resolved as `AzureWebJobsStorage`.
const HOST_STORAGE: &str = "Storage";

const CONTAINER: &str = "azure-webjobs-eventhub";

/// What the extension itself writes where it knows no offset. The scale controller takes a checkpoint without any for an old one.
const NO_OFFSET: &str = "no offset";

/// An owner that has not said so for this long is gone.
const OWNER_EXPIRES: time::Duration = time::Duration::minutes(2);

/// See `cargo local skip --help`.
#[derive(Debug, Clone, Args)]
pub struct SkipOptions {
    /// The Event Hubs namespace, such as drones.servicebus.windows.net.
    #[arg(long, value_name = "HOST")]
    pub namespace: String,
    /// The hub.
    #[arg(long)]
    pub hub: String,
    /// The consumer group, such as drone-state.
    #[arg(long)]
    pub group: String,
    /// The partition's number.
    #[arg(long)]
    pub partition: u16,
    /// The sequence number of the last event that is passed over.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_after: i64,
    /// Where it is written down what is passed over. Without it a file in target/skip/.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Say what would be passed over, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Nothing was changed; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SkipError {
    /// The setting AzureWebJobsStorage is missing or malformed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It leads nowhere.
    #[error("AzureWebJobsStorage: {0}")]
    Storage(#[from] StorageConnectionError),
    /// A host holds the partition and would write its own checkpoint over this one.
    #[error(
        "partition {partition} is held by a running host, {seconds} s ago: stop the app, wait two minutes, and try again"
    )]
    Held {
        /// The partition.
        partition: u16,
        /// Since the host has said so.
        seconds: i64,
    },
    /// The checkpoint is there already, or further.
    #[error("the checkpoint is at {at}, which is not before {to_after}: nothing is passed over")]
    NotBefore {
        /// Where it is.
        at: i64,
        /// Where it was to go.
        to_after: i64,
    },
    /// What is passed over could not be written down, so nothing was.
    #[error("cannot write {file}: {error}")]
    Record {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Storage refused.
    #[error("cannot {operation}: {why}")]
    Request {
        /// What was tried.
        operation: &'static str,
        /// What storage says.
        why: String,
    },
}

/// What is passed over: written down before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    checkpoint: String,
    /// The first event that the group will never see; `None` where it had no checkpoint, and began at its first event or its last.
    first: Option<i64>,
    last: i64,
    /// What the blob said before, so that it can be put back.
    metadata_before: HashMap<String, String>,
    at: String,
}

/// Reads the settings of the environment and skips.
///
/// # Errors
/// Those of [`skip`], in words.
pub fn run(options: &SkipOptions) -> Result<(), Box<dyn Error>> {
    let storage = Connection::from_env(HOST_STORAGE)?;
    let record = match &options.record {
        Some(file) => file.clone(),
        None => {
            let folder = build::repository()?.join("target/skip");
            let SkipOptions {
                group,
                partition,
                to_after,
                ..
            } = options;
            folder.join(format!("{group}-{partition}-{to_after}.json"))
        }
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let skipped = runtime.block_on(skip(options, &storage, &record))?;
    let first = skipped.first.map_or_else(
        || "everything before and".to_owned(),
        |first| format!("{first} to"),
    );
    println!(
        "{} {first} {} of partition {} for {}, as {} says",
        if options.dry_run {
            "Would pass over"
        } else {
            "Passed over"
        },
        skipped.last,
        options.partition,
        options.group,
        if options.dry_run {
            "its checkpoint".to_owned()
        } else {
            record.display().to_string()
        }
    );
    Ok(())
}

/// Moves the checkpoint, after writing down what that passes over.
///
/// # Errors
/// Where a host holds the partition, the checkpoint would not go forward, or a request fails. Nothing has changed then.
pub async fn skip(
    options: &SkipOptions,
    storage: &Connection,
    record: &Path,
) -> Result<Skipped, SkipError> {
    let container = BlobService::connect(storage)?.container(CONTAINER)?;
    let place = |kind: &str| {
        let SkipOptions {
            namespace,
            hub,
            group,
            partition,
            ..
        } = options;
        // The extension writes names in lower case.
        format!("{namespace}/{hub}/{group}/{kind}/{partition}").to_lowercase()
    };
    refuse_if_held(&container, &place("ownership"), options.partition).await?;

    let name = place("checkpoint");
    let blob = container.client().blob_client(&name);
    let before = metadata(&container, &blob, "read the checkpoint").await?;
    let at = before
        .as_ref()
        .and_then(|(metadata, _)| metadata.get("sequencenumber")?.parse().ok());
    if let Some(at) = at
        && at >= options.to_after
    {
        let to_after = options.to_after;
        return Err(SkipError::NotBefore { at, to_after });
    }
    let skipped = Skipped {
        checkpoint: name,
        first: at.map(|at| at + 1),
        last: options.to_after,
        metadata_before: before
            .as_ref()
            .map(|(metadata, _)| metadata.clone())
            .unwrap_or_default(),
        at: drone_delivery::domain::timestamp::Rfc3339(time::UtcDateTime::now()).to_string(),
    };
    if options.dry_run {
        return Ok(skipped);
    }
    write_down(&skipped, record).map_err(|error| SkipError::Record {
        file: record.to_owned(),
        error,
    })?;
    let mut metadata = skipped.metadata_before.clone();
    metadata.insert("offset".to_owned(), NO_OFFSET.to_owned());
    metadata.insert("sequencenumber".to_owned(), options.to_after.to_string());
    let moved = put(&container, &blob, before.map(|(_, etag)| etag), metadata).await;
    if moved.is_err() {
        // Nothing was passed over. If the file stays, the next try says so.
        _ = std::fs::remove_file(record);
    }
    moved.map(|()| skipped)
}

/// A missing container is another matter: then this is not the storage account of the host.
fn is_no_such_blob(error: &azure_core::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::HttpResponse { error_code: Some(code), .. } if code == "BlobNotFound"
    )
}

async fn refuse_if_held(
    container: &BlobContainer,
    name: &str,
    partition: u16,
) -> Result<(), SkipError> {
    let blob = container.client().blob_client(name);
    let found = match blob.get_properties(None).await {
        Ok(found) => found,
        Err(error) if is_no_such_blob(&error) => return Ok(()),
        Err(error) => return Err(failed(container, "read who holds the partition", &error)),
    };
    let owner = found.metadata().unwrap_or_default();
    let released = owner.get("ownerid").is_none_or(String::is_empty);
    let renewed = found.last_modified().ok().flatten();
    let since = renewed.map(|renewed| OffsetDateTime::now_utc() - renewed);
    match since {
        Some(since) if !released && since < OWNER_EXPIRES => Err(SkipError::Held {
            partition,
            seconds: since.whole_seconds(),
        }),
        _ => Ok(()),
    }
}

/// A blob's metadata and its version; `None` where there is no such blob.
async fn metadata(
    container: &BlobContainer,
    blob: &BlobClient,
    operation: &'static str,
) -> Result<Option<(HashMap<String, String>, Option<Etag>)>, SkipError> {
    match blob.get_properties(None).await {
        Ok(found) => Ok(Some((
            found.metadata().unwrap_or_default(),
            found.etag().ok().flatten(),
        ))),
        Err(error) if is_no_such_blob(&error) => Ok(None),
        Err(error) => Err(failed(container, operation, &error)),
    }
}

/// `version` is that of the blob that is there, `None` where there is none. Changed meanwhile, it is left as it is.
async fn put(
    container: &BlobContainer,
    blob: &BlobClient,
    version: Option<Option<Etag>>,
    metadata: HashMap<String, String>,
) -> Result<(), SkipError> {
    let done = match version {
        Some(if_match) => {
            let options = BlobClientSetMetadataOptions {
                if_match,
                ..Default::default()
            };
            let done = blob.set_metadata(&metadata, Some(options)).await;
            done.map(drop)
        }
        None => {
            let options = BlobClientUploadOptions {
                metadata: Some(metadata),
                ..BlobClientUploadOptions::default().if_not_exists()
            };
            let body = bytes::Bytes::new().into();
            blob.upload(body, Some(options)).await.map(drop)
        }
    };
    done.map_err(|error| failed(container, "move the checkpoint", &error))
}

fn write_down(skipped: &Skipped, file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // What was written down before stays.
    let mut file = std::fs::File::create_new(file)?;
    serde_json::to_writer_pretty(&mut file, skipped)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn failed(
    container: &BlobContainer,
    operation: &'static str,
    error: &azure_core::Error,
) -> SkipError {
    SkipError::Request {
        operation,
        why: why(error, container.client().url()),
    }
}

#[cfg(test)]
#[path = "skip_tests.rs"]
mod tests;
