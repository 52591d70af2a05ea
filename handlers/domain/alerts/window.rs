//! Tumbling windows of event time over a drone's temperature, as the article's Stream Analytics job has
//! them: of one drone and one delivery, 180 s long, side by side.
//!
//! A window ends at a multiple of 180 s since 1970 and holds what came after its beginning and up to its
//! end, the end included (Stream Analytics: "Windowing functions"). It closes when an event of the same
//! drone is newer than its end by more than the lateness that is allowed, or when the drone has been silent for so long that
//! none will come, see [`drone`](super::drone). What comes later than that is left out: its window has spoken. Before,
//! neither order nor repetition changes an
//! average: readings are kept by their time, and added as whole numbers.

use serde::{Deserialize, Serialize};
use time::{Duration, UtcDateTime};

use super::moment::Moment;
use crate::domain::identifier::DeliveryId;

/// How long a window is.
pub const LENGTH: Duration = Duration::seconds(180);

/// The finest step of time that readings are told apart by, in nanoseconds: .NET's tick.
const TICK: i64 = 100;

/// Readings that one window keeps; two a second for its whole length. More are left out, so that one
/// drone gone wild cannot fill the memory.
const MOST_READINGS: usize = 360;

/// Windows that one drone has open: usually one or two. More would need a new delivery every few
/// seconds; they are left out.
const MOST_WINDOWS: usize = 16;

/// The open windows of one drone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Windows(Vec<Window>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    end: Moment,
    delivery_id: DeliveryId,
    /// Ticks before the end, and millionths of a degree; sorted, no time twice.
    readings: Vec<(u32, i32)>,
}

/// A window that has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// Its end, which is in it.
    pub end: UtcDateTime,
    /// The delivery that it is of.
    pub delivery_id: DeliveryId,
    /// The average of its readings.
    pub average: f64,
}

impl Windows {
    /// Adds a reading. Where two of one time differ, the higher one counts, whichever came first.
    ///
    /// Returns whether there was room for it.
    pub fn add(&mut self, delivery_id: &DeliveryId, at: UtcDateTime, temperature: f64) -> bool {
        let Some((end, ticks)) = place(at) else {
            return false;
        };
        let place = |window: &Window| {
            (window.end.cmp(&end)).then_with(|| window.delivery_id.cmp(delivery_id))
        };
        let index = match self.0.binary_search_by(place) {
            Ok(index) => index,
            Err(_) if self.0.len() >= MOST_WINDOWS => return false,
            Err(index) => {
                let window = Window {
                    end,
                    delivery_id: delivery_id.clone(),
                    readings: Vec::new(),
                };
                self.0.insert(index, window);
                index
            }
        };
        // Temperatures are within -60..250 when they come here.
        let micros = (temperature * 1e6).round() as i32;
        let readings = &mut self.0[index].readings;
        match readings.binary_search_by_key(&ticks, |reading| reading.0) {
            Ok(same) => readings[same].1 = readings[same].1.max(micros),
            Err(_) if readings.len() >= MOST_READINGS => return false,
            Err(place) => readings.insert(place, (ticks, micros)),
        }
        true
    }

    /// Takes out the windows that ended before `time`, oldest first, and by delivery where they ended
    /// together.
    pub fn close_before(&mut self, time: UtcDateTime) -> impl Iterator<Item = Closed> {
        let open = self.0.partition_point(|window| window.end.time() < time);
        self.0.drain(..open).map(|window| Closed {
            end: window.end.time(),
            average: average(&window.readings),
            delivery_id: window.delivery_id,
        })
    }

    /// The end of the last window that ended at a time or before.
    pub fn last_end(&self, time: UtcDateTime) -> Option<UtcDateTime> {
        let ended = self.0.partition_point(|window| window.end.time() <= time);
        self.0[..ended].last().map(|window| window.end.time())
    }

    /// The end of the window that ends first.
    pub fn first_end(&self) -> Option<UtcDateTime> {
        self.0.first().map(|window| window.end.time())
    }
}

/// The end of the window that a time falls into; `None` beyond the year 9999.
pub fn end_of(at: UtcDateTime) -> Option<UtcDateTime> {
    place(at).map(|(end, _)| end.time())
}

