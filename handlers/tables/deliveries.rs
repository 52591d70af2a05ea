//! The table `deliveries`: what each drone did for each delivery.

use std::sync::Arc;

use bytes::Bytes;

use super::read::{Doubles, Flags, GroupReader, Longs, TableReader, Texts, utf8};
use super::schema::{Kind, always, maybe};
use super::write::{TableWriter, text};
use super::{Sources, Table, TableError};
use crate::domain::insights::delivery::{DeliveryFacts, Outcome, Place, Seen};
use crate::domain::insights::figures::DeliveryFigures;
use crate::domain::insights::hot_spots::{cell_text, parse_cell};

/// The table.
pub const DELIVERIES: Table = Table {
    name: "deliveries",
    columns: &[
        always("device_id", Kind::Text),
        always("delivery_id", Kind::Text),
        always("first_at", Kind::Time),
        always("last_at", Kind::Time),
        maybe("departed_at", Kind::Time),
        maybe("picked_up_at", Kind::Time),
        maybe("dropped_off_at", Kind::Time),
        maybe("arrived_at", Kind::Time),
        maybe("departed_gap_s", Kind::Double),
        maybe("picked_up_gap_s", Kind::Double),
        maybe("dropped_off_gap_s", Kind::Double),
        maybe("arrived_gap_s", Kind::Double),
        always("ended_at", Kind::Time),
        always("outcome", Kind::Text),
        maybe("to_pick_up_s", Kind::Double),
        maybe("loaded_s", Kind::Double),
        maybe("return_s", Kind::Double),
        maybe("delivery_s", Kind::Double),
        always("distance_m", Kind::Double),
        always("chord_m", Kind::Double),
        always("jumps", Kind::Long),
        maybe("battery_used", Kind::Double),
        maybe("pick_up_latitude", Kind::Double),
        maybe("pick_up_longitude", Kind::Double),
        maybe("pick_up_h3", Kind::Text),
        maybe("drop_off_latitude", Kind::Double),
        maybe("drop_off_longitude", Kind::Double),
        maybe("drop_off_h3", Kind::Text),
        always("flight_readings", Kind::Long),
        always("operating_readings", Kind::Long),
        maybe("max_gap_s", Kind::Double),
        always("replayed", Kind::Long),
        always("first_hour", Kind::Time),
        always("last_hour", Kind::Time),
        always("sources", Kind::Text),
        always("complete", Kind::Flag),
    ],
};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// The drone.
    pub device: Arc<str>,
    /// Its delivery.
    pub delivery: Arc<str>,
    /// What it did.
    pub facts: DeliveryFacts,
    /// The folders that it is made from, never none.
    pub sources: Sources,
    /// Whether all of their units are complete.
    pub complete: bool,
}

/// Writes rows, which are in the order of device and delivery, as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(rows: &[DeliveryRow]) -> Result<Vec<u8>, TableError> {
    let mut file = TableWriter::new(DELIVERIES, rows.iter().all(|row| row.complete))?;
    let facts = || rows.iter().map(|row| &row.facts);
    let hours = || rows.iter().map(|row| row.sources.ends());
    let at = |seen: Option<Seen>| seen.map(|seen| seen.at);
    let gap = |seen: Option<Seen>| seen.and_then(|seen| seen.gap_s);
    let cell = |place: Option<Place>| Some(text(&cell_text(place?.cell)?));
    file.group(|group| {
        group.texts(rows.iter().map(|row| text(&row.device)))?;
        group.texts(rows.iter().map(|row| text(&row.delivery)))?;
        group.longs(facts().map(|facts| facts.first_at))?;
        group.longs(facts().map(|facts| facts.last_at))?;
        group.maybe_longs(facts().map(|facts| at(facts.departed)))?;
        group.maybe_longs(facts().map(|facts| at(facts.picked_up)))?;
        group.maybe_longs(facts().map(|facts| at(facts.dropped_off)))?;
        group.maybe_longs(facts().map(|facts| at(facts.arrived)))?;
        group.maybe_doubles(facts().map(|facts| gap(facts.departed)))?;
        group.maybe_doubles(facts().map(|facts| gap(facts.picked_up)))?;
        group.maybe_doubles(facts().map(|facts| gap(facts.dropped_off)))?;
        group.maybe_doubles(facts().map(|facts| gap(facts.arrived)))?;
        group.longs(facts().map(|facts| facts.ended_at))?;
        group.texts(facts().map(|facts| text(facts.outcome.name())))?;
        group.maybe_doubles(facts().map(|facts| facts.to_pick_up_s))?;
        group.maybe_doubles(facts().map(|facts| facts.loaded_s))?;
        group.maybe_doubles(facts().map(|facts| facts.return_s))?;
        group.maybe_doubles(facts().map(|facts| facts.delivery_s))?;
        group.doubles(facts().map(|facts| facts.distance_m))?;
        group.doubles(facts().map(|facts| facts.chord_m))?;
        group.longs(facts().map(|facts| facts.jumps))?;
        group.maybe_doubles(facts().map(|facts| facts.battery_used))?;
        group.maybe_doubles(facts().map(|facts| facts.pick_up.map(|place| place.latitude)))?;
        group.maybe_doubles(facts().map(|facts| facts.pick_up.map(|place| place.longitude)))?;
        group.maybe_texts(facts().map(|facts| cell(facts.pick_up)))?;
        group.maybe_doubles(facts().map(|facts| facts.drop_off.map(|place| place.latitude)))?;
        group.maybe_doubles(facts().map(|facts| facts.drop_off.map(|place| place.longitude)))?;
        group.maybe_texts(facts().map(|facts| cell(facts.drop_off)))?;
        group.longs(facts().map(|facts| facts.flight_readings))?;
        group.longs(facts().map(|facts| facts.operating_readings))?;
        group.maybe_doubles(facts().map(|facts| facts.max_gap_s))?;
        group.longs(facts().map(|facts| facts.replayed))?;
        group.longs(hours().map(|ends| ends.map_or(0, |(first, _)| first.begin())))?;
        group.longs(hours().map(|ends| ends.map_or(0, |(_, last)| last.begin())))?;
        group.texts(rows.iter().map(|row| text(&row.sources.text())))?;
        group.flags(rows.iter().map(|row| row.complete))
    })?;
    file.finish()
}

