//! `cargo local replay`: sends events again, from the dead letters or from the archive, and alerts that no receiver took, in the
//! local system or in Azure.
//!
//! | module | what it is |
//! |---|---|
//! | `options`, `connections` | what is asked for; where it is read and sent |
//! | `dead_letters` | the queue: read, mend, check, send, take off |
//! | `letter`, `queue`, `repair` | one letter, and whether it may be sent; what was put aside; the command that mends |
//! | `alerts` | the queue of alerts that were given up: put back where NotifyAlert takes them from |
//! | `archive`, `files`, `progress` | the archive, file by file; how far a replay has come |
//! | `send`, `pace`, `stop` | sends with the first time; not too fast; until somebody stops it |
//! | `summary`, `view` | what became of the events; what the user sees |
//!
//! Events go to the hub, as any event does, and not around it to the stores: whatever the functions make of events
//! they make of these. Each carries the time that a hub took it first, so that it counts as of then.

mod alerts;
mod archive;
mod connections;
mod dead_letters;
mod files;
mod letter;
mod options;
mod pace;
mod progress;
mod queue;
mod repair;
mod send;
mod stop;
mod summary;
mod view;

use std::error::Error;
use std::path::Path;

use azure_core::http::Url;
use azure_functions_sdk::connection::ConnectionError;
use drone_delivery::capture::CaptureError;
use drone_delivery::stores::storage::{StorageConnectionError, why};
use simulator::DestinationError;

pub use connections::Connections;
pub use options::{ReplayOptions, Source};
pub use stop::Stop;
pub use summary::{Summary, Why};
pub use view::View;

use crate::build;
use crate::up::stop_requested;

/// A replay could not go on. What it had done by then is done. No text has a key, a token or a body in it.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing to work on.
    #[error(
        "no local system runs and FleetStorage is not set: start `cargo local up`, or name the system in Azure by \
         FleetStorage__blobServiceUri, FleetStorage__queueServiceUri, EVENT_HUBS_NAMESPACE and EVENT_HUB_NAME"
    )]
    NoSystem,
    /// The storage connection is missing or malformed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It leads nowhere.
    #[error("FleetStorage: {0}")]
    Storage(#[from] StorageConnectionError),
    /// The hub cannot be named, or does not take events.
    #[error("the hub: {0}")]
    Hub(#[from] DestinationError),
    /// The queue is not there.
    #[error("there is no queue {0}: `cargo local prepare` makes it, in Azure the deployment does")]
    NoQueue(&'static str),
    /// A request to storage failed.
    #[error("cannot {operation}: {why}")]
    Request {
        /// What was tried.
        operation: String,
        /// What the service says.
        why: String,
    },
    /// A file of the archive is none.
    #[error("the archive's file {name}: {error}")]
    Capture {
        /// Which.
        name: String,
        /// What is wrong with it.
        error: CaptureError,
    },
    /// A file of the archive cannot be had.
    #[error("the archive's file {name}: {why}")]
    Unreadable {
        /// Which.
        name: String,
        /// What storage says.
        why: String,
    },
    /// What is noted of an earlier replay cannot be used.
    #[error("{0}")]
    Progress(String),
}

impl ReplayError {
    /// Whether it is the fault of one file of the archive, so that trying again is of no use and the others can be read.
    fn of_one_file(&self) -> bool {
        matches!(self, Self::Capture { .. } | Self::Unreadable { .. })
    }
}

/// Runs until everything is sent or somebody stops it, and says what was done. Returns whether all that was chosen
/// is done.
///
/// # Errors
/// Where it could not go on; the same command goes on from there.
pub fn run(options: &ReplayOptions) -> Result<bool, Box<dyn Error>> {
    let repository = build::repository()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let connections = Connections::find(&repository)?;
        let stop = Stop::default();
        let asked = stop.clone();
        tokio::spawn(async move {
            stop_requested().await;
            asked.request();
        });
        let mut view = View::terminal();
        let outcome = replay(options, &connections, &repository, &stop, &mut view).await;
        view.finish();
        let (summary, error) = match outcome {
            Ok(summary) => (summary, None),
            Err((error, summary)) => (summary, Some(error)),
        };
        view.report(&summary);
        if let Some(error) = error {
            return Err(format!("{error}; the same command goes on from here").into());
        }
        Ok(summary.is_complete())
    })
}

/// Replays what the options choose. `repository` is where progress is noted, unless the options say where.
///
/// # Errors
/// Where it could not go on, with what was done by then.
pub async fn replay(
    options: &ReplayOptions,
    connections: &Connections,
    repository: &Path,
    stop: &Stop,
    view: &mut View,
) -> Result<Summary, (ReplayError, Summary)> {
    let Source {
        archive,
        alerts_poison,
        ..
    } = options.source;
    if archive {
        archive::replay(options, connections, repository, stop, view).await
    } else if alerts_poison {
        alerts::put_back(options, connections, stop, view).await
    } else {
        dead_letters::replay(options, connections, stop, view).await
    }
}

/// An error of a request to the container or queue `at`.
fn failed(operation: &str, error: &azure_core::Error, at: &Url) -> ReplayError {
    ReplayError::Request {
        operation: operation.to_owned(),
        why: why(error, at),
    }
}
