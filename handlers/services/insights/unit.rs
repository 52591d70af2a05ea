//! A unit: one hub partition's hour, which is a folder of the archive.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::{Duration, UtcDateTime};
use tokio::sync::SemaphorePermit;

use super::compact::Compacted;
use super::facts::Touched;
use super::gather::gather;
use super::manifest::{Manifest, SCHEMA, fingerprint_of};
use super::{Insights, InsightsError, Known, in_file, off_the_runtime};
use crate::domain::insights::hot_spots::flight_cells;
use crate::domain::insights::hour::{Day, Hour};
use crate::stores::StoreError;
use crate::tables::flight::FLIGHT;
use crate::tables::operating::OPERATING;
use crate::tables::{TableError, cells, flight, operating, rejects};

/// After its end an hour gets no more events, or so few that the unit is made again for them.
pub const GRACE: Duration = Duration::minutes(15);

/// How often a unit is begun anew because somebody else is on the same files.
const ATTEMPTS: usize = 5;

/// One hub partition's hour. As a message: `{"hub":"telemetry","partition":"3","hour":"2026-11-29T14"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// The event hub's name, as the archive's folders have it.
    pub hub: String,
    /// The partition's id.
    pub partition: String,
    /// The hour in which the hub took the events.
    #[serde(with = "hour_text")]
    pub hour: Hour,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// Nothing has changed since it was made.
    Unchanged,
    /// The archive has no such folder, or has it no more. Tables that were made from it stay as they are.
    Empty,
    /// It was made, with these files.
    Anew(Box<Manifest>),
    /// Nothing has changed, and so many files of the archive are fewer now.
    Compacted(Compacted),
}

impl Unit {
    /// The folder of the archive.
    pub fn folder(&self) -> String {
        let begins = self.hour.begins();
        let (year, month, day) = begins.to_calendar_date();
        format!(
            "{}/{}/{year:04}/{:02}/{day:02}/{:02}/",
            self.hub,
            self.partition,
            u8::from(month),
            begins.hour()
        )
    }

    /// The file that says what it was made from.
    pub fn manifest(&self) -> String {
        let (day, hour) = (Day(self.hour.date()), self.hour.of_day());
        format!(
            "_units/{}/{}/{day}/{hour:02}.json",
            self.hub, self.partition
        )
    }

    /// The unit of a manifest's name.
    pub fn of_manifest(name: &str) -> Option<Self> {
        let mut parts = name
            .strip_prefix("_units/")?
            .strip_suffix(".json")?
            .split('/');
        let (hub, partition, day, hour) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            hub: hub.to_owned(),
            partition: partition.to_owned(),
            hour: format!("{day}T{hour}").parse().ok()?,
        })
        .filter(|_| parts.next().is_none())
    }

    /// The file of a table that is kept by hour.
    pub fn hourly(&self, table: &str) -> String {
        let (day, hour) = (Day(self.hour.date()), self.hour.of_day());
        format!("{table}/date={day}/hour={hour:02}/{}.parquet", self.place())
    }

    /// The file of a table that is kept by day.
    pub fn daily(&self, table: &str, day: Day) -> String {
        format!("{table}/date={day}/{}.parquet", self.place())
    }

    fn place(&self) -> String {
        format!("{}-{}", self.hub, self.partition)
    }

    /// The same partition's unit of another hour.
    pub fn at(&self, hour: Hour) -> Self {
        Self {
            hour,
            ..self.clone()
        }
    }
}

