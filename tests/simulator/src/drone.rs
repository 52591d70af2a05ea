//! One drone: it carries delivery after delivery from its station and back, and reports when asked.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::{Duration, UtcDateTime};
use uuid::Uuid;

use crate::geo::{Area, Point};
use crate::mission::{Condition, Mission, Segment};
use crate::record::Truth;
use crate::scenario::Scenario;
use crate::schedule::Section;
use crate::wire::{self, Flight, Head, Status, TimeShape};

/// The finest step that the ISO shape shows.
const TICK: Duration = Duration::nanoseconds(100);

/// An engine before its first flight, in degrees.
const COLD: f64 = 30.0;

#[derive(Debug)]
pub(crate) struct Drone {
    pub(crate) id: String,
    shape: TimeShape,
    station: Point,
    area: Area,
    scenario: Scenario,
    /// Its own, so that what becomes of one drone's events on the way changes no other drone's flight.
    rng: StdRng,
    mission: Mission,
    /// When the delivery began, in seconds since the fleet's start; before it for the first one.
    departed: f64,
    /// What was in the battery then.
    battery: f64,
    /// Deliveries that it has begun, where they are recorded.
    begun: Option<Vec<Truth>>,
    segment: Segment,
    /// The latest time that it was asked about: it never flies backwards.
    now: f64,
    /// When the last flight was reported, how fast it was, and the acceleration in the report.
    last_flight: Option<(f64, f64, f64)>,
    /// What was last written for a flight and for a status.
    last: [Option<UtcDateTime>; 2],
}

impl Drone {
    /// A drone somewhere in the middle of a delivery.
    pub(crate) fn new(
        id: String,
        shape: TimeShape,
        area: Area,
        scenario: Scenario,
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let station = area.random_point(&mut rng);
        let battery = rng.random_range(0.95..1.0);
        let mission = Mission::plan(station, &area, &scenario, battery, &mut rng);
        let departed = -rng.random_range(0.0..mission.duration());
        let segment = mission.first(departed, COLD, battery);
        Self {
            id,
            shape,
            station,
            area,
            scenario,
            rng,
            mission,
            departed,
            battery,
            begun: None,
            segment,
            now: 0.0,
            last_flight: None,
            last: [None, None],
        }
    }

    /// Keeps a record from now on, of the delivery that it is on first.
    pub(crate) fn record(&mut self) {
        self.begun = Some(vec![self.mission.truth(self.departed, self.battery)]);
    }

