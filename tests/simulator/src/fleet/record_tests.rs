//! The record against what the drones report.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use serde_json::Value;
use time::macros::utc_datetime;

use super::*;
use crate::Span;

const START: UtcDateTime = utc_datetime!(2024-05-01 12:00:00);

#[test]
fn what_drones_report_is_what_the_record_says() {
    let plan = Plan {
        scenario: Scenario {
            lost: 0.3,
            weak_battery: 0.3,
            ..Scenario::CALM
        },
        ..Plan::new(20, 11)
    };
    let mut fleet = Fleet::new(&plan).recorded();
    assert_eq!(fleet.take_record(), [], "nobody has asked for an event");
    let mut reports = Vec::new();
    let mut record: HashMap<String, Delivery> = HashMap::new();
    for second in 0..3 * 3600 {
        let now = START + Duration::seconds(second);
        reports.extend(fleet.due(now).map(|event| (now, event)));
        for delivery in fleet.take_record() {
            let before = record.insert(delivery.delivery_id.clone(), delivery);
            assert_eq!(before, None, "each is told of once");
        }
    }
    assert!(record.len() > 20 * 4, "{}", record.len());
    let within = |span: Span, time| {
        // Events come within the second that they are due in.
        span.from <= time && time - Duration::SECOND < span.until
    };
    let mut levels: HashMap<&str, (f64, f64)> = HashMap::new();
    let mut by_status = [0; 5];
    for (at, event) in &reports {
        let fields: Value = serde_json::from_slice(&event.body).unwrap();
        let text = |name: &str| fields[name].as_str();
        let delivery = &record[text("deliveryId").unwrap()];
        assert_eq!(delivery.device_id, event.device_id);
        assert!(within(delivery.whole(), *at));
        if let Some(status) = text("flightStatus") {
            let status: usize = status.parse().unwrap();
            by_status[status] += 1;
            let span = match status {
                0 => delivery.departed,
                1 => delivery.whole(),
                2 => delivery.picked_up,
                3 => delivery.dropped_off,
                _ => delivery.arrived,
            };
            assert!(within(span, *at), "{status} at {at}: {delivery:?}");
        } else if *at < delivery.arrived.from {
            let level = text("batteryLevel").unwrap().parse().unwrap();
            let (_, last) = levels
                .entry(&delivery.delivery_id)
                .or_insert((level, level));
            *last = level;
        }
    }
    assert!(by_status.iter().all(|count| *count > 100), "{by_status:?}");
    let mut compared = 0;
    for delivery in record.values() {
        let is_whole = delivery.departed.from > START
            && delivery.arrived.until < START + Duration::hours(3)
            && delivery.silent.is_none();
        if let (Some((first, last)), true) = (levels.get(&*delivery.delivery_id), is_whole) {
            let unseen = 0.01 + 2.0 * 21.0 * delivery.battery_a_second;
            let used = first - last;
            assert!(used <= delivery.battery_used + 0.01, "{delivery:?}");
            assert!(delivery.battery_used - used <= unseen, "{delivery:?}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn without_being_asked_for_nothing_is_kept() {
    let mut fleet = Fleet::new(&Plan::new(3, 1));
    assert!(fleet.due(START).count() > 0);
    assert!(fleet.due(START + Duration::hours(1)).count() > 1_000);
    assert_eq!(fleet.take_record(), []);
}
