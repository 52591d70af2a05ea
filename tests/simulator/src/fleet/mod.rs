//! All drones, and what becomes of their events.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::{Duration, UtcDateTime};

use crate::drone::Drone;
use crate::malformed;
use crate::schedule::{Report, Schedule, Section};
use crate::wire::TimeShape;

/// The device id of a fleet's drone, counted from 0.
pub fn device_id(drone: u32) -> String {
    format!("Simulated.drone-{:05}", u64::from(drone) + 1)
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Position, speed and flight status.
    Flight,
    /// Temperature and battery.
    Status,
    /// Neither; see [`Fleet::with_malformed`].
    Malformed,
}

/// What a drone sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedEvent {
    /// The drone that sends it: the one that IoT Hub authenticates, and the event's partition key.
    pub device_id: String,
    /// The wire format: JSON, every value a string, unless it is malformed.
    pub body: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Whether it must end as a dead letter; else it must become part of the drone's state.
    pub expect_dead_letter: bool,
}

/// Drones that report at their own pace or at a given rate.
#[derive(Debug)]
pub struct Fleet {
    drones: Vec<Drone>,
    schedule: Schedule,
    rng: StdRng,
    start: Option<UtcDateTime>,
    /// 0 for none.
    malformed_one_in: u32,
    made: u64,
}

impl Fleet {
    /// So many drones; each reports its flight every 5 s and its state every 20 s, all at different
    /// moments, and every one within the first 5 s. Half of them write times as the article does,
    /// half in ISO 8601.
    pub fn new(drones: u32, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let make = |number: u32| {
            let shape = match number % 2 {
                0 => TimeShape::Article,
                _ => TimeShape::Iso,
            };
            Drone::new(device_id(number), shape, &mut rng)
        };
        Self {
            drones: (0..drones).map(make).collect(),
            schedule: Schedule::natural(drones),
            rng,
            start: None,
            malformed_one_in: 0,
            made: 0,
        }
    }

    /// Makes the whole fleet send this many events a second, evenly, in the same mixture; at least
    /// 0.001. Every drone is among the first as many events as there are drones. Starts the schedule
    /// anew.
    #[must_use]
    pub fn at_rate(mut self, events_per_second: f64) -> Self {
        // Never more drones than were asked for, and that was a u32.
        self.schedule = Schedule::at_rate(self.drones.len() as u32, events_per_second);
        self.start = None;
        self
    }

    /// Makes one event in so many malformed, on average, in one way or another; 0 for none.
    #[must_use]
    pub fn with_malformed(mut self, one_in: u32) -> Self {
        self.malformed_one_in = one_in;
        self
    }

    /// What is due by now and was not handed out yet, in order. The first call sets the start. Times in
    /// the events are when each was due, or in the finest step after the section's last one.
    pub fn due(&mut self, now: UtcDateTime) -> impl Iterator<Item = SimulatedEvent> {
        let start = *self.start.get_or_insert(now);
        let elapsed = now - start;
        std::iter::from_fn(move || {
            self.schedule.next_due().filter(|due| *due <= elapsed)?;
            let report = self.schedule.next()?;
            Some(self.make(report, start.saturating_add(report.due)))
        })
    }

    /// The next event of the schedule at once, whenever it is due, with `now` as its time or the finest
    /// step after the section's last one; `None` where there are no drones.
    pub fn next_event(&mut self, now: UtcDateTime) -> Option<SimulatedEvent> {
        let report = self.schedule.next()?;
        Some(self.make(report, now))
    }

    /// How long after the first call of [`Fleet::due`] the next event is due; `None` where there are no
    /// drones.
    pub fn next_due(&self) -> Option<Duration> {
        self.schedule.next_due()
    }

    fn make(&mut self, report: Report, time: UtcDateTime) -> SimulatedEvent {
        // Drawn, not counted: a count would meet the same drones again and again. A drone's first
        // report is always good, so that every drone is seen.
        let first = self.made < self.drones.len() as u64;
        self.made += 1;
        let drone = &mut self.drones[report.drone as usize];
        let one_in = self.malformed_one_in;
        if one_in > 0 && !first && self.rng.random_ratio(1, one_in) {
            return SimulatedEvent {
                device_id: drone.id.clone(),
                body: malformed::body(self.rng.random_range(0..malformed::KINDS), &drone.id, time),
                kind: Kind::Malformed,
                expect_dead_letter: true,
            };
        }
        SimulatedEvent {
            device_id: drone.id.clone(),
            body: drone
                .report(report.section, time, &mut self.rng)
                .into_bytes(),
            kind: match report.section {
                Section::Flight => Kind::Flight,
                Section::Status => Kind::Status,
            },
            expect_dead_letter: false,
        }
    }
}

#[cfg(test)]
mod tests;
