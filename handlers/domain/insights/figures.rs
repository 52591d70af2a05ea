//! The figures of an hour and of a day, and the document that has those of a day: `fleet.json`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::delivery::{Outcome, Place};
use super::distance::great_circle;
use super::drone_hour::DroneHourFacts;
use super::hot_spots::{self, FlightCells, HotSpots};
use super::hour::{Day, Hour};
use super::percentile;
use super::quality::Quality;
use crate::domain::timestamp::rfc3339;

/// The form of [`FleetDay`] that is written. Readers refuse any other.
pub const SCHEMA: u32 = 1;

/// Above that many times its band's median a delivery is slow.
const SLOW: f64 = 1.5;

/// `fleet.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetDay {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The day, as `2026-11-29`.
    pub date: String,
    /// Up to when everything is in it; `None` where nothing is complete.
    #[serde(with = "rfc3339_option")]
    pub as_of: Option<UtcDateTime>,
    /// Whether all of its hours are complete.
    pub complete: bool,
    /// The hours of which anything is known.
    pub hours: Vec<FleetHour>,
    /// All of it.
    pub day: DayFigures,
    /// Where the most happened.
    pub hot_spots: HotSpots,
}

/// An hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetHour {
    /// Its begin.
    #[serde(with = "rfc3339")]
    pub hour: UtcDateTime,
    /// Whether it is over, and every unit that it is made from is complete.
    pub complete: bool,
    /// What happened.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayFigures {
    /// Deliveries that took above 1.5 times the median of those of their distance.
    pub slow: u64,
    /// What happened.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What happened in a time. Defined on the page `handlers/INSIGHTS.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Figures {
    pub deliveries: DeliveryCounts,
    pub phases: Phases,
    pub distance_km: f64,
    pub battery_per_km: Option<f64>,
    pub drones: u64,
    pub seconds: StatusSeconds,
    pub utilisation: Option<f64>,
    pub quality: QualityFigures,
}

/// Deliveries by outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DeliveryCounts {
    pub started: u64,
    pub delivered: u64,
    pub inferred: u64,
    pub returned: u64,
    pub open: u64,
    pub lost: u64,
}

/// How long the phases of delivered ones took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Phases {
    pub to_pick_up: Phase,
    pub loaded: Phase,
    pub r#return: Phase,
    pub delivery: Phase,
}

/// Seconds of a phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Phase {
    pub count: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// Seconds of all drones together, by status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct StatusSeconds {
    pub departed: f64,
    pub in_flight: f64,
    pub picked_up: f64,
    pub dropped_off: f64,
    pub arrived: f64,
    pub unknown: f64,
}

/// How whole it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct QualityFigures {
    pub events: u64,
    pub repeats: u64,
    pub missing: u64,
    pub stale: u64,
    pub replayed: u64,
    pub rejects: BTreeMap<String, u64>,
    pub completeness: Option<f64>,
    pub lag_p50: Option<f64>,
    pub lag_p99: Option<f64>,
}

/// Makes the figures of one day from its rows, in any order.
#[derive(Debug)]
pub struct DayTally {
    day: Day,
    as_of: Option<UtcDateTime>,
    hours: BTreeMap<Hour, Tally>,
    whole: Tally,
    drones: HashSet<Arc<str>>,
    bands: BTreeMap<u64, Vec<f64>>,
    pick_ups: BTreeMap<u64, u64>,
    drop_offs: BTreeMap<u64, u64>,
    flight: FlightCells,
}

/// What a delivery has to do with a tally: a row of the table, or as much of it as was read.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct DeliveryFigures {
    pub first_at: i64,
    pub last_at: i64,
    pub ended_at: i64,
    pub outcome: Outcome,
    pub to_pick_up_s: Option<f64>,
    pub loaded_s: Option<f64>,
    pub return_s: Option<f64>,
    pub delivery_s: Option<f64>,
    pub distance_m: f64,
    pub battery_used: Option<f64>,
    pub pick_up: Option<Place>,
    pub drop_off: Option<Place>,
    /// Whether every unit that it is made from is complete.
    pub complete: bool,
}

