//! What a number may be; both ends belong to the range.
//!
//! Wider than any drone flies, so that only nonsense falls out: the well-known simulator of this
//! scenario flies its drones over the pole, to a latitude of 90.4 and on.

use std::ops::RangeInclusive;

/// A range of numbers.
pub type Range = RangeInclusive<f64>;

/// Degrees north.
pub const LATITUDE: Range = -90.0..=90.0;
/// Degrees east.
pub const LONGITUDE: Range = -180.0..=180.0;
/// Meters.
pub const ALTITUDE: Range = -500.0..=20_000.0;
/// In the drone's unit of speed.
pub const VELOCITY: Range = 0.0..=500.0;
/// In the drone's unit of acceleration.
pub const ACCELERATION: Range = -100.0..=100.0;
/// In the drone's unit of temperature.
pub const TEMPERATURE: Range = -60.0..=250.0;
/// Parts of a full battery.
pub const BATTERY_LEVEL: Range = 0.0..=1.0;
