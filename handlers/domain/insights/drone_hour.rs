//! What one drone did in one hour.

use super::delivery::LONGEST_SPAN;
use super::distance::{LONGEST_STEP, Step, step};
use super::hour::Hour;
use super::reading::{FlightReading, Head, OperatingReading};
use super::{HOUR, SECOND, seconds};

/// The longest gap over which a battery's fall or rise is counted.
pub const LONGEST_BATTERY_GAP: i64 = 15 * 60 * SECOND;

/// Of the hour before, how much has to be looked at.
pub const MARGIN: i64 = LONGEST_BATTERY_GAP;

/// A reading that is further behind is late.
const LATE: i64 = 60 * SECOND;

/// The facts. Each is what the column of its name on the page `handlers/INSIGHTS.md` says.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct DroneHourFacts {
    /// By status, in the order of [`FlightStatus::ALL`](crate::domain::FlightStatus::ALL).
    pub status_s: [f64; 5],
    pub unknown_s: f64,
    pub distance_m: f64,
    pub jumps: i64,
    pub battery_used: f64,
    pub battery_charged: f64,
    pub temperature_max: Option<f64>,
    pub flight_readings: i64,
    pub operating_readings: i64,
    pub late: i64,
}

impl DroneHourFacts {
    /// Makes the facts of one drone's hour from its readings, in the order of [`by_time`](super::reading::by_time),
    /// without stale ones. Those of other times may be among them, and those of the [`MARGIN`] before must. `None`
    /// where the hour has no reading.
    pub fn of(
        hour: Hour,
        flights: &[FlightReading],
        operating: &[OperatingReading],
    ) -> Option<Self> {
        let is_in = |head: &Head| Hour::of_micros(head.occurred_at) == hour;
        let mut facts = Self::default();
        let operating_heads = operating.iter().map(|reading| &reading.head);
        for head in flights
            .iter()
            .map(|reading| &reading.head)
            .chain(operating_heads)
        {
            facts.late += i64::from(is_in(head) && head.enqueued_at - head.occurred_at > LATE);
        }
        let mut known = 0;
        let mut by_status = [0; 5];
        for (index, reading) in flights.iter().enumerate() {
            let begin = reading.head.occurred_at;
            let next = flights.get(index + 1);
            let end = begin.saturating_add(LONGEST_SPAN);
            let end = next.map_or(end, |next| end.min(next.head.occurred_at));
            let span = (end.min(hour.end()) - begin.max(hour.begin())).max(0);
            by_status[reading.status as usize] += span;
            known += span;
            facts.flight_readings += i64::from(is_in(&reading.head));
            if let Some(next) = next.filter(|next| is_in(&next.head)) {
                let gap = next.head.occurred_at - begin;
                match step(reading.place(), next.place(), gap) {
                    _ if gap > LONGEST_STEP => {}
                    Step::Flown(meters) | Step::Chord(meters) => facts.distance_m += meters,
                    Step::Jump => facts.jumps += 1,
                }
            }
        }
        facts.status_s = by_status.map(seconds);
        facts.unknown_s = seconds(HOUR - known);
        for reading in operating.iter().filter(|reading| is_in(&reading.head)) {
            facts.operating_readings += 1;
            facts.temperature_max = match facts.temperature_max {
                Some(highest) => Some(highest.max(reading.temperature)),
                None => Some(reading.temperature),
            };
        }
        for pair in operating.windows(2).filter(|pair| is_in(&pair[1].head)) {
            if pair[1].head.occurred_at - pair[0].head.occurred_at <= LONGEST_BATTERY_GAP {
                let rise = pair[1].battery_level - pair[0].battery_level;
                facts.battery_charged += rise.max(0.0);
                facts.battery_used += (-rise).max(0.0);
            }
        }
        (facts.flight_readings + facts.operating_readings > 0).then_some(facts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::names::Names;
    use super::*;
    use crate::domain::{BatteryStatus, FlightStatus};

    /// A second of the hour, below 0 in the hour before.
    fn head(second: i64, behind: i64) -> Head {
        let mut names = Names::default();
        let occurred_at = (100 * 3600 + second) * SECOND;
        Head {
            device: names.number("a"),
            delivery: names.number("a"),
            occurred_at,
            enqueued_at: occurred_at + behind * SECOND,
            sequence_number: second,
            replayed: false,
            folder: Hour::of_micros(0),
        }
    }

    fn flight(second: i64, status: FlightStatus) -> FlightReading {
        FlightReading {
            head: head(second, 1),
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
            head: head(second, 61),
            temperature: 40.0 - second as f64,
            battery_level,
            battery_status: BatteryStatus::High,
        }
    }

    #[test]
    fn spans_end_after_30_s_with_the_next_reading_and_with_the_hour() {
        use FlightStatus::{ArrivedAtStation, DepartedStation, InFlight};
        let hour = Hour::of_micros(100 * HOUR);
        let flights = [
            flight(-3, DepartedStation),
            flight(2, InFlight),
            flight(10, InFlight),
            flight(100, ArrivedAtStation),
            flight(3590, InFlight),
            flight(3601, InFlight),
        ];
        let levels = [
            level(-10, 0.9),
            level(10, 0.8),
            level(20, 0.85),
            level(1500, 0.1),
            level(3601, 0.0),
        ];
        let facts = DroneHourFacts::of(hour, &flights, &levels).unwrap();
        assert_eq!(facts.status_s, [2.0, 8.0 + 30.0 + 10.0, 0.0, 0.0, 30.0]);
        assert_eq!(facts.unknown_s, 3520.0);
        assert_eq!(
            (facts.flight_readings, facts.operating_readings, facts.late),
            (4, 3, 3)
        );
        let meters = 13e-5_f64.to_radians() * 6_371_008.8;
        assert!(
            (facts.distance_m - meters).abs() < 1e-3,
            "{}",
            facts.distance_m
        );
        assert!(
            (facts.battery_used - 0.1).abs() < 1e-12
                && (facts.battery_charged - 0.05).abs() < 1e-12
        );
        assert_eq!(facts.temperature_max, Some(30.0));
        assert_eq!(DroneHourFacts::of(hour.plus(2), &flights, &levels), None);
    }
}
