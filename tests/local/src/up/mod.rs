//! `cargo local up`: builds, starts everything, flies drones, shows what happens, and ends it all.

mod alerts;
pub(crate) mod browser;
mod drones;
mod func;
mod options;
mod progress;
mod services;
mod view;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::UtcDateTime;
use tokio::sync::mpsc;

use crate::app;
use crate::azurite::{Azurite, AzuriteOptions, StorageAccount};
use crate::build::{self, BuildError, Profile};
use crate::host::LogSink;
use crate::hub::Retention;
use crate::insights::{self, Latest, in_a_line};
use crate::otlp::Telemetry;
use crate::report::{InsightsReport, Report};
use crate::running::RunningSystem;
use crate::system::{HUB, System, SystemOptions};

pub(crate) use options::setting;
pub use options::{HostKind, ServiceOptions, ServicesOptions, UpOptions};
use progress::Progress;
pub use services::run as run_services;
use view::View;

/// The storage account's name, as everybody expects it of Azurite.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";

/// How much of the newest events is kept for readers over AMQP.
pub(crate) const KEPT_BYTES: usize = 256 * 1024 * 1024;

/// How long the system may take, after the last event, until every function has seen it.
pub(crate) const SETTLE: Duration = Duration::from_secs(120);

/// How often the view is brought up to date: on a terminal, and as plain lines.
const REFRESH: Duration = Duration::from_millis(200);

/// How often the figures of the day are looked at, which are made each minute.
const LOOK_AT_INSIGHTS: Duration = Duration::from_secs(10);

/// Runs until Ctrl-C or the end of `--for`.
///
/// # Errors
/// Where something does not start or dies, or, with `--for`, where an event is not accounted for.
pub fn run(options: &UpOptions) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = &options.app {
        return app::run(folder, options);
    }
    if options.host == HostKind::Func {
        return func::run(options);
    }
    let (source, binary) = binary(options.services.binary.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Everything lives inside this future; leaving it, also by Ctrl-C or a panic, drops and so ends
    // every process.
    runtime.block_on(async {
        let (log, lines) = mpsc::unbounded_channel();
        let log = LogSink::new(move |line| _ = log.send(line));
        view::say("Starting Azurite, Cosmos DB, the hub and the host");
        let mut services = options.services.clone();
        let telemetry = options
            .otlp
            .start(options.telemetry_port, &mut services.settings)
            .await?;
        let (azurite, system) = start(&services, source.clone(), binary, log).await?;
        let _announcement = RunningSystem::of(&system).announce(&source)?;
        let interrupted = tokio::select! {
            outcome = fly(&system, options, telemetry.as_ref(), lines) => outcome.map(|()| false)?,
            () = azurite.died() => return Err("Azurite has died; run the command again".into()),
            () = stop_requested() => true,
        };
        if interrupted {
            view::say("Stopping");
        }
        Ok(())
    })
}

/// The repository, and the handler in it, built unless one is given.
pub(crate) fn binary(given: Option<&Path>) -> Result<(PathBuf, PathBuf), BuildError> {
    let source = build::repository()?;
    let binary = match given {
        Some(binary) => binary.to_owned(),
        None => {
            view::say("Building the handler (seconds: what it is made of is there already)");
            build::handler(&source, Profile::Here)?
        }
    };
    Ok((source, binary))
}

/// Everything but the drones. What is returned first must be dropped last.
pub(crate) async fn start(
    options: &ServiceOptions,
    source: PathBuf,
    binary: PathBuf,
    log: LogSink,
) -> Result<(Azurite, System), Box<dyn Error>> {
    let (azurite, storage) = azurite(options).await?;
    let system = System::start(SystemOptions {
        app_root: Some(source.join("target/app")),
        source,
        binary,
        storage,
        partitions: options.partitions,
        ports: options.ports(),
        settings: options.settings.iter().cloned().collect(),
        log,
        unlimited_restarts: false,
    })
    .await?;
    system.hub.set_consumer_groups(options.consumer_groups());
    Ok((azurite, system))
}

