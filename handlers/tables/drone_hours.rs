//! The table `drone_hours`: what each drone did in each hour.

use std::sync::Arc;

use bytes::Bytes;

use super::read::{Doubles, Flags, GroupReader, Longs, TableReader, Texts, utf8};
use super::schema::{Kind, always, maybe};
use super::write::{TableWriter, text};
use super::{Sources, Table, TableError};
use crate::domain::insights::drone_hour::DroneHourFacts;
use crate::domain::insights::hour::Hour;

/// The table.
pub const DRONE_HOURS: Table = Table {
    name: "drone_hours",
    columns: &[
        always("device_id", Kind::Text),
        always("hour", Kind::Time),
        always("departed_s", Kind::Double),
        always("in_flight_s", Kind::Double),
        always("picked_up_s", Kind::Double),
        always("dropped_off_s", Kind::Double),
        always("arrived_s", Kind::Double),
        always("unknown_s", Kind::Double),
        always("distance_m", Kind::Double),
        always("jumps", Kind::Long),
        always("battery_used", Kind::Double),
        always("battery_charged", Kind::Double),
        maybe("temperature_max", Kind::Double),
        always("flight_readings", Kind::Long),
        always("operating_readings", Kind::Long),
        always("late", Kind::Long),
        always("sources", Kind::Text),
        always("complete", Kind::Flag),
    ],
};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneHourRow {
    /// The drone.
    pub device: Arc<str>,
    /// The hour.
    pub hour: Hour,
    /// What it did.
    pub facts: DroneHourFacts,
    /// The folders that it is made from.
    pub sources: Sources,
    /// Whether all of their units are complete.
    pub complete: bool,
}

/// Writes rows, which are in the order of device and hour, as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(rows: &[DroneHourRow]) -> Result<Vec<u8>, TableError> {
    let mut file = TableWriter::new(DRONE_HOURS, rows.iter().all(|row| row.complete))?;
    let facts = || rows.iter().map(|row| &row.facts);
    file.group(|group| {
        group.texts(rows.iter().map(|row| text(&row.device)))?;
        group.longs(rows.iter().map(|row| row.hour.begin()))?;
        for status in 0..5 {
            group.doubles(facts().map(|facts| facts.status_s[status]))?;
        }
        group.doubles(facts().map(|facts| facts.unknown_s))?;
        group.doubles(facts().map(|facts| facts.distance_m))?;
        group.longs(facts().map(|facts| facts.jumps))?;
        group.doubles(facts().map(|facts| facts.battery_used))?;
        group.doubles(facts().map(|facts| facts.battery_charged))?;
        group.maybe_doubles(facts().map(|facts| facts.temperature_max))?;
        group.longs(facts().map(|facts| facts.flight_readings))?;
        group.longs(facts().map(|facts| facts.operating_readings))?;
        group.longs(facts().map(|facts| facts.late))?;
        group.texts(rows.iter().map(|row| text(&row.sources.text())))?;
        group.flags(rows.iter().map(|row| row.complete))
    })?;
    file.finish()
}

struct Columns {
    device_id: Texts,
    hour: Longs,
    status_s: [Doubles; 5],
    unknown_s: Doubles,
    distance_m: Doubles,
    jumps: Longs,
    battery_used: Doubles,
    battery_charged: Doubles,
    temperature_max: Doubles,
    flight_readings: Longs,
    operating_readings: Longs,
    late: Longs,
    sources: Texts,
    complete: Flags,
}

impl Columns {
    fn of(group: &GroupReader<'_>) -> Result<Self, TableError> {
        Ok(Self {
            device_id: group.column("device_id")?,
            hour: group.column("hour")?,
            status_s: [
                group.column("departed_s")?,
                group.column("in_flight_s")?,
                group.column("picked_up_s")?,
                group.column("dropped_off_s")?,
                group.column("arrived_s")?,
            ],
            unknown_s: group.column("unknown_s")?,
            distance_m: group.column("distance_m")?,
            jumps: group.column("jumps")?,
            battery_used: group.column("battery_used")?,
            battery_charged: group.column("battery_charged")?,
            temperature_max: group.column("temperature_max")?,
            flight_readings: group.column("flight_readings")?,
            operating_readings: group.column("operating_readings")?,
            late: group.column("late")?,
            sources: group.column("sources")?,
            complete: group.column("complete")?,
        })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<DroneHourRow>, TableError> {
        let device_id = self.device_id.next(rows)?;
        let hour = self.hour.next(rows)?;
        let [departed, in_flight, picked_up, dropped_off, arrived] = &mut self.status_s;
        let status_s = [
            departed.next(rows)?,
            in_flight.next(rows)?,
            picked_up.next(rows)?,
            dropped_off.next(rows)?,
            arrived.next(rows)?,
        ];
        let unknown_s = self.unknown_s.next(rows)?;
        let distance_m = self.distance_m.next(rows)?;
        let jumps = self.jumps.next(rows)?;
        let battery_used = self.battery_used.next(rows)?;
        let battery_charged = self.battery_charged.next(rows)?;
        let temperature_max = self.temperature_max.next_maybe(rows)?;
        let flight_readings = self.flight_readings.next(rows)?;
        let operating_readings = self.operating_readings.next(rows)?;
        let late = self.late.next(rows)?;
        let sources = self.sources.next(rows)?;
        let complete = self.complete.next(rows)?;
        let mut all = Vec::with_capacity(rows);
        for (at, temperature_max) in temperature_max.into_iter().enumerate() {
            all.push(DroneHourRow {
                device: utf8(&device_id[at], "device_id")?.into(),
                hour: Hour::of_micros(hour[at]),
                facts: DroneHourFacts {
                    status_s: status_s.map(|column| column[at]),
                    unknown_s: unknown_s[at],
                    distance_m: distance_m[at],
                    jumps: jumps[at],
                    battery_used: battery_used[at],
                    battery_charged: battery_charged[at],
                    temperature_max,
                    flight_readings: flight_readings[at],
                    operating_readings: operating_readings[at],
                    late: late[at],
                },
                sources: Sources::parse(utf8(&sources[at], "sources")?)?,
                complete: complete[at],
            });
        }
        Ok(all)
    }
}

/// Reads a file, row by row.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn read(file: Bytes, mut row: impl FnMut(DroneHourRow)) -> Result<(), TableError> {
    TableReader::open(DRONE_HOURS, file)?.chunks(Columns::of, |columns, rows| {
        columns.next(rows)?.into_iter().for_each(&mut row);
        Ok(())
    })
}
