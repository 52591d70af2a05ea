//! Writes facts into the files that they belong to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::find::{DeliveryFile, HourFile};
use super::make::Facts;
use super::touched::Wanted;
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::names::Names;
use crate::services::insights::unit::Unit;
use crate::services::insights::{Insights, InsightsError, in_file, off_the_runtime};
use crate::tables::Sources;
use crate::tables::deliveries::{self, DeliveryRow};
use crate::tables::drone_hours::{self, DroneHourRow};

/// What was made, and from what.
pub(super) struct Made<'a> {
    pub(super) unit: &'a Unit,
    pub(super) devices: &'a Names,
    pub(super) deliveries: &'a Names,
    pub(super) wanted: &'a Wanted,
    pub(super) facts: &'a Facts,
    /// Of each folder, whether its unit is complete.
    pub(super) whole: &'a HashMap<Hour, bool>,
}

impl Made<'_> {
    fn is_complete(&self, sources: &Sources) -> bool {
        sources
            .iter()
            .all(|hour| self.whole.get(&hour) == Some(&true))
    }
}

impl Insights {
    /// Replaces the files whose rows have changed, and names them in `written`. `false` where somebody else has replaced one.
    pub(super) async fn write_deliveries(
        &self,
        made: &Made<'_>,
        mut files: BTreeMap<Day, DeliveryFile>,
        written: &mut BTreeSet<String>,
    ) -> Result<bool, InsightsError> {
        let Made {
            unit,
            devices,
            deliveries,
            wanted,
            facts,
            ..
        } = *made;
        let mut added: BTreeMap<Day, Vec<DeliveryRow>> = BTreeMap::new();
        for (key, (facts, day)) in &facts.deliveries {
            if let Some(sources) = wanted.deliveries.get(key) {
                added.entry(*day).or_default().push(DeliveryRow {
                    device: devices.text(key.0).into(),
                    delivery: deliveries.text(key.1).into(),
                    facts: facts.clone(),
                    sources: sources.clone(),
                    complete: made.is_complete(sources),
                });
            }
        }
        for day in added.keys() {
            if !files.contains_key(day) {
                // Of readings of other units that are more days apart than is looked.
                let version = self.known(&unit.daily("deliveries", *day)).await?.version;
                files.insert(
                    *day,
                    DeliveryFile {
                        version,
                        found: HashSet::new(),
                    },
                );
            }
        }
        let with_rows = files
            .iter()
            .filter(|(day, file)| added.contains_key(day) || !file.found.is_empty());
        // A row that moves to another day is there before it goes where it was.
        let mut changed: Vec<_> = with_rows.collect();
        changed.sort_by_key(|(day, _)| (!added.contains_key(day), **day));
        for (day, file) in changed {
            let name = unit.daily("deliveries", *day);
            let known = self.known(&name).await?;
            if known.version != file.version {
                return Ok(false);
            }
            let mut rows = match known.body.clone() {
                Some(body) => deliveries::read(body).map_err(in_file(&name))?,
                None => Vec::new(),
            };
            // A row of a touched delivery that is too far away to be its own stays.
            let is_replaced = |row: &DeliveryRow| {
                let key = devices
                    .known(&row.device)
                    .zip(deliveries.known(&row.delivery));
                key.is_some_and(|key| file.found.contains(&key))
            };
            rows.retain(|row| !is_replaced(row));
            let mut added = added.remove(day).unwrap_or_default();
            // Where a row has moved farther than is looked: of two of one name the newer stays.
            let names: HashSet<_> = added
                .iter()
                .map(|row| (row.device.clone(), row.delivery.clone()))
                .collect();
            rows.retain(|row| !names.contains(&(row.device.clone(), row.delivery.clone())));
            rows.append(&mut added);
            rows.sort_unstable_by(|a, b| (&a.device, &a.delivery).cmp(&(&b.device, &b.delivery)));
            let body = off_the_runtime(move || deliveries::write(&rows)).await?;
            let body = body.map_err(in_file(&name))?;
            if known.body.as_deref() == Some(&body) {
                continue;
            }
            if !self.replace(&name, body, &known).await? {
                return Ok(false);
            }
            written.insert(name);
        }
        Ok(true)
    }

    /// Replaces the files whose rows have changed, and names them in `written`. `false` where somebody else has replaced one.
    pub(super) async fn write_hours(
        &self,
        made: &Made<'_>,
        files: BTreeMap<Day, HourFile>,
        written: &mut BTreeSet<String>,
    ) -> Result<bool, InsightsError> {
        let Made {
            unit,
            devices,
            wanted,
            facts,
            ..
        } = *made;
        for (day, HourFile { known, mut rows }) in files {
            let is_made = |row: &DroneHourRow| {
                let device = devices.known(&row.device);
                device.is_some_and(|device| wanted.made.contains(&(device, row.hour)))
            };
            rows.retain(|row| !is_made(row));
            for (device, hour) in wanted.made.iter().filter(|(_, hour)| hour.date() == day.0) {
                let (Some(facts), Some(sources)) = (
                    facts.hours.get(&(*device, *hour)),
                    wanted.hours.get(&(*device, *hour)),
                ) else {
                    continue;
                };
                rows.push(DroneHourRow {
                    device: Arc::from(devices.text(*device)),
                    hour: *hour,
                    facts: facts.clone(),
                    sources: sources.clone(),
                    complete: made.is_complete(sources),
                });
            }
            if rows.is_empty() && known.version.is_none() {
                continue;
            }
            rows.sort_unstable_by(|a, b| (&a.device, a.hour).cmp(&(&b.device, b.hour)));
            let name = unit.daily("drone_hours", day);
            let body = drone_hours::write(&rows).map_err(in_file(&name))?;
            if known.body.as_deref() == Some(&body) {
                continue;
            }
            if !self.replace(&name, body, &known).await? {
                return Ok(false);
            }
            written.insert(name);
        }
        Ok(true)
    }
}
