//! The stores' contracts, held by the in-memory twins and the real services alike.

use std::sync::Arc;

use crate::memory_stores::{MemoryAlerts, MemoryBlobs, MemoryDrones, MemoryFiles, MemorySnapshots};
use azure_functions_sdk::connection::{Connection, ConnectionString};
use bytes::Bytes;
use drone_delivery::domain::alerts::{Alert, AlertDocument};
use drone_delivery::domain::fleet::{Area, DroneFilter};
use drone_delivery::domain::{Bucket, DeviceId, DroneDocument, DroneState, FlightStatus};
use drone_delivery::services::latest_state::{Applied, LatestState};
use drone_delivery::stores::alerts::{Mark, SnapshotStore};
use drone_delivery::stores::blob::BlobService;
use drone_delivery::stores::cosmos::CosmosDatabase;
use drone_delivery::stores::cosmos::alerts::CosmosAlerts;
use drone_delivery::stores::cosmos::drones::CosmosDrones;
use drone_delivery::stores::files::FileStore;
use drone_delivery::stores::fleet::{FleetReader, ListError, Position};
use drone_delivery::stores::{
    AlertFilter, AlertStore, BatchError, BlobStore, DroneStore, DroneWrite, PutError, Version,
};
use local::cosmos::CosmosEmulator;
use local::fault::Fault;
use local::summarize::directory::Directory;
use local::system::{ALERTS, ARCHIVE, COSMOS_CONTAINERS, DATABASE, DRONES, INSIGHTS};
use serde_json::json;

use crate::support::storage;

pub fn state(device: &str, second: u32, velocity: f64) -> DroneState {
    let document: DroneDocument = serde_json::from_value(json!({
        "id": device,
        "deviceId": device,
        "deliveryId": "delivery-1",
        "lastSeenAt": format!("2024-05-01T12:00:{second:02}.123Z"),
        "flight": {
            "occurredAt": format!("2024-05-01T12:00:{second:02}.1234567Z"),
            "deliveryId": "delivery-1",
            "position": {"type": "Point", "coordinates": [-122.192026, 47.476075]},
            "altitude": 120.5,
            "velocity": velocity,
            "acceleration": -2.52,
            "status": "inFlight",
        },
        "operating": {
            "occurredAt": "2024-05-01T11:59:00Z",
            "deliveryId": "delivery-1",
            "temperature": 74.74,
            "batteryStatus": "low",
            "batteryLevel": 0.25,
        },
    }))
    .unwrap();
    DroneState::try_from(document).unwrap()
}

pub async fn cosmos() -> (CosmosEmulator, Arc<CosmosDrones>) {
    let (emulator, database) = cosmos_database(DRONES).await;
    (emulator, Arc::new(CosmosDrones::new(&database)))
}

async fn cosmos_database(container: &str) -> (CosmosEmulator, Arc<CosmosDatabase>) {
    let emulator = CosmosEmulator::start(0).await.unwrap();
    for (name, partition_key) in COSMOS_CONTAINERS {
        if name == container {
            emulator
                .create_container(DATABASE, name, partition_key)
                .await
                .unwrap();
        }
    }
    let connection = Connection::ConnectionString(
        ConnectionString::parse("CosmosDb", &emulator.connection_string()).unwrap(),
    );
    let database = CosmosDatabase::new(&connection, DATABASE).unwrap();
    (emulator, database)
}

async fn write(
    store: &dyn DroneStore,
    state: &DroneState,
    expected: Option<&Version>,
) -> Result<Version, BatchError> {
    let bucket = Bucket::of(&state.device_id);
    let versions = store.write(bucket, &[DroneWrite { state, expected }]).await;
    versions.map(|mut versions| versions.pop().unwrap())
}

/// Drones of one bucket.
pub fn together(drones: usize) -> Vec<DroneState> {
    let bucket = Bucket::of(&"drone-1".parse().unwrap());
    (1..)
        .map(|number| state(&format!("drone-{number}"), 1, 1.0))
        .filter(|state| Bucket::of(&state.device_id) == bucket)
        .take(drones)
        .collect()
}

