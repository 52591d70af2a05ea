//! `cargo local up --app DIR`: builds an app, starts what it needs, and shows what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::folder::AppFolder;
use super::settings::{Services, expanded, settings};
use super::view::View;
use crate::azurite::{Azurite, AzuriteOptions, StorageAccount};
use crate::build::{self, Profile};
use crate::host::{Host, HostOptions, LogSink};
use crate::hub::Hub;
use crate::stage::stage_app;
use crate::up::{ACCOUNT, SETTLE, UpOptions, browser, stop_requested};

/// Of a hub that nobody reads.
const NO_HUB: &str = "none";

/// How an app is run. Ports are on 127.0.0.1; 0 for any free one.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Of the HTTP functions.
    pub http_port: u16,
    /// Of the hub.
    pub hub_port: u16,
    /// Partitions of the hub.
    pub partitions: u16,
    /// App settings over those that the app has.
    pub settings: Vec<(String, String)>,
}

/// An app that runs. Dropping it ends it.
pub struct RunningApp {
    /// The host, and through it the handler.
    pub host: Host,
    /// The hub that the app reads, and where it takes events.
    pub hub: Option<(Hub, SocketAddr)>,
    hub_server: Option<JoinHandle<()>>,
    _staging: TempDir,
}

/// Runs the app in `folder` until Ctrl-C or the end of `--for`.
///
/// # Errors
/// Where the app is wrong or does not compile, or something does not start or dies; with `--for`, where the app did not catch up.
pub fn run(folder: &Path, options: &UpOptions) -> Result<(), Box<dyn Error>> {
    let app = AppFolder::read(folder)?;
    let binary = match &options.services.binary {
        Some(binary) => binary.clone(),
        None => {
            super::view::say("Building the app");
            build::app(&app.root, &app.executable, Profile::Here)?
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Leaving this future, also by Ctrl-C or a panic, drops and so ends every process.
    runtime.block_on(async {
        let (log, lines) = mpsc::unbounded_channel();
        let log = LogSink::new(move |line| _ = log.send(line));
        let azurite = Azurite::start(AzuriteOptions {
            blob_port: options.services.azurite_blob_port,
            queue_port: options.services.azurite_queue_port,
            accounts: vec![ACCOUNT.to_owned()],
        })
        .await?;
        let storage = azurite
            .account(ACCOUNT)
            .ok_or("Azurite does not know the account that it was given")?;
        // Where the app itself says where its telemetry goes, that counts.
        let own = app.settings.clone().into_iter();
        let mut settings: Vec<_> = own.filter(|(name, _)| name.starts_with("OTEL_")).collect();
        settings.retain(|(name, _)| !options.services.settings.iter().any(|(it, _)| it == name));
        settings.extend(options.services.settings.iter().cloned());
        let telemetry = options
            .otlp
            .start(options.telemetry_port, &mut settings)
            .await?;
        let app_options = AppOptions {
            http_port: options.services.http_port,
            hub_port: options.services.hub_port,
            partitions: options.services.partitions,
            settings,
        };
        let running = RunningApp::start(&app, &binary, &storage, &app_options, log).await?;
        let mut view = View::new(&app, &running, telemetry.as_ref(), lines);
        if options.open
            && let Some(telemetry) = &telemetry
        {
            browser::open(&telemetry.url());
        }
        tokio::select! {
            never = view.follow() => match never {},
            () = azurite.died() => return Err("Azurite has died; run the command again".into()),
            () = stop_requested() => super::view::say("Stopping"),
            ended = until_caught_up(options, &running) => ended?,
        }
        view.finish(&running);
        Ok(())
    })
}

/// Ends after `--for`, and once nothing is left to do then; without it, never.
async fn until_caught_up(options: &UpOptions, running: &RunningApp) -> Result<(), Box<dyn Error>> {
    match options.duration {
        None => std::future::pending().await,
        Some(duration) => tokio::time::sleep(duration).await,
    }
    let settled = running.host.settled(SETTLE).await;
    settled.map_err(|error| format!("the functions did not catch up: {error}").into())
}

impl RunningApp {
    /// Starts the hub where the app reads one, makes its queues, and starts the host with its handler.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn start(
        app: &AppFolder,
        binary: &Path,
        storage: &StorageAccount,
        options: &AppOptions,
        log: LogSink,
    ) -> Result<Self, Box<dyn Error>> {
        let staging = tempfile::tempdir()?;
        let staged = stage_app(app, binary, &staging.path().join("app"), false)?;

        let listener = TcpListener::bind(("127.0.0.1", options.hub_port))
            .await
            .map_err(|_| {
                let port = options.hub_port;
                format!("port {port} is in use: stop what uses it, or pass --hub-port PORT")
            })?;
        let address = listener.local_addr()?;
        let services = Services {
            storage: storage.connection_string(),
            hub: &format!("Endpoint=http://{address};UseDevelopmentEmulator=true"),
        };
        let settings = settings(app, &services, &options.settings);
        for queue in names(app, "queueTrigger", "queueName", &settings) {
            storage.create_queue(&queue).await?;
        }
        let hubs = names(app, "eventHubTrigger", "eventHubName", &settings);
        if hubs.len() > 1 {
            let names = hubs.into_iter().collect::<Vec<_>>().join(", ");
            return Err(format!("the functions read the hubs {names}, and here is one hub only: switch functions off, as by --setting AzureWebJobs.NAME.Disabled=true").into());
        }
        let (hub, hub_server) = match hubs.first() {
            None => (Hub::new(NO_HUB, 1), None),
            Some(name) => {
                let hub = Hub::new(name, options.partitions);
                let router = hub.router();
                let server = tokio::spawn(async move {
                    // Only a broken listener ends this; sends then fail, which nobody can overlook.
                    _ = axum::serve(listener, router).await;
                });
                (hub, Some(server))
            }
        };
        let host = Host::start(HostOptions {
            app_root: staged.root,
            settings,
            http_port: options.http_port,
            hub: hub.clone(),
            log,
            ledger: Arc::default(),
            unlimited_restarts: false,
        })
        .await?;
        Ok(Self {
            host,
            hub: hub_server.is_some().then_some((hub, address)),
            hub_server,
            _staging: staging,
        })
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        if let Some(server) = &self.hub_server {
            server.abort();
        }
    }
}

/// What the functions with a trigger of a kind say of one property, each once. Those that are switched off are left out.
fn names(
    app: &AppFolder,
    kind: &str,
    property: &str,
    settings: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    let is_off = |name: &str| {
        let setting = format!("AzureWebJobs.{name}.Disabled");
        settings
            .get(&setting)
            .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    };
    app.functions
        .iter()
        .filter(|function| function.config.trigger.is(kind))
        .filter(|function| !function.config.disabled && !is_off(function.name()))
        .filter_map(|function| expanded(function.config.trigger.get(property)?, settings))
        .collect()
}
