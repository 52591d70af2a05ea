//! Which units are to be made: those whose folder in the archive is not what they were made from.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures_util::{StreamExt, TryStreamExt, stream};
use time::UtcDateTime;

use super::manifest::{Manifest, fingerprint_of};
use super::unit::{GRACE, Unit};
use super::{Insights, InsightsError};
use super::{compact, days};
use crate::domain::insights::hour::{Day, Hour};

/// How many hours are looked at every time.
pub const RECENT: i64 = 3;

/// How many hours are looked at once a day: as long as the hub keeps what the archive has not got yet.
pub const ALL: i64 = 72;

/// Lists that are asked for at a time.
const AT_ONCE: usize = 8;

/// Partitions are numbered from 0. An Event Hubs namespace without a cluster of its own has up to 32 a hub; of more there
/// are no so long gaps.
const LARGEST_GAP: usize = 32;

/// What a look at the archive has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The partitions that have anything in the archive.
    pub partitions: Vec<String>,
    /// Units that are to be made, the latest first.
    pub units: Vec<Due>,
    /// The first hour of which something is missing yet; `None` where nothing is.
    pub first_outstanding: Option<Hour>,
}

/// A unit that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Which.
    pub unit: Unit,
    /// What it is to be made from now.
    pub fingerprint: String,
    /// Whether the figures lack it: its hour is over. One under way may be due again and again, and one whose files are to be
    /// few is in the figures.
    pub outstanding: bool,
}

/// How a unit stands.
enum Standing {
    /// There is nothing of it.
    Absent,
    /// It was made from what is there, and nothing more can come.
    Done,
    /// It was made, and its many files are to be few.
    ToCompact(String),
    /// More will come.
    UnderWay,
    /// It is to be made, from files with this fingerprint; and whether nothing more can come.
    Due(String, bool),
}

/// The hours from one to another that are looked at, at a time.
pub fn hours_until(now: UtcDateTime, hours: i64) -> RangeInclusive<Hour> {
    let last = Hour::of(now);
    last.plus(1 - hours)..=last
}

impl Insights {
    /// Looks at the archive of a hub, from one hour to another.
    ///
    /// # Errors
    /// Where a store fails.
    pub async fn plan(
        &self,
        hub: &str,
        hours: RangeInclusive<Hour>,
        now: UtcDateTime,
    ) -> Result<Plan, InsightsError> {
        let partitions = self.partitions(hub, &hours).await?;
        let (first, last) = (*hours.start(), *hours.end());
        let mut looks = Vec::new();
        for later in 0..=last.since(first) {
            for partition in &partitions {
                looks.push(self.look_at(
                    Unit {
                        hub: hub.to_owned(),
                        partition: partition.clone(),
                        hour: first.plus(later),
                    },
                    now,
                ));
            }
        }
        let looked: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let mut plan = Plan::default();
        let mut last_of_day: BTreeMap<(String, Day), Unit> = BTreeMap::new();
        for (unit, standing) in looked {
            if !matches!(standing, Standing::Absent) {
                last_of_day.insert(
                    (unit.partition.clone(), Day(unit.hour.date())),
                    unit.clone(),
                );
            }
            if matches!(standing, Standing::Due(..) | Standing::UnderWay) {
                let hour = plan
                    .first_outstanding
                    .map_or(unit.hour, |first| first.min(unit.hour));
                plan.first_outstanding = Some(hour);
            }
            let due = match standing {
                Standing::Due(fingerprint, sealed) => Some((fingerprint, sealed)),
                Standing::ToCompact(fingerprint) => Some((fingerprint, false)),
                Standing::Absent | Standing::Done | Standing::UnderWay => None,
            };
            if let Some((fingerprint, outstanding)) = due {
                plan.units.push(Due {
                    unit,
                    fingerprint,
                    outstanding,
                });
            }
        }
        plan.units.sort_by(|a, b| {
            (b.unit.hour.cmp(&a.unit.hour)).then_with(|| a.unit.partition.cmp(&b.unit.partition))
        });
        for ((_, day), unit) in last_of_day {
            let is_queued = plan.units.iter().any(|due| due.unit == unit);
            if days::is_due(day, now)
                && !is_queued
                && !self.tables.any(&days::file_of(&unit)).await?
            {
                plan.units.push(Due {
                    unit,
                    fingerprint: format!("day {day}"),
                    outstanding: false,
                });
            }
        }
        plan.partitions = partitions;
        Ok(plan)
    }