async fn keeps_the_drone_store_contract(store: &dyn DroneStore) {
    store.check().await.unwrap();
    let first = state("drone-1", 1, 1.0);
    let bucket = Bucket::of(&first.device_id);
    let read = async |state: &DroneState| {
        let mut found = store.load(bucket, &[&state.device_id]).await.unwrap();
        assert_eq!(found.len(), 1);
        found.pop().unwrap()
    };
    let is_stale = |written| matches!(written, Err(BatchError::Stale));
    assert_eq!(read(&first).await, None);

    let created = write(store, &first, None).await.unwrap();
    let found = read(&first).await.unwrap();
    assert_eq!(found.state.as_ref(), Some(&first), "every field comes back");
    assert_eq!(found.version, created);
    assert!(
        is_stale(write(store, &first, None).await),
        "a drone is created once"
    );

    let second = state("drone-1", 2, 2.0);
    let replaced = write(store, &second, Some(&created)).await.unwrap();
    assert_ne!(replaced, created);
    assert!(
        is_stale(write(store, &first, Some(&created)).await),
        "a writer with an old version must read again"
    );
    assert_eq!(read(&first).await.unwrap().state, Some(second));

    let batch = together(100);
    let unknown = &batch[1];
    assert!(
        is_stale(write(store, unknown, Some(&created)).await),
        "what is gone cannot be replaced"
    );

    // A whole batch, with one stale version in its middle.
    let mut writes: Vec<DroneWrite<'_>> = batch
        .iter()
        .map(|state| DroneWrite {
            state,
            expected: None,
        })
        .collect();
    writes.swap(0, 50);
    writes[50].expected = Some(&created);
    let written = store.write(bucket, &writes).await;
    assert!(matches!(written, Err(BatchError::Stale)), "{written:?}");
    let ids: Vec<&DeviceId> = batch.iter().map(|state| &state.device_id).collect();
    let found = store.load(bucket, &ids).await.unwrap();
    assert_eq!(
        found.iter().flatten().count(),
        1,
        "a batch is written whole or not at all"
    );
    writes[50].expected = Some(&replaced);
    let versions = store.write(bucket, &writes).await.unwrap();
    let found = store.load(bucket, &ids[..]).await.unwrap();
    for (place, found) in found.into_iter().enumerate() {
        let found = found.unwrap();
        let at = match place {
            0 => 50,
            50 => 0,
            place => place,
        };
        assert_eq!(found.state.as_ref(), Some(&batch[place]));
        assert_eq!(found.version, versions[at]);
    }
    assert_eq!(store.load(bucket, &[]).await.unwrap(), []);
}

/// A fleet around the world; some drones have only flown, some have only reported their condition.
fn fleet() -> Vec<DroneState> {
    let statuses = ["departedStation", "inFlight", "arrivedAtStation"];
    (0..40_u32)
        .map(|number| {
            // Ids in another order than numbers, with characters that item ids may not have.
            let device = format!("drone#{}?{number}", number % 7);
            let id = device.parse::<DeviceId>().unwrap().item_id();
            // Whole seconds and fractions, which order otherwise as texts than as times.
            let second = ["00", "00.5", "00.25", "01", "01.75"][number as usize % 5];
            let mut document = json!({
                "id": id,
                "deviceId": device,
                "lastSeenAt": format!("2024-05-01T12:00:{second}Z"),
            });
            let delivery = format!("delivery-{}", number % 4);
            if number % 5 != 4 {
                document["flight"] = json!({
                    "occurredAt": "2024-05-01T12:00:00Z",
                    "deliveryId": delivery,
                    "position": {
                        "type": "Point",
                        "coordinates": [f64::from(number) * 9.0 - 180.0, f64::from(number) - 20.0],
                    },
                    "altitude": 120.5,
                    "velocity": 10.0,
                    "acceleration": -2.52,
                    "status": statuses[number as usize % 3],
                });
            }
            if number % 3 != 0 || number % 5 == 4 {
                document["operating"] = json!({
                    "occurredAt": "2024-05-01T11:59:00Z",
                    "deliveryId": delivery,
                    "temperature": 74.74,
                    "batteryStatus": "low",
                    "batteryLevel": 0.25,
                });
            }
            let document: DroneDocument = serde_json::from_value(document).unwrap();
            DroneState::try_from(document).unwrap()
        })
        .collect()
}

