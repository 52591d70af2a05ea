//! What one drone did for one delivery.

use h3o::{LatLng, Resolution};

use super::distance::{Step, step};
use super::reading::{FlightReading, OperatingReading};
use super::{HOUR, SECOND, seconds};
use crate::domain::FlightStatus;

/// An open delivery of which so long nothing was heard is lost.
pub const LOST_AFTER: i64 = 24 * HOUR;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The drop-off was seen.
    Delivered,
    /// Pick-up and return were seen, the drop-off not.
    Inferred,
    /// The drone came back, and there was no pick-up.
    Returned,
    /// Nothing of these.
    Open,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Inferred, Self::Returned, Self::Open];

    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Inferred => "inferred",
            Self::Returned => "returned",
            Self::Open => "open",
        }
    }

    /// The outcome of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// A change of status: when it was first seen, and in seconds how long before nothing was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Microseconds since 1970.
    pub at: i64,
    /// `None` where nothing was heard before.
    pub gap_s: Option<f64>,
}

/// A place of a delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The cell of H3 at resolution 9.
    pub cell: u64,
}

/// The facts. Each is what the column of its name on the page `handlers/INSIGHTS.md` says.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct DeliveryFacts {
    pub first_at: i64,
    pub last_at: i64,
    pub departed: Option<Seen>,
    pub picked_up: Option<Seen>,
    pub dropped_off: Option<Seen>,
    pub arrived: Option<Seen>,
    pub ended_at: i64,
    pub outcome: Outcome,
    pub to_pick_up_s: Option<f64>,
    pub loaded_s: Option<f64>,
    pub return_s: Option<f64>,
    pub delivery_s: Option<f64>,
    pub distance_m: f64,
    pub chord_m: f64,
    pub jumps: i64,
    pub battery_used: Option<f64>,
    pub pick_up: Option<Place>,
    pub drop_off: Option<Place>,
    pub flight_readings: i64,
    pub operating_readings: i64,
    pub max_gap_s: Option<f64>,
    pub replayed: i64,
}

impl DeliveryFacts {
    /// Makes the facts of one (device, delivery) from all of its readings, in the order of
    /// [`by_time`](super::reading::by_time), without stale ones; `None` of none.
    pub fn of(flights: &[FlightReading], operating: &[OperatingReading]) -> Option<Self> {
        let heads = || {
            let operating = operating.iter().map(|reading| &reading.head);
            flights.iter().map(|reading| &reading.head).chain(operating)
        };
        let times = || heads().map(|head| head.occurred_at);
        let (first_at, last_at) = (times().min()?, times().max()?);
        let found = Milestones::of(flights);
        let [departed, picked_up, dropped_off, arrived] = found.all().map(|at| seen(flights, at));
        let ended_at = dropped_off.or(arrived).map_or(last_at, |seen| seen.at);
        let route = Route::of(flights);
        let phase = |from: Option<Seen>, to: Option<Seen>| {
            let micros = to?.at - from?.at;
            (micros >= 0).then(|| seconds(micros))
        };
        Some(Self {
            first_at,
            last_at,
            departed,
            picked_up,
            dropped_off,
            arrived,
            ended_at,
            outcome: found.outcome(),
            to_pick_up_s: phase(departed, picked_up),
            loaded_s: phase(picked_up, dropped_off),
            return_s: phase(dropped_off, arrived),
            delivery_s: phase(departed, dropped_off),
            distance_m: route.distance_m,
            chord_m: route.chord_m,
            jumps: route.jumps,
            battery_used: battery_used(operating, arrived),
            pick_up: place(flights, found.picked_up),
            drop_off: place(flights, found.dropped_off),
            flight_readings: count(flights.len()),
            operating_readings: count(operating.len()),
            max_gap_s: route.max_gap.map(seconds),
            replayed: count(heads().filter(|head| head.replayed).count()),
        })
    }

    /// Whether it is lost, as of a time in microseconds since 1970.
    pub fn is_lost(&self, as_of: i64) -> bool {
        is_lost(self.outcome, self.last_at, as_of)
    }
}

/// Whether a delivery is lost: open, and silent for [`LOST_AFTER`].
pub fn is_lost(outcome: Outcome, last_at: i64, as_of: i64) -> bool {
    outcome == Outcome::Open && last_at.saturating_add(LOST_AFTER) <= as_of
}

