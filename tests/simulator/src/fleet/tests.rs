#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, utc_datetime};
use time::{OffsetDateTime, PrimitiveDateTime};

use super::*;

const START: UtcDateTime = utc_datetime!(2024-05-01 12:00:00.123_456_7);

fn at_rate(drones: u32, seed: u64, per_second: f64) -> Plan {
    Plan {
        cadence: Cadence::PerSecond(per_second),
        ..Plan::new(drones, seed)
    }
}

fn events(plan: &Plan, duration: Duration) -> Vec<SimulatedEvent> {
    let mut fleet = Fleet::new(plan);
    // In many small steps, as a program with a timer asks.
    let steps = duration.whole_milliseconds() / 10;
    (0..=steps)
        .flat_map(|step| {
            let now = START + Duration::milliseconds(i64::try_from(step).unwrap() * 10);
            Vec::from_iter(fleet.due(now))
        })
        .collect()
}

fn fields(event: &SimulatedEvent) -> Map<String, Value> {
    serde_json::from_slice(&event.body).unwrap()
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is not a string"))
}

fn in_range(text: &str, range: RangeInclusive<f64>) {
    let value: f64 = text.parse().unwrap();
    assert!(range.contains(&value), "{value} is not in {range:?}");
}

fn occurred_at(fields: &Map<String, Value>) -> UtcDateTime {
    let text = text(fields, "occurrenceUtcTime");
    let american = format_description!("[month]/[day]/[year] [hour]:[minute]:[second] +00:00");
    match text.contains('/') {
        true => PrimitiveDateTime::parse(text, american).unwrap().as_utc(),
        false => OffsetDateTime::parse(text, &Rfc3339).unwrap().to_utc(),
    }
}

#[test]
fn every_event_has_the_fields_of_the_article_as_strings_within_their_ranges() {
    let mut kinds = BTreeMap::new();
    for event in events(&at_rate(20, 1, 500.0), Duration::seconds(60)) {
        let fields = fields(&event);
        let mut names =
            BTreeSet::from(["occurrenceUtcTime", "deviceId", "sensorType", "deliveryId"]);
        assert_eq!(text(&fields, "deviceId"), event.device_id);
        assert_eq!(
            text(&fields, "deliveryId")
                .parse::<uuid::Uuid>()
                .unwrap()
                .get_version_num(),
            4
        );
        assert!(!event.expect_dead_letter);
        *kinds
            .entry(text(&fields, "sensorType").to_owned())
            .or_insert(0) += 1;
        match event.kind {
            Kind::Flight => {
                assert_eq!(text(&fields, "sensorType"), "drone-event-sensor;v1");
                names.extend(["velocity", "acceleration", "position", "flightStatus"]);
                in_range(text(&fields, "velocity"), 0.0..=20.0);
                in_range(text(&fields, "acceleration"), -3.0..=3.0);
                in_range(text(&fields, "flightStatus"), 0.0..=4.0);
                let position: Vec<&str> = text(&fields, "position").split('|').collect();
                let [latitude, longitude, altitude] = position[..] else {
                    panic!("{position:?}");
                };
                in_range(latitude, 47.2..=47.8);
                in_range(longitude, -122.5..=-121.9);
                in_range(altitude, 0.0..=200.0);
            }
            Kind::Status => {
                assert_eq!(text(&fields, "sensorType"), "drone-state-sensor;v1");
                names.extend(["temperature", "batteryStatus", "batteryLevel"]);
                in_range(text(&fields, "temperature"), 29.0..=71.0);
                in_range(text(&fields, "batteryLevel"), 0.0..=1.0);
            }
            kind => panic!("nobody asked for {kind:?}"),
        }
        assert_eq!(
            fields.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            names
        );
    }
    let (flights, states) = (
        kinds["drone-event-sensor;v1"],
        kinds["drone-state-sensor;v1"],
    );
    assert!(
        u32::abs_diff(flights, 4 * states) <= 4,
        "{flights} flights, {states} states"
    );
}

