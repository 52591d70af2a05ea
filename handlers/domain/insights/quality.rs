//! How whole a unit's events are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SECOND;
use super::hour::Hour;
use super::reading::{Head, Reading, Readings};

/// What is known of a unit's events besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quality {
    /// Events, each once, without ticks.
    pub events: u64,
    /// How often an event was archived again, or a reading sent again.
    pub repeats: u64,
    /// Sequence numbers between events that no file has.
    pub missing: u64,
    /// Readings that came too late for any figure.
    pub stale: u64,
    /// Readings that were sent again.
    pub replayed: u64,
    /// Events that are no telemetry, by reason.
    pub rejects: BTreeMap<String, u64>,
    /// Readings that occurred in the unit's hour.
    pub readings: u64,
    /// As many as there would have been by the cadence, from each drone's first in the hour to its last.
    pub expected: u64,
    /// Readings by lag, in tenths of a second; from a minute on, those of whole minutes.
    pub lag: BTreeMap<u32, u64>,
}

/// The cadence of flight and operating status.
const FLIGHT_EVERY: i64 = 5 * SECOND;
const OPERATING_EVERY: i64 = 20 * SECOND;

const TENTHS_OF_A_MINUTE: i64 = 600;

impl Quality {
    /// Counts rows, which must be settled.
    pub fn count_readings(&mut self, hour: Hour, readings: &Readings) {
        self.count(hour, &readings.flights, FLIGHT_EVERY);
        self.count(hour, &readings.operating, OPERATING_EVERY);
    }

    fn count<R: Reading>(&mut self, hour: Hour, rows: &[R], every: i64) {
        for rows in rows.chunk_by(|a, b| a.head().device == b.head().device) {
            let mut times = None;
            for head in rows.iter().map(Reading::head) {
                self.stale += u64::from(head.is_stale());
                self.replayed += u64::from(head.replayed);
                if !head.replayed {
                    *self.lag.entry(lag(head)).or_default() += 1;
                }
                if Hour::of_micros(head.occurred_at) == hour {
                    self.readings += 1;
                    let (first, _) = times.unwrap_or((head.occurred_at, 0));
                    times = Some((first, head.occurred_at));
                }
            }
            if let Some((first, last)) = times {
                // Rows of a device are in the order of their times.
                self.expected += ((last - first) / every + 1).unsigned_abs();
            }
        }
    }

    /// Counts events by (time at the hub, sequence number, whether it is a tick), in any order, repeats among them.
    pub fn count_events(&mut self, mut events: Vec<(i64, i64, bool)>) {
        events.sort_unstable();
        events.dedup();
        self.events += events.iter().filter(|(_, _, is_tick)| !is_tick).count() as u64;
        for pair in events.windows(2) {
            // A number that falls is of a hub that was made anew.
            let gap = pair[1].1.saturating_sub(pair[0].1).saturating_sub(1);
            self.missing += u64::try_from(gap).unwrap_or(0);
        }
    }

    /// Adds what is known of another unit.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.repeats += other.repeats;
        self.missing += other.missing;
        self.stale += other.stale;
        self.replayed += other.replayed;
        self.readings += other.readings;
        self.expected += other.expected;
        for (reason, count) in &other.rejects {
            *self.rejects.entry(reason.clone()).or_default() += count;
        }
        for (lag, count) in &other.lag {
            *self.lag.entry(*lag).or_default() += count;
        }
    }
}

/// A clock that is ahead has no lag.
fn lag(head: &Head) -> u32 {
    let tenths = (head.enqueued_at.saturating_sub(head.occurred_at)).max(0) / (SECOND / 10);
    let whole = match tenths < TENTHS_OF_A_MINUTE {
        true => tenths,
        false => tenths / TENTHS_OF_A_MINUTE * TENTHS_OF_A_MINUTE,
    };
    u32::try_from(whole).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_once_and_gaps_are_seen_but_not_where_a_hub_was_made_anew() {
        let mut quality = Quality::default();
        let numbers = [
            (10, 1),
            (11, 2),
            (10, 1),
            (12, 5),
            (12, 6),
            (20, 0),
            (21, 2),
        ];
        quality.count_events(
            numbers
                .map(|(time, number)| (time, number, number == 6))
                .into(),
        );
        assert_eq!((quality.events, quality.missing), (5, 3));
        let mut twice = quality.clone();
        twice.add(&quality);
        assert_eq!((twice.events, twice.missing), (10, 6));
    }
}