/// Every kind of filter, alone and together.
fn filters() -> Vec<DroneFilter> {
    let all = DroneFilter::default();
    let area = |west, south, east, north| Some(Area::new(west, south, east, north).unwrap());
    let time = |text| Some(drone_delivery::domain::timestamp::parse(text).unwrap());
    vec![
        all.clone(),
        DroneFilter {
            status: Some(FlightStatus::InFlight),
            ..all.clone()
        },
        DroneFilter {
            status: Some(FlightStatus::DroppedOffPackage),
            ..all.clone()
        },
        DroneFilter {
            delivery_id: Some("delivery-2".parse().unwrap()),
            ..all.clone()
        },
        DroneFilter {
            area: area(-30.0, -10.0, 60.0, 10.0),
            ..all.clone()
        },
        DroneFilter {
            area: area(150.0, -90.0, -150.0, 90.0),
            ..all.clone()
        },
        DroneFilter {
            seen_since: time("2024-05-01T12:00:00Z"),
            ..all.clone()
        },
        DroneFilter {
            seen_since: time("2024-05-01T12:00:00.26Z"),
            ..all.clone()
        },
        DroneFilter {
            seen_since: time("2024-05-01T12:00:01Z"),
            ..all.clone()
        },
        DroneFilter {
            seen_since: time("2024-05-01T12:00:02Z"),
            ..all
        },
        DroneFilter {
            status: Some(FlightStatus::InFlight),
            delivery_id: Some("delivery-1".parse().unwrap()),
            area: area(170.0, -90.0, 0.0, 90.0),
            seen_since: time("2024-05-01T12:00:00.5Z"),
        },
    ]
}

async fn keeps_the_fleet_reader_contract(store: &(impl DroneStore + FleetReader)) {
    let empty = store.list(&DroneFilter::default(), None, 10).await.unwrap();
    assert_eq!((empty.value.drones, empty.value.next), (vec![], None));
    for nowhere in ["", "a b", "a/b", "-FF-a/b"] {
        let nowhere = Position::new(nowhere);
        let list = store
            .list(&DroneFilter::default(), Some(&nowhere), 10)
            .await;
        assert!(
            matches!(list, Err(ListError::NoSuchPosition)),
            "{nowhere:?}"
        );
    }
    let mut fleet = fleet();
    for drone in &fleet {
        assert_eq!(store.find(&drone.device_id).await.unwrap().value, None);
        write(store, drone, None).await.unwrap();
        let found = store.find(&drone.device_id).await.unwrap();
        assert_eq!(found.value.as_ref(), Some(drone), "every field comes back");
    }
    fleet.sort_by(|one, other| one.device_id.cmp(&other.device_id));
    for filter in filters() {
        let expected: Vec<&DroneState> =
            fleet.iter().filter(|drone| filter.matches(drone)).collect();
        for limit in [1, 7, 39, 40, 1_000] {
            let mut listed = Vec::new();
            let mut from = None;
            loop {
                let page = store
                    .list(&filter, from.as_ref(), limit)
                    .await
                    .unwrap()
                    .value;
                assert!(page.drones.len() <= usize::from(limit));
                assert!(page.drones.is_sorted_by_key(|drone| &drone.device_id));
                listed.extend(page.drones);
                assert!(listed.len() <= fleet.len(), "it ends");
                from = page.next;
                if from.is_none() {
                    break;
                }
                assert!(
                    from.as_ref()
                        .is_some_and(|it| it.as_str().len() <= Position::MOST)
                );
            }
            listed.sort_by(|one, other| one.device_id.cmp(&other.device_id));
            assert_eq!(
                listed.iter().collect::<Vec<_>>(),
                expected,
                "{filter:?} {limit} at a time"
            );
        }
    }
}

