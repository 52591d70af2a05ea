//! `cargo local load`: the system of `cargo local up` under load, measured.
//!
//! | module | what it is |
//! |---|---|
//! | `options` | what there is to choose |
//! | `drones` | the fleet: it grows, then keeps its pace |
//! | `figures` | batches and latencies of each function |
//! | `outage` | Cosmos DB out of reach in the middle of it |
//! | `usage` | CPU of each process, and which part is the limit |
//! | `report` | all of it, as a table and as JSON |

mod drones;
mod figures;
mod options;
mod outage;
mod report;
mod usage;

use std::error::Error;
use std::time::Duration;

use time::UtcDateTime;
use tokio::time::{Instant, interval};

use crate::azurite::Azurite;
use crate::host::LogSink;
use crate::hub::Retention;
use crate::insights;
use crate::otlp::{self, Telemetry};
use crate::report::{InsightsReport, Report};
use crate::system::{ARCHIVE, System};
use crate::up;
use figures::Calls;
use outage::Outage;
use report::{Progress, say};
use usage::Processes;

pub use figures::{FunctionFigures, Spread};
pub use options::{LoadOptions, LoadRate};
pub use outage::{OutageFigures, OutageKind};
pub use report::{CpuFigures, LoadReport};

/// The function whose calls bring events into the drones' state.
const STATE: &str = "UpdateDroneState";

/// How often the progress is brought up to date, and the moments are looked for.
const REFRESH: Duration = Duration::from_millis(100);

/// A rate is held where at least this part of it was sent.
const HELD: f64 = 0.99;

/// A consumer group that is further behind than the batch wait and this has not kept up.
const SLACK: Duration = Duration::from_secs(2);

/// Runs the load, prints the figures, and writes them if asked.
///
/// # Errors
/// Where something does not start or dies, the rate was not held, an event is not accounted for, or an
/// outage cost the handler its life.
pub fn run(options: &LoadOptions) -> Result<(), Box<dyn Error>> {
    options.check()?;
    let system_options = options.system();
    let (source, binary) = up::binary(system_options.binary.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        say(options, "Starting Azurite, Cosmos DB, the hub and the host");
        let log = LogSink::new(|_| {});
        let mut system_options = system_options;
        let telemetry = options
            .otlp
            .start(Some(0), &mut system_options.settings)
            .await?
            .filter(Telemetry::is_here);
        let (azurite, system) = up::start(&system_options, source, binary, log).await?;
        let report = tokio::select! {
            report = measure(&system, &azurite, telemetry.as_ref(), options) => report?,
            () = azurite.died() => return Err("Azurite has died; run the command again".into()),
            () = up::stop_requested() => return Err("stopped before the end".into()),
        };
        report.print();
        if let Some(path) = &options.report {
            report.write(path)?;
        }
        if !report.count.faults.is_empty() {
            return Err("what was counted does not add up".into());
        }
        if report.outage.as_ref().is_some_and(|it| it.restarts > 0) {
            return Err("the handler was started again".into());
        }
        match report.held {
            true => Ok(()),
            false => Err("the rate was not held".into()),
        }
    })
}

async fn measure(
    system: &System,
    azurite: &Azurite,
    telemetry: Option<&Telemetry>,
    options: &LoadOptions,
) -> Result<LoadReport, Box<dyn Error>> {
    // The count at the end compares what was sent with what arrived.
    system.hub.set_retention(Retention::Everything);
    let handler = system.host.handler().pid.ok_or("the handler has ended")?;
    let processes = Processes::of(handler, azurite.pid());
    let calls = Calls::default();
    let following = calls.follow(system.host.events());
    let (start, since) = (Instant::now(), UtcDateTime::now());
    let ramped = start + options.ramp_up;
    let end = ramped + options.duration;
    let mut outage = options
        .outage
        .map(|lasts| Outage::new(options.outage_kind, lasts, ramped, options.duration));
    let flight = drones::fly(&system.hub, options, start, end);
    tokio::pin!(following, flight);

    let mut progress = Progress::new(options);
    let mut refresh = interval(REFRESH);
    let mut before = None;
    let flown = loop {
        tokio::select! {
            flown = &mut flight => break flown,
            never = &mut following => match never {},
            _ = refresh.tick() => {
                progress.show(system, start.elapsed());
                if let Some(outage) = &mut outage {
                    outage.look(system);
                }
            }
        }
        if before.is_none() && Instant::now() >= ramped {
            calls.begin(UtcDateTime::now());
            before = Some((processes.now(), Instant::now(), system.hub.appended()));
        }
    };
    let after = processes.now();
    let (before, began, sent_before) = before.ok_or("the fleet flew too short")?;
    let seconds = began.elapsed().as_secs_f64();
    let events = system.hub.appended() - sent_before;
    let groups = system.hub.groups();
    let lag = groups.iter().map(|group| system.hub.lag(group)).max();
    let lag = lag.unwrap_or_default();

    progress.say("Waiting for the functions to catch up");
    {
        let settled = system.host.settled(up::SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                outcome = &mut settled => {
                    outcome.map_err(|error| format!("the functions did not catch up: {error}"))?;
                    break;
                }
                never = &mut following => match never {},
                _ = refresh.tick() => {
                    if let Some(outage) = &mut outage {
                        outage.look(system);
                    }
                }
            }
        }
    }
    if let Some(outage) = &mut outage {
        outage.look(system);
    }
    progress.say("Counting what is in Azurite and Cosmos DB");
    let latencies = calls.latencies(STATE);
    let blobs = system.storage.blob_names(ARCHIVE, "").await?.len() as u64;
    let request_units = system.cosmos.request_units();
    // Before the count takes CPU of its own.
    let functions = calls.all(&system.host.stats());
    let (mut count, metrics) = match telemetry {
        Some(telemetry) => {
            let (count, agreement) = otlp::count(telemetry, system, &latencies).await?;
            (count, Some(agreement))
        }
        None => (Report::of(system, &latencies).await?, None),
    };
    if let Some(agreement) = &metrics {
        count.faults.extend_from_slice(&agreement.differences);
    }
    progress.say("Summarising what the fleet did");
    insights::finish(system, since, up::SETTLE).await?;
    let tables = insights::tables_of(&system.storage)?;
    count.insights = InsightsReport::of(&tables, since, &flown).await?;
    count.count_insights();
    progress.finish();

    let per_second = events as f64 / seconds;
    let offered = options.rate.per_second(options.drones);
    let wait = system.host.batch_wait();
    let held = offered.is_none_or(|offered| {
        let allowed = offered * (wait + SLACK).as_secs_f64();
        // After an outage they may still be catching up.
        per_second >= offered * HELD && (outage.is_some() || lag as f64 <= allowed)
    });
    Ok(LoadReport::new(report::Measured {
        offered,
        per_second,
        seconds,
        lag,
        batch_wait: wait,
        cores: after.since(&before),
        handler_cpu: after.handler_since(&before),
        events,
        held,
        outage: outage.as_ref().and_then(Outage::figures),
        functions,
        latencies,
        blobs,
        request_units,
        metrics,
        count,
    }))
}
