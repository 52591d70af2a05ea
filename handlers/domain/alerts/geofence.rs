//! The area that a fleet may fly in: a GeoJSON polygon, and how far beyond it a drone is.

use serde::Deserialize;

use crate::domain::telemetry::Position;

/// Mean radius of the earth in meters (IUGG).
const EARTH: f64 = 6_371_008.8;

/// Rings of fewer positions enclose nothing (RFC 7946, 3.1.6; the last repeats the first).
const FEWEST_POSITIONS: usize = 4;

/// A polygon, possibly with holes, possibly across the antimeridian.
#[derive(Debug, Clone, PartialEq)]
pub struct Geofence {
    /// Each ring's corners in degrees, the last one the first again. Longitudes run on where a ring crosses the antimeridian,
    /// so that neighbours are never more than 180 apart.
    rings: Vec<Vec<(f64, f64)>>,
    /// The middle of the outer ring's longitudes.
    center: f64,
}

/// Why a text is not a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeofenceError {
    /// Not a GeoJSON object of type Polygon.
    #[error(
        "must be a GeoJSON polygon: {{\"type\":\"Polygon\",\"coordinates\":[[[longitude,latitude],…]]}}"
    )]
    Shape,
    /// A ring that does not end where it begins, or has too few corners.
    #[error("each ring must have at least four positions, the last one the same as the first")]
    Ring,
    /// A position that is not on the earth.
    #[error("longitudes must be within -180..180 and latitudes within -90..90")]
    Position,
    /// So wide that inside and outside cannot be told.
    #[error("must be narrower than 180 degrees of longitude")]
    Width,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Geometry {
    Polygon { coordinates: Vec<Vec<Vec<f64>>> },
}

impl Geofence {
    /// Reads a GeoJSON polygon (RFC 7946, 3.1.6). Altitudes in it are ignored.
    ///
    /// # Errors
    /// Where the text is none, or its rings enclose nothing.
    pub fn parse(text: &str) -> Result<Self, GeofenceError> {
        let Geometry::Polygon { coordinates } =
            serde_json::from_str(text).map_err(|_| GeofenceError::Shape)?;
        if coordinates.is_empty() {
            return Err(GeofenceError::Shape);
        }
        let mut rings = coordinates
            .iter()
            .map(|ring| corners(ring))
            .collect::<Result<Vec<_>, _>>()?;
        let (west, east) = sides(&rings[0]);
        if east - west >= 180.0 {
            return Err(GeofenceError::Width);
        }
        let center = f64::midpoint(west, east);
        for hole in &mut rings[1..] {
            // A hole beside the antimeridian may be written on its other side.
            let (west, east) = sides(hole);
            let turns = ((center - f64::midpoint(west, east)) / 360.0).round();
            for corner in hole {
                corner.0 += 360.0 * turns;
            }
        }
        Ok(Self { center, rings })
    }

    /// How far beyond the fence a position is, in meters: positive outside, negative inside, and 0 on
    /// the fence itself.
    ///
    /// Measured on a plane that touches the earth at the position: exact to a thousandth within some
    /// tens of kilometers, which is where it matters.
    pub fn meters_beyond(&self, position: &Position) -> f64 {
        let latitude = position.latitude;
        let longitude = self.center + wrapped(position.longitude - self.center);
        let east = EARTH.to_radians() * latitude.to_radians().cos();
        let north = EARTH.to_radians();
        let mut inside = false;
        let mut nearest = f64::INFINITY;
        for ring in &self.rings {
            for corners in ring.windows(2) {
                let [from, to] = [corners[0], corners[1]]
                    .map(|(lon, lat)| ((lon - longitude) * east, (lat - latitude) * north));
                nearest = nearest.min(distance_to_origin(from, to));
                inside ^= crosses_eastern_axis(from, to);
            }
        }
        if inside { -nearest } else { nearest }
    }
}

