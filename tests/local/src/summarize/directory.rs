//! [`FileStore`] in a directory: an archive that was copied here, and tables for whatever reads files.
//!
//! A file's version is its size and the time of its last change. Two files that are written one right after the other have
//! different times, also where the system's clock stands still between them: each is given a later time than any before. The
//! lock file has the last one that was given, so that it holds over processes too.

use std::fs::{self, File, FileTimes};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use drone_delivery::stores::files::{FileEntry, FileStore, StoredFile};
use drone_delivery::stores::{PutError, StoreError, Version};

/// Held while a file is replaced. No name of a table begins with a dot, and no list has one that does.
const LOCK: &str = ".lock";

/// What is written before it takes its name.
const UNFINISHED: &str = ".unfinished";

/// The least by which every file system that is in use can tell times apart; those with whole seconds are not.
const TICK: Duration = Duration::from_micros(1);

/// A directory.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

/// Somebody else was faster, or the disk failed.
enum NotPut {
    Stale,
    Failed(io::Error),
}

impl From<io::Error> for NotPut {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Directory {
    /// One that is there.
    ///
    /// # Errors
    /// Where it is not, or is none.
    pub fn open(root: &Path) -> io::Result<Self> {
        match fs::metadata(root)?.is_dir() {
            true => Ok(Self {
                root: std::path::absolute(root)?,
            }),
            false => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// One that is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Self::open(root)
    }

    /// Names lead nowhere else.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let relative = Path::new(name);
        let mut parts = relative.components();
        let is_plain = parts.all(|part| matches!(part, Component::Normal(_)));
        let is_hidden = name.split('/').any(|part| part.starts_with('.'));
        match is_plain && !is_hidden && !name.is_empty() {
            true => Ok(self.root.join(relative)),
            false => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "is no name of a file in a directory",
            )),
        }
    }

    fn list_files(&self, prefix: &str) -> io::Result<Vec<FileEntry>> {
        let mut found = Vec::new();
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            self.visit(&folder, prefix, &mut |name, is_folder, metadata| {
                if is_folder {
                    folders.push(name);
                } else {
                    found.push(FileEntry {
                        version: version(metadata)?,
                        size: metadata.len(),
                        name,
                    });
                }
                Ok(true)
            })?;
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn has_any(&self, prefix: &str) -> io::Result<bool> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut folders = vec![folder.to_owned()];
        let mut any = false;
        while let Some(folder) = folders.pop()
            && !any
        {
            self.visit(&folder, prefix, &mut |name, is_folder, _| {
                match is_folder {
                    true => folders.push(name),
                    false => any = true,
                }
                Ok(!any)
            })?;
        }
        Ok(any)
    }

    /// What a folder has that can lead to a name with this prefix, until somebody has seen enough.
    fn visit(
        &self,
        folder: &str,
        prefix: &str,
        see: &mut dyn FnMut(String, bool, &fs::Metadata) -> io::Result<bool>,
    ) -> io::Result<()> {
        let path = match folder {
            "" => self.root.clone(),
            _ => self.path(folder)?,
        };
        let entries = match fs::read_dir(path) {
            Err(error) if is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // Every name of the archive and the tables is a text.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let metadata = match fs::metadata(entry.path()) {
                Err(error) if is_absent(&error) => continue,
                metadata => metadata?,
            };
            let name = match folder {
                "" => name,
                _ => format!("{folder}/{name}"),
            };
            let leads_there = match metadata.is_dir() {
                true => format!("{name}/").starts_with(prefix) || prefix.starts_with(&name),
                false => name.starts_with(prefix),
            };
            if leads_there && !see(name, metadata.is_dir(), &metadata)? {
                break;
            }
        }
        Ok(())
    }

    fn read_file(&self, name: &str) -> io::Result<Option<StoredFile>> {
        let path = self.path(name)?;
        // Whoever writes into a file while it is read, rather than replace it, is waited for.
        loop {
            let mut file = match File::open(&path) {
                Err(error) if is_absent(&error) => return Ok(None),
                file => file?,
            };
            let before = file.metadata()?;
            if before.is_dir() {
                return Ok(None);
            }
            let mut body = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
            file.read_to_end(&mut body)?;
            let version = version(&before)?;
            if version == self::version(&file.metadata()?)? && body.len() as u64 == before.len() {
                return Ok(Some(StoredFile {
                    body: body.into(),
                    version,
                }));
            }
        }
    }

    fn replace_file(
        &self,
        name: &str,
        body: &[u8],
        expected: Option<&Version>,
    ) -> Result<Version, NotPut> {
        let path = self.path(name)?;
        let lock = self.lock()?;
        if self.current(&path)?.as_ref() != expected {
            return Err(NotPut::Stale);
        }
        let last = lock.metadata()?.modified()?;
        let at = SystemTime::now().max(last + TICK);
        lock.set_times(FileTimes::new().set_modified(at))?;
        let unfinished = self.root.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(body)?;
        file.set_times(FileTimes::new().set_modified(at))?;
        let version = version(&file.metadata()?)?;
        drop(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(&unfinished, &path)?;
        Ok(version)
    }

    fn delete_file(&self, name: &str, expected: &Version) -> Result<(), NotPut> {
        let path = self.path(name)?;
        let _lock = self.lock()?;
        if self.current(&path)?.as_ref() != Some(expected) {
            return Err(NotPut::Stale);
        }
        Ok(fs::remove_file(path)?)
    }

    fn current(&self, path: &Path) -> io::Result<Option<Version>> {
        match fs::metadata(path) {
            Ok(metadata) => version(&metadata).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes with the file, in whatever way its holder ends.
    fn lock(&self) -> io::Result<File> {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Does what takes the disk where it keeps nobody waiting.
    async fn off_the_runtime<T: Send + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl FnOnce(&Self, &str) -> Result<T, NotPut> + Send + 'static,
    ) -> Result<T, PutError> {
        let (directory, file) = (self.clone(), name.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&directory, &file)).await;
        let failed = |message: String| StoreError {
            operation,
            message: format!("{}: {message}", self.root.join(name).display()),
            transient: false,
        };
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(NotPut::Stale)) => Err(PutError::Stale),
            Ok(Err(NotPut::Failed(error))) => Err(failed(error.to_string()).into()),
            Err(error) => Err(failed(error.to_string()).into()),
        }
    }
}