    async fn look_at(
        &self,
        unit: Unit,
        now: UtcDateTime,
    ) -> Result<(Unit, Standing), InsightsError> {
        let standing = self.standing(&unit, now).await?;
        Ok((unit, standing))
    }

    async fn standing(&self, unit: &Unit, now: UtcDateTime) -> Result<Standing, InsightsError> {
        let files = self.archive.list(&unit.folder()).await?;
        if files.is_empty() {
            return Ok(Standing::Absent);
        }
        let manifest = self.known(&unit.manifest()).await?;
        let manifest = manifest.body.as_deref().and_then(Manifest::parse);
        let sealed = self.is_sealed(unit, now).await?;
        let fingerprint = fingerprint_of(&files);
        let is_current = manifest
            .as_ref()
            .is_some_and(|manifest| manifest.is_current(&fingerprint, sealed));
        Ok(match (sealed, is_current) {
            (true, true) if self.compacts && compact::is_due(manifest.as_ref(), &files, now) => {
                Standing::ToCompact(fingerprint)
            }
            (true, true) => Standing::Done,
            (true, false) => Standing::Due(format!("{fingerprint} sealed"), true),
            (false, false) if self.live => Standing::Due(fingerprint, false),
            (false, _) => Standing::UnderWay,
        })
    }

    /// The partitions that have anything in these hours.
    async fn partitions(
        &self,
        hub: &str,
        hours: &RangeInclusive<Hour>,
    ) -> Result<Vec<String>, InsightsError> {
        let (first, last) = (hours.start().date(), hours.end().date());
        let days: Vec<Day> = (0..)
            .map(|later| Day(first).plus(later))
            .take_while(|day| *day <= Day(last))
            .collect();
        let mut found = Vec::new();
        let mut missed = 0;
        for first in (0..).step_by(LARGEST_GAP) {
            let partitions = first..first + LARGEST_GAP;
            let some: Vec<_> = partitions
                .map(|partition| self.partition(hub, partition, &days))
                .collect();
            let some: Vec<_> = stream::iter(some).buffered(AT_ONCE).try_collect().await?;
            for partition in some {
                match partition {
                    Some(partition) => {
                        missed = 0;
                        found.push(partition);
                    }
                    None => missed += 1,
                }
            }
            if missed >= LARGEST_GAP {
                break;
            }
        }
        Ok(found)
    }

    /// A partition's id, if it has anything on these days.
    async fn partition(
        &self,
        hub: &str,
        partition: usize,
        days: &[Day],
    ) -> Result<Option<String>, InsightsError> {
        for day in days {
            let (year, month, day) = day.0.to_calendar_date();
            let folder = format!(
                "{hub}/{partition}/{year:04}/{:02}/{day:02}/",
                u8::from(month)
            );
            if self.archive.any(&folder).await? {
                return Ok(Some(partition.to_string()));
            }
        }
        Ok(None)
    }
}

/// Up to when nothing is missing, by a plan: the begin of the first hour of which something is, else of the hour that is not
/// [over](is_over) yet.
pub fn as_of(plan: &Plan, now: UtcDateTime) -> UtcDateTime {
    let under_way = Hour::of(now - GRACE);
    let until = plan
        .first_outstanding
        .map_or(under_way, |first| first.min(under_way));
    until.begins()
}

/// Whether an hour is over for good.
pub fn is_over(hour: Hour, now: UtcDateTime) -> bool {
    hour.ends() + GRACE <= now
}
