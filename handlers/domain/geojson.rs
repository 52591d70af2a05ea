//! GeoJSON (RFC 7946), as far as it is stored and shown.

use serde::{Deserialize, Serialize};

use super::telemetry::Position;

/// A point. The altitude is beside it and not in it: GeoJSON's is above the ellipsoid, and drones do not
/// say above what theirs is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Point {
    /// The one type that a point has.
    Point {
        /// Longitude first, then latitude, in degrees.
        coordinates: [f64; 2],
    },
}

impl From<&Position> for Point {
    fn from(position: &Position) -> Self {
        Self::Point {
            coordinates: [position.longitude, position.latitude],
        }
    }
}
