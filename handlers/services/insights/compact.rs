//! Many small files of the archive to few: a partition at the article's load has a file every ten seconds or less, and
//! whoever reads a month of it pays for each.
//!
//! Blocks are taken over as they are; see [`concatenate`](crate::capture::concatenate). In this order, so that it may end
//! anywhere: the manifest says what will be written; that is written, and read back; the manifest says which files go for it;
//! those go; the manifest says what is there now. So events that are there twice for a while are never counted twice.

use bytes::Bytes;
use time::{Duration, UtcDateTime};

use super::manifest::{Compacting, Manifest, NamedVersion, fingerprint};
use super::unit::Made;
use super::{Insights, InsightsError, Known, off_the_runtime};
use crate::capture;
use crate::stores::files::FileEntry;
use crate::stores::{PutError, StoreError, Version};

/// An hour is left as it is for so long after its end: files that come late come by then.
pub const AFTER: Duration = Duration::hours(24);

/// The largest file that is made, in bytes: twice of it are in memory at a time.
const LARGEST: u64 = 24 * 1024 * 1024;

/// Files of a folder that are not worth the requests.
const FEW: usize = 4;

/// What was put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that went.
    pub gone: usize,
    /// Files that came.
    pub made: usize,
}

/// Whether the files of a unit are to be put together: long after its hour, where all of them could be read.
pub(super) fn is_due(manifest: Option<&Manifest>, files: &[FileEntry], now: UtcDateTime) -> bool {
    let is_over =
        |manifest: &Manifest| manifest.complete && manifest.unit.hour.ends() + AFTER <= now;
    manifest.is_some_and(|manifest| is_over(manifest) && !groups(files).is_empty())
}

/// Neighbours that fit into one file, several each.
fn groups(files: &[FileEntry]) -> Vec<&[FileEntry]> {
    if files.len() <= FEW {
        return Vec::new();
    }
    let mut groups = Vec::new();
    let (mut begin, mut size) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        if size + file.size > LARGEST && begin < at {
            groups.push(&files[begin..at]);
            (begin, size) = (at, 0);
        }
        size += file.size;
    }
    groups.push(&files[begin..]);
    // One that holds all of them already, from batches with other boundaries, would have the name of the new one.
    let has_a_name = |group: &[FileEntry]| {
        let name = name_of(group);
        name.is_some_and(|name| group.iter().all(|file| file.name != name))
    };
    groups.retain(|group| group.len() > 1 && has_a_name(group));
    groups
}

/// The name of the file that holds the events of others: from the first one's first to the last number of any.
fn name_of(group: &[FileEntry]) -> Option<String> {
    let first = group.first()?.name.strip_suffix(".avro")?;
    let (begin, _) = first.rsplit_once('-')?;
    let last = |file: &FileEntry| {
        Some(
            file.name
                .strip_suffix(".avro")?
                .rsplit_once('-')?
                .1
                .to_owned(),
        )
    };
    // Padded to the same length.
    let last = group.iter().map(last).max()??;
    Some(format!("{begin}-{last}.avro"))
}

impl Insights {
    /// Puts the files of a unit together that was made from them, if that is due.
    pub(super) async fn compact(
        &self,
        manifest: Manifest,
        known: &Known,
        files: &[FileEntry],
        now: UtcDateTime,
    ) -> Result<Option<Made>, InsightsError> {
        if !self.compacts || !is_due(Some(&manifest), files, now) {
            return Ok(Some(Made::Unchanged));
        }
        let groups = groups(files);
        let into = groups.iter().filter_map(|group| name_of(group)).collect();
        let manifest = Manifest {
            compacting: Some(Compacting {
                into,
                ..Compacting::default()
            }),
            ..manifest
        };
        let Some((manifest, known)) = self.say(manifest, known).await? else {
            return Ok(None);
        };
        let mut compacting = Compacting::default();
        for group in &groups {
            let Some(made) = self.put_together(group).await? else {
                // What was written goes the next time.
                return Ok(None);
            };
            compacting.gone.extend(group.iter().map(NamedVersion::from));
            compacting.into.push(made.name.clone());
            compacting.left.push(made);
        }
        let is_grouped = |file: &&FileEntry| groups.iter().any(|group| group.contains(file));
        let kept = files.iter().filter(|file| !is_grouped(file));
        compacting.left.extend(kept.map(NamedVersion::from));
        compacting.left.sort();
        let done = Compacted {
            gone: compacting.gone.len(),
            made: groups.len(),
        };
        let manifest = Manifest {
            compacting: Some(compacting),
            ..manifest
        };
        let Some((manifest, known)) = self.say(manifest, &known).await? else {
            return Ok(None);
        };
        let done = self
            .finish_compacting(manifest, &known)
            .await?
            .then_some(done);
        Ok(done.map(Made::Compacted))
    }

