//! The custom handler that the Functions host starts: settings, stores, serve.

#![forbid(unsafe_code)]

use std::error::Error;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;

use azure_functions_sdk::{HostConfig, observability, telemetry};
use drone_delivery::HOST_JSON;
use drone_delivery::functions::notify_alert::Notifier;
use drone_delivery::functions::{self, AppState, health};
use drone_delivery::http::access::Authentication;
use drone_delivery::services::alerting::Alerting;
use drone_delivery::services::insights::Insights;
use drone_delivery::services::insights::schedule::Schedule;
use drone_delivery::services::latest_state::LatestState;
use drone_delivery::services::watermarks::Watermarks;
use drone_delivery::settings::Settings;
use drone_delivery::stores::blob::BlobService;
use drone_delivery::stores::cosmos::CosmosDatabase;
use drone_delivery::stores::cosmos::alerts::CosmosAlerts;
use drone_delivery::stores::cosmos::drones::CosmosDrones;
use drone_delivery::stores::event_hubs::{EventHubsNamespace, TickSender};
use drone_delivery::stores::fleet::FleetReader;
use drone_delivery::stores::queue::StorageQueue;
use drone_delivery::stores::{AlertStore, BlobStore, DroneStore, FileStore};
use drone_delivery::telemetry::identity;
use drone_delivery::webhook::Webhook;
use tokio::runtime::Handle;
use tracing::{error, info, warn};

/// The static build's: musl's own allocator is slow with threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A runtime of one thread, for what is written to Cosmos DB. Each item of a batch is some hundred small allocations in the SDK,
/// which are given back where they were made then.
fn writing() -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("cosmos-writer".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// The Azure crates log each request at debug and their retries at info.
const LOG_FILTER: &str = "info,azure_core=warn,azure_data_cosmos=warn,azure_data_cosmos_driver=warn,typespec_client_core=warn";

fn main() -> ExitCode {
    observability::init(LOG_FILTER);
    // One processor is for the thread that writes, where there are several: as many threads as processors are done with the
    // same work in less time and memory than one more.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.saturating_sub(1).max(1))
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(start()),
        Err(error) => {
            error!(%error, "the handler cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> ExitCode {
    let telemetry = telemetry::start(
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        identity::tokens,
    );
    let ended = run().await;
    telemetry.shutdown().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "the handler cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let host = HostConfig::parse(HOST_JSON)?.with_overrides(|name| std::env::var(name).ok())?;

    let database = CosmosDatabase::new(&settings.cosmos, &settings.database)
        .map_err(|error| format!("the app setting CosmosDb: {error}"))?;
    let cosmos = Arc::new(CosmosDrones::new(&database));
    let alerts: Arc<dyn AlertStore> = Arc::new(CosmosAlerts::new(&database));
    let blobs = BlobService::connect(&settings.storage)
        .map_err(|error| format!("the app setting FleetStorage: {error}"))?;
    let archive = Arc::new(blobs.container("telemetry-archive")?);
    let insights: Arc<dyn FileStore> = Arc::new(blobs.container("delivery-insights")?);
    let insight_units = Arc::new(Insights::new(
        Arc::clone(&archive) as _,
        Arc::clone(&insights),
        settings.intake,
        settings.live_insights,
    ));
    let insight_schedule = Schedule::new(Arc::clone(&insight_units), settings.hub_name.clone());
    let archive: Arc<dyn BlobStore> = archive;
    let dead_letter_bodies = Arc::new(blobs.container("telemetry-dead-letters")?);
    let snapshots = BlobService::connect(&settings.state)
        .map_err(|error| format!("the storage of the alerts' state: {error}"))?;
    let snapshots = Arc::new(snapshots.container("alert-state")?);
    let drones: Arc<dyn DroneStore> = Arc::clone(&cosmos) as _;
    let fleet: Arc<dyn FleetReader> = Arc::clone(&cosmos) as _;

    let ticks = EventHubsNamespace::connect(&settings.hub)
        .map_err(|error| format!("the app setting TelemetryHub: {error}"))?
        .map(|namespace| Arc::new(namespace) as Arc<dyn TickSender>);
    if ticks.is_none() {
        info!(
            "the emulator of Event Hubs takes no event over HTTPS: a drone that falls silent is missed with the next \
             event of its partition"
        );
    }
    let watermarks = Watermarks::new(settings.hub_name, Arc::clone(&snapshots) as _, ticks);

    // The first connection takes longer than the start may; it is made while the host gets ready.
    let writing = writing()?;
    writing.spawn(async move {
        if let Err(error) = cosmos.connect().await {
            warn!(%error, "Cosmos DB is not within reach yet");
        }
    });

    let notifier = match settings.webhook {
        None => None,
        Some(url) => Some(Arc::new(Notifier {
            webhook: Webhook::new(url, settings.webhook_timeout)?,
            queue: StorageQueue::connect(&settings.storage, "drone-alerts")
                .map_err(|error| format!("the app setting FleetStorage: {error}"))?,
        })),
    };
    let state = AppState {
        notifier,
        drones: Arc::new(LatestState::new(Arc::clone(&drones)).writing_in(writing)),
        fleet,
        batch_wait: host.max_wait_time,
        intake: settings.intake,
        drone_lists: Arc::default(),
        alert_lists: Arc::default(),
        alerting: Arc::new(Alerting::new(
            settings.alerts,
            snapshots,
            Arc::clone(&alerts),
        )),
        watermarks: Arc::new(watermarks),
        alerts,
        insights,
        insight_answers: Arc::default(),
        insight_units,
        insight_schedule: Arc::new(insight_schedule),
        archive: Arc::clone(&archive),
        dead_letter_bodies,
        health: Arc::new(health::Checks::new(drones, archive)),
        map_tiles: settings.map_tiles.map(Arc::new),
        authentication: Authentication(settings.authentication),
    };
    functions::app(state, host).serve().await?;
    Ok(())
}
