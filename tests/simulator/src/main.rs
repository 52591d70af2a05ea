//! `cargo drones`: flies drones and sends what they report.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its terminal"
)]

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use simulator::{
    Destination, DestinationError, EventHub, Fleet, FleetOptions, parse_duration, parse_rate,
};
use time::UtcDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the fleet is asked what it has to report.
const TICK: Duration = Duration::from_millis(10);

/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Flies delivery drones and sends their telemetry to the local system, Event Hubs or IoT Hub.
///
/// Each drone reports its flight every 5 s and its state every 20 s, and carries delivery after delivery.
///
/// Examples:
///   cargo drones                                   to the system of `cargo local up --drones 0`
///   cargo drones --to stdout --drones 3 --for 1m   JSON lines
///   cargo drones --to event-hubs --drones 1000     to Azure; see --to
///
/// Exit code: 0 when everything that was sent has arrived, also after Ctrl-C; 1 when the destination
/// refused an event or could not be reached; 2 for wrong options.
#[derive(Parser)]
#[command(
    name = "cargo drones",
    bin_name = "cargo drones",
    version,
    verbatim_doc_comment
)]
struct Cli {
    /// Where to.
    #[arg(long, value_enum, default_value_t = To::Local)]
    to: To,
    /// The hub of `cargo local up`, for --to local.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7072/telemetry"
    )]
    hub_url: String,
    /// How many drones fly.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    drones: u32,
    /// Events per second of the whole fleet, instead of the drones' own pace.
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Stop after this long: 30s, 5m, 1h. Without it, at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Write what the drones really do into this file, beside what they report: a delivery a line, as JSON, once it
    /// is begun. What of it lies ahead is what will be.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where the drones fly, and what goes wrong.
    #[command(flatten)]
    fleet: FleetOptions,
    /// Say nothing but errors.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// The system of `cargo local up`.
    Local,
    /// Event Hubs over HTTPS. Set EVENT_HUBS_CONNECTION_STRING, and EVENT_HUB_NAME where that has no
    /// EntityPath; or EVENT_HUBS_NAMESPACE (….servicebus.windows.net) and EVENT_HUB_NAME, to sign in as
    /// whoever is signed in to `az` or `azd`.
    EventHubs,
    /// IoT Hub over MQTT with TLS, a connection for each drone. Set IOT_HUB_CONNECTION_STRING to that of a
    /// policy with the permission DeviceConnect, such as `device`; the drones Simulated.drone-00001 and on
    /// must be registered. Or set DPS_ID_SCOPE and DPS_GROUP_KEY, the key of an enrolment group of a Device
    /// Provisioning Service: then each drone registers itself.
    IotHub,
    /// Standard output, a JSON object a line.
    Stdout,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the lines has had enough.
        Err(DestinationError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), DestinationError> {
    let mut destination = destination(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut progress = Progress::new(cli.quiet);
        let end = cli.duration.map(|duration| Instant::now() + duration);
        let mut fleet = Fleet::new(&cli.fleet.plan(cli.drones, cli.rate));
        let mut record = None;
        if let Some(path) = &cli.record {
            record = Some(BufWriter::new(File::create(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?));
            fleet = fleet.recorded();
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        while end.is_none_or(|end| Instant::now() < end) {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut stop => break,
            }
            let events: Vec<_> = fleet.due(UtcDateTime::now()).collect();
            let count = events.len();
            if count > 0 {
                destination.send(events).await?;
            }
            if let Some(record) = &mut record {
                write_record(record, &mut fleet)?;
            }
            progress.sent(count as u64);
        }
        destination.flush().await?;
        progress.finish();
        Ok(())
    })
}

/// Whole lines, so that somebody can read them meanwhile.
fn write_record(record: &mut impl Write, fleet: &mut Fleet) -> io::Result<()> {
    let deliveries = fleet.take_record();
    if deliveries.is_empty() {
        return Ok(());
    }
    for delivery in deliveries {
        serde_json::to_writer(&mut *record, &delivery)?;
        record.write_all(b"\n")?;
    }
    record.flush()
}

fn destination(cli: &Cli) -> Result<Destination, DestinationError> {
    let variable = |name: &'static str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    match cli.to {
        To::Local => Destination::local(&cli.hub_url),
        To::EventHubs => EventHub::from_settings(variable).map(Destination::from),
        To::IotHub => Destination::iot_hub_from_settings(variable),
        To::Stdout => Ok(Destination::lines(Box::new(BufWriter::new(io::stdout())))),
    }
}

/// A bar on a terminal, lines elsewhere, both on standard error.
struct Progress {
    quiet: bool,
    bar: Option<ProgressBar>,
    start: Instant,
    last_line: Instant,
    sent: u64,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::no_length();
            // The template is a constant; were it wrong, the default style would do.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            quiet,
            bar,
            start: Instant::now(),
            last_line: Instant::now(),
            sent: 0,
        }
    }

    fn sent(&mut self, count: u64) {
        self.sent += count;
        match &self.bar {
            Some(bar) if count > 0 => bar.set_message(self.text()),
            None if !self.quiet && self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!("{}", self.text());
            }
            _ => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            eprintln!("{}", self.text());
        }
    }

    fn text(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        format!(
            "{} events sent ({:.0}/s)",
            self.sent,
            self.sent as f64 / seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command that a page, a script or a text of the code prints is one that this program takes.
    #[test]
    fn printed_commands_can_be_typed() {
        Cli::command().debug_assert();
        let mut checked = 0;
        for printed in pages::commands() {
            if printed.words.first().is_some_and(|word| word == "drones") {
                checked += 1;
                let error = Cli::try_parse_from(&printed.words).err();
                assert!(error.is_none(), "{}: {error:?}", printed.place);
            }
        }
        assert!(checked >= 5, "only {checked} commands");
    }
}