async fn keeps_the_blob_store_contract(store: &dyn BlobStore, read: impl AsyncFn(&str) -> Bytes) {
    store.check().await.unwrap();
    let name = "telemetry/0/2024/05/01/12/00000000000000000041.avro";
    for body in [
        Bytes::from_static(b"one"),
        Bytes::from(vec![0xff; 3_000_000]),
    ] {
        store.put(name, body.clone()).await.unwrap();
        store.put(name, body.clone()).await.unwrap();
        assert_eq!(read(name).await, body, "the last put wins, byte for byte");
    }
}

/// An alert of one drone, in the state that `progress` names.
fn alert(device: &str, second: u32, progress: &str) -> Alert {
    let mut document = json!({
        "id": format!("battery-low~{second}"),
        "deviceId": device,
        "rule": "battery-low",
        "severity": "warning",
        "active": true,
        "deliveryId": "delivery-1",
        "raisedAt": format!("2024-05-01T12:00:{second:02}.500000000Z"),
        "value": 0.25,
        "threshold": 0.3,
        "position": {"type": "Point", "coordinates": [-122.192026, 47.476075]},
        "altitude": 120.5,
    });
    if progress != "raised" {
        document["remindedAt"] = json!("2024-05-01T12:05:00Z");
        document["reminders"] = json!(1);
    }
    if progress == "cleared" {
        document["clearedAt"] = json!("2024-05-01T12:06:00Z");
        document["clearedValue"] = json!(0.9);
    }
    Alert::from(serde_json::from_value::<AlertDocument>(document).unwrap())
}

/// Where the alerts of these tests are found.
const PARTITION: &str = "telemetry/3";

async fn keeps_the_alert_store_contract(store: &dyn AlertStore) {
    let all = AlertFilter::default();
    let list = async |filter: &AlertFilter, limit| store.list(filter, limit).await.unwrap().value;
    assert_eq!(list(&all, 10).await, []);

    // Forward only, from any state to any, and again.
    for (second, recorded, stands) in [
        (1, ["raised", "raised", "raised"], "raised"),
        (2, ["raised", "reminded", "raised"], "reminded"),
        (3, ["raised", "cleared", "reminded"], "cleared"),
        (4, ["cleared", "raised", "cleared"], "cleared"),
    ] {
        for progress in recorded {
            store
                .record(PARTITION, &alert("drone-1", second, progress))
                .await
                .unwrap();
        }
        let newest = list(&all, 1).await;
        assert_eq!(newest, [alert("drone-1", second, stands)]);
    }
    store
        .record(PARTITION, &alert("drone-2", 5, "raised"))
        .await
        .unwrap();

    let seconds = |alerts: &[Alert]| -> Vec<u8> {
        alerts
            .iter()
            .map(|alert| alert.raised_at.second())
            .collect()
    };
    for (filter, limit, expected) in [
        (all.clone(), 10, vec![5, 4, 3, 2, 1]),
        (all.clone(), 2, vec![5, 4]),
        (
            AlertFilter {
                active: Some(true),
                ..all.clone()
            },
            10,
            vec![5, 2, 1],
        ),
        (
            AlertFilter {
                active: Some(false),
                ..all.clone()
            },
            10,
            vec![4, 3],
        ),
        (
            AlertFilter {
                device_id: Some("drone-2".parse().unwrap()),
                ..all.clone()
            },
            10,
            vec![5],
        ),
        (
            AlertFilter {
                since: Some(alert("drone-1", 3, "raised").raised_at),
                ..all.clone()
            },
            10,
            vec![5, 4, 3],
        ),
        (
            AlertFilter {
                rule: Some("engine-critical".to_owned()),
                ..all.clone()
            },
            10,
            vec![],
        ),
        (
            AlertFilter {
                rule: Some("battery-low".to_owned()),
                active: Some(true),
                device_id: Some("drone-1".parse().unwrap()),
                since: None,
            },
            10,
            vec![2, 1],
        ),
    ] {
        assert_eq!(seconds(&list(&filter, limit).await), expected, "{filter:?}");
    }

    // What is open in a partition, and nothing of another.
    let elsewhere = alert("drone-3", 6, "raised");
    store.record("telemetry/30", &elsewhere).await.unwrap();
    let open = |partition| async move {
        let mut open = store.open_of(partition).await.unwrap();
        open.sort_by_key(|alert: &Alert| alert.raised_at);
        open
    };
    let expected = [
        alert("drone-1", 1, "raised"),
        alert("drone-1", 2, "reminded"),
        alert("drone-2", 5, "raised"),
    ];
    assert_eq!(open(PARTITION).await, expected);
    assert_eq!(open("telemetry/30").await, std::slice::from_ref(&elsewhere));
    assert_eq!(open("telemetry/1").await, []);
    let closed = alert("drone-3", 6, "cleared");
    store.record("telemetry/30", &closed).await.unwrap();
    assert_eq!(open("telemetry/30").await, []);
}