/// What only reads is never too late.
fn read_only<T>(done: Result<T, PutError>, operation: &'static str) -> Result<T, StoreError> {
    done.map_err(|error| match error {
        PutError::Store(error) => error,
        PutError::Stale => StoreError {
            operation,
            message: "the file has changed".to_owned(),
            transient: true,
        },
    })
}

#[async_trait]
impl FileStore for Directory {
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError> {
        const OPERATION: &str = "list files";
        let listed = self.off_the_runtime(OPERATION, prefix, |directory, prefix| {
            Ok(directory.list_files(prefix)?)
        });
        read_only(listed.await, OPERATION)
    }

    async fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        const OPERATION: &str = "look for files";
        let any = self.off_the_runtime(OPERATION, prefix, |directory, prefix| {
            Ok(directory.has_any(prefix)?)
        });
        read_only(any.await, OPERATION)
    }

    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError> {
        const OPERATION: &str = "read file";
        let read = self.off_the_runtime(OPERATION, name, |directory, name| {
            Ok(directory.read_file(name)?)
        });
        read_only(read.await, OPERATION)
    }

    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        let expected = expected.cloned();
        self.off_the_runtime("replace file", name, move |directory, name| {
            directory.replace_file(name, &body, expected.as_ref())
        })
        .await
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), PutError> {
        let expected = expected.clone();
        self.off_the_runtime("delete file", name, move |directory, name| {
            directory.delete_file(name, &expected)
        })
        .await
    }
}

fn version(metadata: &fs::Metadata) -> io::Result<Version> {
    let changed = metadata
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let text = format!("{:x}-{:x}", metadata.len(), changed.as_nanos());
    Ok(Version(text.into()))
}

/// A name below a file leads to nothing either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        (folder, directory)
    }

    #[tokio::test]
    async fn equal_files_that_follow_each_other_have_versions_of_their_own() {
        let (_folder, directory) = directory();
        let body = Bytes::from_static(b"the same");
        let mut seen = Vec::new();
        for _ in 0..200 {
            let last = seen.last();
            let version = directory.replace("a/b", body.clone(), last).await.unwrap();
            assert!(!seen.contains(&version));
            seen.push(version);
        }
        // Also over one that goes and comes again, and over another process, which shares nothing but the directory.
        directory.delete("a/b", seen.last().unwrap()).await.unwrap();
        let other = Directory::open(&directory.root).unwrap();
        let version = other.replace("a/b", body, None).await.unwrap();
        assert!(!seen.contains(&version));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_writers_one_wins_each_time() {
        let (_folder, directory) = directory();
        let mut last = None;
        for round in 0..20_u8 {
            let writers = (0..8_u8).map(|writer| {
                let (directory, last) = (directory.clone(), last.clone());
                tokio::spawn(async move {
                    let body = Bytes::copy_from_slice(&[round, writer]);
                    directory.replace("fleet.json", body, last.as_ref()).await
                })
            });
            let mut won = Vec::new();
            for writer in writers.collect::<Vec<_>>() {
                match writer.await.unwrap() {
                    Ok(version) => won.push(version),
                    Err(error) => assert!(matches!(error, PutError::Stale), "{error}"),
                }
            }
            assert_eq!(won.len(), 1);
            last = won.pop();
        }
    }

    #[tokio::test]
    async fn lists_are_by_any_prefix_and_have_nothing_of_our_own() {
        let (folder, directory) = directory();
        for name in ["t/1/a.avro", "t/10/b.avro", "t/1/c/d.avro", "tt/e.avro"] {
            let body = Bytes::from_static(b"1");
            directory.replace(name, body, None).await.unwrap();
        }
        fs::write(folder.path().join(UNFINISHED), "half").unwrap();
        let names = async |prefix: &str| {
            let files = directory.list(prefix).await.unwrap();
            assert_eq!(directory.any(prefix).await.unwrap(), !files.is_empty());
            let names = files.into_iter().map(|file| file.name);
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("t/1/").await, "t/1/a.avro t/1/c/d.avro");
        assert_eq!(names("t/1").await, "t/1/a.avro t/1/c/d.avro t/10/b.avro");
        assert_eq!(names("t/1/c/d").await, "t/1/c/d.avro");
        assert_eq!(names("tt").await, "tt/e.avro");
        assert_eq!(names("t/1/a.avro/").await, "");
        assert_eq!(names("u/").await, "");
        assert_eq!(names("").await.split(' ').count(), 4);
    }

    #[tokio::test]
    async fn names_lead_to_nothing_outside() {
        let (_folder, directory) = directory();
        for name in ["", "../a", "/etc/passwd", "a/../../b", ".lock", "a/.b"] {
            assert!(directory.read(name).await.is_err(), "{name}");
            let body = Bytes::new();
            assert!(directory.replace(name, body, None).await.is_err(), "{name}");
        }
    }
}
