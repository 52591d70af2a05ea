//! All drones, and what becomes of their events on the way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::{Duration, UtcDateTime};

use crate::drone::Drone;
use crate::geo::Area;
use crate::malformed;
use crate::record::Delivery;
use crate::scenario::Scenario;
use crate::schedule::{Report, Schedule, Section};
use crate::wire::TimeShape;

/// How long a late event is held up, in seconds, and how soon a repeated one comes again.
const LATE: std::ops::Range<f64> = 30.0..120.0;
const AGAIN: std::ops::Range<f64> = 0.0..10.0;

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
    /// Neither: nobody can apply it.
    Malformed,
    /// A flight or a status of another drone than the one that sends it.
    Spoofed,
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
    /// Whether it must end as a dead letter, where senders are authenticated; else it must become part
    /// of the drone's state.
    pub expect_dead_letter: bool,
}

/// When drones report.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Cadence {
    /// Each its flight every 5 s and its state every 20 s, all at different moments.
    #[default]
    Article,
    /// The whole fleet so many events a second, evenly, in the same mixture; at least 0.001. Every drone
    /// is among the first as many events as there are drones.
    PerSecond(f64),
}

/// Which drones fly, where, and what goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How many.
    pub drones: u32,
    /// The number of the first of them: fleets whose numbers do not overlap can fly side by side.
    pub first: u32,
    /// The same seed and the same times give the same events.
    pub seed: u64,
    /// Where.
    pub area: Area,
    /// What goes wrong.
    pub scenario: Scenario,
    /// When they report.
    pub cadence: Cadence,
}

impl Plan {
    /// So many drones in their usual area, at the article's pace, and nothing goes wrong.
    #[must_use]
    pub fn new(drones: u32, seed: u64) -> Self {
        Self {
            drones,
            first: 0,
            seed,
            area: Area::default(),
            scenario: Scenario::CALM,
            cadence: Cadence::Article,
        }
    }
}

/// Drones in the air, and their events on the way.
#[derive(Debug)]
pub struct Fleet {
    drones: Vec<Drone>,
    first: u32,
    scenario: Scenario,
    schedule: Schedule,
    rng: StdRng,
    start: Option<UtcDateTime>,
    reports: u64,
    /// To be handed out next.
    ready: VecDeque<SimulatedEvent>,
    /// For each drone the event that its next one overtakes.
    overtaken: Vec<Option<SimulatedEvent>>,
    held: BinaryHeap<Reverse<Held>>,
}

/// An event that is held up on the way.
#[derive(Debug)]
struct Held {
    due: Duration,
    /// Makes the order of events of the same time a matter of the seed.
    number: u64,
    event: SimulatedEvent,
}