impl Insights {
    /// Waits for one's turn among those that make units, which all hold memory.
    ///
    /// # Errors
    /// Where the process is ending.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, InsightsError> {
        self.running
            .acquire()
            .await
            .map_err(|_| InsightsError::Ending)
    }

    /// Makes a unit, unless nothing has changed since it was made. Whoever asks has a [`turn`](Self::turn).
    ///
    /// # Errors
    /// Where a store fails, or others change the same files all the time. What was written stays, and doing it again
    /// is safe.
    pub async fn summarize(&self, unit: &Unit, now: UtcDateTime) -> Result<Made, InsightsError> {
        for _ in 0..ATTEMPTS {
            if let Some(made) = self.attempt(unit, now).await? {
                return Ok(made);
            }
        }
        Err(InsightsError::Contended(unit.manifest()))
    }

    /// Whether a unit gets no more events: a later hour has some, or its hour is long over.
    pub(super) async fn is_sealed(
        &self,
        unit: &Unit,
        now: UtcDateTime,
    ) -> Result<bool, StoreError> {
        if unit.hour.ends() + GRACE <= now {
            return Ok(true);
        }
        self.archive.any(&unit.at(unit.hour.plus(1)).folder()).await
    }

    /// `None` where somebody else has changed what was read.
    async fn attempt(&self, unit: &Unit, now: UtcDateTime) -> Result<Option<Made>, InsightsError> {
        let manifest_name = unit.manifest();
        let known = self.known(&manifest_name).await?;
        let mut before = known.body.as_deref().and_then(Manifest::parse);
        if let Some(manifest) = before.take_if(|before| before.compacting.is_some()) {
            // Files whose events are in another one already would count as repeats.
            self.finish_compacting(manifest, &known).await?;
            return Ok(None);
        }
        let files = self.archive.list(&unit.folder()).await?;
        // The archive is kept for less long than the tables: of what has gone there the tables stay.
        if files.is_empty() {
            return Ok(Some(Made::Empty));
        }
        let sealed = self.is_sealed(unit, now).await?;
        let fingerprint = fingerprint_of(&files);
        if let Some(before) = before.filter(|before| before.is_current(&fingerprint, sealed)) {
            let Some(made) = self.compact(before, &known, &files, now).await? else {
                return Ok(None);
            };
            return Ok(self.join_day(unit, false, now).await?.then_some(made));
        }
        let old = Tables::known(self, unit).await?;
        let gathered = gather(&*self.archive, &files, unit.hour, self.intake).await?;
        let skipped = gathered.skipped.clone();
        let complete = sealed && skipped.is_empty();
        let hour = unit.hour;
        let old_rows = [old.flight.body.clone(), old.operating.body.clone()];
        let (new, touched, mut manifest) = off_the_runtime(move || {
            let settled = gathered.settle(hour);
            let new = NewTables {
                flight: flight::write(&settled.readings, complete)?.into(),
                operating: operating::write(&settled.readings, complete)?.into(),
                rejects: rejects::write(&settled.rejects, complete)?.into(),
                cells: cells::write(&flight_cells(&settled.readings.flights), complete)?.into(),
            };
            let counts = (
                settled.readings.flights.len(),
                settled.readings.operating.len(),
            );
            let mut touched = Touched::by(hour, settled.readings);
            for (table, rows) in [FLIGHT, OPERATING].into_iter().zip(old_rows) {
                // A file that cannot be read has nothing that could be found again.
                if let Some(rows) = rows {
                    _ = touched.by_earlier(table, rows);
                }
            }
            Ok::<_, TableError>((new, touched, (settled.quality, counts)))
        })
        .await?
        .map_err(in_file(&manifest_name))
        .map(|(new, touched, (quality, (flight_rows, operating_rows)))| {
            let manifest = Manifest {
                schema: SCHEMA,
                unit: unit.clone(),
                fingerprint,
                sealed,
                complete,
                files: files.len() as u64,
                skipped,
                flight_rows: flight_rows as u64,
                operating_rows: operating_rows as u64,
                quality,
                compacting: None,
            };
            (new, touched, manifest)
        })?;
        for (table, old, new) in [
            ("flight", &old.flight, &new.flight),
            ("operating", &old.operating, &new.operating),
            ("rejects", &old.rejects, &new.rejects),
            ("cells", &old.cells, &new.cells),
        ] {
            if !self.replace(&unit.hourly(table), new.to_vec(), old).await? {
                return Ok(None);
            }
        }
        drop(old);
        if !self
            .make_facts(unit, touched, new.flight, new.operating)
            .await?
        {
            return Ok(None);
        }
        if !self.join_day(unit, true, now).await? {
            return Ok(None);
        }
        manifest.skipped.sort_by(|a, b| a.name.cmp(&b.name));
        let body = serde_json::to_vec(&manifest)?;
        match self.replace(&manifest_name, body, &known).await? {
            true => Ok(Some(Made::Anew(Box::new(manifest)))),
            false => Ok(None),
        }
    }
}

/// A unit's own files, as they were.
struct Tables {
    flight: Known,
    operating: Known,
    rejects: Known,
    cells: Known,
}

/// A unit's own files, as they are to be.
struct NewTables {
    flight: Bytes,
    operating: Bytes,
    rejects: Bytes,
    cells: Bytes,
}

impl Tables {
    async fn known(insights: &Insights, unit: &Unit) -> Result<Self, StoreError> {
        Ok(Self {
            flight: insights.known(&unit.hourly("flight")).await?,
            operating: insights.known(&unit.hourly("operating")).await?,
            rejects: insights.known(&unit.hourly("rejects")).await?,
            cells: insights.known(&unit.hourly("cells")).await?,
        })
    }
}

/// An hour as its text.
mod hour_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::domain::insights::hour::Hour;

    pub(super) fn serialize<S: Serializer>(hour: &Hour, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hour)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Hour, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_and_message() {
        let text = r#"{"hub":"telemetry","partition":"3","hour":"2026-11-29T04"}"#;
        let unit: Unit = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&unit).unwrap(), text);
        assert_eq!(unit.folder(), "telemetry/3/2026/11/29/04/");
        assert_eq!(unit.manifest(), "_units/telemetry/3/2026-11-29/04.json");
        assert_eq!(Unit::of_manifest(&unit.manifest()), Some(unit.clone()));
        assert_eq!(
            Unit::of_manifest("_units/telemetry/3/2026-11-29/4x.json"),
            None
        );
        assert_eq!(
            unit.hourly("flight"),
            "flight/date=2026-11-29/hour=04/telemetry-3.parquet"
        );
        let day = Day(unit.hour.date()).plus(2);
        assert_eq!(
            unit.daily("deliveries", day),
            "deliveries/date=2026-12-01/telemetry-3.parquet"
        );
        for wrong in [
            r#"{"hub":"t","partition":"3"}"#,
            r#"{"hub":"t","partition":"3","hour":"4"}"#,
        ] {
            assert!(serde_json::from_str::<Unit>(wrong).is_err());
        }
    }
}