/// Reads a file whole.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn read(file: Bytes) -> Result<Vec<DeliveryRow>, TableError> {
    let reader = TableReader::open(DELIVERIES, file)?;
    let mut all = Vec::with_capacity(usize::try_from(reader.rows()).unwrap_or(0).min(1 << 16));
    reader.chunks(Columns::of, |columns, rows| {
        all.extend(columns.next(rows)?);
        Ok(())
    })?;
    Ok(all)
}

/// Reads of a file which deliveries it tells of, and the text of the folders that
/// each is made from, for [`Sources::parse`].
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn find(
    file: Bytes,
    mut found: impl FnMut(&str, &str, &str) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let columns = |group: &GroupReader<'_>| {
        let ids: (Texts, Texts) = (group.column("device_id")?, group.column("delivery_id")?);
        Ok((ids, group.column("sources")?))
    };
    TableReader::open(DELIVERIES, file)?.chunks(
        columns,
        |((devices, deliveries), sources): &mut (_, Texts), rows| {
            let ids = devices.next(rows)?.iter().zip(deliveries.next(rows)?);
            for ((device, delivery), sources) in ids.zip(sources.next(rows)?) {
                let (device, delivery) =
                    (utf8(device, "device_id")?, utf8(delivery, "delivery_id")?);
                found(device, delivery, utf8(sources, "sources")?)?;
            }
            Ok(())
        },
    )
}

/// Reads of a file what figures need.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn read_figures(file: Bytes, mut row: impl FnMut(&DeliveryFigures)) -> Result<(), TableError> {
    TableReader::open(DELIVERIES, file)?.chunks(FigureColumns::of, |columns, rows| {
        columns.next(rows)?.iter().for_each(&mut row);
        Ok(())
    })
}

/// Every column.
struct Columns {
    device_id: Texts,
    delivery_id: Texts,
    milestones: [(Longs, Doubles); 4],
    figures: FigureColumns,
    chord_m: Doubles,
    jumps: Longs,
    flight_readings: Longs,
    operating_readings: Longs,
    max_gap_s: Doubles,
    replayed: Longs,
    sources: Texts,
}

