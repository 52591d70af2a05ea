//! `cargo local chaos`: the whole system under faults of every kind, and then held against what was sent.
//!
//! A seed chooses what goes wrong and what drones send, so a trial that fails can be repeated, but for its
//! timing. While events come, the handler and the host are killed, a second host holds the same partitions,
//! batches come again with other boundaries, and Cosmos DB, blobs and queues fail, hang, break connections,
//! lose answers and are slow. At the end every event has to be where it belongs.
//!
//! | module | what it is |
//! |---|---|
//! | `options` | what there is to choose |
//! | `plan` | what goes wrong, and in which order |
//! | `traffic` | what drones send, each event with what has to become of it |
//! | `expected` | what has to be true at the end |
//! | `trial` | sends, disturbs, waits and judges |
//! | `collector`, `regression` | what is watched meanwhile: queues, and each write of a drone's document |
//! | `verdict`, `outcome` | what is not as it has to be; all of it as a table and as JSON |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

mod collector;
mod expected;
mod options;
mod outcome;
mod plan;
mod regression;
mod traffic;
mod trial;
mod verdict;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::azurite::{Azurite, AzuriteOptions, FaultyStorage};
use crate::host::LogSink;
use crate::otlp::Telemetry;
use crate::system::{Ports, System, SystemOptions};
use crate::up;

pub use options::ChaosOptions;
pub use outcome::Outcome;
pub use plan::Outages;
pub use trial::{Length, TrialError, TrialOptions, run as try_system};

const ACCOUNT: &str = "chaos";

/// The app settings of a system that goes through a trial: small batches, so that there are many calls to
/// disturb, and storage by way of the faults.
pub fn settings(storage: &FaultyStorage) -> BTreeMap<String, String> {
    [
        ("FleetStorage", storage.account().connection_string()),
        // Some clocks were never set, and the states have to be right all the same.
        ("EarliestOccurrence", "off"),
        // Drones fall silent often enough in a trial, and time goes on by ticks where all of a partition are.
        ("Alerts__SilenceSeconds", "20"),
        ("AdvanceWatermarksSchedule", "*/5 * * * * *"),
        // The hour under way is summarised again and again, so that there is always a unit to disturb.
        ("SummarizeDeliveriesSchedule", "*/3 * * * * *"),
        ("InsightsLive", "true"),
        (
            "AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize",
            "250",
        ),
        (
            "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
            "100",
        ),
        (
            "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
            "00:00:00.200",
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Where nothing is disturbed but RaiseAlerts, batches are as host.json has them.
fn settings_for(options: &ChaosOptions, storage: &FaultyStorage) -> BTreeMap<String, String> {
    let mut settings = settings(storage);
    if options.alerts_off.is_some() {
        settings.retain(|name, _| !name.contains("eventHubs"));
    }
    settings
}

/// Runs a trial and prints what it has shown.
///
/// # Errors
/// Where something does not start or dies, or where anything is not as it has to be.
pub fn run(options: &ChaosOptions) -> Result<(), Box<dyn Error>> {
    let (source, binary) = up::binary(options.binary.as_deref())?;
    let log = log(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Leaving this future, also by Ctrl-C or a panic, ends every process.
    let outcome = runtime.block_on(async {
        eprintln!("Starting Azurite, Cosmos DB, the hub and the host");
        let azurite = Azurite::start(AzuriteOptions {
            blob_port: 0,
            queue_port: 0,
            accounts: vec![ACCOUNT.to_owned()],
        })
        .await?;
        let direct = azurite
            .account(ACCOUNT)
            .ok_or("Azurite does not know the account that it was given")?;
        let storage = FaultyStorage::before(&direct).await?;
        let mut settings: Vec<_> = settings_for(options, &storage).into_iter().collect();
        let telemetry = options
            .otlp
            .start(Some(0), &mut settings)
            .await?
            .filter(Telemetry::is_here);
        let mut system = System::start(SystemOptions {
            app_root: None,
            source,
            binary,
            settings: settings.into_iter().collect(),
            storage: direct,
            partitions: options.partitions,
            ports: Ports::default(),
            log,
            unlimited_restarts: true,
        })
        .await?;
        let mut progress = Progress::new();
        let trial = try_system(
            &mut system,
            &storage,
            telemetry.as_ref(),
            options.trial(),
            |sent, behind, what| {
                progress.show(sent, behind, what);
            },
        );
        let outcome = tokio::select! {
            outcome = trial => outcome?,
            () = azurite.died() => return Err("Azurite has died; run the command again".into()),
            () = up::stop_requested() => return Err("stopped before the end".into()),
        };
        progress.bar.finish_and_clear();
        Ok::<_, Box<dyn Error>>(outcome)
    })?;
    print!("{outcome}");
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&outcome)? + "\n";
        std::fs::write(path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    match outcome.passed() {
        true => Ok(()),
        false => Err(format!(
            "not everything is as it has to be; the same again: {}",
            options.again()
        )
        .into()),
    }
}

fn log(options: &ChaosOptions) -> Result<LogSink, Box<dyn Error>> {
    let Some(path) = &options.log else {
        return Ok(LogSink::new(|_| {}));
    };
    let file =
        File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let file = Mutex::new(file);
    Ok(LogSink::new(move |line| {
        if let Ok(mut file) = file.lock() {
            // A log that cannot be written is no reason to end a trial.
            _ = writeln!(file, "{line}");
        }
    }))
}

/// A line that changes on a terminal, and now and then a new one elsewhere.
struct Progress {
    bar: ProgressBar,
    began: Instant,
    last_line: Option<Instant>,
}

impl Progress {
    const LINE_EVERY: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self {
            bar: ProgressBar::new_spinner(),
            began: Instant::now(),
            last_line: None,
        }
    }

    fn show(&mut self, sent: u64, behind: u64, what: &str) {
        let seconds = self.began.elapsed().as_secs();
        let text = format!("{seconds:>5} s  {sent} events  {behind} behind  {what}");
        if std::io::stderr().is_terminal() {
            self.bar.set_message(text);
            self.bar.tick();
            return;
        }
        if self
            .last_line
            .is_none_or(|last| last.elapsed() >= Self::LINE_EVERY)
        {
            self.last_line = Some(Instant::now());
            eprintln!("{text}");
        }
    }
}