fn corners(ring: &[Vec<f64>]) -> Result<Vec<(f64, f64)>, GeofenceError> {
    let mut corners: Vec<(f64, f64)> = Vec::with_capacity(ring.len());
    let mut before: Option<f64> = None;
    // How often the ring has gone round the earth. Whole turns are added, not differences, so that a corner that comes
    // again is the same to the last bit.
    let mut turns = 0.0;
    for position in ring {
        let &[longitude, latitude, ..] = position.as_slice() else {
            return Err(GeofenceError::Shape);
        };
        if !(-180.0..=180.0).contains(&longitude) || !(-90.0..=90.0).contains(&latitude) {
            return Err(GeofenceError::Position);
        }
        turns += before.map_or(0.0, |before| ((before - longitude) / 360.0).round());
        before = Some(longitude);
        corners.push((longitude + 360.0 * turns, latitude));
    }
    let (Some(first), Some(last)) = (corners.first(), corners.last()) else {
        return Err(GeofenceError::Ring);
    };
    // The antimeridian has two names.
    let same = |one: f64, other: f64| one == other || (one.abs() == 180.0 && one == -other);
    let closed = ring.len() >= FEWEST_POSITIONS
        && same(ring[0][0], ring[ring.len() - 1][0])
        && first.1 == last.1;
    if !closed {
        return Err(GeofenceError::Ring);
    }
    // Back at its first corner, but a turn on: around a pole, where inside and outside are anybody's guess.
    if first.0 != last.0 {
        return Err(GeofenceError::Width);
    }
    Ok(corners)
}