impl Columns {
    fn of(group: &GroupReader<'_>) -> Result<Self, TableError> {
        let milestone = |at, gap| Ok::<_, TableError>((group.column(at)?, group.column(gap)?));
        Ok(Self {
            device_id: group.column("device_id")?,
            delivery_id: group.column("delivery_id")?,
            milestones: [
                milestone("departed_at", "departed_gap_s")?,
                milestone("picked_up_at", "picked_up_gap_s")?,
                milestone("dropped_off_at", "dropped_off_gap_s")?,
                milestone("arrived_at", "arrived_gap_s")?,
            ],
            figures: FigureColumns::of(group)?,
            chord_m: group.column("chord_m")?,
            jumps: group.column("jumps")?,
            flight_readings: group.column("flight_readings")?,
            operating_readings: group.column("operating_readings")?,
            max_gap_s: group.column("max_gap_s")?,
            replayed: group.column("replayed")?,
            sources: group.column("sources")?,
        })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<DeliveryRow>, TableError> {
        let figures = self.figures.next(rows)?;
        let device_id = self.device_id.next(rows)?;
        let delivery_id = self.delivery_id.next(rows)?;
        let mut milestones = Vec::with_capacity(4);
        for (at, gap) in &mut self.milestones {
            let seen = at.next_maybe(rows)?.into_iter().zip(gap.next_maybe(rows)?);
            let seen = seen.map(|(at, gap_s)| at.map(|at| Seen { at, gap_s }));
            milestones.push(seen.collect::<Vec<_>>());
        }
        let chord_m = self.chord_m.next(rows)?;
        let jumps = self.jumps.next(rows)?;
        let flight_readings = self.flight_readings.next(rows)?;
        let operating_readings = self.operating_readings.next(rows)?;
        let max_gap_s = self.max_gap_s.next_maybe(rows)?;
        let replayed = self.replayed.next(rows)?;
        let sources = self.sources.next(rows)?;
        let mut all = Vec::with_capacity(rows);
        for (at, figures) in figures.into_iter().enumerate() {
            let facts = DeliveryFacts {
                first_at: figures.first_at,
                last_at: figures.last_at,
                departed: milestones[0][at],
                picked_up: milestones[1][at],
                dropped_off: milestones[2][at],
                arrived: milestones[3][at],
                ended_at: figures.ended_at,
                outcome: figures.outcome,
                to_pick_up_s: figures.to_pick_up_s,
                loaded_s: figures.loaded_s,
                return_s: figures.return_s,
                delivery_s: figures.delivery_s,
                distance_m: figures.distance_m,
                chord_m: chord_m[at],
                jumps: jumps[at],
                battery_used: figures.battery_used,
                pick_up: figures.pick_up,
                drop_off: figures.drop_off,
                flight_readings: flight_readings[at],
                operating_readings: operating_readings[at],
                max_gap_s: max_gap_s[at],
                replayed: replayed[at],
            };
            all.push(DeliveryRow {
                device: utf8(&device_id[at], "device_id")?.into(),
                delivery: utf8(&delivery_id[at], "delivery_id")?.into(),
                facts,
                sources: Sources::parse(utf8(&sources[at], "sources")?)?,
                complete: figures.complete,
            });
        }
        Ok(all)
    }
}

/// The columns that figures need.
struct FigureColumns {
    first_at: Longs,
    last_at: Longs,
    ended_at: Longs,
    outcome: Texts,
    phases: [Doubles; 4],
    distance_m: Doubles,
    battery_used: Doubles,
    pick_up: PlaceColumns,
    drop_off: PlaceColumns,
    complete: Flags,
}

impl FigureColumns {
    fn of(group: &GroupReader<'_>) -> Result<Self, TableError> {
        Ok(Self {
            first_at: group.column("first_at")?,
            last_at: group.column("last_at")?,
            ended_at: group.column("ended_at")?,
            outcome: group.column("outcome")?,
            phases: [
                group.column("to_pick_up_s")?,
                group.column("loaded_s")?,
                group.column("return_s")?,
                group.column("delivery_s")?,
            ],
            distance_m: group.column("distance_m")?,
            battery_used: group.column("battery_used")?,
            pick_up: PlaceColumns {
                latitude: group.column("pick_up_latitude")?,
                longitude: group.column("pick_up_longitude")?,
                cell: group.column("pick_up_h3")?,
            },
            drop_off: PlaceColumns {
                latitude: group.column("drop_off_latitude")?,
                longitude: group.column("drop_off_longitude")?,
                cell: group.column("drop_off_h3")?,
            },
            complete: group.column("complete")?,
        })
    }

    fn next(&mut self, rows: usize) -> Result<Vec<DeliveryFigures>, TableError> {
        let first_at = self.first_at.next(rows)?;
        let last_at = self.last_at.next(rows)?;
        let ended_at = self.ended_at.next(rows)?;
        let outcomes = self.outcome.next(rows)?;
        let mut phases = Vec::with_capacity(4);
        for phase in &mut self.phases {
            phases.push(phase.next_maybe(rows)?);
        }
        let distance_m = self.distance_m.next(rows)?;
        let battery_used = self.battery_used.next_maybe(rows)?;
        let pick_up = self.pick_up.next(rows)?;
        let drop_off = self.drop_off.next(rows)?;
        let complete = self.complete.next(rows)?;
        let mut all = Vec::with_capacity(rows);
        for (at, outcome) in outcomes.iter().enumerate() {
            let outcome = Outcome::from_name(utf8(outcome, "outcome")?);
            all.push(DeliveryFigures {
                first_at: first_at[at],
                last_at: last_at[at],
                ended_at: ended_at[at],
                outcome: outcome.ok_or(TableError::Value("outcome"))?,
                to_pick_up_s: phases[0][at],
                loaded_s: phases[1][at],
                return_s: phases[2][at],
                delivery_s: phases[3][at],
                distance_m: distance_m[at],
                battery_used: battery_used[at],
                pick_up: pick_up[at],
                drop_off: drop_off[at],
                complete: complete[at],
            });
        }
        Ok(all)
    }
}

struct PlaceColumns {
    latitude: Doubles,
    longitude: Doubles,
    cell: Texts,
}

impl PlaceColumns {
    fn next(&mut self, rows: usize) -> Result<Vec<Option<Place>>, TableError> {
        let places = self
            .latitude
            .next_maybe(rows)?
            .into_iter()
            .zip(self.longitude.next_maybe(rows)?);
        let mut all = Vec::with_capacity(rows);
        for ((latitude, longitude), cell) in places.zip(self.cell.next_maybe(rows)?) {
            let cell = match &cell {
                Some(cell) => parse_cell(utf8(cell, "h3")?),
                None => None,
            };
            let place = latitude.zip(longitude).zip(cell);
            all.push(place.map(|((latitude, longitude), cell)| Place {
                latitude,
                longitude,
                cell,
            }));
        }
        Ok(all)
    }
}
