//! Where the most happens, in cells of H3.

use std::collections::BTreeMap;

use h3o::{CellIndex, LatLng, Resolution};
use serde::{Deserialize, Serialize};

use super::SECOND;
use super::delivery::LONGEST_SPAN;
use super::reading::FlightReading;

/// How many of each kind are shown.
pub const MOST: usize = 200;

/// Microseconds of flight by cell of resolution 8.
pub type FlightCells = BTreeMap<u64, i64>;

/// Counts the time from each reading to the next of its delivery, at most 30 s of it, in the cell of the first. The rows
/// must be settled; stale ones do not count.
pub fn flight_cells(flights: &[FlightReading]) -> FlightCells {
    let mut cells = FlightCells::new();
    for pair in flights.windows(2) {
        let (head, next) = (&pair[0].head, &pair[1].head);
        let same = (head.device, head.delivery) == (next.device, next.delivery);
        if !same || head.is_stale() || next.is_stale() {
            continue;
        }
        if let Some(cell) = cell_of(&pair[0]) {
            let span = (next.occurred_at - head.occurred_at).min(LONGEST_SPAN);
            *cells.entry(cell).or_default() += span;
        }
    }
    cells
}

fn cell_of(reading: &FlightReading) -> Option<u64> {
    let place = LatLng::new(reading.latitude, reading.longitude).ok()?;
    Some(place.to_cell(Resolution::Eight).into())
}

/// The text of a cell, 15 hexadecimal digits; `None` where it is no cell.
pub fn cell_text(cell: u64) -> Option<String> {
    CellIndex::try_from(cell).ok().map(|cell| cell.to_string())
}

/// The cell of a text.
pub fn parse_cell(text: &str) -> Option<u64> {
    text.parse::<CellIndex>().ok().map(u64::from)
}

/// The largest of a day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HotSpots {
    /// Where packages were picked up, resolution 9.
    pub pick_ups: Vec<CellCount>,
    /// Where they were dropped off, resolution 9.
    pub drop_offs: Vec<CellCount>,
    /// Where drones flew, resolution 8.
    pub flight: Vec<CellSeconds>,
}

/// How often something happened in a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellCount {
    /// The cell, 15 hexadecimal digits.
    pub cell: String,
    /// How often.
    pub count: u64,
}

/// How long drones were in a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellSeconds {
    /// The cell, 15 hexadecimal digits.
    pub cell: String,
    /// Of all drones together.
    pub seconds: f64,
}

/// The cells that happen most often.
pub fn most_often(cells: &BTreeMap<u64, u64>) -> Vec<CellCount> {
    let spot = |(cell, count)| cell_text(cell).map(|cell| CellCount { cell, count });
    largest(cells).into_iter().filter_map(spot).collect()
}

/// The cells with the most time, which is given in microseconds.
pub fn longest(cells: &FlightCells) -> Vec<CellSeconds> {
    let spot = |(cell, micros): (u64, i64)| {
        let seconds = micros as f64 / SECOND as f64;
        cell_text(cell).map(|cell| CellSeconds { cell, seconds })
    };
    largest(cells).into_iter().filter_map(spot).collect()
}

/// By size, and then by cell.
fn largest<N: Copy + Ord>(cells: &BTreeMap<u64, N>) -> Vec<(u64, N)> {
    let mut cells: Vec<_> = cells.iter().map(|(cell, size)| (*cell, *size)).collect();
    cells.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    cells.truncate(MOST);
    cells
}
