//! The tables in a folder.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::Path;

use drone_delivery::stores::FileStore;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::summarize::directory::Directory;

/// The tables that there is something to ask of; the others are of the app's own.
const TABLES: [&str; 6] = [
    "deliveries",
    "drone_hours",
    "fleet_hours",
    "flight",
    "operating",
    "rejects",
];

/// The versions of what was copied, by name.
const COPIED: &str = "_copied.json";

/// Files that are asked for at a time.
const AT_ONCE: usize = 4;

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    files: usize,
    bytes: usize,
    unchanged: usize,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6;
        let Self {
            files, unchanged, ..
        } = self;
        write!(
            f,
            "{files} files copied ({megabytes:.1} MB), {unchanged} unchanged,"
        )
    }
}

/// Copies what is not in the folder in this version yet.
pub(super) async fn copy(tables: &dyn FileStore, folder: &Path) -> Result<Copied, Box<dyn Error>> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let directory = Directory::create(folder).map_err(failed)?;
    let known = directory.read(COPIED).await?;
    let mut versions: HashMap<String, String> = known
        .as_ref()
        .and_then(|file| serde_json::from_slice(&file.body).ok())
        .unwrap_or_default();
    let mut copied = Copied::default();
    let mut wanted = Vec::new();
    for table in TABLES {
        let there = directory.list(&format!("{table}/")).await?;
        let there: HashMap<_, _> = there
            .into_iter()
            .map(|file| (file.name, file.version))
            .collect();
        for file in tables.list(&format!("{table}/")).await? {
            let here = there.get(&file.name).cloned();
            match here.is_some()
                && versions
                    .get(&file.name)
                    .is_some_and(|known| **known == *file.version.0)
            {
                true => copied.unchanged += 1,
                false => wanted.push((file.name, here)),
            }
        }
    }
    let read = wanted.into_iter().map(|(name, here)| async move {
        let file = tables.read(&name).await?;
        Ok::<_, Box<dyn Error>>((name, here, file))
    });
    // Collected, because the compiler cannot see through an iterator of borrowing futures.
    let reads: Vec<_> = read.collect();
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some((name, here, file)) = reads.try_next().await? {
        if let Some(file) = file {
            copied.files += 1;
            copied.bytes += file.body.len();
            directory.replace(&name, file.body, here.as_ref()).await?;
            versions.insert(name, file.version.0.into());
        }
    }
    let body = serde_json::to_vec(&versions)?;
    let version = known.map(|file| file.version);
    directory
        .replace(COPIED, body.into(), version.as_ref())
        .await?;
    Ok(copied)
}
