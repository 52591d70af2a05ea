//! The parts put together: storage, Cosmos DB, hub and host around one handler, ready for events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::azurite::StorageAccount;
use crate::cosmos::CosmosEmulator;
use crate::host::{Host, HostError, HostOptions, Ledger, LogSink};
use crate::hub::Hub;
use crate::services::{Doors, Services};
use crate::stage::{StageError, StageOptions, stage};

/// The database and the containers that the handler expects to exist, as the infrastructure makes them.
pub const DATABASE: &str = "drone-delivery";
/// The Cosmos DB container of latest states.
pub const DRONES: &str = "drones";
/// The Cosmos DB container of alert episodes.
pub const ALERTS: &str = "alerts";
/// Each container of the database, with the path of its partition key.
pub const COSMOS_CONTAINERS: [(&str, &str); 2] = [(DRONES, "/bucket"), (ALERTS, "/deviceId")];
/// The queue of alert transitions.
pub const ALERT_QUEUE: &str = "drone-alerts";

/// Where the host puts those that nobody has taken.
pub const ALERT_POISON: &str = "drone-alerts-poison";
/// The Blob container with what the alert rules know of each partition.
pub const ALERT_STATE: &str = "alert-state";
/// The Blob container of what the fleet did, by hours and days.
pub const INSIGHTS: &str = "delivery-insights";
/// The queue of units that are to be made into tables.
pub const UNITS: &str = "insight-units";
/// The Blob container of the raw archive.
pub const ARCHIVE: &str = "telemetry-archive";
/// The Blob container for bodies too large for a queue message, and the queue that points at them.
pub const DEAD_LETTERS: &str = "telemetry-dead-letters";

/// The hub's name: `POST http://…/telemetry/messages`.
pub const HUB: &str = "telemetry";

/// How a [`System`] is put together.
pub struct SystemOptions {
    /// The handler's executable.
    pub binary: PathBuf,
    /// The repository, with `host.json` and the functions' folders.
    pub source: PathBuf,
    /// Where the app is staged; `None` for a temporary folder.
    pub app_root: Option<PathBuf>,
    /// Where blobs and queues are.
    pub storage: StorageAccount,
    /// How many partitions the hub has.
    pub partitions: u16,
    /// Ports of the HTTP functions, the hub, its MQTT side and Cosmos DB; 0 for any free one.
    pub ports: Ports,
    /// App settings beside or instead of the usual ones.
    pub settings: BTreeMap<String, String>,
    /// Takes what the host and the handler log.
    pub log: LogSink,
    /// Whether the handler may crash as often as a test wants, without the host giving up.
    pub unlimited_restarts: bool,
}

/// Ports on 127.0.0.1; 0 for any free one.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The HTTP functions.
    pub http: u16,
    /// The hub.
    pub hub: u16,
    /// The hub's MQTT side.
    pub mqtt: u16,
    /// The hub's AMQP side; `None` for the usual one, or any free one where that is taken.
    pub amqp: Option<u16>,
    /// Cosmos DB.
    pub cosmos: u16,
}

/// Any free ones, in nobody's way.
impl Default for Ports {
    fn default() -> Self {
        Self {
            http: 0,
            hub: 0,
            mqtt: 0,
            amqp: Some(0),
            cosmos: 0,
        }
    }
}

/// The whole system, running. Dropping it ends it.
pub struct System {
    /// The hub that drones send to.
    pub hub: Hub,
    /// The host, and through it the handler.
    pub host: Host,
    /// Cosmos DB.
    pub cosmos: CosmosEmulator,
    /// Blobs and queues.
    pub storage: StorageAccount,
    /// How others reach the hub.
    pub doors: Doors,
    host_options: HostOptions,
    _staging: Option<TempDir>,
}

