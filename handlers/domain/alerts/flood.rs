//! Device ids without end: what is remembered has a bound, and no flood closes a drone's alert.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use time::{Duration, UtcDateTime};

use super::partition::MOST_DRONES;
use super::*;
use crate::domain::ReceivedEvent;

const BATCH: usize = 1_000;

struct Partition {
    rules: Rules,
    alerts: PartitionAlerts,
    batches: i64,
    events: i64,
}

impl Partition {
    fn new() -> Self {
        Self {
            rules: Rules::new(&AlertSettings::default()).unwrap(),
            alerts: PartitionAlerts::default(),
            batches: 0,
            events: 0,
        }
    }

    /// A batch of one status from each device, a second after the one before; returns what it tells.
    fn take(&mut self, devices: &[String], battery_level: f64) -> Vec<String> {
        self.batches += 1;
        let at = UtcDateTime::from_unix_timestamp(1_714_564_800).unwrap()
            + Duration::seconds(self.batches);
        let bodies: Vec<String> = devices
            .iter()
            .map(|device| {
                format!(
                    r#"{{"deviceId":"{device}","deliveryId":"d","sensorType":"drone-state-sensor;v1","occurrenceUtcTime":"{}","temperature":20,"batteryStatus":"low","batteryLevel":{battery_level}}}"#,
                    crate::domain::timestamp::Rfc3339(at)
                )
            })
            .collect();
        let first = self.events;
        self.events += i64::try_from(devices.len()).unwrap();
        let events = bodies
            .iter()
            .zip(first..)
            .map(|(body, sequence_number)| ReceivedEvent {
                body: body.as_bytes(),
                sequence_number,
                offset: "0",
                enqueued_at: at,
                first_enqueued_at: None,
                authenticated_device: None,
                marked_as_tick: false,
                partition_key: None,
            });
        let told = self.alerts.observe(&self.rules, events);
        assert!(self.alerts.drones() <= MOST_DRONES);
        told.iter().map(Transition::message_id).collect()
    }

    /// Three times as many devices as are remembered, and `faithful` in every batch.
    fn flood(&mut self, faithful: &str, battery_level: f64) {
        for batch in 0..3 * MOST_DRONES / BATCH {
            let mut devices: Vec<String> =
                (0..BATCH).map(|n| format!("flood-{batch}-{n}")).collect();
            devices.push(faithful.to_owned());
            let told = self.take(&devices, battery_level);
            let of_faithful = told.iter().filter(|id| id.contains(faithful));
            assert_eq!(of_faithful.count(), 0, "told of {faithful}");
        }
    }
}

const RAISED: &str = "battery-low~drone-1~20240501T120001.000000000Z/raised";
const CLEARED: &str = "battery-low~drone-1~20240501T120001.000000000Z/cleared";

#[test]
fn a_flood_of_calm_devices_costs_no_alert_even_of_a_drone_that_is_silent() {
    let mut partition = Partition::new();
    let drone = ["drone-1".to_owned()];
    assert_eq!(partition.take(&drone, 0.2), [RAISED]);
    partition.flood("another", 0.9);
    assert_eq!(partition.take(&drone, 0.9), [CLEARED]);
}

#[test]
fn a_flood_of_alerts_costs_none_of_a_drone_that_goes_on_talking() {
    let mut partition = Partition::new();
    let drone = ["drone-1".to_owned()];
    assert_eq!(partition.take(&drone, 0.2), [RAISED]);
    partition.flood("drone-1", 0.2);
    assert_eq!(partition.take(&drone, 0.9), [CLEARED]);
}

#[test]
fn what_is_remembered_after_a_flood_is_what_its_snapshot_holds() {
    let mut partition = Partition::new();
    partition.take(&["drone-1".to_owned()], 0.2);
    partition.flood("drone-1", 0.2);
    let snapshot = partition.alerts.encode(&partition.rules).unwrap();
    // Below 300 bytes each: what a batch of a flooded partition saves.
    assert!(
        snapshot.len() < 300 * MOST_DRONES + 1_000 * BATCH,
        "{}",
        snapshot.len()
    );
    let again = PartitionAlerts::decode(&snapshot, &partition.rules).unwrap();
    assert!(again == partition.alerts);
}
