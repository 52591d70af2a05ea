//! How a drone covers a distance: it speeds up evenly, keeps its speed, and slows down evenly to a stop.

/// A way from rest to rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ramp {
    /// Meters.
    distance: f64,
    /// The highest speed on the way, in m/s.
    top: f64,
    /// And how fast it is reached and left, in m/s².
    acceleration: f64,
}

impl Ramp {
    /// A distance too short for the cruising speed is flown with less.
    pub(crate) fn new(distance: f64, cruise: f64, acceleration: f64) -> Self {
        Self {
            distance,
            top: cruise.min((distance * acceleration).sqrt()),
            acceleration,
        }
    }

    /// Seconds.
    pub(crate) fn duration(&self) -> f64 {
        match self.top > 0.0 {
            true => self.distance / self.top + self.top / self.acceleration,
            false => 0.0,
        }
    }

    /// Meters travelled and speed after so many seconds.
    pub(crate) fn at(&self, seconds: f64) -> (f64, f64) {
        let duration = self.duration();
        let seconds = seconds.clamp(0.0, duration);
        let speeding = self.top / self.acceleration;
        let left = duration - seconds;
        if seconds < speeding {
            let speed = self.acceleration * seconds;
            (speed * seconds / 2.0, speed)
        } else if left < speeding {
            let speed = self.acceleration * left;
            (self.distance - speed * left / 2.0, speed)
        } else {
            (self.top * (seconds - speeding / 2.0), self.top)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn travel_is_the_sum_of_speed_and_speed_the_sum_of_acceleration(
            distance in 0.0..20_000.0, cruise in 1.0..30.0, acceleration in 0.5..4.0,
        ) {
            let ramp = Ramp::new(distance, cruise, acceleration);
            let step = ramp.duration() / 1_000.0;
            let mut travelled = 0.0;
            let mut before = ramp.at(0.0);
            prop_assert_eq!(before, (0.0, 0.0));
            for tick in 1..=1_000 {
                let now = ramp.at(step * f64::from(tick));
                prop_assert!(now.1 <= cruise + 1e-9);
                prop_assert!((now.1 - before.1).abs() <= acceleration * step + 1e-9);
                prop_assert!(now.0 >= before.0 - 1e-9);
                travelled += (before.1 + now.1) / 2.0 * step;
                // Only the corners of the ramp are lost between two steps.
                prop_assert!((travelled - now.0).abs() <= acceleration * step * step + 1e-6);
                before = now;
            }
            prop_assert!((before.0 - distance).abs() < 1e-6 && before.1 < 1e-6);
        }
    }
}
