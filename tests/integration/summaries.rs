//! From events to tables, through the real process: whatever is killed, comes twice, late or damaged, the tables end as a fresh
//! summary of the archive gives them, byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use drone_delivery::capture::{self, CapturedEvent};
use drone_delivery::domain::Intake;
use drone_delivery::domain::insights::hour::Hour;
use drone_delivery::services::insights::manifest::Manifest;
use drone_delivery::services::insights::unit::Unit;
use drone_delivery::stores::FileStore;
use local::azurite::{FaultyStorage, StorageService};
use local::fault::Fault;
use local::hub::NewEvent;
use local::insights::agreement::{self, Flown};
use local::insights::fresh::{self, Compared};
use local::insights::{archive_of, deliveries, let_functions_finish, tables_of};
use local::system::{HUB, UNITS};
use serde_json::{Value, json};
use simulator::{Scenario, Span};
use time::UtcDateTime;

use crate::support::{Fleet, PATIENCE, storage, until};

/// Calls that fail come again at once.
const AT_ONCE: (&str, &str) = (
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout",
    "00:00:00",
);

/// Sends what a fleet would have reported in the last minutes.
fn fly(fleet: &Fleet, drones: u32, minutes: i64, scenario: Scenario) -> Flown {
    let until = UtcDateTime::now();
    let from = until - time::Duration::minutes(minutes);
    let plan = simulator::Plan {
        scenario,
        ..simulator::Plan::new(drones, 7)
    };
    let mut drones = simulator::Fleet::new(&plan).recorded();
    drones.due(from).for_each(|event| send(fleet, event));
    drones.due(until).for_each(|event| send(fleet, event));
    Flown {
        record: drones.take_record(),
        heard: Span { from, until },
        flight_every: Duration::from_secs(5),
        status_every: Duration::from_secs(20),
    }
}

fn send(fleet: &Fleet, event: simulator::SimulatedEvent) {
    let now = UtcDateTime::now();
    fleet.system.hub.append(
        NewEvent::new(event.body)
            .with_key(&event.device_id)
            .with_iot_hub_device(&event.device_id, now),
    );
}

/// Holds the tables against a fresh summary of the last two days.
async fn compared(fleet: &Fleet) -> Compared {
    let since = UtcDateTime::now() - time::Duration::days(2);
    let compared = fresh::compare(&fleet.system, since, Intake::default(), PATIENCE)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(compared.differences, []);
    compared
}

/// The version of each of the tables' files.
async fn versions(fleet: &Fleet) -> BTreeMap<String, Box<str>> {
    let tables = tables_of(&fleet.system.storage).unwrap();
    let files = tables.list("").await.unwrap().into_iter();
    files.map(|file| (file.name, file.version.0)).collect()
}

async fn figures(fleet: &Fleet, day: UtcDateTime) -> Value {
    let name = format!("fleet_hours/date={}/fleet.json", day.date());
    let tables = tables_of(&fleet.system.storage).unwrap();
    let file = tables.read(&name).await.unwrap();
    file.map_or(Value::Null, |file| {
        serde_json::from_slice(&file.body).unwrap()
    })
}