#[test]
fn times_of_a_section_only_go_up_and_stay_beside_the_clock_at_any_rate() {
    for (drones, rate) in [(1, 20_000.0), (3, 2_000.0), (50, 100.0)] {
        let mut last = BTreeMap::new();
        let mut shapes = BTreeSet::new();
        let duration = Duration::seconds(3);
        for event in events(&at_rate(drones, 1, rate), duration) {
            let fields = fields(&event);
            let time = occurred_at(&fields);
            assert!(time >= START - Duration::seconds(1), "{time}");
            assert!(time <= START + duration, "{time}");
            shapes.insert(text(&fields, "occurrenceUtcTime").contains('/'));
            let section = text(&fields, "sensorType").to_owned();
            if let Some(last) = last.insert((event.device_id, section), time) {
                assert!(last < time, "{last} comes before {time}");
            }
        }
        assert_eq!(shapes.len(), 2, "both shapes are in use");
    }
}

#[test]
fn at_its_own_pace_a_drone_keeps_to_one_shape_of_time() {
    let mut shapes = BTreeMap::new();
    for event in events(&Plan::new(10, 1), Duration::seconds(60)) {
        let article = text(&fields(&event), "occurrenceUtcTime").contains('/');
        assert_eq!(*shapes.entry(event.device_id).or_insert(article), article);
    }
    assert_eq!(shapes.values().filter(|article| **article).count(), 5);
}

#[test]
fn a_seed_makes_a_fleet_repeatable_and_another_a_different_one() {
    let fly = |seed| {
        let plan = Plan {
            scenario: Scenario::MIXED,
            ..at_rate(10, seed, 100.0)
        };
        events(&plan, Duration::seconds(5))
    };
    assert_eq!(fly(1), fly(1));
    assert_ne!(fly(1), fly(2));
}

#[test]
fn about_one_event_in_so_many_is_malformed_and_only_those_expect_a_dead_letter() {
    let plan = Plan {
        scenario: Scenario::CALM.with_malformed(7),
        ..at_rate(10, 1, 100.0)
    };
    let events = events(&plan, Duration::seconds(70));
    let malformed: Vec<_> = events
        .iter()
        .filter(|event| event.kind == Kind::Malformed)
        .collect();
    assert!(malformed.iter().all(|event| event.expect_dead_letter));
    assert!(
        (700..1300).contains(&malformed.len()),
        "{} of 7,000",
        malformed.len()
    );
    let devices: BTreeSet<&str> = malformed.iter().map(|event| &*event.device_id).collect();
    assert_eq!(devices.len(), 10, "malformed events keep to some drones");
    let bodies = |drones: usize| {
        events[..drones]
            .iter()
            .all(|event| !event.expect_dead_letter)
    };
    assert!(bodies(10), "a drone's first report is good");
}

#[test]
fn asking_rarely_loses_nothing() {
    let late = START + Duration::seconds(60);
    let plan = Plan {
        scenario: Scenario::MIXED,
        ..Plan::new(13, 1)
    };
    let mut fleet = Fleet::new(&plan);
    let first = Vec::from_iter(fleet.due(START));
    let rest = Vec::from_iter(fleet.due(late));
    let often = events(&plan, Duration::seconds(60));
    assert_eq!(often, [first, rest].concat());
    assert_eq!(fleet.due(late).count(), 0, "each event once");
    assert!(fleet.next_due().unwrap() > Duration::seconds(60));
}

#[test]
fn next_event_follows_the_schedule_without_waiting() {
    let mut fleet = Fleet::new(&at_rate(5, 1, 1.0));
    let first: BTreeSet<String> = (0..5)
        .map(|_| fleet.next_event(START).unwrap().device_id)
        .collect();
    assert_eq!(first, BTreeSet::from_iter((0..5).map(device_id)));
    assert_eq!(Fleet::new(&Plan::new(0, 1)).next_event(START), None);
}
