//! The laws of the merge, on values so few that ties are the rule.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::domain::telemetry::{BatteryStatus, FlightStatus, Position};

fn instant() -> impl Strategy<Value = UtcDateTime> {
    (0..3_i64).prop_map(|second| UtcDateTime::from_unix_timestamp(second).unwrap())
}

/// -0 does not come off the wire, but may come from a document.
fn few() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![0.0, -0.0, 1.0])
}

fn telemetry() -> impl Strategy<Value = Telemetry> {
    let flight = (few(), few(), few(), few(), few(), 0..2_usize).prop_map(
        |(latitude, longitude, altitude, velocity, acceleration, status)| {
            Reading::Flight(Flight {
                position: Position {
                    latitude,
                    longitude,
                    altitude,
                },
                velocity,
                acceleration,
                status: FlightStatus::ALL[status],
            })
        },
    );
    let operating = (few(), 0..2_usize, few()).prop_map(|(temperature, status, battery_level)| {
        Reading::Operating(Operating {
            temperature,
            battery_status: BatteryStatus::ALL[status].0,
            battery_level,
        })
    });
    let reading = prop_oneof![flight, operating];
    (instant(), "[ab]", reading).prop_map(|(occurred_at, delivery, reading)| Telemetry {
        device_id: "drone-1".parse().unwrap(),
        delivery_id: delivery.parse().unwrap(),
        occurred_at,
        reading,
    })
}

fn state() -> impl Strategy<Value = DroneState> {
    prop::collection::vec((telemetry(), instant()), 1..4).prop_map(|events| {
        events
            .into_iter()
            .map(|(telemetry, enqueued_at)| DroneState::observe(telemetry, enqueued_at))
            .reduce(merged)
            .unwrap()
    })
}

fn merged(mut one: DroneState, other: DroneState) -> DroneState {
    one.merge(other);
    one
}

/// Bit by bit: `==` on numbers would not tell 0 from -0.
fn same(one: &DroneState, other: &DroneState) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

proptest! {
    #[test]
    fn merging_is_commutative(a in state(), b in state()) {
        let one = merged(a.clone(), b.clone());
        let other = merged(b, a);
        prop_assert!(same(&one, &other), "{one:?}\n{other:?}");
        prop_assert_eq!(one.delivery_id(), other.delivery_id());
    }

    #[test]
    fn merging_is_associative(a in state(), b in state(), c in state()) {
        let one = merged(merged(a.clone(), b.clone()), c.clone());
        let other = merged(a, merged(b, c));
        prop_assert!(same(&one, &other), "{one:?}\n{other:?}");
    }

    #[test]
    fn merging_is_idempotent(a in state(), b in state()) {
        let once = merged(a, b.clone());
        let twice = merged(once.clone(), b);
        prop_assert!(same(&once, &twice), "{once:?}\n{twice:?}");
    }

    #[test]
    fn merge_says_whether_anything_changed(a in state(), b in state()) {
        let mut after = a.clone();
        let included = after.includes(&b);
        let changed = after.merge(b);
        prop_assert_eq!(changed, !included);
        prop_assert_eq!(changed, !same(&a, &after));
    }

    #[test]
    fn nothing_newer_is_ever_lost(a in state(), b in state()) {
        let after = merged(a.clone(), b.clone());
        for before in [a, b] {
            prop_assert!(after.last_seen_at >= before.last_seen_at);
            if let Some(flight) = before.flight {
                prop_assert!(after.flight.as_ref().unwrap().occurred_at >= flight.occurred_at);
            }
            if let Some(operating) = before.operating {
                prop_assert!(after.operating.as_ref().unwrap().occurred_at >= operating.occurred_at);
            }
        }
    }
}

fn at(second: i64, delivery: &str, reading: Reading) -> DroneState {
    let telemetry = Telemetry {
        device_id: "drone-1".parse().unwrap(),
        delivery_id: delivery.parse().unwrap(),
        occurred_at: UtcDateTime::from_unix_timestamp(second).unwrap(),
        reading,
    };
    DroneState::observe(telemetry, UtcDateTime::UNIX_EPOCH)
}

fn flight() -> Reading {
    Reading::Flight(Flight {
        position: Position {
            latitude: 0.0,
            longitude: 0.0,
            altitude: 0.0,
        },
        velocity: 0.0,
        acceleration: 0.0,
        status: FlightStatus::InFlight,
    })
}

fn operating() -> Reading {
    Reading::Operating(Operating {
        temperature: 0.0,
        battery_status: BatteryStatus::Full,
        battery_level: 1.0,
    })
}

#[test]
fn the_delivery_is_that_of_the_newest_section_and_the_flights_in_a_tie() {
    for (flight_second, operating_second, expected) in [
        (2, 1, "of-flight"),
        (1, 2, "of-operating"),
        (1, 1, "of-flight"),
    ] {
        let state = merged(
            at(flight_second, "of-flight", flight()),
            at(operating_second, "of-operating", operating()),
        );
        assert_eq!(state.delivery_id().unwrap().as_str(), expected);
    }
    let alone = at(1, "of-operating", operating());
    assert_eq!(alone.delivery_id().unwrap().as_str(), "of-operating");
}

#[test]
fn one_section_leaves_the_other_as_it_was() {
    let before = at(1, "a", flight());
    let after = merged(before.clone(), at(2, "b", operating()));
    assert_eq!(after.flight, before.flight);
}
