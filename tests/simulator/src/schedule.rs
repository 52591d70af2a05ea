//! Who reports what next, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use time::Duration;

/// What a drone reports. A flight comes before a status where both are due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Flight,
    Status,
}

/// One report, and when it is due, counted from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Report {
    pub(crate) due: Duration,
    pub(crate) drone: u32,
    pub(crate) section: Section,
}

/// The article's cadence: 12 flights and 3 states a minute.
const FLIGHT_EVERY: Duration = Duration::seconds(5);
const STATUS_EVERY: Duration = Duration::seconds(20);

/// One report in this many is a status, which is the same mixture.
const STATUS_ONE_IN: u64 = 5;

/// An endless schedule of at least one drone.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// Every drone in its own time, phases spread evenly: one entry for each drone and section.
    Natural(BinaryHeap<Reverse<Report>>),
    /// Report after report at even distances, drone after drone.
    AtRate {
        drones: u32,
        per_second: f64,
        next: u64,
    },
}

impl Schedule {
    /// The article's cadence. Every drone reports within the first 5 s.
    pub(crate) fn natural(drones: u32) -> Self {
        let reports = (0..drones).flat_map(|drone| {
            let phase = FLIGHT_EVERY * f64::from(drone) / f64::from(drones);
            // Between two flights, and in one of the four such gaps of 20 s.
            let status = phase + FLIGHT_EVERY / 2 + FLIGHT_EVERY * (drone % 4);
            [(phase, Section::Flight), (status, Section::Status)].map(|(due, section)| {
                Reverse(Report {
                    due,
                    drone,
                    section,
                })
            })
        });
        Self::Natural(reports.collect())
    }

    /// `per_second` reports of the whole fleet. Every drone is among the first `drones` reports.
    pub(crate) fn at_rate(drones: u32, per_second: f64) -> Self {
        Self::AtRate {
            drones,
            // Also makes a number of NaN.
            per_second: per_second.max(0.001),
            next: 0,
        }
    }

    /// When the next report is due; `None` without drones.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.peek().map(|report| report.due)
    }

    pub(crate) fn next(&mut self) -> Option<Report> {
        let report = self.peek()?;
        match self {
            Self::Natural(reports) => {
                let every = match report.section {
                    Section::Flight => FLIGHT_EVERY,
                    Section::Status => STATUS_EVERY,
                };
                // Changing the first entry in place sorts the heap once instead of twice.
                if let Some(mut first) = reports.peek_mut() {
                    first.0.due += every;
                }
            }
            Self::AtRate { next, .. } => *next += 1,
        }
        Some(report)
    }

    fn peek(&self) -> Option<Report> {
        match *self {
            Self::Natural(ref reports) => reports.peek().map(|Reverse(report)| *report),
            Self::AtRate { drones: 0, .. } => None,
            Self::AtRate {
                drones,
                per_second,
                next,
            } => {
                let (round, drone) = (next / u64::from(drones), next % u64::from(drones));
                // Not all in one round, so that the mixture is the same at every moment.
                let section = match (round + drone) % STATUS_ONE_IN {
                    4 => Section::Status,
                    _ => Section::Flight,
                };
                Some(Report {
                    due: Duration::seconds_f64(next as f64 / per_second),
                    // A remainder of a u32.
                    drone: drone as u32,
                    section,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn until(mut schedule: Schedule, end: Duration) -> Vec<Report> {
        std::iter::from_fn(|| {
            let due = schedule.next_due()?;
            (due < end).then(|| schedule.next().unwrap())
        })
        .collect()
    }

    #[test]
    fn every_drone_keeps_the_cadence_of_the_article() {
        let reports = until(Schedule::natural(7), Duration::minutes(1));
        assert!(reports.is_sorted_by_key(|report| report.due));
        for drone in 0..7 {
            for (section, count, every) in [
                (Section::Flight, 12, FLIGHT_EVERY),
                (Section::Status, 3, STATUS_EVERY),
            ] {
                let times: Vec<Duration> = reports
                    .iter()
                    .filter(|report| (report.drone, report.section) == (drone, section))
                    .map(|report| report.due)
                    .collect();
                assert_eq!(times.len(), count, "drone {drone} {section:?}");
                assert!(times.windows(2).all(|pair| pair[1] - pair[0] == every));
            }
        }
    }

    #[test]
    fn the_load_of_a_natural_fleet_is_even() {
        let reports = until(Schedule::natural(400), Duration::seconds(60));
        let mut seconds = BTreeMap::new();
        for report in reports {
            *seconds.entry(report.due.whole_seconds()).or_insert(0) += 1;
        }
        // Fewer at first, while not every drone has begun to report its state.
        for (second, count) in seconds.into_iter().skip(20) {
            assert!(
                (95..=105).contains(&count),
                "{count} reports in second {second}"
            );
        }
    }

    #[test]
    fn at_a_rate_events_come_at_it_and_every_drone_is_seen_at_once() {
        for (drones, rate) in [(1, 0.5), (7, 1_000.0), (200, 1_000.0), (1_000, 33.0)] {
            let reports = until(Schedule::at_rate(drones, rate), Duration::seconds(60));
            assert_eq!(
                reports.len(),
                (rate * 60.0).ceil() as usize,
                "{drones} at {rate}"
            );
            let first: BTreeSet<u32> = reports
                .iter()
                .take(drones as usize)
                .map(|report| report.drone)
                .collect();
            assert_eq!(first.len(), reports.len().min(drones as usize));
            let states = reports
                .iter()
                .filter(|report| report.section == Section::Status)
                .count();
            assert!(
                states.abs_diff(reports.len() / 5) <= 1,
                "{drones} at {rate}: {states}"
            );
        }
    }

    #[test]
    fn no_drones_report_nothing_and_no_rate_is_too_odd() {
        assert_eq!(Schedule::natural(0).next(), None);
        assert_eq!(Schedule::at_rate(0, 5.0).next(), None);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut schedule = Schedule::at_rate(3, rate);
            for _ in 0..10 {
                assert!(schedule.next().unwrap().due >= Duration::ZERO, "{rate}");
            }
        }
    }
}
