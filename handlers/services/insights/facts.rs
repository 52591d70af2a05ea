//! Makes the facts that a unit touches: of each delivery and each drone's hour of which it has a reading, from the rows
//! of every unit that has some.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::unit::Unit;
use super::{Insights, InsightsError, Known, in_file, off_the_runtime};
use crate::domain::insights::delivery::DeliveryFacts;
use crate::domain::insights::drone_hour::{DroneHourFacts, MARGIN};
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::names::{Name, Names};
use crate::domain::insights::reading::{
    FlightReading, Head, LATEST, OperatingReading, Readings, by_time, settle,
};
use crate::stores::Version;
use crate::tables::deliveries::{self, DeliveryRow};
use crate::tables::drone_hours::{self, DroneHourRow};
use crate::tables::flight::{self, FLIGHT};
use crate::tables::operating::{self, OPERATING};
use crate::tables::read::owners;
use crate::tables::{Sources, Table, TableError, TableReader};

/// How many days before and after a unit's a delivery is looked for: as long as a reading may be late, and a day for the
/// delivery itself.
const DAYS_AROUND: i64 = 4;

/// How often facts are made anew because a unit of another hour has changed the same files.
const ATTEMPTS: usize = 8;

/// No delivery has this id. A reading whose folder is too many for its delivery still counts for its drone's hour.
const NO_DELIVERY: &str = "";

/// What a unit has readings of now, or had when it was made before.
pub(super) struct Touched {
    hour: Hour,
    /// Ids, and no rows.
    names: Readings,
    /// Whether it has some now.
    deliveries: HashMap<(Name, Name), bool>,
    /// Whether it has some now.
    hours: HashMap<(Name, Hour), bool>,
}

impl Touched {
    pub(super) fn by(hour: Hour, readings: Readings) -> Self {
        let (mut deliveries, mut hours) = (HashMap::new(), HashMap::new());
        let flights = readings.flights.iter().map(|reading| &reading.head);
        let operating = readings.operating.iter().map(|reading| &reading.head);
        for head in flights.chain(operating).filter(|head| !head.is_stale()) {
            deliveries.insert((head.device, head.delivery), true);
            hours.insert((head.device, Hour::of_micros(head.occurred_at)), true);
        }
        let names = Readings {
            devices: readings.devices,
            deliveries: readings.deliveries,
            ..Readings::default()
        };
        Self {
            hour,
            names,
            deliveries,
            hours,
        }
    }

    /// Adds what an earlier version of the unit's rows had.
    pub(super) fn by_earlier(&mut self, table: Table, rows: Bytes) -> Result<(), TableError> {
        owners(table, rows, |device, delivery, occurred_at, enqueued_at| {
            if enqueued_at.saturating_sub(occurred_at) > LATEST {
                return;
            }
            let device = self.names.devices.number(device);
            let delivery = self.names.deliveries.number(delivery);
            self.deliveries.entry((device, delivery)).or_insert(false);
            self.hours
                .entry((device, Hour::of_micros(occurred_at)))
                .or_insert(false);
        })
    }
}

/// What facts are to be made from.
#[derive(Default)]
struct Wanted {
    /// The folders of each delivery.
    deliveries: HashMap<(Name, Name), Sources>,
    /// The folders of each drone's hour, those of the hours before among them.
    hours: HashMap<(Name, Hour), Sources>,
    /// Which of these are to be made.
    made: BTreeSet<(Name, Hour)>,
}

impl Wanted {
    fn folders(&self) -> BTreeSet<Hour> {
        let sources = self.deliveries.values().chain(self.hours.values());
        sources.flat_map(Sources::iter).collect()
    }

    /// The delivery that a reading of a folder is wanted for; `None` where it is not wanted.
    fn delivery(&self, head: &Head, folder: Hour, no_delivery: Name) -> Option<Name> {
        if head.is_stale() {
            return None;
        }
        let of_delivery = self.deliveries.get(&(head.device, head.delivery));
        if of_delivery.is_some_and(|sources| sources.contains(folder)) {
            return Some(head.delivery);
        }
        let hour = Hour::of_micros(head.occurred_at);
        let of_hour = self.hours.get(&(head.device, hour));
        let next = Hour::of_micros(head.occurred_at.saturating_add(MARGIN));
        let is_made = |hour| self.made.contains(&(head.device, hour));
        let wanted = of_hour.is_some_and(|sources| sources.contains(folder))
            && (is_made(hour) || is_made(next));
        wanted.then_some(no_delivery)
    }
}

/// A file of `deliveries`, and which of the touched ones it has.
struct DeliveryFile {
    version: Option<Version>,
    found: Vec<(Name, Name)>,
}

/// A file of `drone_hours`.
struct HourFile {
    known: Known,
    rows: Vec<DroneHourRow>,
}

/// What was made.
struct Facts {
    deliveries: HashMap<(Name, Name), DeliveryFacts>,
    hours: HashMap<(Name, Hour), DroneHourFacts>,
}