    /// Replaces the manifest; `None` where somebody else has.
    async fn say(
        &self,
        manifest: Manifest,
        known: &Known,
    ) -> Result<Option<(Manifest, Known)>, InsightsError> {
        let body = Bytes::from(serde_json::to_vec(&manifest)?);
        let name = manifest.unit.manifest();
        match self
            .tables
            .replace(&name, body.clone(), known.version.as_ref())
            .await
        {
            Ok(version) => {
                let known = Known {
                    version: Some(version),
                    body: Some(body),
                };
                Ok(Some((manifest, known)))
            }
            Err(PutError::Stale) => Ok(None),
            Err(PutError::Store(error)) => Err(error.into()),
        }
    }

    /// Writes one file that holds several, and reads it back. `None` where one of them is another by now.
    async fn put_together(
        &self,
        group: &[FileEntry],
    ) -> Result<Option<NamedVersion>, InsightsError> {
        let Some(into) = name_of(group) else {
            return Ok(None);
        };
        let mut bodies = Vec::with_capacity(group.len());
        for file in group {
            match self.archive.read(&file.name).await? {
                Some(read) if read.version == file.version => bodies.push(read.body),
                _ => return Ok(None),
            }
        }
        let joined =
            off_the_runtime(move || capture::concatenate(bodies.iter().map(Bytes::as_ref))).await?;
        let (body, _) = joined.map_err(|error| InsightsError::Archive {
            name: into.clone(),
            error,
        })?;
        let body = Bytes::from(body);
        // Of an attempt that ended after it.
        let there = self.archive.read(&into).await?.map(|file| file.version);
        let version = match self
            .archive
            .replace(&into, body.clone(), there.as_ref())
            .await
        {
            Ok(version) => version,
            Err(PutError::Stale) => return Ok(None),
            Err(PutError::Store(error)) => return Err(error.into()),
        };
        let stored = self.archive.read(&into).await?;
        if stored.is_none_or(|stored| stored.body != body) {
            return Err(InsightsError::Store(StoreError {
                operation: "compact the archive",
                message: format!("{into} is not what was written"),
                transient: true,
            }));
        }
        Ok(Some(NamedVersion {
            name: into,
            version: version.0.to_string(),
        }))
    }

    /// Ends what a manifest says is being put together. `false` where somebody else is at it.
    pub(super) async fn finish_compacting(
        &self,
        mut manifest: Manifest,
        known: &Known,
    ) -> Result<bool, InsightsError> {
        let Some(Compacting { into, gone, left }) = manifest.compacting.take() else {
            return Ok(true);
        };
        let files = self.archive.list(&manifest.unit.folder()).await?;
        let there: Vec<_> = files.iter().map(NamedVersion::from).collect();
        let is_whole = !left.is_empty() && left.iter().all(|file| there.contains(file));
        let goes = |file: &&NamedVersion| match is_whole {
            true => gone.contains(file),
            // Nothing has gone for them.
            false => left.is_empty() && into.contains(&file.name),
        };
        for file in there.iter().filter(goes) {
            let version = Version(file.version.as_str().into());
            match self.archive.delete(&file.name, &version).await {
                // Gone already, or another file by now, which is looked at as any other.
                Ok(()) | Err(PutError::Stale) => {}
                Err(PutError::Store(error)) => return Err(error.into()),
            }
        }
        if is_whole {
            manifest.files = left.len() as u64;
            let left = left
                .iter()
                .map(|file| (file.name.as_str(), file.version.as_str()));
            manifest.fingerprint = fingerprint(left);
        }
        Ok(self.say(manifest, known).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(minute: u64, first: u64, last: u64, size: u64) -> FileEntry {
        FileEntry {
            name: format!(
                "telemetry/3/2026/11/29/14/{minute:02}00.000-{first:020}-{last:020}.avro"
            ),
            version: Version(format!("{minute}-{first}").into()),
            size,
        }
    }

    #[test]
    fn neighbours_that_fit_are_put_together() {
        let of = |sizes: &[u64]| -> Vec<usize> {
            let files: Vec<_> = (0..)
                .zip(sizes)
                .map(|(at, size)| file(at, at, at, *size))
                .collect();
            groups(&files).iter().map(|group| group.len()).collect()
        };
        assert!(of(&[]).is_empty() && of(&[1; 4]).is_empty());
        assert_eq!(of(&[1; 5]), [5]);
        assert_eq!(of(&[LARGEST / 2; 5]), [2, 2]);
        assert_eq!(of(&[LARGEST, 1, 1, LARGEST * 2, 1]), [2]);
        let mut group = vec![file(0, 1, 50, 1), file(0, 1, 100, 1), file(1, 51, 99, 1)];
        assert_eq!(name_of(&group), Some(file(0, 1, 100, 1).name));
        group.extend([file(2, 60, 80, 1), file(3, 81, 90, 1)]);
        assert!(groups(&group).is_empty());
        group[1] = file(0, 1, 51, 1);
        assert_eq!(groups(&group).len(), 1);
    }
}