fn made(fleet: &Fleet) -> (u64, u64) {
    let stats = fleet.system.host.stats();
    let stats = &stats["SummarizeHour"];
    (stats.calls, stats.failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_deliveries_as_they_were_flown() {
    let fleet = Fleet::start().await;
    // All of it arrives at once, so that what is malformed by lying in the future would not be.
    let scenario = Scenario::MIXED.with_malformed(0);
    let flown = fly(&fleet, 12, 60, scenario);
    fleet.settled().await;
    let compared = compared(&fleet).await;
    assert!(
        compared.files > 10 && compared.records > 10_000,
        "{compared:?}"
    );

    let tables = tables_of(&fleet.system.storage).unwrap();
    let rows = deliveries(&tables).await.unwrap();
    let agreement = agreement::compare(&flown, &rows);
    assert_eq!(agreement.faults, Vec::<String>::new());
    assert!(
        agreement.of > 40 && agreement.agree == agreement.of,
        "{agreement}"
    );

    // What the tables say is what those who ask are told.
    let day = figures(&fleet, flown.heard.until).await;
    let delivered = day["day"]["deliveries"]["delivered"].as_u64().unwrap();
    assert!(delivered > 20, "{day}");
    let (status, _, told) = fleet.get("/insights/days").await;
    let told = told["days"].as_array().unwrap();
    assert_eq!(
        (status, told.last().unwrap()["date"].clone()),
        (200, day["date"].clone())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_whose_process_is_killed_after_any_write_is_made_all_the_same() {
    let direct = storage();
    let faulty = FaultyStorage::before(&direct).await.unwrap();
    let by_way_of = faulty.account().connection_string().to_owned();
    let settings = [("FleetStorage", by_way_of.as_str()), AT_ONCE];
    let fleet = Fleet::in_account(direct, &settings, &Default::default()).await;
    // One drone, so that there is one unit.
    fly(&fleet, 1, 30, Scenario::CALM);
    fleet.settled().await;
    compared(&fleet).await;
    let files = versions(&fleet).await.len();
    assert!(files >= 8, "{files}");
    let mut killed = 0;
    // The tables of rejects stay empty. Flight, operating, cells, deliveries, drones' hours, and the manifest last.
    for write in 1..=6 {
        fly(&fleet, 1, 30 + write, Scenario::CALM);
        fleet.settled().await;
        let before = versions(&fleet).await;
        // Slow enough that the process is met between one write and the next.
        faulty.set_fault_plan(
            StorageService::Blob,
            Some(Fault::Slow(Duration::from_millis(150)).into()),
        );
        fleet
            .system
            .host
            .run_timer("SummarizeDeliveries")
            .await
            .unwrap();
        let (_, failures) = made(&fleet);
        let restarts = fleet.system.host.handler().restarts;
        until("some files are written", async || {
            let now = versions(&fleet).await;
            let changed = now
                .iter()
                .filter(|(name, version)| before.get(*name) != Some(*version));
            changed.count() >= usize::try_from(write).unwrap() || made(&fleet).1 > failures
        })
        .await;
        fleet.system.host.kill_handler();
        until("the handler is there again", async || {
            fleet.system.host.handler().restarts > restarts
        })
        .await;
        faulty.set_fault_plan(StorageService::Blob, None);
        fleet.settled().await;
        killed += u64::from(made(&fleet).1 > failures);
        compared(&fleet).await;
    }
    assert!(
        killed >= 5,
        "only {killed} units were under way when their process was killed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_unit_are_in_nobodys_way() {
    let direct = storage();
    let faulty = FaultyStorage::before(&direct).await.unwrap();
    let by_way_of = faulty.account().connection_string().to_owned();
    let settings = [("FleetStorage", by_way_of.as_str()), AT_ONCE];
    let fleet = Fleet::in_account(direct, &settings, &Default::default()).await;
    let other = fleet.system.second_host().await.unwrap();
    fly(&fleet, 4, 30, Scenario::CALM);
    fleet.settled().await;
    // The same units, for each of the two and more than once, and slow enough to meet.
    faulty.set_fault_plan(
        StorageService::Blob,
        Some(Fault::Slow(Duration::from_millis(30)).into()),
    );
    let hour = Hour::of(UtcDateTime::now());
    for _ in 0..8 {
        for partition in 0..4 {
            let unit =
                json!({"hub": HUB, "partition": partition.to_string(), "hour": hour.to_string()});
            let queue = &fleet.system.storage;
            queue
                .send_queue_message(UNITS, &unit.to_string())
                .await
                .unwrap();
        }
    }
    fleet.settled().await;
    faulty.set_fault_plan(StorageService::Blob, None);
    let calls = |stats: BTreeMap<String, local::host::FunctionStats>| stats["SummarizeHour"].calls;
    let both = [calls(fleet.system.host.stats()), calls(other.stats())];
    assert!(both.iter().all(|calls| *calls > 0), "{both:?}");
    other.stop().await;
    let compared = compared(&fleet).await;
    assert!(compared.records > 1_000);
}

/// A file of the archive with one drone's flight, a reading in five seconds from then on.
fn file(partition: u16, at: UtcDateTime, first: i64, statuses: &[u8]) -> (String, Vec<u8>) {
    let body = |number: i64, status: u8| {
        let occurred = at + time::Duration::seconds(5 * number);
        let (date, (hour, minute, second)) = (occurred.date(), occurred.as_hms());
        json!({
            "occurrenceUtcTime": format!("{date}T{hour:02}:{minute:02}:{second:02}.0000000Z"),
            "deviceId": "late-drone",
            "sensorType": "drone-event-sensor;v1",
            "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
            "velocity": "10.0",
            "acceleration": "0.0",
            "position": format!("47.{:06}|-122.192026|120.5", 470_000 + number * 400),
            "flightStatus": status.to_string(),
        })
        .to_string()
        .into_bytes()
    };
    let bodies: Vec<_> = (0..)
        .zip(statuses)
        .map(|(number, status)| body(number, *status))
        .collect();
    let events = (0..).zip(&bodies).map(|(number, body)| CapturedEvent {
        sequence_number: first + number,
        offset: "0",
        enqueued_at: at + time::Duration::seconds(5 * number + 1),
        system_properties: "{}".into(),
        properties: "{}".into(),
        body,
    });
    let name = capture::file_name(
        HUB,
        &partition.to_string(),
        at + time::Duration::SECOND,
        first,
        first + bodies.len() as i64 - 1,
    );
    (name, capture::encode(events).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_a_day_late_and_one_that_is_damaged_are_made_up_for() {
    let mut fleet = Fleet::with_settings(&[AT_ONCE]).await;
    let archive = archive_of(&fleet.system.storage).unwrap();
    let tables = tables_of(&fleet.system.storage).unwrap();
    let yesterday = Hour::of(UtcDateTime::now() - time::Duration::days(1)).begins();
    let early = yesterday + time::Duration::minutes(5);
    let (before, body) = file(0, early, 1, &[0, 0, 1, 1, 2, 2]);
    archive.replace(&before, body.into(), None).await.unwrap();
    // What it goes on with is not there yet, and what is there instead is damaged.
    let (damaged, good) = file(
        0,
        early + time::Duration::seconds(30),
        7,
        &[1, 1, 3, 3, 1, 4],
    );
    let broken = archive
        .replace(&damaged, good[..good.len() / 2].to_vec().into(), None)
        .await;
    let broken = broken.unwrap();
    let unit = Unit {
        hub: HUB.to_owned(),
        partition: "0".to_owned(),
        hour: Hour::of(yesterday),
    };
    let manifest = async || {
        let file = tables.read(&unit.manifest()).await.unwrap().unwrap();
        Manifest::parse(&file.body).unwrap()
    };
    let hour_is_complete = async |fleet: &Fleet| {
        let day = figures(fleet, yesterday).await;
        day["hours"][0]["complete"].clone()
    };
    compared(&fleet).await;
    let made = manifest().await;
    assert_eq!(
        (made.flight_rows, made.sealed, made.complete),
        (6, true, false)
    );
    assert_eq!(made.skipped[0].name, damaged, "it is said which");
    assert_eq!(hour_is_complete(&fleet).await, false);
    let [row] = &deliveries(&tables).await.unwrap()[..] else {
        panic!("one delivery");
    };
    assert_eq!((row.facts.outcome.name(), row.complete), ("open", false));

    // Mended: another process looks at all of it, as each does once a day.
    archive
        .replace(&damaged, good.into(), Some(&broken))
        .await
        .unwrap();
    fleet.system.replace_host().await.unwrap();
    compared(&fleet).await;
    let made = manifest().await;
    assert_eq!(
        (made.flight_rows, made.complete, made.skipped.len()),
        (12, true, 0)
    );
    assert_eq!(hour_is_complete(&fleet).await, true);
    let rows = deliveries(&tables).await.unwrap();
    assert_eq!(
        (rows[0].facts.outcome.name(), rows[0].complete),
        ("delivered", true)
    );
    let first = rows[0].facts.first_at;

    // And a file of the hour before, a day late: the same delivery has begun earlier than anybody knew.
    let (late, body) = file(0, early - time::Duration::minutes(40), 100, &[4, 4, 4]);
    archive.replace(&late, body.into(), None).await.unwrap();
    fleet.system.replace_host().await.unwrap();
    compared(&fleet).await;
    let rows = deliveries(&tables).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].facts.first_at < first);
    assert_eq!(rows[0].facts.flight_readings, 15);
    assert_eq!(rows[0].facts.outcome.name(), "delivered");
    // Nothing has changed since, so nothing is written any more.
    let before = versions(&fleet).await;
    let_functions_finish(&fleet.system, PATIENCE).await.unwrap();
    assert_eq!(versions(&fleet).await, before);
}
