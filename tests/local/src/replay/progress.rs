//! How far the replay of an archive has come, in a file: an interrupted one goes on from there, and one that has
//! ended is not begun again by mistake.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use drone_delivery::domain::timestamp::{Rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use super::{Connections, ReplayError, ReplayOptions};

/// Where the files are, in the repository.
const FOLDER: &str = "target/replay";

/// What is replayed. Another choice is another replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Choice {
    system: String,
    from: String,
    to: String,
    device: Option<String>,
    partitions: Vec<u16>,
}

/// The last event of a partition that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    pub(super) sequence_number: i64,
    #[serde(with = "rfc3339")]
    pub(super) enqueued_at: UtcDateTime,
}

impl Mark {
    /// Whether an event comes no later than this one. A hub that was made anew counts from 0 again, later.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.sequence_number <= self.sequence_number && other.enqueued_at <= self.enqueued_at
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Noted {
    replay: Choice,
    ended: bool,
    partitions: BTreeMap<u16, Mark>,
}

/// The file, and what it says.
pub(super) struct Progress {
    path: PathBuf,
    noted: Noted,
}

impl Progress {
    /// What is noted of this very replay, or a new beginning.
    pub(super) fn open(
        options: &ReplayOptions,
        (from, to): (UtcDateTime, UtcDateTime),
        connections: &Connections,
        repository: &Path,
    ) -> Result<Self, ReplayError> {
        let replay = Choice {
            system: connections.system.clone(),
            from: Rfc3339(from).to_string(),
            to: Rfc3339(to).to_string(),
            device: options.device.as_ref().map(ToString::to_string),
            partitions: options.partitions.clone(),
        };
        let path = match &options.progress {
            Some(path) => path.clone(),
            None => repository.join(FOLDER).join(replay.file_name()),
        };
        let unusable = |why: &str| {
            let path = path.display();
            ReplayError::Progress(format!(
                "{path} {why}: name another file with --progress, or begin anew with --again"
            ))
        };
        let known = match fs::read(&path) {
            _ if options.again => None,
            Ok(text) => Some(
                serde_json::from_slice::<Noted>(&text)
                    .map_err(|_| unusable("does not hold a replay's progress"))?,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&format!("cannot be read ({error})"))),
        };
        let noted = match known {
            Some(noted) if noted.replay != replay => {
                return Err(unusable("is of another replay"));
            }
            Some(noted) => noted,
            None => Noted {
                replay,
                ended: false,
                partitions: BTreeMap::new(),
            },
        };
        Ok(Self { path, noted })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn has_ended(&self) -> bool {
        self.noted.ended
    }

    pub(super) fn mark(&self, partition: u16) -> Option<Mark> {
        self.noted.partitions.get(&partition).copied()
    }

    /// Notes that everything of a partition is done up to this event.
    pub(super) fn advance(&mut self, partition: u16, mark: Mark) -> Result<(), ReplayError> {
        self.noted.partitions.insert(partition, mark);
        self.write()
    }

    pub(super) fn end(&mut self) -> Result<(), ReplayError> {
        self.noted.ended = true;
        self.write()
    }

    /// Whole or not at all: another file takes its place.
    fn write(&self) -> Result<(), ReplayError> {
        let write = || {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let fresh = self.path.with_extension("new");
            fs::write(&fresh, serde_json::to_vec_pretty(&self.noted)?)?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(|error: io::Error| {
            let path = self.path.display();
            ReplayError::Progress(format!("cannot write the progress to {path}: {error}"))
        })
    }
}

impl Choice {
    fn file_name(&self) -> String {
        // Texts and numbers always become JSON.
        let hash = Sha256::digest(serde_json::to_vec(self).unwrap_or_default());
        let hex: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("archive-{hex}.json")
    }
}
