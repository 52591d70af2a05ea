//! The tables against a fresh summary of the same archive: whatever was killed and whatever failed while they were made, they have
//! to be the same bytes.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use drone_delivery::capture;
use drone_delivery::domain::insights::hour::Hour;
use drone_delivery::domain::{Intake, TICK_BODY};
use drone_delivery::services::insights::manifest::Manifest;
use drone_delivery::stores::{FileStore, StoreError};
use drone_delivery::tables;
use serde_json::Value;
use time::UtcDateTime;

use super::{archive_of, let_functions_finish, tables_of};
use crate::replay::Stop;
use crate::summarize::directory::Directory;
use crate::summarize::{Place, View, summarize};
use crate::system::{HUB, System};

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    /// Files that a fresh summary has.
    pub files: u64,
    /// Events of the archive with their repeats, without ticks.
    pub records: u64,
    /// What is not as it has to be: of which kind, and an example. Empty is good.
    pub differences: Vec<(&'static str, String)>,
}

impl Compared {
    fn differ(&mut self, what: &'static str, example: impl Into<String>) {
        self.differences.push((what, example.into()));
    }
}

/// What the archive holds, and what the units say of it.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Without ticks.
    records: u64,
    rows: u64,
    rejects: u64,
    repeats: u64,
}

/// Lets the functions finish, and compares what they have made since then. `intake` is the app's.
///
/// # Errors
/// Where something cannot be read, or the functions do not finish.
pub async fn compare(
    system: &System,
    since: UtcDateTime,
    intake: Intake,
    patience: Duration,
) -> Result<Compared, Box<dyn Error>> {
    let_functions_finish(system, patience).await?;
    let now = UtcDateTime::now();
    let archive = Arc::new(archive_of(&system.storage)?);
    let tables = tables_of(&system.storage)?;
    let folder = tempfile::tempdir()?;
    let fresh = Arc::new(Directory::open(folder.path())?);
    let hours = (Hour::of(since), Hour::of(now));
    let place = Place::copy(
        Arc::clone(&archive) as _,
        Arc::clone(&fresh) as _,
        HUB,
        hours,
    );
    let (stop, mut view) = (Stop::default(), View::silent());
    let made = summarize(&place, intake, now, 1, &stop, &mut view).await?;
    let mut compared = Compared::default();
    if made.failed + made.failed_days > 0 {
        compared.differ(
            "times the archive cannot be summarised",
            format!("{made:?}"),
        );
    }
    let (expected, found) = (files(&*fresh).await?, files(&tables).await?);
    compared.files = expected.len() as u64;
    for (name, body) in &expected {
        match found.get(name) {
            None if is_of_later(name, now) => {}
            None => compared.differ("insights' files are missing", name),
            Some(found) if is_same(name, body, found) => {}
            Some(_) => compared.differ("insights' files are not what a fresh summary gives", name),
        }
    }
    for (name, body) in &found {
        if !expected.contains_key(name) && !has_no_rows(name, body) {
            compared.differ("insights' files are of what was never archived", name);
        }
    }
    let Counts {
        records,
        rows,
        rejects,
        repeats,
    } = count(&*archive, &found).await?;
    compared.records = records;
    if records != rows + rejects + repeats {
        compared.differ(
            "times the insights do not add up",
            format!("{records} records are {rows} rows, {rejects} rejects and {repeats} repeats"),
        );
    }
    Ok(compared)
}

async fn files(store: &dyn FileStore) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let mut all = BTreeMap::new();
    for entry in store.list("").await? {
        if let Some(file) = store.read(&entry.name).await? {
            all.insert(entry.name, file.body.to_vec());
        }
    }
    Ok(all)
}

/// A manifest names the versions of files, which are others in a directory; everything else is the same bytes.
fn is_same(name: &str, one: &[u8], other: &[u8]) -> bool {
    let manifest = |body: &[u8]| {
        let mut manifest: Value = serde_json::from_slice(body).ok()?;
        manifest.as_object_mut()?.remove("fingerprint");
        Some(manifest)
    };
    match name.starts_with("_units/") {
        true => manifest(one).is_some() && manifest(one) == manifest(other),
        false => one == other,
    }
}

/// A day that has not begun, of a drone whose clock is fast: the functions make it once it has.
fn is_of_later(name: &str, now: UtcDateTime) -> bool {
    let day = name.strip_prefix("fleet_hours/date=");
    day.is_some_and(|day| day.get(..10) > Some(&now.date().to_string()))
}

/// What had rows once is written without any, never removed.
fn has_no_rows(name: &str, body: &[u8]) -> bool {
    let body = body.to_vec().into();
    match name.split('/').next() {
        Some("deliveries") => tables::deliveries::read(body).is_ok_and(|rows| rows.is_empty()),
        Some("drone_hours") => {
            let mut rows = 0;
            tables::drone_hours::read(body, |_| rows += 1).is_ok() && rows == 0
        }
        _ => false,
    }
}

async fn count(
    archive: &dyn FileStore,
    tables: &BTreeMap<String, Vec<u8>>,
) -> Result<Counts, Box<dyn Error>> {
    let mut counts = Counts::default();
    for file in archive.list("").await? {
        let Some(file) = archive.read(&file.name).await? else {
            continue;
        };
        // One that is damaged is in no table either.
        let events = capture::decode(&file.body).unwrap_or_default();
        let is_tick = |event: &&capture::ArchivedEvent| {
            event.authenticated_device.is_none() && event.body == TICK_BODY
        };
        counts.records += events.iter().filter(|event| !is_tick(event)).count() as u64;
    }
    for (name, body) in tables
        .iter()
        .filter(|(name, _)| name.starts_with("_units/"))
    {
        let manifest = Manifest::parse(body).ok_or_else(|| format!("{name} is no manifest"))?;
        counts.rows += manifest.flight_rows + manifest.operating_rows;
        counts.rejects += manifest.quality.rejects.values().sum::<u64>();
        counts.repeats += manifest.quality.repeats;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn what_may_differ_is_the_versions_and_nothing_else() {
        let manifest = |fingerprint: &str, rows: u32| {
            format!(r#"{{"fingerprint":"{fingerprint}","flightRows":{rows}}}"#).into_bytes()
        };
        let same = |name, one: &[u8], other: &[u8]| is_same(name, one, other);
        assert!(same("_units/a", &manifest("1", 2), &manifest("3", 2)));
        assert!(!same("_units/a", &manifest("1", 2), &manifest("1", 3)));
        assert!(!same("_units/a", b"", b""), "none at all");
        assert!(!same("flight/a", &manifest("1", 2), &manifest("3", 2)));
        assert!(same("flight/a", b"1", b"1"));
    }

    #[test]
    fn only_days_to_come_may_be_missing() {
        let now = utc_datetime!(2026-11-29 23:59);
        assert!(is_of_later("fleet_hours/date=2026-11-30/fleet.json", now));
        assert!(!is_of_later("fleet_hours/date=2026-11-29/fleet.json", now));
        assert!(!is_of_later(
            "deliveries/date=2026-11-30/telemetry-1.parquet",
            now
        ));
    }
}
