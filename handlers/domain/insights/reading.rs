//! Readings as rows, and which of several equal ones stays.

use std::cmp::Ordering;

use time::UtcDateTime;

use super::hour::Hour;
use super::names::{Name, Names, Renumbered};
use super::{HOUR, SECOND};
use crate::domain::{BatteryStatus, Flight, FlightStatus, Operating};

/// How late a reading may be to count: 72 hours. What is later is stale.
pub const LATEST: i64 = 72 * HOUR;

/// How late a reading may be sent again to count: 30 days after a hub took it first.
pub const LATEST_REPLAY: i64 = 30 * 24 * HOUR;

/// What a reading has beside what was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The drone.
    pub device: Name,
    /// Its delivery.
    pub delivery: Name,
    /// When it was read, by the drone's clock.
    pub occurred_at: i64,
    /// When a hub took it, the first time.
    pub enqueued_at: i64,
    /// Its number in the partition.
    pub sequence_number: i64,
    /// Whether it was sent again.
    pub replayed: bool,
    /// The folder of the archive that it is in.
    pub folder: Hour,
}

impl Head {
    /// Whether it came too late for any figure.
    pub fn is_stale(&self) -> bool {
        is_stale(self.occurred_at, self.enqueued_at, self.folder)
    }

    /// Which of equal readings stays: the least.
    fn taken(&self) -> (i64, i64) {
        (self.enqueued_at, self.sequence_number)
    }

    fn renumber(&mut self, devices: &Renumbered, deliveries: &Renumbered) {
        self.device = devices.of(self.device);
        self.delivery = deliveries.of(self.delivery);
    }
}

/// Whether a reading of a folder came too late for any figure, the first time or again.
pub fn is_stale(occurred_at: i64, enqueued_at: i64, folder: Hour) -> bool {
    let came = enqueued_at.saturating_sub(occurred_at);
    let came_again = folder.begin().saturating_sub(enqueued_at);
    came > LATEST || came_again > LATEST_REPLAY
}

/// Where a drone was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlightReading {
    /// Whose, when.
    pub head: Head,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Meters.
    pub altitude: f64,
    /// In the sender's unit.
    pub velocity: f64,
    /// In the sender's unit.
    pub acceleration: f64,
    /// How far the delivery was.
    pub status: FlightStatus,
}

/// How a drone's body was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingReading {
    /// Whose, when.
    pub head: Head,
    /// In the sender's unit.
    pub temperature: f64,
    /// 0 to 1.
    pub battery_level: f64,
    /// The drone's word for it.
    pub battery_status: BatteryStatus,
}

impl FlightReading {
    /// A reading as a row.
    pub fn new(head: Head, flight: &Flight) -> Self {
        Self {
            head,
            latitude: no_negative_zero(flight.position.latitude),
            longitude: no_negative_zero(flight.position.longitude),
            altitude: no_negative_zero(flight.position.altitude),
            velocity: no_negative_zero(flight.velocity),
            acceleration: no_negative_zero(flight.acceleration),
            status: flight.status,
        }
    }

    /// Degrees north and east.
    pub fn place(&self) -> (f64, f64) {
        (self.latitude, self.longitude)
    }
}

impl OperatingReading {
    /// A reading as a row.
    pub fn new(head: Head, operating: &Operating) -> Self {
        Self {
            head,
            temperature: no_negative_zero(operating.temperature),
            battery_level: no_negative_zero(operating.battery_level),
            battery_status: operating.battery_status,
        }
    }
}

/// The two zeros are equal, and must be equal bytes.
fn no_negative_zero(value: f64) -> f64 {
    value + 0.0
}

/// What the two kinds share.
pub trait Reading: Copy {
    /// Whose, when.
    fn head(&self) -> &Head;
    /// The same, to be renumbered.
    fn head_mut(&mut self) -> &mut Head;
    /// An order of what was read, in which only what is equal is equal.
    fn compare_values(&self, other: &Self) -> Ordering;
}

impl Reading for FlightReading {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn compare_values(&self, other: &Self) -> Ordering {
        let values = |reading: &Self| {
            [
                reading.latitude,
                reading.longitude,
                reading.altitude,
                reading.velocity,
                reading.acceleration,
            ]
        };
        compare(values(self), values(other)).then(self.status.cmp(&other.status))
    }
}

