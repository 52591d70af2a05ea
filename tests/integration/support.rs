//! What the tests share: one Azurite for the binary, and a [`Fleet`] to send from and look at.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use drone_delivery::capture::{self, ArchivedEvent};
use drone_delivery::domain::Bucket;
use local::azurite::{Azurite, AzuriteOptions, StorageAccount};
use local::host::LogSink;
use local::hub::{NewEvent, Position, Retention};
use local::letters;
use local::system::{ARCHIVE, DATABASE, DEAD_LETTERS, DRONES, System, SystemOptions};
use serde_json::{Value, json};

/// Generous, because a loaded machine is slow and no test measures time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// More than there are tests.
const ACCOUNTS: usize = 124;

/// A storage account that no other test uses.
pub fn storage() -> StorageAccount {
    static AZURITE: OnceLock<Azurite> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let azurite = AZURITE.get_or_init(|| {
        // A thread of its own that never ends: on Linux, Azurite dies with the thread that started
        // it, and tests' threads come and go.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let accounts = (0..ACCOUNTS)
                    .map(|number| format!("fleet{number}"))
                    .collect();
                let azurite = Azurite::start(AzuriteOptions {
                    blob_port: 0,
                    queue_port: 0,
                    accounts,
                })
                .await;
                sender.send(azurite).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver
            .recv()
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}"))
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    azurite
        .account(&format!("fleet{number}"))
        .expect("raise ACCOUNTS: there are more tests than storage accounts")
}

/// The repository, where the fixtures and the functions' folders are.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The handler under test: as Cargo built it for these tests, or the one that `DRONE_DELIVERY_BINARY` names, such
/// as the static executable that is published.
pub fn binary() -> PathBuf {
    match std::env::var_os("DRONE_DELIVERY_BINARY") {
        Some(path) => repository().join(path),
        None => PathBuf::from(env!("CARGO_BIN_EXE_drone-delivery")),
    }
}

/// A fixture's bytes.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = repository().join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A running system and what was sent to it.
pub struct Fleet {
    pub system: System,
}

impl Fleet {
    /// Starts a system whose batches do not wait: tests want answers, not savings.
    pub async fn start() -> Self {
        Self::with_settings(&[]).await
    }

    /// The same, with app settings on top.
    pub async fn with_settings(extra: &[(&str, &str)]) -> Self {
        Self::logging(extra, &Arc::default()).await
    }

    /// The same; what the host and the handler log is kept.
    pub async fn logging(extra: &[(&str, &str)], lines: &Arc<Mutex<Vec<String>>>) -> Self {
        Self::in_account(storage(), extra, lines).await
    }

    /// The same, with its blobs and queues in this account.
    pub async fn in_account(
        storage: StorageAccount,
        extra: &[(&str, &str)],
        lines: &Arc<Mutex<Vec<String>>>,
    ) -> Self {
        let lines = Arc::clone(lines);
        let mut settings: BTreeMap<String, String> = [
            (
                "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
                "00:00:00.100",
            ),
            (
                "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
                "1",
            ),
            // When a test asks for it, and not in between.
            ("SummarizeDeliveriesSchedule", "0 0 0 1 1 *"),
            // Most of these events are of 2024, and are to be judged by their own time.
            ("Alerts__ClockSkewMinutes", "0"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in extra {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let system = System::start(SystemOptions {
            binary: binary(),
            source: repository(),
            app_root: None,
            storage,
            partitions: 4,
            ports: Default::default(),
            settings,
            log: LogSink::new(move |line| {
                eprintln!("{line}");
                lines.lock().unwrap().push(line);
            }),
            unlimited_restarts: true,
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        system.hub.set_retention(Retention::Everything);
        Self { system }
    }

    /// Sends a body as a drone would through IoT Hub, which authenticates it.
    pub fn send(&self, device: &str, body: impl Into<Bytes>) -> Position {
        self.send_as(Some(device), device, body)
    }

    /// Sends a body; `authenticated` is what IoT Hub says, `key` chooses the partition.
    pub fn send_as(
        &self,
        authenticated: Option<&str>,
        key: &str,
        body: impl Into<Bytes>,
    ) -> Position {
        let mut system_properties = serde_json::Map::new();
        if let Some(device) = authenticated {
            system_properties.insert("iothub-connection-device-id".into(), device.into());
        }
        self.system.hub.append(NewEvent {
            body: body.into(),
            partition_key: Some(key.to_owned()),
            partition: None,
            properties: serde_json::Map::new(),
            system_properties,
            amqp_value: false,
        })
    }

    /// Waits until every event was through every function.
    pub async fn settled(&self) {
        self.system
            .host
            .settled(PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The stored document of a drone, without what Cosmos DB adds.
    pub async fn document(&self, device: &str) -> Option<Value> {
        let id: drone_delivery::domain::DeviceId = device.parse().unwrap();
        let mut item = self
            .system
            .cosmos
            .item(DATABASE, DRONES, &Bucket::of(&id).key(), &id.item_id())
            .await?;
        item.as_object_mut()
            .unwrap()
            .retain(|name, _| !name.starts_with('_'));
        Some(item)
    }

    /// How many drones are stored.
    pub async fn drones(&self) -> usize {
        self.system.cosmos.items(DATABASE, DRONES).await.len()
    }

    /// Every dead letter, with repeats; reading them takes them off the queue.
    pub async fn take_dead_letters(&self) -> Vec<Value> {
        let storage = &self.system.storage;
        let mut all = Vec::new();
        for message in storage.take_queue_messages(DEAD_LETTERS).await.unwrap() {
            all.extend(letters::read(storage, &message).await.unwrap());
        }
        all
    }

    /// Every archived event by partition and sequence number, and how many repeats there were.
    pub async fn archive(&self) -> (BTreeMap<(String, i64), ArchivedEvent>, usize) {
        let mut events = BTreeMap::new();
        let mut repeats = 0;
        for name in self.system.storage.blob_names(ARCHIVE, "").await.unwrap() {
            let partition = name.split('/').nth(1).unwrap().to_owned();
            let file = self.system.storage.read_blob(ARCHIVE, &name).await.unwrap();
            for event in capture::decode(&file).unwrap() {
                let key = (partition.clone(), event.sequence_number);
                if let Some(earlier) = events.insert(key, event.clone()) {
                    assert_eq!(earlier, event, "two archived copies of one event differ");
                    repeats += 1;
                }
            }
        }
        (events, repeats)
    }

    /// `GET` on the functions' HTTP side.
    pub async fn get(&self, path: &str) -> (u16, String, Value) {
        let response = reqwest::get(format!("{}{path}", self.system.api_url()))
            .await
            .unwrap();
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default();
        let body = response.bytes().await.unwrap();
        (
            status,
            kind,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }
}

/// Awaits a condition, looking again every few milliseconds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A flight message in the article's wire format. `second` is its time, counted from a fixed start.
pub fn flight(device: &str, second: u32, velocity: f64) -> Vec<u8> {
    json!({
        "occurrenceUtcTime": format!("2024-05-01T12:{:02}:{:02}.0000000Z", second / 60, second % 60),
        "deviceId": device,
        "sensorType": "drone-event-sensor;v1",
        "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
        "velocity": velocity.to_string(),
        "acceleration": "2.52",
        "position": "47.476075|-122.192026|120.5",
        "flightStatus": "1",
    })
    .to_string()
    .into_bytes()
}

/// An operating-status message.
pub fn status(device: &str, second: u32, temperature: f64) -> Vec<u8> {
    json!({
        "occurrenceUtcTime": format!("2024-05-01T12:{:02}:{:02}.0000000Z", second / 60, second % 60),
        "deviceId": device,
        "sensorType": "drone-state-sensor;v1",
        "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
        "temperature": temperature.to_string(),
        "batteryStatus": "low",
        "batteryLevel": "0.25",
    })
    .to_string()
    .into_bytes()
}