impl DayTally {
    /// Nothing yet. What is lost is lost as of a time.
    pub fn new(day: Day, as_of: Option<UtcDateTime>) -> Self {
        Self {
            day,
            as_of,
            hours: BTreeMap::new(),
            whole: Tally::default(),
            drones: HashSet::new(),
            bands: BTreeMap::new(),
            pick_ups: BTreeMap::new(),
            drop_offs: BTreeMap::new(),
            flight: FlightCells::new(),
        }
    }

    fn hour_of(&self, micros: i64) -> Option<Hour> {
        let hour = Hour::of_micros(micros);
        (hour.date() == self.day.0).then_some(hour)
    }

    /// A delivery, of whichever day.
    pub fn delivery(&mut self, row: &DeliveryFigures) {
        if let Some(hour) = self.hour_of(row.first_at) {
            let tally = self.hours.entry(hour).or_default();
            tally.counts.started += 1;
            tally.incomplete |= !row.complete;
            self.whole.counts.started += 1;
        }
        let Some(hour) = self.hour_of(row.ended_at) else {
            return;
        };
        let as_of = self.as_of.map(super::reading::micros);
        let lost =
            as_of.is_some_and(|as_of| super::delivery::is_lost(row.outcome, row.last_at, as_of));
        self.hours.entry(hour).or_default().delivery(row, lost);
        self.whole.delivery(row, lost);
        for (cells, place) in [
            (&mut self.pick_ups, row.pick_up),
            (&mut self.drop_offs, row.drop_off),
        ] {
            if let Some(place) = place {
                *cells.entry(place.cell).or_default() += 1;
            }
        }
        if let (Some(seconds), Some(from), Some(to)) = (row.delivery_s, row.pick_up, row.drop_off) {
            let at = |place: Place| (place.latitude, place.longitude);
            // Half the earth's circumference is 20,000 km.
            let band = (great_circle(at(from), at(to)) / 1000.0) as u64;
            self.bands.entry(band).or_default().push(seconds);
        }
    }

    /// A drone's hour, and whether every unit that it is made from is complete.
    pub fn drone_hour(
        &mut self,
        device: &Arc<str>,
        hour: Hour,
        facts: &DroneHourFacts,
        complete: bool,
    ) {
        if hour.date() != self.day.0 {
            return;
        }
        let tally = self.hours.entry(hour).or_default();
        tally.drones += 1;
        tally.incomplete |= !complete;
        tally.drone_hour(facts);
        self.whole.drone_hour(facts);
        if !self.drones.contains(device) {
            self.drones.insert(device.clone());
        }
    }

    /// A unit of the day.
    pub fn unit(&mut self, hour: Hour, quality: &Quality) {
        self.hours.entry(hour).or_default().quality.add(quality);
        self.whole.quality.add(quality);
    }

    /// A unit's cells, microseconds by cell.
    pub fn flight_cell(&mut self, cell: u64, micros: i64) {
        *self.flight.entry(cell).or_default() += micros;
    }

    /// The figures. `is_complete` says of an hour whether its units are; `over` whether the whole day is.
    pub fn finish(mut self, over: bool, is_complete: impl Fn(Hour) -> bool) -> FleetDay {
        self.whole.drones = self.drones.len() as u64;
        let slow = |seconds: &mut Vec<f64>| {
            seconds.sort_unstable_by(f64::total_cmp);
            let limit = percentile::of_sorted(seconds, 50).unwrap_or(0.0) * SLOW;
            seconds.iter().filter(|taken| **taken > limit).count() as u64
        };
        let slow = self.bands.values_mut().map(slow).sum();
        let hours: Vec<_> = self
            .hours
            .into_iter()
            .map(|(hour, tally)| FleetHour {
                hour: hour.begins(),
                complete: is_complete(hour) && !tally.incomplete,
                figures: tally.finish(),
            })
            .collect();
        FleetDay {
            schema: SCHEMA,
            date: self.day.to_string(),
            as_of: self.as_of,
            complete: over && hours.iter().all(|hour| hour.complete),
            hours,
            day: DayFigures {
                slow,
                figures: self.whole.finish(),
            },
            hot_spots: HotSpots {
                pick_ups: hot_spots::most_often(&self.pick_ups),
                drop_offs: hot_spots::most_often(&self.drop_offs),
                flight: hot_spots::longest(&self.flight),
            },
        }
    }
}