impl Insights {
    /// Makes the facts that a unit touches. `flight` and `operating` are its own rows. `false` where others change the
    /// same files all the time.
    pub(super) async fn make_facts(
        &self,
        unit: &Unit,
        mut touched: Touched,
        flight: Bytes,
        operating: Bytes,
    ) -> Result<bool, InsightsError> {
        for _ in 0..ATTEMPTS {
            if self
                .attempt_facts(unit, &mut touched, [&flight, &operating])
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn attempt_facts(
        &self,
        unit: &Unit,
        touched: &mut Touched,
        own: [&Bytes; 2],
    ) -> Result<bool, InsightsError> {
        // Versions first, rows of other units after them: see the module that this one is in.
        let mut wanted = Wanted::default();
        let delivery_files = self.find_deliveries(unit, touched, &mut wanted).await?;
        let hour_files = self.find_hours(unit, touched, &mut wanted).await?;
        let readings = Readings {
            devices: mem::take(&mut touched.names.devices),
            deliveries: mem::take(&mut touched.names.deliveries),
            ..Readings::default()
        };
        let (readings, whole) = self.read_rows(unit, readings, &wanted, own).await?;
        let (readings, wanted, facts) = off_the_runtime(move || {
            let (readings, facts) = make(readings, &wanted);
            (readings, wanted, facts)
        })
        .await?;
        let names = (&readings.devices, &readings.deliveries);
        let is_complete =
            |sources: &Sources| sources.iter().all(|hour| whole.get(&hour) == Some(&true));
        let mut read: Vec<(String, Option<Version>)> = Vec::new();
        read.extend(
            delivery_files
                .iter()
                .map(|(day, file)| (unit.daily("deliveries", *day), file.version.clone())),
        );
        read.extend(
            hour_files
                .iter()
                .map(|(day, file)| (unit.daily("drone_hours", *day), file.known.version.clone())),
        );
        let mut written = BTreeSet::new();
        let done = self
            .write_deliveries(
                unit,
                names,
                delivery_files,
                &wanted,
                &facts,
                is_complete,
                &mut written,
            )
            .await?
            && self
                .write_hours(
                    unit,
                    names.0,
                    hour_files,
                    &wanted,
                    &facts,
                    is_complete,
                    &mut written,
                )
                .await?;
        touched.names.devices = readings.devices;
        touched.names.deliveries = readings.deliveries;
        if !done {
            return Ok(false);
        }
        // Of two units that share a fact and write it into different files, the one that looks last sees the other's.
        for (name, version) in read.into_iter().filter(|(name, _)| !written.contains(name)) {
            let listed = self.tables.list(&name).await?;
            if listed.into_iter().next().map(|file| file.version) != version {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks where the touched deliveries are told of already, and in which folders they are.
    async fn find_deliveries(
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
        let today = Day(unit.hour.date());
        let mut files = BTreeMap::new();
        for day in (-DAYS_AROUND..=DAYS_AROUND).map(|days| today.plus(days)) {
            let name = unit.daily("deliveries", day);
            let known = self.known(&name).await?;
            let mut found = Vec::new();
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
                    if let Some(known) = wanted.deliveries.get_mut(&key) {
                        known.merge(&Sources::parse(sources)?);
                        found.push(key);
                    }
                    Ok(())
                });
                read.map_err(in_file(&name))?;
            }
            let version = known.version;
            files.insert(day, DeliveryFile { version, found });
        }
        for (key, has_some) in &touched.deliveries {
            if let Some(sources) = wanted.deliveries.get_mut(key) {
                sources.set(touched.hour, *has_some);
            }
        }
        Ok(files)
    }

    /// Reads what is told of the touched hours of drones, and of those around them.
    async fn find_hours(
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

    /// Reads the wanted rows of all folders, one file at a time, and says of each folder whether it is complete.
    async fn read_rows(
        &self,
        unit: &Unit,
        mut readings: Readings,
        wanted: &Wanted,
        own: [&Bytes; 2],
    ) -> Result<(Readings, HashMap<Hour, bool>), InsightsError> {
        let no_delivery = readings.deliveries.number(NO_DELIVERY);
        let mut whole = HashMap::new();
        for folder in wanted.folders() {
            let other = unit.at(folder);
            let mut complete = true;
            for (table, own) in [FLIGHT, OPERATING].into_iter().zip(own) {
                let name = other.hourly(table.name);
                let file = match folder == unit.hour {
                    true => Some(own.clone()),
                    false => self.known(&name).await?.body,
                };
                let Some(file) = file else {
                    complete = false;
                    continue;
                };
                match rows(table, file, &mut readings, |head| {
                    wanted.delivery(head, folder, no_delivery)
                }) {
                    Ok(is_complete) => complete &= is_complete,
                    // Its own unit is to be made again; until then what is told without it says so.
                    Err(error) => {
                        warn!(file = %name, %error, "a table cannot be read, and facts are made without it");
                        complete = false;
                    }
                }
            }
            whole.insert(folder, complete);
        }
        Ok((readings, whole))
    }

    async fn write_deliveries(
        &self,
        unit: &Unit,
        (devices, deliveries): (&Names, &Names),
        files: BTreeMap<Day, DeliveryFile>,
        wanted: &Wanted,
        facts: &Facts,
        is_complete: impl Fn(&Sources) -> bool,
        written: &mut BTreeSet<String>,
    ) -> Result<bool, InsightsError> {
        let mut added: BTreeMap<Day, Vec<DeliveryRow>> = BTreeMap::new();
        for (key, facts) in &facts.deliveries {
            let Some(sources) = wanted.deliveries.get(key) else {
                continue;
            };
            if let Some((first, _)) = sources.ends() {
                added
                    .entry(Day(first.date()))
                    .or_default()
                    .push(DeliveryRow {
                        device: devices.text(key.0).into(),
                        delivery: deliveries.text(key.1).into(),
                        facts: facts.clone(),
                        sources: sources.clone(),
                        complete: is_complete(sources),
                    });
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
            let is_touched = |row: &DeliveryRow| {
                let key = devices
                    .known(&row.device)
                    .zip(deliveries.known(&row.delivery));
                key.is_some_and(|key| wanted.deliveries.contains_key(&key))
            };
            rows.retain(|row| !is_touched(row));
            rows.extend(added.remove(day).unwrap_or_default());
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

    async fn write_hours(
        &self,
        unit: &Unit,
        devices: &Names,
        files: BTreeMap<Day, HourFile>,
        wanted: &Wanted,
        facts: &Facts,
        is_complete: impl Fn(&Sources) -> bool,
        written: &mut BTreeSet<String>,
    ) -> Result<bool, InsightsError> {
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
                    complete: is_complete(sources),
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

/// Adds the rows of a file for which `delivery` names one. Returns whether the file is made of complete units.
fn rows(
    table: Table,
    file: Bytes,
    readings: &mut Readings,
    delivery: impl Fn(&Head) -> Option<Name>,
) -> Result<bool, TableError> {
    let complete = TableReader::open(table, file.clone())?.is_complete();
    let wanted = |head: &Head| delivery(head).map(|delivery| Head { delivery, ..*head });
    match table.name == FLIGHT.name {
        true => flight::read(file, readings, wanted)?,
        false => operating::read(file, readings, wanted)?,
    }
    Ok(complete)
}

/// Makes the wanted facts. Takes the processor.
fn make(mut readings: Readings, wanted: &Wanted) -> (Readings, Facts) {
    settle(&mut readings.flights);
    settle(&mut readings.operating);
    by_time(&mut readings.flights);
    by_time(&mut readings.operating);
    let (flights, operating) = (
        mem::take(&mut readings.flights),
        mem::take(&mut readings.operating),
    );
    let mut facts = Facts {
        deliveries: HashMap::new(),
        hours: HashMap::new(),
    };
    let mut made: BTreeMap<Name, Vec<Hour>> = BTreeMap::new();
    for (device, hour) in &wanted.made {
        made.entry(*device).or_default().push(*hour);
    }
    let of_device = |device: Name| {
        let flights = slice_of(&flights, device, |reading: &FlightReading| {
            reading.head.device
        });
        let operating = slice_of(&operating, device, |reading: &OperatingReading| {
            reading.head.device
        });
        (flights, operating)
    };
    for (device, hours) in made {
        let (flights, operating) = of_device(device);
        for hour in hours {
            let from = hour.begin() - MARGIN;
            let flights = within(flights, from, hour.end(), |reading| {
                reading.head.occurred_at
            });
            let operating = within(operating, from, hour.end(), |reading| {
                reading.head.occurred_at
            });
            if let Some(made) = DroneHourFacts::of(hour, flights, operating) {
                facts.hours.insert((device, hour), made);
            }
        }
    }
    let devices: BTreeSet<Name> = wanted
        .deliveries
        .keys()
        .map(|(device, _)| *device)
        .collect();
    for device in devices {
        let mut by_delivery: HashMap<Name, (Vec<FlightReading>, Vec<OperatingReading>)> =
            HashMap::new();
        let (flights, operating) = of_device(device);
        for reading in flights {
            by_delivery
                .entry(reading.head.delivery)
                .or_default()
                .0
                .push(*reading);
        }
        for reading in operating {
            by_delivery
                .entry(reading.head.delivery)
                .or_default()
                .1
                .push(*reading);
        }
        for (delivery, (flights, operating)) in by_delivery {
            let is_wanted = wanted.deliveries.contains_key(&(device, delivery));
            if let Some(made) = DeliveryFacts::of(&flights, &operating).filter(|_| is_wanted) {
                facts.deliveries.insert((device, delivery), made);
            }
        }
    }
    (readings, facts)
}

/// The rows of a device, of rows in the order of devices.
fn slice_of<R>(rows: &[R], device: Name, of: impl Fn(&R) -> Name) -> &[R] {
    let begin = rows.partition_point(|row| of(row) < device);
    let end = begin + rows[begin..].partition_point(|row| of(row) == device);
    &rows[begin..end]
}

/// The rows of a time, of rows in the order of times.
fn within<R>(rows: &[R], from: i64, to: i64, at: impl Fn(&R) -> i64) -> &[R] {
    let begin = rows.partition_point(|row| at(row) < from);
    let end = begin + rows[begin..].partition_point(|row| at(row) < to);
    &rows[begin..end]
}
