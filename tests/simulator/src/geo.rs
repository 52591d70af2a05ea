//! Points on the globe, and the great circles between them.

use std::f64::consts::TAU;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// The earth's mean radius in meters (IUGG).
const EARTH: f64 = 6_371_008.8;

/// A place on the ground, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// North is positive; -90 to 90.
    pub latitude: f64,
    /// East is positive; -180 to 180.
    pub longitude: f64,
}

impl Point {
    /// Meters over the ground.
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        let [phi, other_phi] = [self.latitude, other.latitude].map(f64::to_radians);
        let half = |a: f64, b: f64| ((b - a) / 2.0).sin();
        let across = half(self.longitude.to_radians(), other.longitude.to_radians());
        let haversine = half(phi, other_phi).powi(2) + phi.cos() * other_phi.cos() * across.powi(2);
        2.0 * EARTH * haversine.clamp(0.0, 1.0).sqrt().asin()
    }

    /// The direction of the great circle to another point, in radians clockwise from north.
    pub(crate) fn bearing(self, to: Self) -> f64 {
        let [phi, to_phi] = [self.latitude, to.latitude].map(f64::to_radians);
        let east = (to.longitude - self.longitude).to_radians();
        let y = east.sin() * to_phi.cos();
        let x = phi.cos() * to_phi.sin() - phi.sin() * to_phi.cos() * east.cos();
        y.atan2(x)
    }

    /// The point so many meters away along the great circle that leaves in this direction.
    pub(crate) fn ahead(self, bearing: f64, meters: f64) -> Self {
        let angle = meters / EARTH;
        let phi = self.latitude.to_radians();
        let sine = phi.sin() * angle.cos() + phi.cos() * angle.sin() * bearing.cos();
        let east = (bearing.sin() * angle.sin() * phi.cos()).atan2(angle.cos() - phi.sin() * sine);
        let longitude = self.longitude + east.to_degrees();
        Self {
            latitude: sine.clamp(-1.0, 1.0).asin().to_degrees(),
            longitude: (longitude + 540.0).rem_euclid(360.0) - 180.0,
        }
    }

    /// A random point at most so far away, as likely in one place as in another.
    pub(crate) fn near(self, meters: f64, rng: &mut impl Rng) -> Self {
        let bearing = rng.random_range(0.0..TAU);
        self.ahead(bearing, meters * rng.random::<f64>().sqrt())
    }
}

/// `47.476075,-122.192026`.
impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |text: &str, most: f64| {
            let degrees: f64 = text.trim().parse().ok()?;
            (degrees.abs() <= most).then_some(degrees)
        };
        text.split_once(',')
            .and_then(|(latitude, longitude)| {
                Some(Self {
                    latitude: read(latitude, 90.0)?,
                    longitude: read(longitude, 180.0)?,
                })
            })
            .ok_or_else(|| {
                "latitude,longitude in degrees, such as 47.476075,-122.192026".to_owned()
            })
    }
}

/// The city that a fleet serves: its stations, pick-ups and drop-offs are inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// The middle.
    pub center: Point,
    /// In meters, from 1 to [`Area::LARGEST`].
    pub radius: f64,
}

impl Area {
    /// The largest radius in meters: beyond it a great circle may leave the area that its ends are in.
    pub const LARGEST: f64 = 2_000_000.0;

    /// Whether the point is inside; on the border counts.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        self.center.distance(point) <= self.radius
    }

    pub(crate) fn random_point(&self, rng: &mut StdRng) -> Point {
        self.center.near(self.radius, rng)
    }

    /// A point of the area at most so far from one that is inside.
    pub(crate) fn point_near(&self, from: Point, meters: f64, rng: &mut StdRng) -> Point {
        let meters = meters.min(self.radius);
        let point = from.near(meters, rng);
        if self.contains(point) {
            return point;
        }
        // As far, but inwards, which cannot lead out of the other side.
        from.ahead(from.bearing(self.center), from.distance(point).min(meters))
    }

    /// A point so many radii from the middle.
    pub(crate) fn point_at(&self, radii: f64, rng: &mut StdRng) -> Point {
        self.center
            .ahead(rng.random_range(0.0..TAU), self.radius * radii)
    }
}

impl Default for Area {
    /// 10 km around the place where the drones of the original scenario start.
    fn default() -> Self {
        Self {
            center: Point {
                latitude: 47.476075,
                longitude: -122.192026,
            },
            radius: 10_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    pub(super) fn anywhere() -> impl Strategy<Value = Point> {
        (-90.0..=90.0, -180.0..180.0).prop_map(|(latitude, longitude)| Point {
            latitude,
            longitude,
        })
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let point = |latitude, longitude| Point {
            latitude,
            longitude,
        };
        let quarter = EARTH * TAU / 4.0;
        for (a, b, meters) in [
            (point(0.0, 0.0), point(0.0, 90.0), quarter),
            (point(0.0, 0.0), point(90.0, 17.0), quarter),
            (point(0.0, -179.5), point(0.0, 179.5), quarter / 90.0),
            (point(90.0, 0.0), point(-90.0, 0.0), 2.0 * quarter),
            (point(10.0, 20.0), point(10.0, 20.0), 0.0),
        ] {
            assert!((a.distance(b) - meters).abs() < 0.01, "{a:?} {b:?}");
        }
    }

    #[test]
    fn points_are_read_and_nonsense_is_refused() {
        let point: Point = "47.5, -122.25".parse().unwrap();
        assert_eq!((point.latitude, point.longitude), (47.5, -122.25));
        for text in ["", "47.5", "91,0", "0,181", "NaN,0", "a,b", "1,2,3"] {
            assert!(text.parse::<Point>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_great_circle_leads_to_its_end(from in anywhere(), to in anywhere()) {
            let meters = from.distance(to);
            let there = from.ahead(from.bearing(to), meters);
            // Near the antipode every direction leads there, and near a pole the sine is flat.
            prop_assert!(there.distance(to) < 1.0, "{there:?}");
            let halfway = from.ahead(from.bearing(to), meters / 2.0);
            prop_assert!((from.distance(halfway) - meters / 2.0).abs() < 1.0);
        }

        #[test]
        fn points_near_a_point_of_an_area_are_in_the_area(
            center in anywhere(), radius in 1.0..Area::LARGEST, reach in 1.0..10_000.0, seed: u64,
        ) {
            let area = Area { center, radius };
            let mut rng = StdRng::seed_from_u64(seed);
            let from = area.random_point(&mut rng);
            let near = area.point_near(from, reach, &mut rng);
            prop_assert!(center.distance(near) <= radius + 0.1, "{near:?}");
            prop_assert!(from.distance(near) <= reach + 0.1);
            prop_assert!(near.latitude.abs() <= 90.0 && near.longitude.abs() <= 180.0);
        }
    }
}