/// Sums of a time.
#[derive(Debug, Default)]
struct Tally {
    /// Whether something in it is made from a unit that is not complete.
    incomplete: bool,
    counts: DeliveryCounts,
    to_pick_up: Vec<f64>,
    loaded: Vec<f64>,
    back: Vec<f64>,
    delivery: Vec<f64>,
    battery: f64,
    battery_meters: f64,
    drones: u64,
    meters: f64,
    status_s: [f64; 5],
    unknown_s: f64,
    quality: Quality,
}

impl Tally {
    fn delivery(&mut self, row: &DeliveryFigures, lost: bool) {
        self.incomplete |= !row.complete;
        let counts = &mut self.counts;
        *match row.outcome {
            Outcome::Delivered => &mut counts.delivered,
            Outcome::Inferred => &mut counts.inferred,
            Outcome::Returned => &mut counts.returned,
            Outcome::Open if lost => &mut counts.lost,
            Outcome::Open => &mut counts.open,
        } += 1;
        if row.outcome == Outcome::Delivered {
            self.to_pick_up.extend(row.to_pick_up_s);
            self.loaded.extend(row.loaded_s);
            self.back.extend(row.return_s);
            self.delivery.extend(row.delivery_s);
        }
        if let Some(used) = row.battery_used.filter(|_| row.distance_m > 0.0) {
            self.battery += used;
            self.battery_meters += row.distance_m;
        }
    }

    fn drone_hour(&mut self, facts: &DroneHourFacts) {
        self.meters += facts.distance_m;
        self.unknown_s += facts.unknown_s;
        for (sum, seconds) in self.status_s.iter_mut().zip(facts.status_s) {
            *sum += seconds;
        }
    }

    fn finish(self) -> Figures {
        let [departed, in_flight, picked_up, dropped_off, arrived] = self.status_s;
        let busy = departed + in_flight + picked_up + dropped_off;
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let tenths = |percent| {
            let lag = percentile::of_counted(&self.quality.lag, percent);
            lag.map(|tenths| f64::from(tenths) / 10.0)
        };
        Figures {
            phases: Phases {
                to_pick_up: phase(self.to_pick_up),
                loaded: phase(self.loaded),
                r#return: phase(self.back),
                delivery: phase(self.delivery),
            },
            distance_km: self.meters / 1000.0,
            battery_per_km: share(self.battery, self.battery_meters / 1000.0),
            drones: self.drones,
            seconds: StatusSeconds {
                departed,
                in_flight,
                picked_up,
                dropped_off,
                arrived,
                unknown: self.unknown_s,
            },
            utilisation: share(busy, busy + arrived),
            deliveries: self.counts,
            quality: QualityFigures {
                completeness: share(self.quality.readings as f64, self.quality.expected as f64),
                lag_p50: tenths(50),
                lag_p99: tenths(99),
                events: self.quality.events,
                repeats: self.quality.repeats,
                missing: self.quality.missing,
                stale: self.quality.stale,
                replayed: self.quality.replayed,
                rejects: self.quality.rejects,
            },
        }
    }
}

fn phase(mut seconds: Vec<f64>) -> Phase {
    seconds.sort_unstable_by(f64::total_cmp);
    let percentile = |percent| percentile::of_sorted(&seconds, percent);
    Phase {
        count: seconds.len() as u64,
        p50: percentile(50),
        p95: percentile(95),
        p99: percentile(99),
    }
}

/// A time that may be absent, as null.
mod rfc3339_option {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use time::UtcDateTime;

    use crate::domain::timestamp::{Rfc3339, parse_rfc3339};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<UtcDateTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&Rfc3339(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<UtcDateTime>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let parse = |text: String| parse_rfc3339(&text).map_err(de::Error::custom);
        text.map(parse).transpose()
    }
}
