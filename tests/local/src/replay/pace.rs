//! Not faster than so many events a second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::stop::Stop;

/// Lets events through.
pub(super) struct Pace {
    rate: f64,
    free_at: Instant,
}

impl Pace {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            free_at: Instant::now(),
        }
    }

    /// How many events to let through at once: those of half a second, from 1 to `most`.
    pub(super) fn portion(&self, most: usize) -> usize {
        // A rate above zero; too large a number is `most`.
        ((self.rate / 2.0) as usize).clamp(1, most)
    }

    /// Waits until the events before have had their time. Returns early where a stop is asked for.
    pub(super) async fn admit(&mut self, events: usize, stop: &Stop) {
        tokio::select! {
            () = sleep_until(self.free_at) => {}
            () = stop.requested() => {}
        }
        let takes = Duration::from_secs_f64(events as f64 / self.rate);
        self.free_at = self.free_at.max(Instant::now()) + takes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn events_take_their_time_and_a_stop_takes_none() {
        let stop = Stop::default();
        let mut pace = Pace::new(10.0);
        assert_eq!((pace.portion(100), pace.portion(3)), (5, 3));
        let start = Instant::now();
        for _ in 0..3 {
            pace.admit(20, &stop).await;
        }
        assert_eq!(
            start.elapsed().as_secs(),
            4,
            "the third begins after two took 2 s each"
        );
        stop.request();
        pace.admit(1, &stop).await;
        assert_eq!(start.elapsed().as_secs(), 4);
    }
}
