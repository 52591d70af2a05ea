//! One delivery: from the station to the pick-up, to the drop-off, and back, with a charge at the end.
//!
//! Each of its three legs has four parts: up, across, down, and a while on the ground. Within a part,
//! where a drone is, how fast, how hot and how full follow from the time alone, so that a drone can be
//! asked as often or as rarely as one likes.

use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;
use uuid::{Builder, Uuid};

use crate::geo::{Area, Point};
use crate::ramp::Ramp;
use crate::record::Truth;
use crate::scenario::Scenario;

/// The longest leg to a pick-up or a drop-off, in meters.
const REACH: f64 = 5_000.0;

/// The ground's height in meters.
const GROUND: f64 = 20.0;

/// How fast drones climb and descend, in m/s, and how they get there, in m/s².
const CLIMB: f64 = 4.0;
const CLIMB_ACCELERATION: f64 = 1.5;

/// How quickly the cruising speed is reached and left, in m/s².
const CRUISE_ACCELERATION: f64 = 2.5;

/// How far a full battery leads, in meters. A delivery to a place out of reach takes a larger battery.
const RANGE: f64 = 45_000.0;

/// The most that a good battery gives for one delivery.
const MOST_DRAINED: f64 = 0.5;

/// What a charger adds a second, and where it stops.
pub(crate) const CHARGE: f64 = 0.005;
const CHARGED: Range<f64> = 0.95..1.0;

/// How far an engine's temperature comes towards what its load leads to: about two thirds in so many
/// seconds.
const THERMAL_LAG: f64 = 60.0;

/// Where a part of a flight leads an engine, in degrees, and where it leads one with a broken fan.
const HOT: f64 = 122.0;
const TARGETS: [(Part, f64); 4] = [
    (Part::Climb, 70.0),
    (Part::Cruise, 64.0),
    (Part::Descend, 50.0),
    (Part::Hold, 35.0),
];

/// The article's flight statuses.
pub(crate) const DEPARTED: u8 = 0;
pub(crate) const IN_FLIGHT: u8 = 1;
pub(crate) const PICKED_UP: u8 = 2;
pub(crate) const DROPPED_OFF: u8 = 3;
pub(crate) const ARRIVED: u8 = 4;

/// A part of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Climb,
    Cruise,
    Descend,
    Hold,
}

/// What is known of a delivery when it begins.
#[derive(Debug)]
pub(crate) struct Mission {
    pub(crate) id: Uuid,
    /// The station, the pick-up, the drop-off, and the station again.
    stops: [Point; 4],
    /// Meters above the ground.
    height: f64,
    /// Across, in m/s.
    speed: f64,
    /// Seconds at the pick-up and at the drop-off.
    holds: [f64; 2],
    /// What the charger stops at.
    charged: f64,
    hot: bool,
    /// What is gone of a full battery for every meter.
    drain: f64,
    /// When nothing is heard of the drone, in seconds since the start of the delivery.
    silence: Option<Range<f64>>,
}

/// A part of a leg, under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    leg: u8,
    part: Part,
    start: f64,
    duration: f64,
    ramp: Ramp,
    bearing: f64,
    /// At its start.
    temperature: f64,
    battery: f64,
}

/// How it is with a drone at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) position: Point,
    pub(crate) altitude: f64,
    pub(crate) speed: f64,
    pub(crate) status: u8,
    pub(crate) temperature: f64,
    /// 0 to 1.
    pub(crate) battery: f64,
}

impl Mission {
    /// The next delivery of a drone with so much in its battery.
    pub(crate) fn plan(
        station: Point,
        area: &Area,
        scenario: &Scenario,
        battery: f64,
        rng: &mut StdRng,
    ) -> Self {
        let pick_up = area.point_near(station, REACH, rng);
        let stray = rng.random_bool(scenario.stray);
        let drop_off = match stray {
            true => area.point_at(rng.random_range(1.2..1.5), rng),
            false => area.point_near(pick_up, REACH, rng),
        };
        let mut mission = Self {
            id: Builder::from_random_bytes(rng.random()).into_uuid(),
            stops: [station, pick_up, drop_off, station],
            height: rng.random_range(60.0..120.0),
            speed: rng.random_range(14.0..20.0),
            holds: [rng.random_range(10.0..40.0), rng.random_range(10.0..40.0)],
            charged: rng.random_range(CHARGED),
            hot: rng.random_bool(scenario.overheating),
            drain: 0.0,
            silence: None,
        };
        let length: f64 = mission
            .stops
            .windows(2)
            .map(|leg| leg[0].distance(leg[1]) + 2.0 * mission.height)
            .sum();
        let drained = match rng.random_bool(scenario.weak_battery) {
            true => battery - rng.random_range(0.03..0.09),
            false => (length / RANGE).min(MOST_DRAINED),
        };
        mission.drain = drained.max(0.0) / length;
        if rng.random_bool(scenario.lost) {
            // After the first report in flight.
            let start = mission.ramp(0, Part::Climb).duration() + rng.random_range(10.0..60.0);
            mission.silence = Some(start..start + rng.random_range(150.0..300.0));
        }
        mission
    }

    /// How long it takes, in seconds, without the charge at its end.
    pub(crate) fn duration(&self) -> f64 {
        let flights = [Part::Climb, Part::Cruise, Part::Descend];
        let legs = (0..3).flat_map(|leg| flights.map(|part| self.ramp(leg, part).duration()));
        legs.chain(self.holds).sum()
    }

    /// The beginning of the delivery.
    pub(crate) fn first(&self, start: f64, temperature: f64, battery: f64) -> Segment {
        self.segment(0, Part::Climb, start, temperature, battery)
    }

