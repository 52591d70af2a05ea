//! Flights seen from outside, in what the drones report: nothing here looks into a drone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use time::macros::utc_datetime;

use super::*;
use crate::geo::Point;

const START: UtcDateTime = utc_datetime!(2024-05-01 12:00:00);

/// The default thresholds of the alert rules.
const OVERHEATING: f64 = 75.0;
const CRITICAL: f64 = 100.0;
const BATTERY_LOW: f64 = 0.30;
const BATTERY_CRITICAL: f64 = 0.10;
const HARD_MANOEUVRE: f64 = 15.0;
const TOO_HIGH: f64 = 1_000.0;
const LOST: f64 = 120.0;

/// A report as a reader sees it.
#[derive(Debug, Clone)]
struct Seen {
    /// When it came, in seconds since the start; drones report at the very time.
    at: f64,
    delivery: String,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Flight {
        position: Point,
        altitude: f64,
        velocity: f64,
        acceleration: f64,
        status: u8,
    },
    Status {
        temperature: f64,
        battery: f64,
    },
}

fn read(at: f64, body: &[u8]) -> Seen {
    let fields: Value = serde_json::from_slice(body).unwrap();
    let text = |name: &str| fields[name].as_str().unwrap();
    let number = |name: &str| text(name).parse::<f64>().unwrap();
    let what = match text("sensorType") {
        "drone-event-sensor;v1" => {
            let position: Vec<f64> = text("position")
                .split('|')
                .map(|part| part.parse().unwrap())
                .collect();
            What::Flight {
                position: Point {
                    latitude: position[0],
                    longitude: position[1],
                },
                altitude: position[2],
                velocity: number("velocity"),
                acceleration: number("acceleration"),
                status: text("flightStatus").parse().unwrap(),
            }
        }
        _ => What::Status {
            temperature: number("temperature"),
            battery: number("batteryLevel"),
        },
    };
    Seen {
        at,
        delivery: text("deliveryId").to_owned(),
        what,
    }
}

/// What each drone reports at the article's pace, asked at every full second.
fn fly(plan: &Plan, minutes: u32) -> BTreeMap<String, Vec<Seen>> {
    let mut fleet = Fleet::new(plan);
    let mut seen: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    Vec::from_iter(fleet.due(START));
    // Asked at the very moments, so that the time of asking is the time of the report.
    while let Some(due) = fleet.next_due() {
        if due > Duration::minutes(minutes.into()) {
            break;
        }
        for event in fleet.due(START + due) {
            let report = read(due.as_seconds_f64(), &event.body);
            seen.entry(event.device_id).or_default().push(report);
        }
    }
    seen
}

fn plan(seed: u64, scenario: &str) -> Plan {
    Plan {
        scenario: Scenario::named(scenario).unwrap(),
        ..Plan::new(8, seed)
    }
}

fn cities() -> impl Strategy<Value = Area> {
    (-90.0..=90.0, -180.0..180.0, 500.0..30_000.0).prop_map(|(latitude, longitude, radius)| Area {
        center: Point {
            latitude,
            longitude,
        },
        radius,
    })
}

/// The tumbling averages of the temperature, per delivery, over the windows of `seconds`.
fn averages(reports: &[Seen], seconds: f64) -> Vec<f64> {
    let mut windows: BTreeMap<(String, u64), Vec<f64>> = BTreeMap::new();
    for report in reports {
        if let What::Status { temperature, .. } = report.what {
            let window = (report.at / seconds) as u64;
            let key = (report.delivery.clone(), window);
            windows.entry(key).or_default().push(temperature);
        }
    }
    let average = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    windows.values().map(average).collect()
}

