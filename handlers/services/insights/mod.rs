//! Makes tables of what the fleet did from the archive, unit by unit, and figures from the tables.
//!
//! | module | what it does |
//! |---|---|
//! | [`mod@unit`] | what a unit is called, and what is made of it |
//! | [`manifest`] | what is known of a unit that was made |
//! | `days` | whole days of readings in one file |
//! | `gather` | reads a unit's folder of the archive |
//! | `facts` | makes the facts that a unit touches |
//! | [`compact`] | many small files of the archive to few |
//! | [`plan`] | which units are to be made |
//! | [`roll_up`] | the figures of days |
//! | [`schedule`] | looks again and again |
//!
//! Two workers may be on one unit, and any of them may end anywhere. What keeps the tables right:
//! - every file is a function of others, and is replaced under the version that was read before those others were;
//! - a unit writes its own rows before it reads those of other units, so that of two units that share a fact the one
//!   that writes it last has seen both;
//! - the manifest is written last, under the version that was read first.

pub mod compact;
mod days;
mod facts;
mod gather;
pub mod manifest;
pub mod plan;
pub mod roll_up;
pub mod schedule;
pub mod unit;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use azure_functions_sdk::CallError;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::capture::CaptureError;
use crate::domain::Intake;
use crate::stores::files::FileStore;
use crate::stores::{PutError, StoreError, Version};
use crate::tables::TableError;

/// Units that are made at a time in a process: each takes up to 64 MiB, and a processor of an instance that has one or two.
pub const AT_ONCE: usize = 2;

/// The archive, and the tables that are made of it.
pub struct Insights {
    archive: Arc<dyn FileStore>,
    tables: Arc<dyn FileStore>,
    intake: Intake,
    /// Whether the hour under way is made as well.
    live: bool,
    /// Whether many files of an hour that is long over are put together.
    compacts: bool,
    running: Semaphore,
}

/// Tables could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InsightsError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table could not be written, or what is stored cannot be read.
    #[error("{name}: {error}")]
    Table {
        /// The file.
        name: String,
        /// Why.
        error: TableError,
    },
    /// Others have changed the same files all the time.
    #[error("{0} is being changed by others")]
    Contended(String),
    /// A file of the archive cannot be put together with others.
    #[error("{name}: {error}")]
    Archive {
        /// The file.
        name: String,
        /// Why.
        error: CaptureError,
    },
    /// What was to be written cannot be.
    #[error("what is known of a unit cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}

impl From<InsightsError> for CallError {
    fn from(error: InsightsError) -> Self {
        Self::from_error(error)
    }
}

impl Insights {
    /// `live` says whether the hour under way is made as well, and made anew as it goes on.
    pub fn new(
        archive: Arc<dyn FileStore>,
        tables: Arc<dyn FileStore>,
        intake: Intake,
        live: bool,
    ) -> Self {
        Self {
            archive,
            tables,
            intake,
            live,
            compacts: true,
            running: Semaphore::new(AT_ONCE),
        }
    }

    /// Leaves the files of the archive as they are: for an archive that is only read.
    #[must_use]
    pub fn reading_only(self) -> Self {
        Self {
            compacts: false,
            ..self
        }
    }

    /// Replaces a file of the tables, unless it has these bytes already. `false` where somebody else has replaced it.
    async fn replace(&self, name: &str, body: Vec<u8>, known: &Known) -> Result<bool, StoreError> {
        if known.body.as_deref() == Some(&body) {
            return Ok(true);
        }
        match self
            .tables
            .replace(name, body.into(), known.version.as_ref())
            .await
        {
            Ok(_) => Ok(true),
            Err(PutError::Stale) => Ok(false),
            Err(PutError::Store(error)) => Err(error),
        }
    }

    async fn known(&self, name: &str) -> Result<Known, StoreError> {
        Ok(match self.tables.read(name).await? {
            Some(file) => Known {
                version: Some(file.version),
                body: Some(file.body),
            },
            None => Known::default(),
        })
    }
}

/// A file as it was read; without anything where there was none.
#[derive(Debug, Clone, Default)]
struct Known {
    version: Option<Version>,
    body: Option<Bytes>,
}

/// Runs what takes the processor for long where it keeps no other call waiting.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, InsightsError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| InsightsError::Ending)
}

/// A table's error with the file that it is about.
fn in_file(name: &str) -> impl FnOnce(TableError) -> InsightsError {
    move |error| InsightsError::Table {
        name: name.to_owned(),
        error,
    }
}