    /// What comes of a delivery that begins at a time with so much in the battery, in seconds like that time.
    pub(crate) fn truth(&self, departed: f64, battery: f64) -> Truth {
        let mut spans: [Option<Range<f64>>; 5] = Default::default();
        let mut arrival = battery;
        let mut segment = self.first(departed, 0.0, battery);
        loop {
            let status = status(segment.leg, segment.part);
            match &mut spans[usize::from(status)] {
                Some(span) => span.end = segment.end(),
                none => *none = Some(segment.start..segment.end()),
            }
            if status == ARRIVED {
                arrival = segment.battery;
            }
            match self.next(&segment) {
                Some(next) => segment = next,
                None => break,
            }
        }
        let mut span = |status: u8| {
            spans[usize::from(status)]
                .take()
                .unwrap_or(departed..departed)
        };
        let legs = self.stops.windows(2);
        Truth {
            delivery_id: self.id.hyphenated().to_string(),
            departed: span(DEPARTED),
            picked_up: span(PICKED_UP),
            dropped_off: span(DROPPED_OFF),
            arrived: span(ARRIVED),
            distance: legs.map(|leg| leg[0].distance(leg[1])).sum(),
            battery_used: battery - arrival,
            battery_a_second: self.drain * self.speed.max(CLIMB),
            silent: (self.silence.clone())
                .map(|silence| departed + silence.start..departed + silence.end),
        }
    }

    /// What follows a segment; `None` when the drone is charged and free for its next delivery.
    pub(crate) fn next(&self, segment: &Segment) -> Option<Segment> {
        let (leg, part) = match segment.part {
            Part::Climb => (segment.leg, Part::Cruise),
            Part::Cruise => (segment.leg, Part::Descend),
            Part::Descend => (segment.leg, Part::Hold),
            Part::Hold if segment.leg == 2 => return None,
            Part::Hold => (segment.leg + 1, Part::Climb),
        };
        let end = self.condition(segment, segment.end());
        Some(self.segment(leg, part, segment.end(), end.temperature, end.battery))
    }

    fn segment(&self, leg: u8, part: Part, start: f64, temperature: f64, battery: f64) -> Segment {
        let (from, to) = self.stops_of(leg);
        let ramp = self.ramp(leg, part);
        let duration = match (part, self.holds.get(usize::from(leg))) {
            (Part::Hold, Some(hold)) => *hold,
            (Part::Hold, None) => ((self.charged - battery) / CHARGE).max(20.0),
            _ => ramp.duration(),
        };
        Segment {
            leg,
            part,
            start,
            duration,
            ramp,
            bearing: from.bearing(to),
            temperature,
            battery,
        }
    }

    fn stops_of(&self, leg: u8) -> (Point, Point) {
        let leg = usize::from(leg).min(2);
        (self.stops[leg], self.stops[leg + 1])
    }

    fn ramp(&self, leg: u8, part: Part) -> Ramp {
        match part {
            Part::Climb | Part::Descend => Ramp::new(self.height, CLIMB, CLIMB_ACCELERATION),
            Part::Cruise => {
                let (from, to) = self.stops_of(leg);
                Ramp::new(from.distance(to), self.speed, CRUISE_ACCELERATION)
            }
            Part::Hold => Ramp::new(0.0, CLIMB, CLIMB_ACCELERATION),
        }
    }

    /// How it is at a time within the segment.
    pub(crate) fn condition(&self, segment: &Segment, time: f64) -> Condition {
        let seconds = (time - segment.start).clamp(0.0, segment.duration);
        let (travelled, speed) = segment.ramp.at(seconds);
        let (from, to) = self.stops_of(segment.leg);
        let (position, height) = match segment.part {
            Part::Climb => (from, travelled),
            Part::Cruise => (from.ahead(segment.bearing, travelled), self.height),
            Part::Descend => (to, self.height - travelled),
            Part::Hold => (to, 0.0),
        };
        let at_station = segment.leg == 2 && segment.part == Part::Hold;
        let change = match at_station {
            true => (CHARGE * seconds).min((self.charged - segment.battery).max(0.0)),
            false => -self.drain * travelled,
        };
        Condition {
            position,
            altitude: GROUND + height,
            speed,
            status: status(segment.leg, segment.part),
            temperature: self.temperature(segment, at_station, seconds),
            battery: (segment.battery + change).clamp(0.0, 1.0),
        }
    }

    fn temperature(&self, segment: &Segment, at_station: bool, seconds: f64) -> f64 {
        let target = match self.hot && !at_station {
            true => HOT,
            false => TARGETS
                .iter()
                .find(|(part, _)| *part == segment.part)
                .map_or(0.0, |(_, target)| *target),
        };
        target + (segment.temperature - target) * (-seconds / THERMAL_LAG).exp()
    }

    /// Whether nothing is heard of the drone so many seconds after the start of the delivery.
    pub(crate) fn is_silent(&self, seconds: f64) -> bool {
        self.silence
            .as_ref()
            .is_some_and(|silence| silence.contains(&seconds))
    }
}

impl Segment {
    /// When it is over.
    pub(crate) fn end(&self) -> f64 {
        self.start + self.duration
    }
}

/// A parcel is taken or left on the ground; the news lasts until the drone is up again.
fn status(leg: u8, part: Part) -> u8 {
    match (leg, part) {
        (0, Part::Climb) => DEPARTED,
        (0, Part::Hold) | (1, Part::Climb) => PICKED_UP,
        (1, Part::Hold) | (2, Part::Climb) => DROPPED_OFF,
        (2, Part::Hold) => ARRIVED,
        _ => IN_FLIGHT,
    }
}
