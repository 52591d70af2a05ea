//! What is known of a unit that was made: from which files, and how whole they were.

use serde::{Deserialize, Serialize};

use super::unit::Unit;
use crate::domain::insights::quality::Quality;
use crate::stores::files::FileEntry;

/// What the tables look like. One that is made by an older build is made again.
pub const SCHEMA: u32 = 1;

/// A unit that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`SCHEMA`] of the build that made it.
    pub schema: u32,
    /// Which unit.
    #[serde(flatten)]
    pub unit: Unit,
    /// [`fingerprint`] of the files that it was made from.
    pub fingerprint: String,
    /// Whether nothing more can come.
    pub sealed: bool,
    /// Whether it is sealed, and every file could be read.
    pub complete: bool,
    /// How many files there were.
    pub files: u64,
    /// Those that could not be read.
    pub skipped: Vec<Skipped>,
    /// Rows of `flight`.
    pub flight_rows: u64,
    /// Rows of `operating`.
    pub operating_rows: u64,
    /// How whole its events are.
    pub quality: Quality,
    /// What is being put together, from before the first file is written until the last has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compacting: Option<Compacting>,
}

/// Files of the archive that are being put together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacting {
    /// Those that are written, each with the events of several others.
    pub into: Vec<String>,
    /// Those others, which go; none before all that are written have been read back.
    pub gone: Vec<NamedVersion>,
    /// Those that are there then; none before all that are written have been read back.
    pub left: Vec<NamedVersion>,
}

/// A file at a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedVersion {
    /// Its name in the archive.
    pub name: String,
    /// Its version there.
    pub version: String,
}

impl From<&FileEntry> for NamedVersion {
    fn from(file: &FileEntry) -> Self {
        Self {
            name: file.name.clone(),
            version: file.version.0.to_string(),
        }
    }
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name in the archive.
    pub name: String,
    /// Why, in the words of [`CaptureError`](crate::capture::CaptureError).
    pub reason: String,
}

impl Manifest {
    /// Whether a unit has to be made that has these files now.
    pub fn is_current(&self, fingerprint: &str, sealed: bool) -> bool {
        self.schema == SCHEMA && self.fingerprint == fingerprint && self.sealed == sealed
    }

    /// Reads one; `None` for what is none, which is made again.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// Names and versions of files as 16 hexadecimal digits: FNV-1a, which is the same in every build.
pub fn fingerprint<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        // No name and no version has a zero byte.
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    for (name, version) in files {
        add(name.as_bytes());
        add(version.as_bytes());
    }
    format!("{hash:016x}")
}

/// The [`fingerprint`] of files in a list.
pub fn fingerprint_of(files: &[FileEntry]) -> String {
    fingerprint(
        files
            .iter()
            .map(|file| (file.name.as_str(), &*file.version.0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_changes_with_names_and_versions_and_with_nothing_else() {
        // A value that must never change: units would all be made again.
        assert_eq!(fingerprint([]), "cbf29ce484222325");
        let of = |name, version| fingerprint([(name, version), ("c", "3")]);
        assert_ne!(of("a", "1"), of("b", "1"));
        assert_ne!(of("a", "1"), of("a", "2"));
        assert_ne!(fingerprint([("ab", "c")]), fingerprint([("a", "bc")]));
    }
}