const MARK: Mark = Mark {
    watermark: time::UtcDateTime::UNIX_EPOCH,
    next_deadline: None,
};

async fn keeps_the_snapshot_store_contract(store: &dyn SnapshotStore) {
    let name = "telemetry/0.snapshot";
    assert_eq!(store.load(name).await.unwrap(), None);
    let first = Bytes::from_static(b"one");
    let created = store.save(name, first.clone(), MARK, None).await.unwrap();
    let read = store.load(name).await.unwrap().unwrap();
    assert_eq!((read.body, read.version), (first.clone(), created.clone()));
    assert!(
        matches!(
            store.save(name, first.clone(), MARK, None).await,
            Err(PutError::Stale)
        ),
        "a snapshot is made once"
    );
    assert_eq!(store.marks().await.unwrap(), [(name.to_owned(), MARK)]);
    // Larger than what fits in one block, should somebody cut it up.
    let second = Bytes::from(vec![0xff; 6_000_000]);
    let later = Mark {
        watermark: MARK.watermark + time::Duration::HOUR,
        next_deadline: Some(MARK.watermark + time::Duration::NANOSECOND),
    };
    let replaced = store
        .save(name, second.clone(), later, Some(&created))
        .await
        .unwrap();
    assert!(
        matches!(
            store.save(name, first, MARK, Some(&created)).await,
            Err(PutError::Stale)
        ),
        "a writer with an old version must load again"
    );
    let read = store.load(name).await.unwrap().unwrap();
    assert_eq!((read.body, read.version), (second, replaced));
    assert_eq!(store.marks().await.unwrap(), [(name.to_owned(), later)]);
}

