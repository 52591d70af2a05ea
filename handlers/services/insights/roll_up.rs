//! The figures of days, from the facts of all partitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use time::UtcDateTime;
use tracing::warn;

use super::manifest::{Manifest, fingerprint_of};
use super::plan::is_over;
use super::unit::Unit;
use super::{Insights, InsightsError, in_file};
use crate::domain::insights::figures::{DayTally, FleetDay};
use crate::domain::insights::hour::{Day, Hour};
use crate::stores::Version;
use crate::stores::files::FileEntry;
use crate::tables::{cells, deliveries, drone_hours, fleet_hours};

/// A delivery that ends on a day can be told of on an earlier one, or, where readings come late, on a later one.
const DAYS_BEFORE: i64 = 4;
const DAYS_AFTER: i64 = 4;

/// What this process remembers, so that it reads only what has changed. Another one reads all of it once.
#[derive(Debug, Default)]
pub struct Memory {
    /// What the days' figures were made from.
    days: Mutex<HashMap<Day, String>>,
    /// Files of deliveries, and the days that theirs begin and end on.
    files: Mutex<HashMap<String, (Version, Days)>>,
}

/// From the first to the last day; `None` where there are none.
type Days = Option<(Day, Day)>;

/// What was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RolledUp {
    /// Days that were made anew.
    pub days: Vec<Day>,
}

impl Insights {
    /// Makes the figures of a day, if anything that they are made from has changed. `partitions` are those of the hub.
    ///
    /// # Errors
    /// Where a store fails, or a table cannot be read.
    pub async fn roll_up(
        &self,
        memory: &Memory,
        hub: &str,
        partitions: &[String],
        day: Day,
        as_of: UtcDateTime,
        now: UtcDateTime,
    ) -> Result<Option<FleetDay>, InsightsError> {
        let sources = self.day_sources(hub, partitions, day).await?;
        let made_from = format!(
            "{} {as_of:?} {}",
            sources.fingerprint(),
            is_over(last_hour(day), now)
        );
        if lock(&memory.days).get(&day) == Some(&made_from) {
            return Ok(None);
        }
        if sources.is_empty() {
            return Ok(None);
        }
        let names =
            ["fleet.json", "fleet.parquet"].map(|file| format!("fleet_hours/date={day}/{file}"));
        let known = [self.known(&names[0]).await?, self.known(&names[1]).await?];
        let figures = self.tally(memory, &sources, day, as_of, now).await?;
        let parquet = fleet_hours::write(&figures).map_err(in_file(&names[1]))?;
        let bodies = [serde_json::to_vec(&figures)?, parquet];
        for ((name, known), body) in names.iter().zip(&known).zip(bodies) {
            if !self.replace(name, body, known).await? {
                // Whoever it was had the same facts or newer ones. The next look compares.
                return Ok(None);
            }
        }
        lock(&memory.days).insert(day, made_from);
        Ok(Some(figures))
    }

    async fn day_sources(
        &self,
        hub: &str,
        partitions: &[String],
        day: Day,
    ) -> Result<DaySources, InsightsError> {
        let mut deliveries = Vec::new();
        for days in -DAYS_BEFORE..=DAYS_AFTER {
            let prefix = format!("deliveries/date={}/", day.plus(days));
            deliveries.extend(self.tables.list(&prefix).await?);
        }
        let mut manifests = Vec::new();
        for partition in partitions {
            let prefix = format!("_units/{hub}/{partition}/{day}/");
            manifests.extend(self.tables.list(&prefix).await?);
        }
        Ok(DaySources {
            deliveries,
            drone_hours: self
                .tables
                .list(&format!("drone_hours/date={day}/"))
                .await?,
            cells: self.tables.list(&format!("cells/date={day}/")).await?,
            manifests,
        })
    }

    async fn tally(
        &self,
        memory: &Memory,
        sources: &DaySources,
        day: Day,
        as_of: UtcDateTime,
        now: UtcDateTime,
    ) -> Result<FleetDay, InsightsError> {
        let mut tally = DayTally::new(day, Some(as_of));
        for entry in &sources.deliveries {
            let remembered = lock(&memory.files).get(&entry.name).cloned();
            if let Some((version, days)) = remembered
                && version == entry.version
                && days.is_none_or(|(first, last)| !(first..=last).contains(&day))
            {
                continue;
            }
            let Some(file) = self.tables.read(&entry.name).await? else {
                continue;
            };
            let mut days: Days = None;
            deliveries::read_figures(file.body, |row| {
                for time in [row.first_at, row.ended_at] {
                    let day = Day(Hour::of_micros(time).date());
                    let (first, last) = days.unwrap_or((day, day));
                    days = Some((first.min(day), last.max(day)));
                }
                tally.delivery(row);
            })
            .map_err(in_file(&entry.name))?;
            lock(&memory.files).insert(entry.name.clone(), (file.version, days));
        }
        for entry in &sources.drone_hours {
            if let Some(file) = self.tables.read(&entry.name).await? {
                let row = |row: drone_hours::DroneHourRow| {
                    tally.drone_hour(&row.device, row.hour, &row.facts, row.complete);
                };
                drone_hours::read(file.body, row).map_err(in_file(&entry.name))?;
            }
        }
        for entry in &sources.cells {
            if let Some(file) = self.tables.read(&entry.name).await? {
                let row = |cell, micros| tally.flight_cell(cell, micros);
                cells::read(file.body, row).map_err(in_file(&entry.name))?;
            }
        }
        let mut complete: BTreeMap<Hour, bool> = BTreeMap::new();
        for entry in &sources.manifests {
            let manifest = self.tables.read(&entry.name).await?;
            let manifest = manifest.and_then(|file| Manifest::parse(&file.body));
            // One that cannot be read is made again; until then its hour is not complete.
            let hour = manifest.as_ref().map(|manifest| manifest.unit.hour);
            let hour = hour.or_else(|| Some(Unit::of_manifest(&entry.name)?.hour));
            if manifest.is_none() {
                warn!(file = %entry.name, "a manifest cannot be read");
            }
            if let Some(hour) = hour {
                let whole = manifest.as_ref().is_some_and(|manifest| manifest.complete);
                *complete.entry(hour).or_insert(true) &= whole;
            }
            if let Some(manifest) = manifest {
                tally.unit(manifest.unit.hour, &manifest.quality);
            }
        }
        let is_complete = |hour: Hour| {
            let is_past = hour.ends() <= as_of;
            is_past && complete.get(&hour).copied().unwrap_or(true)
        };
        let over = is_over(last_hour(day), now) && last_hour(day).ends() <= as_of;
        Ok(tally.finish(over, is_complete))
    }
}

fn last_hour(day: Day) -> Hour {
    Hour::of(day.plus(1).0.midnight().as_utc()).plus(-1)
}

/// The files that a day's figures are made from.
struct DaySources {
    deliveries: Vec<FileEntry>,
    drone_hours: Vec<FileEntry>,
    cells: Vec<FileEntry>,
    manifests: Vec<FileEntry>,
}

impl DaySources {
    fn is_empty(&self) -> bool {
        self.drone_hours.is_empty() && self.manifests.is_empty()
    }

    fn fingerprint(&self) -> String {
        let all = [
            &self.deliveries,
            &self.drone_hours,
            &self.cells,
            &self.manifests,
        ];
        all.map(|files| fingerprint_of(files)).join("-")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