/// The system did not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The app could not be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The host or the handler did not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The Cosmos DB emulator did not start.
    #[error(transparent)]
    Cosmos(#[from] crate::cosmos::CosmosError),
    /// Azurite refused to make a container or a queue.
    #[error(transparent)]
    Storage(#[from] crate::azurite::StorageError),
    /// A port is taken.
    #[error("port {port} is in use: stop what uses it, or pass {option} PORT")]
    Port {
        /// Which port.
        port: u16,
        /// The option that chooses another.
        option: &'static str,
    },
    /// Anything of the file system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl System {
    /// Stages the app, makes the containers, and starts everything but Azurite.
    ///
    /// # Errors
    /// Where a part does not start; those that did are ended.
    pub async fn start(options: SystemOptions) -> Result<Self, SystemError> {
        let (staging, app_root) = match options.app_root {
            Some(root) => (None, root),
            None => {
                let folder = tempfile::tempdir()?;
                let root = folder.path().join("app");
                (Some(folder), root)
            }
        };
        let staged = stage(&StageOptions {
            binary: options.binary,
            source: options.source,
            out: app_root,
            local_settings: false,
        })?;

        let services = Services::start(options.storage, options.partitions, options.ports).await?;
        let hub = format!(
            "Endpoint=http://{};UseDevelopmentEmulator=true",
            services.doors.http_address()
        );
        let mut settings = services.settings(&hub);
        settings.extend(options.settings);
        if !settings.contains_key("AlertWebhookUrl") {
            settings
                .entry("AzureWebJobs.NotifyAlert.Disabled".to_owned())
                .or_insert_with(|| "true".to_owned());
        }

        let host_options = HostOptions {
            app_root: staged.root,
            settings,
            http_port: options.ports.http,
            hub: services.hub.clone(),
            log: options.log,
            ledger: Arc::default(),
            unlimited_restarts: options.unlimited_restarts,
        };
        let host = Host::start(host_options.clone()).await?;
        let Services {
            hub,
            doors,
            cosmos,
            storage,
        } = services;
        Ok(Self {
            hub,
            host,
            cosmos,
            storage,
            doors,
            host_options,
            _staging: staging,
        })
    }

    /// Ends the host and its handler in the middle of whatever they do, as `kill -9` would, and starts
    /// others in their place.
    ///
    /// # Errors
    /// Where the new ones do not start; there is no host then.
    pub async fn replace_host(&mut self) -> Result<(), HostError> {
        self.host.end().await;
        self.host = Host::start(self.host_options.clone()).await?;
        Ok(())
    }

    /// The app settings.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.host_options.settings
    }

    /// The events in calls of all hosts that there have been.
    pub fn ledger(&self) -> &Ledger {
        &self.host_options.ledger
    }

    /// [Replaces](Self::replace_host) the host by one in which a function is switched off.
    ///
    /// # Errors
    /// Where the new one does not start; there is no host then.
    pub async fn switch_off(&mut self, function: &str) -> Result<(), HostError> {
        self.switch(&[(function, false)]).await
    }

    /// [Replaces](Self::replace_host) the host by one in which a function is switched on again.
    ///
    /// # Errors
    /// Where the new one does not start; there is no host then.
    pub async fn switch_on(&mut self, function: &str) -> Result<(), HostError> {
        self.switch(&[(function, true)]).await
    }

    /// The same of several functions, each with whether it is to be on.
    ///
    /// # Errors
    /// Where the new one does not start; there is no host then.
    pub async fn switch(&mut self, functions: &[(&str, bool)]) -> Result<(), HostError> {
        let settings = &mut self.host_options.settings;
        for (function, on) in functions {
            let setting = format!("AzureWebJobs.{function}.Disabled");
            match on {
                true => _ = settings.remove(&setting),
                false => _ = settings.insert(setting, "true".to_owned()),
            }
        }
        self.replace_host().await
    }

    /// Another host with a handler of its own, which reads the same partitions for the same consumer groups:
    /// what there is for a while where a lease was lost and its holder does not know yet.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn second_host(&self) -> Result<Host, HostError> {
        Host::start(HostOptions {
            http_port: 0,
            ..self.host_options.clone()
        })
        .await
    }

    /// Where events are sent: `http://127.0.0.1:7072/telemetry/messages`.
    pub fn hub_url(&self) -> String {
        self.doors.url()
    }

    /// Where devices connect: `127.0.0.1:1883`.
    pub fn mqtt_address(&self) -> SocketAddr {
        self.doors.mqtt_address()
    }

    /// Where the HTTP functions are: `http://127.0.0.1:7071/api`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.host.http_address())
    }
}