async fn keeps_the_file_store_contract(store: &dyn FileStore) {
    let (a, b) = (
        "fleet_hours/date=2026-11-28/fleet.json",
        "fleet_hours/date=2026-11-29/fleet.json",
    );
    let listed = async |prefix: &str| {
        let files = store.list(prefix).await.unwrap().into_iter();
        let parts = files.map(|file| (file.name, file.version, file.size));
        parts.collect::<Vec<_>>()
    };
    let is_stale = |put| matches!(put, Err(PutError::Stale));
    assert_eq!(listed("").await, []);
    assert_eq!(store.read(a).await.unwrap(), None);

    let first = Bytes::from_static(b"one");
    let created = store.replace(b, first.clone(), None).await.unwrap();
    let read = store.read(b).await.unwrap().unwrap();
    assert_eq!((&read.body, &read.version), (&first, &created));
    let again = store.replace(b, first.clone(), None).await;
    assert!(is_stale(again.map(drop)), "a file is made once");

    // Larger than what fits in one block, should somebody cut it up.
    let second = Bytes::from(
        (0..9_000_000_u32)
            .map(|number| number as u8)
            .collect::<Vec<u8>>(),
    );
    let replaced = store
        .replace(b, second.clone(), Some(&created))
        .await
        .unwrap();
    let late = store.replace(b, first.clone(), Some(&created)).await;
    assert!(
        is_stale(late.map(drop)),
        "a writer with an old version must read again"
    );
    assert!(
        is_stale(store.delete(b, &created).await),
        "so must one that deletes"
    );
    let read = store.read(b).await.unwrap().unwrap();
    assert_eq!((&read.body, &read.version), (&second, &replaced));

    // With characters that a URL has otherwise, and the least that a file can have.
    let odd = "_units/telemetry/3/2026-11-29/14 #?%.json";
    let empty = store.replace(odd, Bytes::new(), None).await.unwrap();
    assert_eq!(store.read(odd).await.unwrap().unwrap().body, "");
    let other = store.replace(a, first.clone(), None).await.unwrap();
    let (of_a, of_b) = (
        (a.to_owned(), other, 3),
        (b.to_owned(), replaced.clone(), 9_000_000),
    );
    let all = [(odd.to_owned(), empty, 0), of_a.clone(), of_b.clone()];
    assert_eq!(listed("").await, all, "by name");
    assert_eq!(listed("fleet_hours/").await, [of_a, of_b.clone()]);
    assert_eq!(listed(b).await, [of_b]);
    assert_eq!(listed("fleet_hours/date=2027").await, []);
    for (prefix, any) in [
        ("", true),
        ("fleet_hours/", true),
        (b, true),
        ("fleet_hours/date=2027", false),
    ] {
        assert_eq!(store.any(prefix).await.unwrap(), any, "{prefix}");
    }

    store.delete(b, &replaced).await.unwrap();
    assert_eq!(store.read(b).await.unwrap(), None);
    assert!(is_stale(store.delete(b, &replaced).await), "it is gone");
    let gone = store.replace(b, first.clone(), Some(&replaced)).await;
    assert!(is_stale(gone.map(drop)), "what is gone cannot be replaced");
    let anew = store.replace(b, first, None).await.unwrap();
    assert!(![&created, &replaced].contains(&&anew));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contracts() {
    keeps_the_alert_store_contract(&MemoryAlerts::default()).await;
    keeps_the_snapshot_store_contract(&MemorySnapshots::default()).await;
    keeps_the_file_store_contract(&MemoryFiles::default()).await;
    keeps_the_drone_store_contract(&MemoryDrones::default()).await;
    keeps_the_fleet_reader_contract(&MemoryDrones::default()).await;
    let blobs = MemoryBlobs::default();
    keeps_the_blob_store_contract(&blobs, async |name| blobs.snapshot()[name].clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cosmos_db_keeps_the_contract() {
    let (_emulator, drones) = cosmos().await;
    keeps_the_drone_store_contract(drones.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cosmos_db_keeps_the_alerts_contract() {
    let (_emulator, database) = cosmos_database("alerts").await;
    keeps_the_alert_store_contract(&CosmosAlerts::new(&database)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_cannot_be_read_stops_neither_its_writer_nor_a_list() {
    let (emulator, database) = cosmos_database("alerts").await;
    let store = CosmosAlerts::new(&database);
    let (good, odd) = (alert("drone-1", 1, "raised"), alert("drone-2", 2, "raised"));
    store.record(PARTITION, &good).await.unwrap();
    let of_newer_version = json!({
        "id": odd.id, "deviceId": "drone-2", "rule": "battery-low", "severity": "fatal",
        "raisedAt": "2024-05-01T12:00:02.500000000Z", "active": true, "partition": PARTITION,
    });
    let upsert = emulator.upsert_item(DATABASE, "alerts", "drone-2", &of_newer_version);
    assert!(upsert.await);
    let all = AlertFilter::default();
    let listed = store.list(&all, 10).await.unwrap().value;
    assert_eq!(listed, std::slice::from_ref(&good));
    let open = store.open_of(PARTITION).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&good));
    store.record(PARTITION, &odd).await.unwrap();
    assert_eq!(store.list(&all, 10).await.unwrap().value, [odd, good]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cosmos_db_lists_as_the_contract_says_and_tells_what_it_cost() {
    let (_emulator, drones) = cosmos().await;
    keeps_the_fleet_reader_contract(drones.as_ref()).await;
    let page = drones
        .list(&DroneFilter::default(), None, 10)
        .await
        .unwrap();
    assert!(page.request_charge > 0.0);
    let drone = &page.value.drones[0].device_id;
    assert!(drones.find(drone).await.unwrap().request_charge > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blob_storage_keeps_the_contract() {
    let account = storage();
    account.create_container(ARCHIVE).await.unwrap();
    let connection = Connection::ConnectionString(
        ConnectionString::parse("FleetStorage", account.connection_string()).unwrap(),
    );
    let container = BlobService::connect(&connection)
        .unwrap()
        .container(ARCHIVE)
        .unwrap();
    keeps_the_blob_store_contract(&container, async |name| {
        account.read_blob(ARCHIVE, name).await.unwrap()
    })
    .await;
    keeps_the_snapshot_store_contract(&container).await;
    let missing = BlobService::connect(&connection)
        .unwrap()
        .container("no-such-container")
        .unwrap();
    // No container is not the same as no snapshot.
    let Err(unread) = missing.load("telemetry/0.snapshot").await else {
        panic!("there is no such container");
    };
    for (error, what) in [
        (unread, "the container no-such-container"),
        (
            missing.check().await.unwrap_err(),
            "the container no-such-container",
        ),
    ] {
        assert!(!error.transient, "waiting makes no container: {error}");
        let expected = format!("{what} does not exist: `cargo local prepare` makes it");
        assert_eq!(error.message, expected);
    }
}

#[tokio::test]
async fn a_directory_keeps_the_contract_of_files() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_file_store_contract(&Directory::open(folder.path()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blob_storage_keeps_the_contract_of_files() {
    let account = storage();
    account.create_container(INSIGHTS).await.unwrap();
    let connection = Connection::ConnectionString(
        ConnectionString::parse("FleetStorage", account.connection_string()).unwrap(),
    );
    let blobs = BlobService::connect(&connection).unwrap();
    keeps_the_file_store_contract(&blobs.container(INSIGHTS).unwrap()).await;
    // No container is not the same as no file.
    let missing = blobs.container("no-such-container").unwrap();
    let unread = missing.read("fleet.json").await.unwrap_err();
    let unlisted = missing.list("").await.unwrap_err();
    for error in [unread, unlisted] {
        assert!(!error.transient, "waiting makes no container: {error}");
        assert!(error.message.contains("cargo local prepare"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cosmos_db_lacks_is_named_with_what_makes_it() {
    let (_emulator, database) = cosmos_database(ALERTS).await;
    let error = CosmosDrones::new(&database).check().await.unwrap_err();
    assert!(!error.transient, "{error}");
    for part in [
        "the container drones of the database",
        "cargo local prepare",
        "infra/",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_written_by_two_instances_merge() {
    let (emulator, drones) = cosmos().await;
    let one = LatestState::new(Arc::clone(&drones) as _);
    let other = LatestState::new(Arc::clone(&drones) as _);
    let written = Applied {
        written: 1,
        unchanged: 0,
    };
    assert_eq!(
        one.apply([state("drone-1", 1, 1.0)]).await.unwrap(),
        written
    );
    assert_eq!(
        other.apply([state("drone-1", 5, 5.0)]).await.unwrap(),
        written
    );
    // `one` still believes in second 1; what it adds is newer than that and older than what is stored.
    let late = one.apply([state("drone-1", 3, 3.0)]).await.unwrap();
    assert_eq!(
        late,
        Applied {
            written: 0,
            unchanged: 1
        }
    );
    let drone = state("drone-1", 5, 5.0);
    let stored = drones.find(&drone.device_id).await.unwrap().value;
    assert_eq!(stored, Some(drone));
    let writes = emulator.writes();
    let again = one.apply([state("drone-1", 5, 5.0)]).await.unwrap();
    assert_eq!(
        again,
        Applied {
            written: 0,
            unchanged: 1
        }
    );
    assert_eq!(
        emulator.writes(),
        writes,
        "nothing changed, nothing written"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_out_of_reach_is_transient_and_named() {
    let (emulator, drones) = cosmos().await;
    drones.connect().await.unwrap();
    for fault in [
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Reset,
    ] {
        let name = format!("{fault:?}");
        emulator.set_fault(Some(fault));
        let states = LatestState::new(Arc::clone(&drones) as _);
        let error = states.apply([state("drone-1", 1, 1.0)]).await.unwrap_err();
        assert!(error.transient, "{name}: {error}");
    }
    emulator.set_fault(None);
}