    /// The deliveries that it has begun since it was asked last.
    pub(crate) fn take_record(&mut self) -> Vec<Truth> {
        self.begun.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Flies on until so many seconds after the fleet's start. Whether anything is heard of it there.
    pub(crate) fn fly_to(&mut self, seconds: f64) -> bool {
        self.now = self.now.max(seconds);
        while self.segment.end() <= self.now {
            self.segment = match self.mission.next(&self.segment) {
                Some(segment) => segment,
                None => self.depart(),
            };
        }
        !self.mission.is_silent(self.now - self.departed)
    }

    fn depart(&mut self) -> Segment {
        self.departed = self.segment.end();
        let Condition {
            temperature,
            battery,
            ..
        } = self.mission.condition(&self.segment, self.departed);
        let (station, rng) = (self.station, &mut self.rng);
        self.mission = Mission::plan(station, &self.area, &self.scenario, battery, rng);
        self.battery = battery;
        if let Some(begun) = &mut self.begun {
            begun.push(self.mission.truth(self.departed, battery));
        }
        self.mission.first(self.departed, temperature, battery)
    }

    /// The body of a report from where the drone has flown to. The time in it is `now`, or in whole
    /// seconds what is just before it, or, where that would repeat or go behind this section's last one,
    /// just after that. `name` is what the drone calls itself: its id, unless it is an impostor.
    pub(crate) fn report(&mut self, section: Section, now: UtcDateTime, name: &str) -> String {
        let time = self.next_time(section, now);
        let mut buffer = Uuid::encode_buffer();
        let condition = self.mission.condition(&self.segment, self.now);
        let acceleration = match section {
            Section::Flight => self.acceleration(condition.speed),
            Section::Status => 0.0,
        };
        let head = Head {
            time: &time,
            device: name,
            delivery: self.mission.id.hyphenated().encode_lower(&mut buffer),
        };
        match section {
            Section::Flight => wire::flight(
                head,
                &Flight {
                    velocity: condition.speed,
                    acceleration,
                    latitude: condition.position.latitude,
                    longitude: condition.position.longitude,
                    altitude: condition.altitude,
                    status: condition.status,
                },
            ),
            Section::Status => wire::status(
                head,
                &Status {
                    temperature: condition.temperature,
                    // Between 0 and 100.
                    battery: (condition.battery * 100.0).round() as u8,
                },
            ),
        }
    }

    /// The change of speed since the last flight report, for every second in between.
    fn acceleration(&mut self, speed: f64) -> f64 {
        let acceleration = match self.last_flight {
            Some((last, before, _)) if last < self.now => (speed - before) / (self.now - last),
            Some((_, _, same)) => same,
            None => 0.0,
        };
        self.last_flight = Some((self.now, speed, acceleration));
        acceleration
    }

    fn next_time(&mut self, section: Section, now: UtcDateTime) -> String {
        let last = &mut self.last[section as usize];
        let is_later = |time: UtcDateTime| last.is_none_or(|last| time > last);
        // What is finer than a tick is not shown, so it must not count either.
        let exact = truncated(now, now.nanosecond() % 100);
        let whole = truncated(now, now.nanosecond());
        let (shape, time) = match *last {
            _ if self.shape == TimeShape::Article && is_later(whole) => (TimeShape::Article, whole),
            Some(last) if !is_later(exact) => (TimeShape::Iso, last + TICK),
            _ => (TimeShape::Iso, exact),
        };
        *last = Some(time);
        wire::time(shape, time)
    }
}

fn truncated(time: UtcDateTime, nanoseconds: u32) -> UtcDateTime {
    time - Duration::nanoseconds(nanoseconds.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::*;

    fn drone(shape: TimeShape) -> Drone {
        Drone::new(
            "drone-1".to_owned(),
            shape,
            Area::default(),
            Scenario::CALM,
            3,
        )
    }

    #[test]
    fn no_two_times_of_a_section_are_the_same_and_whole_seconds_are_kept_where_they_can_be() {
        let start = utc_datetime!(2024-05-01 12:00:00.25);
        let mut drone = drone(TimeShape::Article);
        let mut next =
            |section, after: i64| drone.next_time(section, start + Duration::microseconds(after));
        assert_eq!(next(Section::Flight, 0), "05/01/2024 12:00:00 +00:00");
        assert_eq!(next(Section::Status, 0), "05/01/2024 12:00:00 +00:00");
        assert_eq!(next(Section::Flight, 10), "2024-05-01T12:00:00.2500100Z");
        assert_eq!(next(Section::Flight, 10), "2024-05-01T12:00:00.2500101Z");
        assert_eq!(next(Section::Flight, 0), "2024-05-01T12:00:00.2500102Z");
        assert_eq!(next(Section::Flight, 750_000), "05/01/2024 12:00:01 +00:00");
        assert_eq!(next(Section::Flight, 0), "2024-05-01T12:00:01.0000001Z");
    }

    #[test]
    fn what_is_finer_than_a_tick_does_not_hide_a_repetition() {
        let mut drone = drone(TimeShape::Iso);
        let start = utc_datetime!(2024-05-01 12:00:00.000_000_010);
        let first = drone.next_time(Section::Flight, start);
        let second = drone.next_time(Section::Flight, start + Duration::nanoseconds(20));
        assert_eq!(first, "2024-05-01T12:00:00.0000000Z");
        assert_eq!(second, "2024-05-01T12:00:00.0000001Z");
    }

    #[test]
    fn a_drone_never_flies_backwards() {
        let mut drone = drone(TimeShape::Iso);
        drone.fly_to(100.0);
        let there = drone.mission.condition(&drone.segment, drone.now).position;
        drone.fly_to(1.0);
        let then = drone.mission.condition(&drone.segment, drone.now).position;
        assert_eq!(there, then);
    }
}
