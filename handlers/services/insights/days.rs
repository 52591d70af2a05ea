//! Whole days of readings in one file a partition: what reads years of them likes fewer and larger files.
//!
//! Row groups are appended as they are, one an hour, so that nothing is made a second time. A day is put together 24 hours after its
//! end, and again when one of its hours is restated. The files of its hours stay: they are what is restated.

use std::collections::BTreeSet;

use time::UtcDateTime;

use super::compact::AFTER;
use super::unit::Unit;
use super::{Insights, InsightsError, Known, in_file, off_the_runtime};
use crate::domain::insights::hour::{Day, Hour};
use crate::tables::flight::FLIGHT;
use crate::tables::operating::OPERATING;
use crate::tables::{Table, TableWriter};

/// Tables whose days are put together, and where.
const DAYS: [(Table, &str); 2] = [(FLIGHT, "flight_days"), (OPERATING, "operating_days")];

/// Whether a day is long enough over to be put together.
pub(super) fn is_due(day: Day, now: UtcDateTime) -> bool {
    Hour::of(day.plus(1).0.midnight().as_utc()).begins() + AFTER <= now
}

/// The file by which one sees whether a day has been put together.
pub(super) fn file_of(unit: &Unit) -> String {
    unit.daily(DAYS[1].1, Day(unit.hour.date()))
}

impl Insights {
    /// Puts a unit's day together, if that is due: for the first time with the last of its units, and again with any that was
    /// restated, before the manifest of that one is written: what ends in between is done again. `false` where somebody else
    /// is at it.
    pub(super) async fn join_day(
        &self,
        unit: &Unit,
        restated: bool,
        now: UtcDateTime,
    ) -> Result<bool, InsightsError> {
        let day = Day(unit.hour.date());
        if !is_due(day, now) {
            return Ok(true);
        }
        let is_there = self.tables.any(&file_of(unit)).await?;
        let is_wanted = if is_there {
            restated
        } else {
            self.is_last_of_day(unit).await?
        };
        if !is_wanted {
            return Ok(true);
        }
        let made = self
            .tables
            .list(&format!("_units/{}/{}/{day}/", unit.hub, unit.partition))
            .await?;
        let hours = made
            .iter()
            .filter_map(|file| Some(Unit::of_manifest(&file.name)?.hour));
        // A unit that is being made has no manifest yet.
        let hours: BTreeSet<Hour> = hours.chain([unit.hour]).collect();
        for (table, days) in DAYS {
            let name = unit.daily(days, day);
            // Only its version is of interest, and it can be large.
            let version = self
                .tables
                .list(&name)
                .await?
                .into_iter()
                .next()
                .map(|file| file.version);
            let (mut bodies, mut size) = (Vec::with_capacity(hours.len()), 0);
            for hour in &hours {
                if let Some(body) = self.known(&unit.at(*hour).hourly(table.name)).await?.body {
                    size += body.len();
                    bodies.push(body);
                }
            }
            let joined = off_the_runtime(move || TableWriter::join(table, bodies, size)).await?;
            let known = Known {
                version,
                body: None,
            };
            if !self
                .replace(&name, joined.map_err(in_file(&name))?, &known)
                .await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_last_of_day(&self, unit: &Unit) -> Result<bool, InsightsError> {
        let later = (1..).map(|hours| unit.hour.plus(hours));
        for hour in later.take_while(|hour| hour.date() == unit.hour.date()) {
            if self.archive.any(&unit.at(hour).folder()).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
