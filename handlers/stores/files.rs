//! Files that are listed, read, and replaced by whoever knows their version: the tables of the insights.

use async_trait::async_trait;
use bytes::Bytes;

use super::{PutError, StoreError, Version};

/// What a list says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its whole name: `fleet_hours/date=2026-11-29/fleet.json`.
    pub name: String,
    /// Its version in the store.
    pub version: Version,
    /// Its bytes.
    pub size: u64,
}

/// A file, with the version to name when replacing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its bytes.
    pub body: Bytes,
    /// Its version in the store.
    pub version: Version,
}

/// A container of files that are listed, read, and replaced under their version.
///
/// Contract, held by one test suite for every implementation:
/// - a file that was replaced is what [`read`](Self::read) returns, byte for byte, and its version is the same in a list,
///   when it is read, and as [`replace`](Self::replace) returned it;
/// - two writers that read the same version cannot both replace or delete: the second gets [`PutError::Stale`]. So does
///   one that names a version of a file that is gone;
/// - after [`PutError::Store`] the file may or may not have been replaced: read it again.
#[async_trait]
pub trait FileStore: Send + Sync + 'static {
    /// Lists the files whose name begins with `prefix`, sorted by name. None where there are none.
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError>;

    /// Whether there is a file whose name begins with `prefix`. Cheaper than a list of many.
    async fn any(&self, prefix: &str) -> Result<bool, StoreError>;

    /// Reads a file; `None` where there is none of this name.
    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError>;

    /// Replaces a file if the stored one is still at `expected`; `None` means that there must be none.
    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError>;

    /// Deletes a file if it is still at `expected`.
    async fn delete(&self, name: &str, expected: &Version) -> Result<(), PutError>;
}
