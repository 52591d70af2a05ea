//! How far it is between two readings, and which steps no drone can have made.

use super::{SECOND, seconds};

/// The earth's mean radius in meters.
const RADIUS: f64 = 6_371_008.8;

/// Faster than any of these drones, in m/s: a position that is wrong, not a flight.
const FASTEST: f64 = 100.0;

/// Up to here a straight line is what was flown, nearly. The cadence is 5 s.
pub const LONGEST_STEP: i64 = 60 * SECOND;

/// From one flight reading to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Meters flown.
    Flown(f64),
    /// Meters between two readings that are too far apart in time to say what lay between.
    Chord(f64),
    /// Farther than can be in the time.
    Jump,
}

/// The step between two places, degrees north and east, so many microseconds apart.
pub fn step(from: (f64, f64), to: (f64, f64), micros: i64) -> Step {
    let meters = great_circle(from, to);
    if meters > FASTEST * seconds(micros) {
        Step::Jump
    } else if micros <= LONGEST_STEP {
        Step::Flown(meters)
    } else {
        Step::Chord(meters)
    }
}

/// Meters between two places, degrees north and east, by the haversine formula.
pub fn great_circle(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (phi, other) = (from.0.to_radians(), to.0.to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let across = half((to.1 - from.1).to_radians());
    let haversine = half(other - phi) + phi.cos() * other.cos() * across;
    2.0 * RADIUS * haversine.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_latitude_is_a_degree_of_latitude() {
        let degree = RADIUS.to_radians();
        assert!((great_circle((47.0, 8.0), (48.0, 8.0)) - degree).abs() < 1e-6);
        assert!((great_circle((0.0, 179.5), (0.0, -179.5)) - degree).abs() < 1e-6);
        assert!(great_circle((90.0, 0.0), (90.0, 120.0)) < 1e-6);
    }

    #[test]
    fn steps_are_flown_guessed_or_impossible() {
        let (here, there) = ((47.0, 8.0), (47.001, 8.0));
        let meters = great_circle(here, there);
        assert_eq!(step(here, there, 5 * SECOND), Step::Flown(meters));
        assert_eq!(step(here, there, LONGEST_STEP), Step::Flown(meters));
        assert_eq!(step(here, there, LONGEST_STEP + 1), Step::Chord(meters));
        assert_eq!(step(here, there, SECOND), Step::Jump);
        assert_eq!(step(here, there, 0), Step::Jump);
        assert_eq!(step(here, here, 0), Step::Flown(0.0));
    }
}
