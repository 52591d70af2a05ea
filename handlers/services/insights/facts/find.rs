//! Looks what is told already of what a unit touches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::touched::{Touched, TouchedDelivery, Wanted};
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::names::Name;
use crate::services::insights::unit::Unit;
use crate::services::insights::{Insights, InsightsError, Known, in_file};
use crate::stores::Version;
use crate::tables::drone_hours::DroneHourRow;
use crate::tables::{Sources, deliveries, drone_hours};

/// How many days before and after those on which its readings were enqueued a delivery is looked for: as long as a reading may be late, and a day for the
/// delivery itself.
const DAYS_AROUND: i64 = 4;

/// A file of `deliveries`, and which of the touched ones it has.
pub(super) struct DeliveryFile {
    pub(super) version: Option<Version>,
    pub(super) found: HashSet<(Name, Name)>,
}

/// A file of `drone_hours`.
pub(super) struct HourFile {
    pub(super) known: Known,
    pub(super) rows: Vec<DroneHourRow>,
}

impl Insights {
    /// Looks where the touched deliveries are told of already, and in which folders they are.
    pub(super) async fn find_deliveries(
        &self,
        unit: &Unit,
        touched: &Touched,
        wanted: &mut Wanted,
    ) -> Result<BTreeMap<Day, DeliveryFile>, InsightsError> {
        wanted.deliveries = touched
            .deliveries
            .keys()
            .map(|key| (*key, Sources::default()))
            .collect();
        let around = |day: Day| (-DAYS_AROUND..=DAYS_AROUND).map(move |days| day.plus(days));
        let days = touched
            .deliveries
            .values()
            .flat_map(|touched| touched.days.iter().copied());
        let days: BTreeSet<Day> = days
            .collect::<BTreeSet<_>>()
            .into_iter()
            .flat_map(around)
            .collect();
        let mut files = BTreeMap::new();
        for day in days {
            let name = unit.daily("deliveries", day);
            let known = self.known(&name).await?;
            let mut found = HashSet::new();
            if let Some(body) = known.body {
                let names = &touched.names;
                let key = |device: &str, delivery: &str| {
                    Some((
                        names.devices.known(device)?,
                        names.deliveries.known(delivery)?,
                    ))
                };
                let read = deliveries::find(body, |device, delivery, sources| {
                    let Some(key) = key(device, delivery) else {
                        return Ok(());
                    };
                    let is_near = |touched: &TouchedDelivery| {
                        touched
                            .days
                            .iter()
                            .any(|its| around(*its).any(|near| near == day))
                    };
                    let is_near = touched.deliveries.get(&key).is_some_and(is_near);
                    if let Some(known) = wanted.deliveries.get_mut(&key).filter(|_| is_near) {
                        known.merge(&Sources::parse(sources)?);
                        found.insert(key);
                    }
                    Ok(())
                });
                read.map_err(in_file(&name))?;
            }
            let version = known.version;
            files.insert(day, DeliveryFile { version, found });
        }
        for (key, TouchedDelivery { has_some, .. }) in &touched.deliveries {
            if let Some(sources) = wanted.deliveries.get_mut(key) {
                sources.set(touched.hour, *has_some);
            }
        }
        Ok(files)
    }

    /// Reads what is told of the touched hours of drones, and of those around them.
    pub(super) async fn find_hours(
        &self,
        unit: &Unit,
        touched: &Touched,
        wanted: &mut Wanted,
    ) -> Result<BTreeMap<Day, HourFile>, InsightsError> {
        let around = |hour: Hour| [hour.plus(-1), hour, hour.plus(1)];
        let days = touched
            .hours
            .keys()
            .flat_map(|(_, hour)| around(*hour))
            .map(|hour| Day(hour.date()));
        let days: BTreeSet<Day> = days.collect();
        let mut files = BTreeMap::new();
        let mut known_hours: HashMap<(Name, Hour), Sources> = HashMap::new();
        for day in days {
            let name = unit.daily("drone_hours", day);
            let known = self.known(&name).await?;
            let mut rows = Vec::new();
            if let Some(body) = known.body.clone() {
                drone_hours::read(body, |row| rows.push(row)).map_err(in_file(&name))?;
            }
            for row in &rows {
                if let Some(device) = touched.names.devices.known(&row.device) {
                    known_hours.insert((device, row.hour), row.sources.clone());
                }
            }
            files.insert(day, HourFile { known, rows });
        }
        for ((device, hour), has_some) in &touched.hours {
            known_hours
                .entry((*device, *hour))
                .or_default()
                .set(touched.hour, *has_some);
        }
        for (device, hour) in touched.hours.keys() {
            wanted.made.insert((*device, *hour));
            // A later hour begins with what lies before it.
            let next = (*device, hour.plus(1));
            if known_hours.contains_key(&next) {
                wanted.made.insert(next);
            }
        }
        for (device, hour) in &wanted.made {
            for key in [(*device, *hour), (*device, hour.plus(-1))] {
                if let Some(sources) = known_hours.get(&key) {
                    wanted.hours.insert(key, sources.clone());
                }
            }
        }
        Ok(files)
    }
}
