//! Events that nobody can apply, made from good ones: each kind of fault that devices are known for.

use time::{Duration, UtcDateTime};

use crate::wire::{self, Flight, Head, Status, TimeShape};

/// Larger than a queue message can be.
const LARGE: usize = 70 * 1024;

/// Further ahead than any clock that is only a little wrong.
const AHEAD: Duration = Duration::hours(1);

const DELIVERY: &str = "00000000-0000-4000-8000-000000000000";

const FLIGHT: Flight = Flight {
    velocity: 50.0,
    acceleration: 0.0,
    latitude: 47.476075,
    longitude: -122.192026,
    altitude: 100.0,
    status: 1,
};

const STATUS: Status = Status {
    temperature: 75.0,
    battery: 50,
};

/// How many kinds there are.
pub(crate) const KINDS: u64 = 12;

/// A body that must become a dead letter, whoever sends it; the kind changes with the number.
pub(crate) fn body(number: u64, device: &str, now: UtcDateTime) -> Vec<u8> {
    let time = wire::time(TimeShape::Iso, now);
    let later = wire::time(TimeShape::Iso, now.saturating_add(AHEAD));
    let head = Head {
        time: &time,
        device,
        delivery: DELIVERY,
    };
    let flight = |change: Flight| wire::flight(head, &change).into_bytes();
    let edited = |from: &str, to: &str| wire::flight(head, &FLIGHT).replace(from, to).into_bytes();
    match number % KINDS {
        0 => edited(r#","flightStatus":"1"}"#, ""),
        1 => flight(Flight {
            // Where the article's own simulator gets to after 25 minutes.
            latitude: 90.4,
            ..FLIGHT
        }),
        2 => edited(&format!(r#""deliveryId":"{DELIVERY}","#), ""),
        3 => edited("drone-event-sensor;v1", "drone-event-sensor;v9"),
        4 => wire::flight(
            Head {
                time: &later,
                ..head
            },
            &FLIGHT,
        )
        .into_bytes(),
        5 => edited(r#""50.00""#, r#""fast""#),
        6 => Vec::new(),
        7 => wire::status(head, &STATUS)
            .replace(r#""0.50""#, r#""1.50""#)
            .into_bytes(),
        8 => {
            let mut body = wire::flight(head, &FLIGHT).into_bytes();
            // No UTF-8 has this byte.
            body.insert(1, 0xff);
            body
        }
        9 => edited(&time, "02/30/2024 12:00:00 +00:00"),
        10 => b"x".repeat(LARGE),
        _ => flight(Flight {
            velocity: f64::NAN,
            ..FLIGHT
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_differs_from_every_other_and_from_a_good_event() {
        let now = UtcDateTime::UNIX_EPOCH;
        let time = wire::time(TimeShape::Iso, now);
        let head = Head {
            time: &time,
            device: "drone-1",
            delivery: DELIVERY,
        };
        let mut bodies: BTreeSet<Vec<u8>> = (0..KINDS)
            .map(|number| body(number, "drone-1", now))
            .collect();
        assert_eq!(bodies.len() as u64, KINDS);
        for good in [wire::flight(head, &FLIGHT), wire::status(head, &STATUS)] {
            assert!(bodies.insert(good.into_bytes()));
        }
    }
}