/// The least and the greatest longitude of a ring.
fn sides(ring: &[(f64, f64)]) -> (f64, f64) {
    let longitudes = || ring.iter().map(|corner| corner.0);
    (
        longitudes().fold(f64::INFINITY, f64::min),
        longitudes().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// An angle in degrees as -180 to 180.
fn wrapped(degrees: f64) -> f64 {
    degrees - 360.0 * (degrees / 360.0).round()
}

fn distance_to_origin(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (x, y) = (to.0 - from.0, to.1 - from.1);
    let length = x * x + y * y;
    let along = if length > 0.0 {
        (-(from.0 * x + from.1 * y) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (from.0 + along * x).hypot(from.1 + along * y)
}

/// Whether an edge crosses the ray from the origin to the east. A corner on the ray counts for one of
/// its two edges.
fn crosses_eastern_axis(from: (f64, f64), to: (f64, f64)) -> bool {
    (from.1 > 0.0) != (to.1 > 0.0) && from.0 - from.1 * (to.0 - from.0) / (to.1 - from.1) > 0.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn at(longitude: f64, latitude: f64) -> Position {
        Position {
            latitude,
            longitude,
            altitude: 0.0,
        }
    }

    fn polygon(rings: &str) -> Result<Geofence, GeofenceError> {
        Geofence::parse(&format!(r#"{{"type":"Polygon","coordinates":[{rings}]}}"#))
    }

    const SQUARE: &str = "[[10,50],[11,50],[11,51],[10,51],[10,50]]";
    const HOLE: &str = "[[10.4,50.4],[10.6,50.4],[10.6,50.6],[10.4,50.6],[10.4,50.4]]";

    #[test]
    fn distances_are_meters_and_negative_inside() {
        let fence = polygon(SQUARE).unwrap();
        // A degree of latitude is 111,195 m, of longitude at 50.5 degrees 70,730 m.
        for (position, expected) in [
            (at(10.5, 51.01), 1_111.95),
            (at(10.5, 50.99), -1_111.95),
            (at(11.01, 50.5), 707.3),
            (at(10.01, 50.5), -707.3),
            (at(10.0, 50.5), 0.0),
        ] {
            let meters = fence.meters_beyond(&position);
            assert!(
                (meters - expected).abs() < 0.1,
                "{position:?}: {meters} instead of {expected}"
            );
        }
    }

    #[test]
    fn a_hole_is_outside() {
        let fence = polygon(&format!("{SQUARE},{HOLE}")).unwrap();
        assert!(fence.meters_beyond(&at(10.5, 50.5)) > 7_000.0);
        assert!(fence.meters_beyond(&at(10.3, 50.5)) < -7_000.0);
    }

    #[test]
    fn a_fence_may_lie_across_the_antimeridian() {
        let fence = polygon("[[179,-1],[-179,-1],[-179,1],[179,1],[179,-1]]").unwrap();
        for longitude in [179.5, -179.5, 180.0, -180.0] {
            assert!(fence.meters_beyond(&at(longitude, 0.0)) < -50_000.0);
        }
        for longitude in [178.5, -178.5, 0.0, 90.0, -90.0] {
            assert!(fence.meters_beyond(&at(longitude, 0.0)) > 50_000.0);
        }
    }

    #[test]
    fn a_hole_may_lie_across_the_antimeridian_too() {
        let outer = "[[178,-2],[-178,-2],[-178,2],[178,2],[178,-2]]";
        for hole in [
            "[[179,-1],[-179,-1],[-179,1],[179,1],[179,-1]]",
            "[[-179,-1],[-179,1],[179,1],[179,-1],[-179,-1]]",
        ] {
            let fence = polygon(&format!("{outer},{hole}")).unwrap();
            for longitude in [179.5, 180.0, -180.0, -179.5] {
                assert!(
                    fence.meters_beyond(&at(longitude, 0.0)) > 50_000.0,
                    "{hole}"
                );
            }
            for longitude in [178.5, -178.5] {
                assert!(
                    fence.meters_beyond(&at(longitude, 0.0)) < -50_000.0,
                    "{hole}"
                );
            }
        }
    }

    #[test]
    fn a_ring_may_begin_at_any_corner_and_go_either_way() {
        // Around the meridian of London, where `a + (b - a)` is not `b`.
        let corners = ["[0.02,51.3]", "[0.02,51.7]", "[-0.52,51.7]", "[-0.52,51.3]"];
        for start in 0..corners.len() {
            let mut ring: Vec<_> = (0..=corners.len())
                .map(|step| corners[(start + step) % corners.len()])
                .collect();
            for _ in 0..2 {
                let fence = polygon(&format!("[{}]", ring.join(","))).unwrap();
                assert!(fence.meters_beyond(&at(-0.12, 51.5)) < 0.0);
                ring.reverse();
            }
        }
        // The antimeridian by both of its names.
        let fence = polygon("[[180,0],[179,0],[179,1],[-180,1],[-180,0]]").unwrap();
        assert!(fence.meters_beyond(&at(179.5, 0.5)) < 0.0);
        assert!(fence.meters_beyond(&at(-179.5, 0.5)) > 0.0);
    }

    #[test]
    fn what_is_no_fence_is_refused() {
        for (text, expected) in [
            ("", GeofenceError::Shape),
            ("{}", GeofenceError::Shape),
            (
                r#"{"type":"Point","coordinates":[1,2]}"#,
                GeofenceError::Shape,
            ),
            (
                r#"{"type":"Polygon","coordinates":[]}"#,
                GeofenceError::Shape,
            ),
            (
                r#"{"type":"Polygon","coordinates":[[[1],[2],[3],[1]]]}"#,
                GeofenceError::Shape,
            ),
        ] {
            assert_eq!(Geofence::parse(text), Err(expected), "{text}");
        }
        for (rings, expected) in [
            ("[]", GeofenceError::Ring),
            ("[[0,0],[1,0],[0,0]]", GeofenceError::Ring),
            ("[[0,0],[1,0],[1,1],[0,1]]", GeofenceError::Ring),
            ("[[0,0],[181,0],[1,1],[0,0]]", GeofenceError::Position),
            ("[[0,0],[1,0],[1,91],[0,0]]", GeofenceError::Position),
            (
                "[[-100,0],[0,0],[100,0],[0,10],[-100,0]]",
                GeofenceError::Width,
            ),
            // Around the pole.
            (
                "[[0,80],[100,80],[-160,80],[-60,80],[0,80]]",
                GeofenceError::Width,
            ),
        ] {
            assert_eq!(polygon(rings), Err(expected), "{rings}");
        }
    }

    /// A longitude as GeoJSON has it.
    fn on_earth(longitude: f64) -> f64 {
        wrapped(longitude).clamp(-180.0, 180.0)
    }

    fn text(ring: &geo::LineString) -> String {
        let position = |at: &geo::Coord| format!("[{},{}]", on_earth(at.x), at.y);
        let positions: Vec<_> = ring.coords().map(position).collect();
        format!("[{}]", positions.join(","))
    }

    /// Corners in the order of their directions from the center, so that no two sides cross.
    fn star(center: (f64, f64), reaches: &[f64], scale: f64) -> Vec<geo::Coord> {
        let step = std::f64::consts::TAU / reaches.len() as f64;
        let corners = reaches.iter().zip(0..).map(|(reach, index)| {
            let (sin, cos) = (f64::from(index) * step).sin_cos();
            geo::Coord {
                x: center.0 + cos * reach * scale,
                y: center.1 + sin * reach * scale,
            }
        });
        corners.collect()
    }

    proptest! {
        #[test]
        fn any_ring_with_a_hole_holds_what_a_geometry_library_says(
            center in (-180.0..180.0, -70.0..70.0),
            reaches in prop::collection::vec(0.5..9.0_f64, 3..12),
            first in 0..12_usize, clockwise: bool,
            decimals in prop_oneof![Just(1), Just(2), Just(6), Just(17)],
            points in prop::collection::vec((-10.0..10.0_f64, -10.0..10.0_f64), 8),
        ) {
            use geo::Contains;

            let ring = |scale: f64| {
                let mut corners = star(center, &reaches, scale);
                for corner in &mut corners {
                    // What is read from text, so that both have the very same corners.
                    let shown = |value: f64| format!("{value:.decimals$}").parse::<f64>().unwrap();
                    *corner = geo::Coord { x: shown(corner.x), y: shown(corner.y) };
                }
                let corners_count = corners.len();
                corners.rotate_left(first % corners_count);
                if clockwise {
                    corners.reverse();
                }
                let mut ring = geo::LineString::new(corners);
                ring.close();
                ring
            };
            let (outer, hole) = (ring(1.0), ring(0.3));
            let fence = polygon(&format!("{},{}", text(&outer), text(&hole))).unwrap();
            let polygon = geo::Polygon::new(outer, vec![hole]);
            for (x, y) in points {
                let (longitude, latitude) = (center.0 + x, center.1 + y);
                let meters = fence.meters_beyond(&at(on_earth(longitude), latitude));
                let inside = polygon.contains(&geo::Point::new(longitude, latitude));
                prop_assert!(meters.abs() < 1.0 || (meters < 0.0) == inside, "{}", meters);
            }
        }

        #[test]
        fn a_rectangle_holds_exactly_what_is_between_its_sides(
            west in -170.0..160.0, south in -80.0..70.0, width in 0.1..9.0, height in 0.1..9.0,
            x in -0.5..1.5_f64, y in -0.5..1.5_f64,
        ) {
            let (east, north) = (west + width, south + height);
            let fence = polygon(&format!(
                "[[{west},{south}],[{east},{south}],[{east},{north}],[{west},{north}],[{west},{south}]]"
            )).unwrap();
            let inside = (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
            let meters = fence.meters_beyond(&at(west + x * width, south + y * height));
            prop_assert!(meters.abs() < 1.0 || (meters < 0.0) == inside, "{}", meters);
        }
    }
}
