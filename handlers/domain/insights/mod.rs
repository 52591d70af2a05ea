//! What the fleet did: facts of deliveries, of drones' hours and of whole days, as functions of sets of readings.
//!
//! The definitions are on the page `handlers/INSIGHTS.md`; whoever changes one of the two changes the other.
//!
//! | where | what |
//! |---|---|
//! | [`names`] | device and delivery ids as small numbers, in the order of their texts |
//! | [`reading`] | a reading as a row, and which of several equal ones stays |
//! | [`delivery`] | what one drone did for one delivery |
//! | [`drone_hour`] | what one drone did in one hour |
//! | [`quality`] | how whole a unit's events are |
//! | [`figures`] | the figures of an hour and of a day |
//! | [`hot_spots`] | where the most happens, in cells of H3 |
//!
//! Times are microseconds since 1970, as in the tables.

pub mod delivery;
pub mod distance;
pub mod drone_hour;
pub mod figures;
pub mod hot_spots;
pub mod hour;
pub mod names;
pub mod percentile;
pub mod quality;
pub mod reading;

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;

/// Microseconds of an hour.
pub const HOUR: i64 = 3600 * SECOND;

/// Seconds as the tables have them.
pub fn seconds(micros: i64) -> f64 {
    micros as f64 / SECOND as f64
}
