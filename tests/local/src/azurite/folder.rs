//! Where Azurite keeps its files: a folder that goes with it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

const PREFIX: &str = "azurite-files-";

/// What the name of a folder's lock has more than the folder's.
const LOCK: &str = "lock";

/// A folder that is removed when it is dropped. One whose owner was killed is removed by the next owner of
/// another: the system has released its lock.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: NamedTempFile,
}

impl Folder {
    /// Makes a folder in `parent`, which must be there, and removes what was left there.
    pub(super) fn create_in(parent: &Path) -> io::Result<Self> {
        remove_abandoned(parent)?;
        // The lock comes first: a folder that has none is never taken for one that was left.
        let lock = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(&format!(".{LOCK}"))
            .tempfile_in(parent)?;
        // Where the file system knows no locks, nothing that was left is removed either.
        _ = lock.as_file().lock();
        let path = lock.path().with_extension("");
        fs::create_dir(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is in nobody's way.
        _ = fs::remove_dir_all(&self.path);
    }
}

/// What cannot be removed, because it is in use or somebody else removes it, is left alone.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let lock = entry?.path();
        let ours = lock
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        if !ours || lock.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let Ok(file) = File::open(&lock) else {
            continue;
        };
        if file.try_lock().is_ok() {
            _ = fs::remove_dir_all(lock.with_extension(""));
            _ = fs::remove_file(&lock);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(parent: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(parent).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_folder_goes_with_its_owner_and_at_the_latest_with_the_next() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("azurite-files-killed")).unwrap();
        fs::write(parent.path().join("azurite-files-killed/blob"), "x").unwrap();
        fs::write(parent.path().join("azurite-files-killed.lock"), "").unwrap();
        fs::write(parent.path().join("azurite.lock"), "").unwrap();
        let one = Folder::create_in(parent.path()).unwrap();
        fs::write(one.path().join("blob"), "x").unwrap();
        assert_eq!(names(parent.path()).len(), 3, "its own and a stranger's");
        let other = Folder::create_in(parent.path()).unwrap();
        assert!(one.path().join("blob").is_file(), "it is in use");
        drop((one, other));
        assert_eq!(names(parent.path()), [parent.path().join("azurite.lock")]);
    }
}
