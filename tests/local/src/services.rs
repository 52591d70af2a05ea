//! What the Functions host and the handler need around them: the hub with its doors, Cosmos DB, and what is in storage.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::azurite::StorageAccount;
use crate::cosmos::CosmosEmulator;
use crate::hub::{AmqpListener, Hub, MqttListener, amqp};
use crate::system::{
    ALERT_QUEUE, ALERT_STATE, ARCHIVE, COSMOS_CONTAINERS, DATABASE, DEAD_LETTERS, HUB, INSIGHTS,
    Ports, SystemError, UNITS,
};

/// Everything but the host and the handler. Dropping it ends it.
pub struct Services {
    /// The hub that drones send to.
    pub hub: Hub,
    /// How others reach it.
    pub doors: Doors,
    /// Cosmos DB.
    pub cosmos: CosmosEmulator,
    /// Blobs and queues.
    pub storage: StorageAccount,
}

impl Services {
    /// Starts everything but Azurite, and makes the containers and queues that the handler expects, as the infrastructure does.
    ///
    /// # Errors
    /// Where a part does not start; those that did are ended.
    pub async fn start(
        storage: StorageAccount,
        partitions: u16,
        ports: Ports,
    ) -> Result<Self, SystemError> {
        let cosmos = CosmosEmulator::start(ports.cosmos).await?;
        for (container, partition_key) in COSMOS_CONTAINERS {
            cosmos
                .create_container(DATABASE, container, partition_key)
                .await?;
        }
        for container in [ARCHIVE, DEAD_LETTERS, ALERT_STATE, INSIGHTS] {
            storage.create_container(container).await?;
        }
        // Poison queues are the host's to make.
        for queue in [DEAD_LETTERS, ALERT_QUEUE, UNITS] {
            storage.create_queue(queue).await?;
        }
        let hub = Hub::new(HUB, partitions);
        let doors = Doors::open(&hub, ports).await?;
        Ok(Self {
            hub,
            doors,
            cosmos,
            storage,
        })
    }

    /// The app settings that lead the handler here. `hub` is the connection to the hub.
    #[must_use]
    pub fn settings(&self, hub: &str) -> BTreeMap<String, String> {
        [
            ("FUNCTIONS_WORKER_RUNTIME", "custom"),
            ("TelemetryHub", hub),
            ("TelemetryHubName", HUB),
            ("CosmosDb", &self.cosmos.connection_string()),
            ("CosmosDbDatabase", DATABASE),
            ("FleetStorage", self.storage.connection_string()),
            ("AdvanceWatermarksSchedule", "*/30 * * * * *"),
            ("SummarizeDeliveriesSchedule", "0 * * * * *"),
            ("InsightsLive", "true"),
            // There is no instance metadata service here to wait for.
            ("COSMOS_DISABLE_IMDS", "1"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}

/// A hub's sockets.
pub struct Doors {
    http: SocketAddr,
    server: JoinHandle<()>,
    mqtt: MqttListener,
    amqp: AmqpListener,
}

impl Doors {
    async fn open(hub: &Hub, ports: Ports) -> Result<Self, SystemError> {
        let taken = |port, option| move |_| SystemError::Port { port, option };
        let listener = TcpListener::bind(("127.0.0.1", ports.hub))
            .await
            .map_err(taken(ports.hub, "--hub-port"))?;
        let http = listener.local_addr()?;
        let mqtt =
            MqttListener::start(hub, ports.mqtt).map_err(taken(ports.mqtt, "--mqtt-port"))?;
        let amqp = match ports.amqp {
            Some(port) => AmqpListener::start(hub, port)
                .await
                .map_err(taken(port, "--amqp-port"))?,
            None => match AmqpListener::start(hub, amqp::PORT).await {
                Ok(listener) => listener,
                // A broker's, most likely. Most clients take any port.
                Err(_) => AmqpListener::start(hub, 0).await?,
            },
        };
        let router = hub.router();
        let server = tokio::spawn(async move {
            // Only a broken listener ends this; sends then fail, which nobody can overlook.
            _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            http,
            server,
            mqtt,
            amqp,
        })
    }

    /// Where events are sent over HTTP: `http://127.0.0.1:7072/telemetry/messages`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/{HUB}/messages", self.http)
    }

    /// The send API's own address.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where devices connect: `127.0.0.1:1883`.
    #[must_use]
    pub fn mqtt_address(&self) -> SocketAddr {
        self.mqtt.address()
    }

    /// What clients of Event Hubs connect with.
    #[must_use]
    pub fn amqp(&self) -> &AmqpListener {
        &self.amqp
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.server.abort();
    }
}