impl Reading for OperatingReading {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn compare_values(&self, other: &Self) -> Ordering {
        let values = |reading: &Self| [reading.temperature, reading.battery_level];
        compare(values(self), values(other)).then(self.battery_status.cmp(&other.battery_status))
    }
}

fn compare<const N: usize>(values: [f64; N], others: [f64; N]) -> Ordering {
    let mut pairs = values.iter().zip(&others);
    pairs
        .find_map(|(value, other)| Some(value.total_cmp(other)).filter(|order| order.is_ne()))
        .unwrap_or(Ordering::Equal)
}

/// Gives rows the numbers of sorted names.
pub fn renumber<R: Reading>(rows: &mut [R], devices: &Renumbered, deliveries: &Renumbered) {
    for row in rows {
        row.head_mut().renumber(devices, deliveries);
    }
}

/// Puts rows into the order of the tables, by device, occurrence and sequence number, and lets one of equal readings
/// stay. What is left does not depend on the order in which the rows came. Returns how many went.
pub fn settle<R: Reading>(rows: &mut Vec<R>) -> usize {
    rows.sort_unstable_by(by_occurrence);
    let (mut kept, mut begin) = (0, 0);
    while let Some(first) = rows.get(begin).map(|row| *row.head()) {
        let same = |row: &R| {
            (row.head().device, row.head().occurred_at) == (first.device, first.occurred_at)
        };
        let end = begin + rows[begin..].iter().take_while(|row| same(row)).count();
        let group = &mut rows[begin..end];
        // Nearly every group is of one.
        if group.len() > 1 {
            group.sort_unstable_by(|a, b| {
                (a.head().delivery.cmp(&b.head().delivery))
                    .then_with(|| a.compare_values(b))
                    .then(a.head().taken().cmp(&b.head().taken()))
            });
        }
        let from = kept;
        for at in begin..end {
            let row = rows[at];
            let repeats = kept > from && {
                let last = &rows[kept - 1];
                last.head().delivery == row.head().delivery && last.compare_values(&row).is_eq()
            };
            if !repeats {
                rows[kept] = row;
                kept += 1;
            }
        }
        if kept - from > 1 {
            rows[from..kept].sort_unstable_by(by_occurrence);
        }
        begin = end;
    }
    let gone = rows.len() - kept;
    rows.truncate(kept);
    gone
}

fn by_occurrence<R: Reading>(a: &R, b: &R) -> Ordering {
    let key = |row: &R| {
        let Head {
            device,
            occurred_at,
            sequence_number,
            enqueued_at,
            delivery,
            ..
        } = *row.head();
        (device, occurred_at, sequence_number, enqueued_at, delivery)
    };
    // What is equal in all of these is one event, or has equal readings and goes.
    key(a).cmp(&key(b)).then_with(|| a.compare_values(b))
}

/// Puts rows into the order in which facts take them: by device, occurrence, and when they were taken.
pub fn by_time<R: Reading>(rows: &mut [R]) {
    rows.sort_unstable_by_key(|row| {
        let head = row.head();
        (
            head.device,
            head.occurred_at,
            head.enqueued_at,
            head.sequence_number,
        )
    });
}

/// A time as the tables have it, cut to microseconds.
pub fn micros(time: UtcDateTime) -> i64 {
    time.unix_timestamp() * SECOND + i64::from(time.microsecond())
}

/// The readings of some rows' devices and deliveries.
#[derive(Debug, Default)]
pub struct Readings {
    /// The drones.
    pub devices: Names,
    /// The deliveries.
    pub deliveries: Names,
    /// Flight.
    pub flights: Vec<FlightReading>,
    /// Operating status.
    pub operating: Vec<OperatingReading>,
}

impl Readings {
    /// Sorts names and rows, and lets one of equal readings stay. Returns how many went.
    pub fn settle(&mut self) -> usize {
        let (devices, deliveries) = (self.devices.sort(), self.deliveries.sort());
        renumber(&mut self.flights, &devices, &deliveries);
        renumber(&mut self.operating, &devices, &deliveries);
        settle(&mut self.flights) + settle(&mut self.operating)
    }
}