/// No slice has more items than that.
fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// Indices of the readings at which a status was first seen.
struct Milestones {
    departed: Option<usize>,
    picked_up: Option<usize>,
    dropped_off: Option<usize>,
    arrived: Option<usize>,
}

impl Milestones {
    fn of(flights: &[FlightReading]) -> Self {
        let first = |status, from: usize| {
            let mut rest = flights.iter().skip(from);
            Some(rest.position(|reading| reading.status == status)? + from)
        };
        let picked_up = first(FlightStatus::PickedUpPackage, 0);
        let dropped_off = first(FlightStatus::DroppedOffPackage, 0);
        let home = FlightStatus::ArrivedAtStation;
        Self {
            departed: first(FlightStatus::DepartedStation, 0),
            picked_up,
            dropped_off,
            // A drone may still be charging under the delivery that it is about to begin.
            arrived: dropped_off
                .or(picked_up)
                .and_then(|at| first(home, at))
                .or_else(|| first(home, 0)),
        }
    }

    fn all(&self) -> [Option<usize>; 4] {
        [
            self.departed,
            self.picked_up,
            self.dropped_off,
            self.arrived,
        ]
    }

    fn outcome(&self) -> Outcome {
        match (self.picked_up, self.dropped_off, self.arrived) {
            (_, Some(_), _) => Outcome::Delivered,
            (Some(picked_up), None, Some(arrived)) if picked_up < arrived => Outcome::Inferred,
            (None, None, Some(_)) => Outcome::Returned,
            _ => Outcome::Open,
        }
    }
}

fn seen(flights: &[FlightReading], at: Option<usize>) -> Option<Seen> {
    let index = at?;
    let at = flights.get(index)?.head.occurred_at;
    let before = index.checked_sub(1).and_then(|before| flights.get(before));
    let gap_s = before.map(|reading| seconds(at - reading.head.occurred_at));
    Some(Seen { at, gap_s })
}

fn place(flights: &[FlightReading], at: Option<usize>) -> Option<Place> {
    let reading = flights.get(at?)?;
    let (latitude, longitude) = reading.place();
    // What was taken is finite.
    let cell = LatLng::new(latitude, longitude)
        .ok()?
        .to_cell(Resolution::Nine)
        .into();
    Some(Place {
        latitude,
        longitude,
        cell,
    })
}

/// From the first reading to the last before the arrival: at the station a drone charges under the same delivery.
fn battery_used(operating: &[OperatingReading], arrived: Option<Seen>) -> Option<f64> {
    let first = operating.first()?;
    let flown = match arrived {
        Some(arrived) => operating
            .iter()
            .take_while(|reading| reading.head.occurred_at < arrived.at)
            .count(),
        None => operating.len(),
    };
    let last = operating.get(flown.checked_sub(1)?).filter(|_| flown > 1)?;
    Some(first.battery_level - last.battery_level)
}

#[derive(Default)]
struct Route {
    distance_m: f64,
    chord_m: f64,
    jumps: i64,
    max_gap: Option<i64>,
}

impl Route {
    fn of(flights: &[FlightReading]) -> Self {
        let mut route = Self::default();
        for pair in flights.windows(2) {
            let gap = pair[1].head.occurred_at - pair[0].head.occurred_at;
            route.max_gap = route.max_gap.max(Some(gap));
            match step(pair[0].place(), pair[1].place(), gap) {
                Step::Flown(meters) => route.distance_m += meters,
                Step::Chord(meters) => route.chord_m += meters,
                Step::Jump => route.jumps += 1,
            }
        }
        route
    }
}