impl Fleet {
    /// The fleet of a plan, its drones in the middle of their deliveries. Half of them write times as
    /// the article does, half in ISO 8601.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let make = |number: u32| {
            let shape = match number % 2 {
                0 => TimeShape::Article,
                _ => TimeShape::Iso,
            };
            Drone::new(
                device_id(plan.first.saturating_add(number)),
                shape,
                plan.area,
                plan.scenario,
                rng.random(),
            )
        };
        Self {
            drones: (0..plan.drones).map(make).collect(),
            first: plan.first,
            scenario: plan.scenario,
            schedule: match plan.cadence {
                Cadence::Article => Schedule::natural(plan.drones),
                Cadence::PerSecond(rate) => Schedule::at_rate(plan.drones, rate),
            },
            rng,
            start: None,
            reports: 0,
            ready: VecDeque::new(),
            overtaken: vec![None; plan.drones as usize],
            held: BinaryHeap::new(),
        }
    }

    /// What is due by now and was not handed out yet, in order. The first call sets the start. Times in
    /// the events are when each was due, or in the finest step after the section's last one.
    pub fn due(&mut self, now: UtcDateTime) -> impl Iterator<Item = SimulatedEvent> {
        let start = *self.start.get_or_insert(now);
        let elapsed = now - start;
        std::iter::from_fn(move || {
            loop {
                if let Some(event) = self.ready.pop_front() {
                    return Some(event);
                }
                let scheduled = self.schedule.next_due();
                if let Some(event) = self.take_held(elapsed.min(scheduled.unwrap_or(elapsed))) {
                    return Some(event);
                }
                scheduled.filter(|due| *due <= elapsed)?;
                let report = self.schedule.next()?;
                self.make(report, report.due, start.saturating_add(report.due));
            }
        })
    }

    /// The next event of the schedule at once, whenever it is due, with `now` as its time or the finest
    /// step after the section's last one; `None` where there are no drones, or all of them are silent.
    pub fn next_event(&mut self, now: UtcDateTime) -> Option<SimulatedEvent> {
        let elapsed = now - *self.start.get_or_insert(now);
        // Each drone may be silent, or have an event that is held up.
        for _ in 0..=2 * self.drones.len() {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if let Some(event) = self.take_held(elapsed) {
                return Some(event);
            }
            let report = self.schedule.next()?;
            self.make(report, elapsed, now);
        }
        self.ready.pop_front()
    }

    /// How long after the first call of [`Fleet::due`] the next event is due, at the earliest; `None`
    /// where there are no drones.
    pub fn next_due(&self) -> Option<Duration> {
        let scheduled = self.schedule.next_due()?;
        let held = self.held.peek().map(|Reverse(held)| held.due);
        Some(held.map_or(scheduled, |held| held.min(scheduled)))
    }

    /// Keeps a record of what the drones really do, from the deliveries on that they are on.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.drones.iter_mut().for_each(Drone::record);
        self
    }

    /// The deliveries that were begun since this was called last, each told of once; none before the fleet was asked for
    /// events, or where it is not [`recorded`](Self::recorded).
    pub fn take_record(&mut self) -> Vec<Delivery> {
        let Some(start) = self.start else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for drone in &mut self.drones {
            let begun = drone.take_record().into_iter();
            all.extend(begun.map(|truth| truth.at(start, &drone.id)));
        }
        all
    }

    fn take_held(&mut self, by: Duration) -> Option<SimulatedEvent> {
        if self.held.peek()?.0.due > by {
            return None;
        }
        self.held.pop().map(|Reverse(held)| held.event)
    }

    /// Makes ready what comes of a report: nothing, one event, or several.
    fn make(&mut self, report: Report, elapsed: Duration, time: UtcDateTime) {
        let number = self.reports;
        self.reports += 1;
        let audible = self.drones[report.drone as usize].fly_to(elapsed.as_seconds_f64());
        // A drone's first report is always good and in time, so that every drone is seen.
        if number < self.drones.len() as u64 {
            let event = self.event(report, time, None);
            self.ready.push_back(event);
            return;
        }
        if !audible {
            return;
        }
        let kind = if self.chance(self.scenario.malformed) {
            Some(Kind::Malformed)
        } else if self.chance(self.scenario.spoofed) && self.drones.len() > 1 {
            Some(Kind::Spoofed)
        } else {
            None
        };
        let event = self.event(report, time, kind);
        let overtaken = self.overtaken[report.drone as usize].take();
        if self.chance(self.scenario.duplicated) {
            let after = self.rng.random_range(AGAIN);
            self.hold(elapsed, after, number, event.clone());
        }
        if self.chance(self.scenario.late) {
            let after = self.rng.random_range(LATE);
            self.hold(elapsed, after, number, event);
        } else if overtaken.is_none() && self.chance(self.scenario.reordered) {
            self.overtaken[report.drone as usize] = Some(event);
        } else {
            self.ready.push_back(event);
        }
        self.ready.extend(overtaken);
    }

    fn event(&mut self, report: Report, time: UtcDateTime, kind: Option<Kind>) -> SimulatedEvent {
        // Drawn, not counted: a count would meet the same drones again and again.
        let (number, other) = match kind {
            Some(Kind::Malformed) => (self.rng.random_range(0..malformed::KINDS), 0),
            // Any drone but this one.
            Some(Kind::Spoofed) => (0, self.rng.random_range(1..self.drones.len() as u32)),
            _ => (0, 0),
        };
        let victim = u64::from(report.drone) + u64::from(other);
        // A remainder of a u32.
        let victim = (victim % self.drones.len() as u64) as u32;
        let drone = &mut self.drones[report.drone as usize];
        let body = match kind {
            Some(Kind::Malformed) => malformed::body(number, &drone.id, time),
            _ => drone
                .report(
                    report.section,
                    time,
                    &device_id(self.first.saturating_add(victim)),
                )
                .into_bytes(),
        };
        SimulatedEvent {
            device_id: drone.id.clone(),
            body,
            kind: kind.unwrap_or(match report.section {
                Section::Flight => Kind::Flight,
                Section::Status => Kind::Status,
            }),
            expect_dead_letter: kind.is_some(),
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        // Without a draw where nothing can come of it: a calm fleet is faster.
        share > 0.0 && self.rng.random_bool(share.min(1.0))
    }

    fn hold(&mut self, elapsed: Duration, seconds: f64, number: u64, event: SimulatedEvent) {
        self.held.push(Reverse(Held {
            due: elapsed + Duration::seconds_f64(seconds),
            number,
            event,
        }));
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

#[cfg(test)]
mod flight_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod tests;
