//! DetectSilentDrones: the real process, killed between any two steps; and the contracts of its stores.

use std::sync::Arc;
use std::time::Duration;

use azure_functions_sdk::connection::{Connection, ConnectionString};
use drone_delivery::domain::alerts::silence::{Episode, Part};
use drone_delivery::domain::alerts::{Alert, Cleared, Reminded, Severity};
use drone_delivery::domain::{Bucket, DroneDocument, DroneState};
use drone_delivery::stores::cosmos::CosmosDatabase;
use drone_delivery::stores::cosmos::drones::CosmosDrones;
use drone_delivery::stores::cosmos::silence::CosmosEpisodes;
use drone_delivery::stores::memory::{MemoryDrones, MemoryEpisodes};
use drone_delivery::stores::queue::StorageQueue;
use drone_delivery::stores::silence::{EpisodeStore, MessageQueue, SilentDrones};
use drone_delivery::stores::{DroneStore, DroneWrite, PutError};
use local::cosmos::CosmosEmulator;
use local::fault::Fault;
use local::host::RunTimerError;
use local::system::{ALERT_QUEUE, ALERTS, COSMOS_CONTAINERS, DATABASE};
use serde_json::{Value, json};
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Fleet, flight, storage, until};

const TIMER: &str = "DetectSilentDrones";
pub const DRONE: &str = "drone-1";

/// Silence of a second is an alert, and the timer runs only when it is told to.
pub const SETTINGS: [(&str, &str); 3] = [
    ("Alerts__SilenceSeconds", "1"),
    ("Alerts__ReminderMinutes", "0"),
    ("SilentDronesSchedule", "0 0 0 1 1 *"),
];

/// A flight message with another status: 4 is at the station.
fn with_status(second: u32, status: &str) -> Vec<u8> {
    let mut message: Value = serde_json::from_slice(&flight(DRONE, second, 20.0)).unwrap();
    message["flightStatus"] = status.into();
    message.to_string().into_bytes()
}

pub async fn look(fleet: &Fleet) -> Result<(), RunTimerError> {
    fleet.system.host.run_timer(TIMER).await
}

/// The documents of `telemetry-lost`.
pub async fn episodes(fleet: &Fleet) -> Vec<Value> {
    let mut documents = fleet.system.cosmos.items(DATABASE, ALERTS).await;
    documents.retain(|document| document["rule"] == "telemetry-lost");
    documents
}

/// Looks until the drone has been silent for long enough.
pub async fn look_until_raised(fleet: &Fleet) {
    until("the drone is missed", async || {
        look(fleet).await.unwrap();
        !episodes(fleet).await.is_empty()
    })
    .await;
}

/// What the queue held: subject, type and id of each message.
async fn take_messages(fleet: &Fleet) -> Vec<[String; 3]> {
    let storage = &fleet.system.storage;
    let texts = storage.take_queue_messages(ALERT_QUEUE).await.unwrap();
    texts
        .iter()
        .map(|text| {
            let message: Value = serde_json::from_str(text).unwrap();
            ["subject", "type", "id"].map(|name| message[name].as_str().unwrap().to_owned())
        })
        .collect()
}