/// The longest span that a reading's status is taken for.
pub const LONGEST_SPAN: i64 = 30 * SECOND;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use FlightStatus::{
        ArrivedAtStation, DepartedStation, DroppedOffPackage, InFlight, PickedUpPackage,
    };

    use super::super::reading::Head;
    use super::*;
    use crate::domain::BatteryStatus;
    use crate::domain::insights::hour::Hour;
    use crate::domain::insights::names::Names;

    fn head(second: i64) -> Head {
        let mut names = Names::default();
        Head {
            device: names.number("a"),
            delivery: names.number("a"),
            occurred_at: second * SECOND,
            enqueued_at: second * SECOND + 1,
            sequence_number: second,
            replayed: false,
            folder: Hour::of_micros(0),
        }
    }

    fn flight(second: i64, status: FlightStatus) -> FlightReading {
        FlightReading {
            head: head(second),
            latitude: 47.0 + second as f64 * 1e-5,
            longitude: 8.0,
            altitude: 20.0,
            velocity: 1.0,
            acceleration: 0.0,
            status,
        }
    }

    fn level(second: i64, battery_level: f64) -> OperatingReading {
        OperatingReading {
            head: head(second),
            temperature: 40.0,
            battery_level,
            battery_status: BatteryStatus::High,
        }
    }

    #[test]
    fn a_whole_delivery() {
        let flights: Vec<_> = [
            (0, DepartedStation),
            (5, DepartedStation),
            (10, InFlight),
            (20, PickedUpPackage),
            (25, PickedUpPackage),
            (35, InFlight),
            (50, DroppedOffPackage),
            (55, InFlight),
            (80, ArrivedAtStation),
            (200, ArrivedAtStation),
        ]
        .map(|(second, status)| flight(second, status))
        .into();
        let levels =
            [(0, 0.9), (20, 0.8), (60, 0.7), (80, 0.72), (200, 0.99)].map(|(at, to)| level(at, to));
        let facts = DeliveryFacts::of(&flights, &levels).unwrap();
        assert_eq!(facts.outcome, Outcome::Delivered);
        let at = |seen: Option<Seen>| seen.map(|seen| (seen.at / SECOND, seen.gap_s));
        assert_eq!(at(facts.departed), Some((0, None)));
        assert_eq!(at(facts.picked_up), Some((20, Some(10.0))));
        assert_eq!(at(facts.dropped_off), Some((50, Some(15.0))));
        assert_eq!(at(facts.arrived), Some((80, Some(25.0))));
        assert_eq!(
            (
                facts.to_pick_up_s,
                facts.loaded_s,
                facts.return_s,
                facts.delivery_s
            ),
            (Some(20.0), Some(30.0), Some(30.0), Some(50.0))
        );
        // Of the charge at the end nothing is counted.
        assert!((facts.battery_used.unwrap() - 0.2).abs() < 1e-12);
        let meters = |seconds: f64| (seconds * 1e-5_f64).to_radians() * 6_371_008.8;
        assert!((facts.distance_m - meters(80.0)).abs() < 1e-3);
        assert!((facts.chord_m - meters(120.0)).abs() < 1e-3);
        assert_eq!((facts.max_gap_s, facts.jumps), (Some(120.0), 0));
        assert_eq!((facts.flight_readings, facts.operating_readings), (10, 5));
        assert_eq!(
            (facts.first_at, facts.last_at, facts.ended_at),
            (0, 200 * SECOND, 50 * SECOND)
        );
        assert_eq!(facts.pick_up.unwrap().latitude, 47.0002);
        assert_eq!(facts.pick_up.unwrap().cell >> 52 & 0xF, 9);
    }

    #[test]
    fn outcomes() {
        let of = |statuses: &[FlightStatus]| {
            let flights: Vec<_> = (0..)
                .zip(statuses)
                .map(|(at, status)| flight(at, *status))
                .collect();
            DeliveryFacts::of(&flights, &[]).unwrap()
        };
        for (statuses, outcome) in [
            (&[DroppedOffPackage][..], Outcome::Delivered),
            (&[PickedUpPackage, ArrivedAtStation], Outcome::Inferred),
            (&[ArrivedAtStation, PickedUpPackage], Outcome::Open),
            (
                &[
                    ArrivedAtStation,
                    DepartedStation,
                    PickedUpPackage,
                    ArrivedAtStation,
                ],
                Outcome::Inferred,
            ),
            (&[DepartedStation, ArrivedAtStation], Outcome::Returned),
            (&[DepartedStation, PickedUpPackage], Outcome::Open),
            (&[InFlight], Outcome::Open),
        ] {
            assert_eq!(of(statuses).outcome, outcome, "{statuses:?}");
        }
        // Home again is after the drop-off, though it was at home before.
        let facts = of(&[
            ArrivedAtStation,
            DepartedStation,
            DroppedOffPackage,
            ArrivedAtStation,
        ]);
        assert_eq!(facts.arrived.unwrap().at, 3 * SECOND);
        assert!(DeliveryFacts::of(&[], &[]).is_none());
        let open = DeliveryFacts::of(&[], &[level(5, 0.5)]).unwrap();
        assert_eq!((open.ended_at, open.battery_used), (5 * SECOND, None));
        assert!(open.is_lost(5 * SECOND + LOST_AFTER) && !open.is_lost(4 * SECOND + LOST_AFTER));
    }
}
