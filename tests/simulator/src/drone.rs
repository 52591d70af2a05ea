//! One drone: it carries delivery after delivery from its station and back, and every report moves it on.
//!
//! A flight goes out in a straight line and comes back the same way. It is measured in reports and not
//! in time, so that a fleet at a high rate flies as plausibly as one at its own pace.

use std::f64::consts::{PI, TAU};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use time::{Duration, UtcDateTime};
use uuid::{Builder, Uuid};

use crate::schedule::Section;
use crate::wire::{self, Flight, Head, Status, TimeShape};

/// The middle of the fleet's town, which is where the article's drones start.
const TOWN: (f64, f64) = (47.476075, -122.192026);

/// How far a station is from the middle of the town, at most, in degrees.
const TOWN_RADIUS: f64 = 0.2;

/// How many flight reports a delivery takes.
const LEGS: std::ops::RangeInclusive<u16> = 16..=40;

/// The finest step that the ISO shape shows.
const TICK: Duration = Duration::nanoseconds(100);

/// The article's flight statuses.
const DEPARTED: u8 = 0;
const IN_FLIGHT: u8 = 1;
const PICKED_UP: u8 = 2;
const DROPPED_OFF: u8 = 3;
const ARRIVED: u8 = 4;

#[derive(Debug)]
pub(crate) struct Drone {
    pub(crate) id: String,
    shape: TimeShape,
    station: (f64, f64),
    delivery: Delivery,
    temperature: f64,
    /// In hundredths.
    battery: u8,
    /// What was last written for a flight and for a status.
    last: [Option<UtcDateTime>; 2],
}

#[derive(Debug)]
struct Delivery {
    id: Uuid,
    /// Where to, in radians.
    heading: f64,
    /// How far, in degrees.
    reach: f64,
    /// Meters above the station.
    height: f64,
    legs: u16,
    leg: u16,
}

impl Delivery {
    fn random(rng: &mut StdRng) -> Self {
        Self {
            id: Builder::from_random_bytes(rng.random()).into_uuid(),
            heading: rng.random_range(0.0..TAU),
            reach: rng.random_range(0.01..0.05),
            height: rng.random_range(60.0..120.0),
            legs: rng.random_range(LEGS),
            leg: 0,
        }
    }
}

impl Drone {
    pub(crate) fn new(id: String, shape: TimeShape, rng: &mut StdRng) -> Self {
        let mut near = |middle| middle + rng.random_range(-TOWN_RADIUS..TOWN_RADIUS);
        Self {
            id,
            shape,
            station: (near(TOWN.0), near(TOWN.1)),
            delivery: Delivery::random(rng),
            temperature: rng.random_range(65.0..85.0),
            battery: rng.random_range(40..=100),
            last: [None, None],
        }
    }

    /// The body of the next report. The time in it is `now`, or in whole seconds what is just before it,
    /// or, where that would repeat or go behind this section's last one, just after that.
    pub(crate) fn report(
        &mut self,
        section: Section,
        now: UtcDateTime,
        rng: &mut StdRng,
    ) -> String {
        let time = self.next_time(section, now);
        let mut buffer = Uuid::encode_buffer();
        let reading = match section {
            Section::Flight => Reading::Flight(self.fly(rng)),
            Section::Status => Reading::Status(self.work(rng)),
        };
        let head = Head {
            time: &time,
            device: &self.id,
            delivery: self.delivery.id.hyphenated().encode_lower(&mut buffer),
        };
        let body = match &reading {
            Reading::Flight(flight) => wire::flight(head, flight),
            Reading::Status(status) => wire::status(head, status),
        };
        if let Reading::Flight(Flight {
            status: ARRIVED, ..
        }) = reading
        {
            self.delivery = Delivery::random(rng);
        }
        body
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

    fn fly(&mut self, rng: &mut StdRng) -> Flight {
        let delivery = &mut self.delivery;
        let (leg, legs) = (delivery.leg, delivery.legs);
        delivery.leg += 1;
        // The parcel is taken on a quarter of the way and left at the far end.
        let status = match leg {
            0 => DEPARTED,
            leg if leg >= legs => ARRIVED,
            leg if leg == legs / 4 => PICKED_UP,
            leg if leg == legs / 2 => DROPPED_OFF,
            _ => IN_FLIGHT,
        };
        // 0 at both ends, 1 in the middle.
        let way = (PI * f64::from(leg.min(legs)) / f64::from(legs)).sin();
        let moving = status == IN_FLIGHT;
        let mut jitter = |most: f64| rng.random_range(-most..most);
        Flight {
            velocity: if moving { 52.0 + jitter(12.0) } else { 0.0 },
            acceleration: if moving { jitter(3.0) } else { 0.0 },
            latitude: self.station.0 + delivery.reach * way * delivery.heading.cos(),
            longitude: self.station.1 + delivery.reach * way * delivery.heading.sin(),
            altitude: if moving {
                30.0 + delivery.height * way + jitter(2.0)
            } else {
                20.0
            },
            status,
        }
    }

    fn work(&mut self, rng: &mut StdRng) -> Status {
        // Back towards 75, where the article's engines run.
        self.temperature += (75.0 - self.temperature) * 0.1 + rng.random_range(-3.0..3.0);
        self.battery -= u8::from(rng.next_u32().is_multiple_of(2));
        if self.battery < 5 {
            // A new one from the station's shelf.
            self.battery = 100;
        }
        Status {
            temperature: self.temperature,
            battery: self.battery,
        }
    }
}

enum Reading {
    Flight(Flight),
    Status(Status),
}

fn truncated(time: UtcDateTime, nanoseconds: u32) -> UtcDateTime {
    time - Duration::nanoseconds(nanoseconds.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use rand::SeedableRng;
    use time::macros::utc_datetime;

    use super::*;

    fn drone(shape: TimeShape) -> (Drone, StdRng) {
        let mut rng = StdRng::seed_from_u64(3);
        (Drone::new("drone-1".to_owned(), shape, &mut rng), rng)
    }

    #[test]
    fn a_delivery_departs_flies_picks_up_drops_off_and_arrives() {
        let (mut drone, mut rng) = drone(TimeShape::Iso);
        for _ in 0..20 {
            let id = drone.delivery.id;
            let mut statuses = Vec::new();
            let now = utc_datetime!(2024-05-01 12:00:00);
            while drone.delivery.id == id {
                let body = drone.report(Section::Flight, now, &mut rng);
                assert!(body.contains(&id.to_string()));
                let (_, status) = body.rsplit_once(r#""flightStatus":""#).unwrap();
                statuses.push(status[..1].parse::<u8>().unwrap());
            }
            statuses.dedup();
            assert_eq!(statuses, [0, 1, 2, 1, 3, 1, 4]);
        }
    }

    #[test]
    fn no_two_times_of_a_section_are_the_same_and_whole_seconds_are_kept_where_they_can_be() {
        let start = utc_datetime!(2024-05-01 12:00:00.25);
        let (mut drone, _) = drone(TimeShape::Article);
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
        let (mut drone, _) = drone(TimeShape::Iso);
        let start = utc_datetime!(2024-05-01 12:00:00.000_000_010);
        let first = drone.next_time(Section::Flight, start);
        let second = drone.next_time(Section::Flight, start + Duration::nanoseconds(20));
        assert_eq!(first, "2024-05-01T12:00:00.0000000Z");
        assert_eq!(second, "2024-05-01T12:00:00.0000001Z");
    }
}