fn place(at: UtcDateTime) -> Option<(Moment, u32)> {
    let length = LENGTH.whole_seconds();
    let (second, nanosecond) = (at.unix_timestamp(), i64::from(at.nanosecond()));
    // The end is in the window, so a part of a second belongs to the next whole one.
    let last = second + i64::from(nanosecond > 0);
    let end = last + (-last).rem_euclid(length);
    let ticks = ((end - second) * 1_000_000_000 - nanosecond) / TICK;
    let end = UtcDateTime::from_unix_timestamp(end).ok()?;
    Some((Moment::from(end), u32::try_from(ticks).ok()?))
}

fn average(readings: &[(u32, i32)]) -> f64 {
    let sum: i64 = readings.iter().map(|reading| i64::from(reading.1)).sum();
    // A window is made with its first reading.
    sum as f64 / 1e6 / readings.len() as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    fn delivery(name: &str) -> DeliveryId {
        name.parse().unwrap()
    }

    #[test]
    fn windows_end_at_multiples_of_180_s_and_hold_their_end() {
        for (at, end) in [
            (
                utc_datetime!(2024-05-01 12:00:00.000000001),
                utc_datetime!(2024-05-01 12:03:00),
            ),
            (
                utc_datetime!(2024-05-01 12:03:00),
                utc_datetime!(2024-05-01 12:03:00),
            ),
            (
                utc_datetime!(2024-05-01 12:02:59.999999999),
                utc_datetime!(2024-05-01 12:03:00),
            ),
            (
                utc_datetime!(1969-12-31 23:59:59),
                utc_datetime!(1970-01-01 00:00:00),
            ),
            (
                utc_datetime!(0001-01-01 00:00:00.5),
                utc_datetime!(0001-01-01 00:03:00),
            ),
        ] {
            assert_eq!(end_of(at), Some(end), "{at}");
        }
        assert_eq!(end_of(utc_datetime!(9999-12-31 23:59:59)), None);
    }

    #[test]
    fn a_window_closes_once_time_is_past_its_end() {
        let mut windows = Windows::default();
        let end = utc_datetime!(2024-05-01 12:03:00);
        for (second, temperature) in [(1, 70.0), (20, 80.0), (180, 81.0)] {
            let at = utc_datetime!(2024-05-01 12:00:00) + Duration::seconds(second);
            assert!(windows.add(&delivery("d"), at, temperature));
        }
        assert_eq!(windows.close_before(end).count(), 0);
        let closed: Vec<_> = windows
            .close_before(end + Duration::nanoseconds(1))
            .collect();
        assert_eq!(
            closed,
            [Closed {
                end,
                delivery_id: delivery("d"),
                average: 77.0
            }]
        );
        assert!(windows.first_end().is_none());
    }

    #[test]
    fn each_delivery_has_its_own() {
        let mut windows = Windows::default();
        let at = utc_datetime!(2024-05-01 12:01:00);
        assert!(windows.add(&delivery("b"), at, 10.0));
        assert!(windows.add(&delivery("a"), at, 20.0));
        assert!(windows.add(&delivery("a"), at + LENGTH, 30.0));
        let closed: Vec<_> = windows
            .close_before(at + LENGTH)
            .map(|closed| (closed.delivery_id.to_string(), closed.average))
            .collect();
        assert_eq!(closed, [("a".to_owned(), 20.0), ("b".to_owned(), 10.0)]);
    }

    #[test]
    fn neither_readings_nor_deliveries_grow_without_bound() {
        let mut windows = Windows::default();
        let start = utc_datetime!(2024-05-01 12:00:00);
        let taken = (1..=1000)
            .filter(|tick| windows.add(&delivery("d"), start + Duration::milliseconds(*tick), 1.0))
            .count();
        assert_eq!(taken, MOST_READINGS);
        let deliveries = (0..100)
            .filter(|number| windows.add(&delivery(&format!("d{number}")), start, 1.0))
            .count();
        assert_eq!(deliveries, MOST_WINDOWS - 1);
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_change_an_average(
            (readings, shuffled) in prop::collection::vec((0..8_i64, -60.0..250.0), 1..40)
                .prop_flat_map(|readings| (Just(readings.clone()), Just(readings).prop_shuffle())),
        ) {
            let start = utc_datetime!(2024-05-01 12:00:00.5);
            let closed = |readings: &[(i64, f64)]| -> Vec<Closed> {
                let mut windows = Windows::default();
                for (step, temperature) in readings {
                    windows.add(&delivery("d"), start + Duration::seconds(50 * step), *temperature);
                }
                windows.close_before(utc_datetime!(2025-01-01 00:00)).collect()
            };
            let twice: Vec<_> = shuffled.iter().chain(&readings).copied().collect();
            prop_assert_eq!(closed(&readings), closed(&twice));
        }
    }
}