async fn azurite(options: &ServiceOptions) -> Result<(Azurite, StorageAccount), Box<dyn Error>> {
    let azurite = Azurite::start(AzuriteOptions {
        blob_port: options.azurite_blob_port,
        queue_port: options.azurite_queue_port,
        accounts: vec![ACCOUNT.to_owned()],
    })
    .await?;
    let storage = azurite
        .account(ACCOUNT)
        .ok_or("Azurite does not know the account that it was given")?;
    Ok((azurite, storage))
}

async fn fly(
    system: &System,
    options: &UpOptions,
    telemetry: Option<&Telemetry>,
    lines: mpsc::UnboundedReceiver<String>,
) -> Result<(), Box<dyn Error>> {
    let counted = options.duration.is_some();
    if counted {
        // The report compares what was sent with what arrived.
        system.hub.set_retention(Retention::Everything);
    } else {
        system
            .hub
            .set_retention(Retention::Newest { bytes: KEPT_BYTES });
    }
    if let Some(telemetry) = telemetry {
        telemetry.link_to("Map", format!("{}/map", system.api_url()));
        telemetry.link_to("Insights", format!("{}/fleet/insights", system.api_url()));
    }
    view::addresses(system, telemetry, options.drones);
    if options.open {
        browser::open(&format!("{}/map", system.api_url()));
        if let Some(telemetry) = telemetry {
            browser::open(&telemetry.url());
        }
    }
    let progress = Progress::new();
    let following = progress.follow(system.host.events(), system);
    let mut view = View::new(lines);
    let started = Instant::now();
    let began = UtcDateTime::now();
    let tables = insights::tables_of(&system.storage)?;
    let mut latest = Latest::default();
    let mut insights_due = Instant::now() + LOOK_AT_INSIGHTS;
    let flight = drones::fly(
        system.hub.clone(),
        options.drones,
        options.duration,
        &options.services,
    );
    tokio::pin!(flight, following);

    let mut refresh = tokio::time::interval(REFRESH);
    let (mut flying, mut flown) = (true, None);
    loop {
        tokio::select! {
            record = &mut flight, if flying => {
                flying = false;
                flown = record;
            }
            never = &mut following => match never {},
            _ = refresh.tick() => {
                view.tell(&progress.take_alert_news());
                view.show(&progress.snapshot(system, started.elapsed()));
                if insights_due <= Instant::now() {
                    insights_due = Instant::now() + LOOK_AT_INSIGHTS;
                    // What cannot be read now is shown the next time.
                    if let Ok(Some(day)) = latest.news(&tables).await {
                        view.tell(&[format!("[insights] {}", in_a_line(&day.day.figures))]);
                    }
                }
            }
        }
        if !flying && counted {
            break;
        }
    }

    let settled = async {
        system
            .host
            .settled(SETTLE)
            .await
            .map_err(|error| format!("the functions did not catch up with the hub: {error}"))
    };
    tokio::pin!(settled);
    loop {
        tokio::select! {
            outcome = &mut settled => {
                outcome?;
                break;
            }
            never = &mut following => match never {},
            _ = refresh.tick() => {
                view.tell(&progress.take_alert_news());
                view.show(&progress.snapshot(system, started.elapsed()));
            }
        }
    }
    view.tell(&progress.take_alert_news());
    view.show(&progress.snapshot(system, started.elapsed()));
    view.finish();
    view::say("Counting what is in Azurite and Cosmos DB");
    let mut report = Report::of(system, &progress.latencies()).await?;
    view::say("Summarising what the fleet did");
    insights::finish(system, began, SETTLE).await?;
    report.insights = InsightsReport::of(&tables, began, flown.as_slice()).await?;
    report.count_insights();
    view::report(&report);
    if let Some(path) = &options.report {
        report.write(path)?;
    }
    match report.faults.is_empty() {
        true => Ok(()),
        false => Err(format!("not every event of {HUB} is accounted for").into()),
    }
}

/// Ctrl-C, or a polite kill.
pub(crate) async fn stop_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    _ = tokio::signal::ctrl_c().await;
}