fn is_raised_once(messages: &[[String; 3]], document: &Value) {
    let [[subject, kind, id]] = messages else {
        panic!("one message: {messages:?}");
    };
    assert_eq!(subject, DRONE);
    assert_eq!(kind, "com.fabrikam.drone.alert.raised");
    assert_eq!(*id, format!("{}/raised", document["id"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_drone_is_an_alert_until_it_lands() {
    let fleet = Fleet::with_settings(&SETTINGS).await;
    fleet.send(DRONE, flight(DRONE, 0, 20.0));
    fleet.settled().await;
    look_until_raised(&fleet).await;

    let (status, _, listed) = fleet.get("/alerts?active=true").await;
    assert_eq!(status, 200);
    let document = episodes(&fleet).await.remove(0);
    assert_eq!(listed["alerts"][0]["id"], document["id"]);
    assert_eq!(document["severity"], "critical");
    assert_eq!(document["threshold"], 1.0);
    assert!(document.get("untold").is_none(), "{document}");
    is_raised_once(&take_messages(&fleet).await, &document);
    look(&fleet).await.unwrap();
    assert!(take_messages(&fleet).await.is_empty(), "told once");

    fleet.send(DRONE, with_status(1, "4"));
    fleet.settled().await;
    look(&fleet).await.unwrap();
    let messages = take_messages(&fleet).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0][1], "com.fabrikam.drone.alert.cleared");
    let document = episodes(&fleet).await.remove(0);
    assert_eq!(document["active"], false);
    look(&fleet).await.unwrap();
    assert!(take_messages(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_cosmos_db_delays_an_alert_and_no_more() {
    let fleet = Fleet::with_settings(&SETTINGS).await;
    fleet.send(DRONE, flight(DRONE, 0, 20.0));
    fleet.settled().await;
    for fault in [Fault::Status(503), Fault::Reset] {
        fleet.system.cosmos.set_fault(Some(fault));
        look(&fleet).await.unwrap_err();
    }
    assert!(take_messages(&fleet).await.is_empty());
    fleet.system.cosmos.set_fault(None);
    look_until_raised(&fleet).await;
    let document = episodes(&fleet).await.remove(0);
    is_raised_once(&take_messages(&fleet).await, &document);
}

/// Stands between the handler and its queues.
struct Gate {
    port: u16,
    passage: watch::Sender<Passage>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Passage {
    Free,
    /// Requests get nowhere.
    Shut,
    /// Requests arrive, and their answers do not come back.
    OneWay,
}

impl Gate {
    async fn before(upstream: u16, passage: Passage) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (passage, watched) = watch::channel(passage);
        let server = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                tokio::spawn(pass(client, server, watched.clone()));
            }
        });
        Self {
            port,
            passage,
            server,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Ends with the connection, or when the passage changes after something was held up.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    mut passage: watch::Receiver<Passage>,
) -> std::io::Result<()> {
    let (mut request, mut answer) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read? {
                0 => return Ok(()),
                _ if *passage.borrow() == Passage::Shut => break,
                read => server.write_all(&request[..read]).await?,
            },
            read = server.read(&mut answer) => match read? {
                0 => return Ok(()),
                _ if *passage.borrow() != Passage::Free => break,
                read => client.write_all(&answer[..read]).await?,
            },
        }
    }
    passage.mark_unchanged();
    _ = passage.changed().await;
    Ok(())
}

/// A fleet whose handler reaches its queues through a gate.
async fn behind_gate(passage: Passage) -> (Fleet, Gate) {
    let storage = storage();
    let connection = storage.connection_string();
    let (before, rest) = connection
        .split_once("QueueEndpoint=http://127.0.0.1:")
        .unwrap();
    let (port, after) = rest.split_once('/').unwrap();
    let gate = Gate::before(port.parse().unwrap(), passage).await;
    let connection = format!(
        "{before}QueueEndpoint=http://127.0.0.1:{}/{after}",
        gate.port
    );
    let settings: Vec<_> = SETTINGS
        .into_iter()
        .chain([("FleetStorage", &*connection)])
        .collect();
    let fleet = Fleet::in_account(storage, &settings, &Arc::default()).await;
    (fleet, gate)
}

/// Looks until a look hangs at the gate and `condition` holds; then kills the handler in the middle of it.
async fn kill_in_mid_look<F>(fleet: &Fleet, what: &str, condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let restarts = fleet.system.host.handler().restarts;
    let killed = async {
        until(what, condition).await;
        fleet.system.host.kill_handler();
    };
    let looks = async {
        while look(fleet).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(killed, looks);
    until("the host starts the handler again", async || {
        fleet.system.host.handler().restarts > restarts
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_document_and_the_message_it_still_tells() {
    let (fleet, gate) = behind_gate(Passage::Shut).await;
    fleet.send(DRONE, flight(DRONE, 0, 20.0));
    fleet.settled().await;
    kill_in_mid_look(&fleet, "the alert is written", async || {
        !episodes(&fleet).await.is_empty()
    })
    .await;
    assert_eq!(episodes(&fleet).await[0]["untold"], "raised");
    assert!(take_messages(&fleet).await.is_empty());

    gate.passage.send_replace(Passage::Free);
    look(&fleet).await.unwrap();
    let document = episodes(&fleet).await.remove(0);
    assert!(document.get("untold").is_none(), "{document}");
    is_raised_once(&take_messages(&fleet).await, &document);
    look(&fleet).await.unwrap();
    assert!(take_messages(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_message_and_the_mark_it_tells_twice_under_one_id() {
    let (fleet, gate) = behind_gate(Passage::OneWay).await;
    fleet.send(DRONE, flight(DRONE, 0, 20.0));
    fleet.settled().await;
    kill_in_mid_look(&fleet, "the message is there", async || {
        let storage = &fleet.system.storage;
        storage.queue_length(ALERT_QUEUE).await.unwrap() > 0
    })
    .await;
    assert_eq!(episodes(&fleet).await[0]["untold"], "raised");

    gate.passage.send_replace(Passage::Free);
    look(&fleet).await.unwrap();
    look(&fleet).await.unwrap();
    let messages = take_messages(&fleet).await;
    assert_eq!(messages.len(), 2);
    is_raised_once(&messages[..1], &episodes(&fleet).await[0]);
    assert_eq!(messages[0], messages[1]);
}

fn episode(device: &str, change: impl FnOnce(&mut Episode)) -> Episode {
    let device_id: drone_delivery::domain::DeviceId = device.parse().unwrap();
    let raised_at = utc_datetime!(2024-05-01 12:00:00.5);
    let mut episode = Episode {
        alert: Alert {
            id: drone_delivery::domain::alerts::alert::id("telemetry-lost", &device_id, raised_at),
            device_id,
            delivery_id: "d-1".parse().unwrap(),
            rule: "telemetry-lost".into(),
            severity: Severity::Critical,
            raised_at,
            value: 130.25,
            threshold: 120.0,
            position: None,
            reminded: None,
            cleared: None,
        },
        untold: None,
    };
    change(&mut episode);
    episode
}

async fn keeps_the_episode_contract(store: &dyn EpisodeStore) {
    let reminded_at = utc_datetime!(2024-05-01 12:07);
    let cleared = Cleared {
        at: utc_datetime!(2024-05-01 12:09:00.25),
        value: 3.5,
    };
    let open = episode("open#1", |_| {});
    let untold = episode("untold", |episode| episode.untold = Some(Part::Raised));
    let reminded = episode("reminded", |episode| {
        episode.alert.reminded = Some(Reminded {
            times: 2,
            at: reminded_at,
        });
        episode.untold = Some(Part::Reminded);
    });
    let ending = episode("ending", |episode| {
        episode.alert.cleared = Some(cleared);
        episode.untold = Some(Part::Cleared);
    });
    let over = episode("over", |episode| episode.alert.cleared = Some(cleared));
    let other = episode("other", |episode| {
        episode.alert.rule = "battery-low".into();
        episode.untold = Some(Part::Raised);
    });
    for episode in [&open, &untold, &reminded, &ending, &over, &other] {
        store.put(episode, None).await.unwrap();
        assert!(matches!(
            store.put(episode, None).await,
            Err(PutError::Stale)
        ));
    }
    let mut found = store.unfinished("telemetry-lost").await.unwrap();
    found.sort_by(|a, b| a.episode.alert.id.cmp(&b.episode.alert.id));
    let mut expected = vec![open, untold.clone(), reminded, ending];
    expected.sort_by(|a, b| a.alert.id.cmp(&b.alert.id));
    let episodes: Vec<_> = found.iter().map(|found| found.episode.clone()).collect();
    assert_eq!(episodes, expected, "those and no others, field by field");

    let read = found
        .iter()
        .find(|found| found.episode == untold)
        .expect("it was found");
    let told = Episode {
        untold: None,
        ..untold
    };
    store.put(&told, Some(&read.version)).await.unwrap();
    assert!(
        matches!(
            store.put(&read.episode, Some(&read.version)).await,
            Err(PutError::Stale)
        ),
        "who comes second must read again"
    );
    let found = store.unfinished("telemetry-lost").await.unwrap();
    assert!(found.iter().any(|found| found.episode == told));
}

fn drone(device: &str, last_seen_at: &str, status: &str) -> DroneState {
    let document: DroneDocument = serde_json::from_value(json!({
        "id": device,
        "deviceId": device,
        "deliveryId": "delivery-1",
        "lastSeenAt": last_seen_at,
        "flight": {
            "occurredAt": "2024-05-01T12:00:00Z",
            "deliveryId": "delivery-1",
            "position": {"type": "Point", "coordinates": [-122.192026, 47.476075]},
            "altitude": 120.5,
            "velocity": 20.0,
            "acceleration": -2.52,
            "status": status,
        },
    }))
    .unwrap();
    DroneState::try_from(document).unwrap()
}

async fn finds_silent_drones<S: DroneStore + SilentDrones>(store: &S) {
    for (device, last_seen_at, status) in [
        ("departed", "2024-05-01T12:00:00Z", "departedStation"),
        ("flying", "2024-05-01T12:00:09.9999999Z", "inFlight"),
        ("carrying", "2024-05-01T11:00:00.5Z", "pickedUpPackage"),
        ("returning", "2023-05-01T12:00:00Z", "droppedOffPackage"),
        ("landed", "2024-05-01T12:00:00Z", "arrivedAtStation"),
        ("heard", "2024-05-01T12:00:10.5Z", "inFlight"),
    ] {
        let state = &drone(device, last_seen_at, status);
        let write = DroneWrite {
            state,
            expected: None,
        };
        let bucket = Bucket::of(&state.device_id);
        store.write(bucket, &[write]).await.unwrap();
    }
    let before: UtcDateTime = utc_datetime!(2024-05-01 12:00:10.25);
    let mut silent: Vec<_> = store
        .silent(before)
        .await
        .unwrap()
        .iter()
        .map(|drone| drone.device_id.to_string())
        .collect();
    silent.sort();
    assert_eq!(silent, ["carrying", "departed", "flying", "returning"]);
    let seen = async |device: &str| store.last_seen_at(&device.parse().unwrap()).await.unwrap();
    assert_eq!(
        seen("heard").await,
        Some(utc_datetime!(2024-05-01 12:00:10.5))
    );
    assert_eq!(seen("nobody").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contracts() {
    keeps_the_episode_contract(&MemoryEpisodes::default()).await;
    finds_silent_drones(&MemoryDrones::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cosmos_db_keeps_the_contracts() {
    let emulator = CosmosEmulator::start(0).await.unwrap();
    for (container, partition_key) in COSMOS_CONTAINERS {
        emulator
            .create_container(DATABASE, container, partition_key)
            .await
            .unwrap();
    }
    let connection = Connection::ConnectionString(
        ConnectionString::parse("CosmosDb", &emulator.connection_string()).unwrap(),
    );
    let database = CosmosDatabase::new(&connection, DATABASE).unwrap();
    keeps_the_episode_contract(&CosmosEpisodes::new(&database)).await;
    finds_silent_drones(&CosmosDrones::new(&database)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_storage_takes_messages_as_the_host_does() {
    let account = storage();
    account.create_queue(ALERT_QUEUE).await.unwrap();
    let connection = Connection::ConnectionString(
        ConnectionString::parse("FleetStorage", account.connection_string()).unwrap(),
    );
    let queue = StorageQueue::connect(&connection, ALERT_QUEUE).unwrap();
    let text = "{\"text\":\"é \u{1f681} <&>\"}";
    queue.send(text).await.unwrap();
    assert_eq!(
        account.take_queue_messages(ALERT_QUEUE).await.unwrap(),
        [text]
    );
    let missing = StorageQueue::connect(&connection, "no-such-queue").unwrap();
    let error = missing.send(text).await.unwrap_err();
    assert!(!error.transient, "waiting makes no queue: {error}");
}