/// The rules that a drone's reports would trip.
fn tripped(reports: &[Seen]) -> Vec<&'static str> {
    let mut rules = Vec::new();
    let mut trip = |rule, if_so: bool| {
        if if_so && !rules.contains(&rule) {
            rules.push(rule);
        }
    };
    trip(
        "engine-overheating",
        averages(reports, 180.0).iter().any(|it| *it >= OVERHEATING),
    );
    for report in reports {
        match report.what {
            What::Flight {
                altitude,
                acceleration,
                ..
            } => {
                trip("hard-manoeuvre", acceleration.abs() >= HARD_MANOEUVRE);
                trip("altitude-exceeded", altitude >= TOO_HIGH);
            }
            What::Status {
                temperature,
                battery,
            } => {
                trip("engine-critical", temperature >= CRITICAL);
                trip("battery-low", battery <= BATTERY_LOW);
                trip("battery-critical", battery <= BATTERY_CRITICAL);
            }
        }
    }
    let silent = reports
        .windows(2)
        .any(|pair| pair[1].at - pair[0].at >= LOST);
    trip("telemetry-lost", silent);
    rules
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn positions_are_valid_and_move_as_fast_as_the_velocity_says(area in cities(), seed: u64) {
        for reports in fly(&Plan { area, drones: 3, ..Plan::new(3, seed) }, 60).values() {
            let flights: Vec<_> = reports.iter().filter_map(|report| match report.what {
                What::Flight { position, altitude, velocity, acceleration, .. } =>
                    Some((report.at, position, altitude, velocity, acceleration)),
                What::Status { .. } => None,
            }).collect();
            for (_, position, altitude, ..) in &flights {
                prop_assert!(position.latitude.abs() <= 90.0 && position.longitude.abs() <= 180.0);
                // Six decimals of a degree are 11 cm.
                prop_assert!(area.center.distance(*position) <= area.radius + 1.0);
                prop_assert!((0.0..200.0).contains(altitude));
            }
            for pair in flights.windows(2) {
                let ((then, from, low, before, _), (now, to, high, after, acceleration)) =
                    (pair[0], pair[1]);
                let seconds = now - then;
                prop_assert!((acceleration - (after - before) / seconds).abs() < 0.011);
                let distance = from.distance(to).hypot(high - low);
                // Speeding up as hard as it can and down again, it gets this much further, not more.
                let most = (before + after) / 2.0 * seconds + 2.5 * seconds * seconds / 4.0;
                prop_assert!(distance <= most + 0.5, "{distance} m of at most {most} m");
                let even = before == after && after > 4.0 && acceleration == 0.0 && low == high;
                // A leg of a delivery begins and ends at rest, so an even pace is one straight line.
                if even && distance > after * seconds * 0.9 {
                    prop_assert!((distance - after * seconds).abs() < 0.5, "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn the_battery_is_never_below_zero_and_falls_only_in_flight(seed: u64) {
        for reports in fly(&plan(seed, "battery"), 60).values() {
            let levels: Vec<_> = reports.iter().filter_map(|report| match report.what {
                What::Status { battery, .. } => Some((&report.delivery, battery)),
                What::Flight { .. } => None,
            }).collect();
            prop_assert!(levels.iter().all(|(_, level)| (0.0..=1.0).contains(level)));
            let rises = levels.windows(2).filter(|pair| pair[1].1 > pair[0].1);
            for pair in rises {
                // It charges at the end of a delivery, until the next one begins.
                prop_assert!(pair[1].1 - pair[0].1 <= 0.11, "{pair:?}");
            }
        }
    }

    #[test]
    fn every_delivery_departs_picks_up_drops_off_and_arrives_under_an_id_of_its_own(seed: u64) {
        for reports in fly(&plan(seed, "calm"), 90).values() {
            let mut deliveries: Vec<(String, Vec<u8>)> = Vec::new();
            for report in reports {
                let What::Flight { status, .. } = report.what else { continue };
                match deliveries.last_mut() {
                    Some((id, statuses)) if *id == report.delivery => statuses.push(status),
                    _ => deliveries.push((report.delivery.clone(), vec![status])),
                }
            }
            prop_assert!(deliveries.len() >= 3, "{} deliveries", deliveries.len());
            let mut ids: Vec<_> = deliveries.iter().map(|(id, _)| id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), deliveries.len());
            // The first was under way before the start, and the last is so at the end.
            let whole = 1..deliveries.len() - 1;
            for (_, statuses) in &mut deliveries[whole] {
                statuses.dedup();
                prop_assert_eq!(&statuses[..], [0, 1, 2, 1, 3, 1, 4]);
            }
        }
    }

    #[test]
    fn a_calm_fleet_trips_no_rule_and_sends_15_messages_a_minute(area in cities(), seed: u64) {
        for reports in fly(&Plan { area, ..plan(seed, "calm") }, 60).values() {
            prop_assert_eq!(tripped(reports), Vec::<&str>::new());
            // The first is due within 5 s and the first state within 25 s.
            prop_assert!(reports.len().abs_diff(15 * 60) <= 2, "{}", reports.len());
        }
    }
}

/// All rules that any drone trips within an hour.
fn all_tripped(scenario: &str) -> Vec<&'static str> {
    let mut rules: Vec<_> = fly(&plan(1, scenario), 60)
        .values()
        .flat_map(|reports| tripped(reports))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn each_scenario_trips_its_rules_and_no_other() {
    for (scenario, expected) in [
        ("overheating", vec!["engine-critical", "engine-overheating"]),
        ("battery", vec!["battery-critical", "battery-low"]),
        ("lost", vec!["telemetry-lost"]),
        ("geofence", vec![]),
    ] {
        assert_eq!(all_tripped(scenario), expected, "{scenario}");
    }
}

#[test]
fn only_strays_leave_the_area() {
    let leaves = |scenario| {
        let area = Area::default();
        let reports = fly(&plan(1, scenario), 60);
        reports.values().flatten().any(|report| match report.what {
            What::Flight { position, .. } => area.center.distance(position) > area.radius * 1.1,
            What::Status { .. } => false,
        })
    };
    assert!(leaves("geofence"));
    assert!(!leaves("calm"));
}

#[test]
fn a_lost_drone_was_in_flight_when_it_was_last_heard() {
    let mut found = 0;
    for reports in fly(&plan(1, "lost"), 60).values() {
        let mut in_flight = false;
        let mut last = 0.0;
        for report in reports {
            if report.at - last >= LOST {
                found += 1;
                assert!(in_flight, "lost on the ground at {last}");
            }
            last = report.at;
            if let What::Flight { status, .. } = report.what {
                in_flight = (1..=3).contains(&status);
            }
        }
    }
    assert!(found > 0);
}

#[test]
fn events_that_are_late_overtaken_or_repeated_are_the_same_events() {
    let calm = plan(5, "calm");
    let troubled = Plan {
        scenario: Scenario {
            duplicated: 0.1,
            late: 0.1,
            reordered: 0.1,
            ..Scenario::CALM
        },
        ..calm
    };
    let events = |plan: &Plan, minutes| {
        let mut fleet = Fleet::new(plan);
        Vec::from_iter(fleet.due(START));
        Vec::from_iter(fleet.due(START + Duration::minutes(minutes)))
    };
    let sent = events(&calm, 10);
    let come = events(&troubled, 13);
    let distinct: std::collections::HashSet<&[u8]> =
        come.iter().map(|event| &*event.body).collect();
    let missing = sent
        .iter()
        .filter(|event| !distinct.contains(&*event.body))
        .count();
    assert_eq!(missing, 0, "all have come by 3 minutes later");
    assert!(come.len() > distinct.len() + 100, "some come twice");
    let times: Vec<_> = come.iter().map(|event| read(0.0, &event.body)).collect();
    assert_eq!(times.len(), come.len(), "all can be read");
}

#[test]
fn a_spoofed_event_names_another_drone_and_must_not_be_applied() {
    let plan = Plan {
        scenario: Scenario {
            spoofed: 0.5,
            ..Scenario::CALM
        },
        ..Plan::new(3, 1)
    };
    let mut fleet = Fleet::new(&plan);
    Vec::from_iter(fleet.due(START));
    let mut spoofed = 0;
    for event in fleet.due(START + Duration::minutes(2)) {
        let fields: Value = serde_json::from_slice(&event.body).unwrap();
        let own = fields["deviceId"].as_str() == Some(event.device_id.as_str());
        assert_eq!(own, event.kind != Kind::Spoofed);
        assert_eq!(event.expect_dead_letter, event.kind == Kind::Spoofed);
        spoofed += u32::from(!own);
    }
    assert!(spoofed > 20, "{spoofed}");
}
