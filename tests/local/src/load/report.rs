//! What was measured, as a table and as JSON, and the progress on the way there.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::figures::{FunctionFigures, Spread};
use super::options::LoadOptions;
use super::outage::{OutageFigures, OutageKind};
use super::usage::Cores;
use crate::otlp::Agreement;
use crate::report::{Report, ReportError};
use crate::system::System;

/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The figures of a load; the JSON of `--report`.
///
/// Rates, latencies and CPU are of the time after the ramp-up; calls, writes, blobs and the count are of
/// the whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Events per second that the drones were to send; absent for as many as go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered_per_second: Option<f64>,
    /// Events per second that the hub took.
    pub events_per_second: f64,
    /// How long was measured.
    pub seconds: f64,
    /// Whether the rate was sent and, unless there was an outage, the functions kept up with it.
    pub held: bool,
    /// How many events the slowest function was behind at the end.
    pub lag_at_end: u64,
    /// How long a batch waits for more events, at most, in milliseconds.
    pub batch_wait_millis: u64,
    /// From the moment the hub took an event to the end of the call that applied it, in milliseconds.
    pub event_to_state_millis: Spread,
    /// Successful writes of Cosmos DB for each event.
    pub cosmos_writes_per_event: f64,
    /// Request units of Cosmos DB for each event.
    pub request_units_per_event: f64,
    /// Archive files.
    pub archive_blobs: u64,
    /// Archive files for each event.
    pub archive_blobs_per_event: f64,
    /// CPU time of the handler for each event, over all functions, in microseconds.
    pub handler_cpu_micros_per_event: f64,
    /// Cores in use, on average.
    pub cpu: CpuFigures,
    /// What limits it.
    pub bottleneck: String,
    /// What an outage did, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<OutageFigures>,
    /// Each function that was called.
    pub functions: BTreeMap<String, FunctionFigures>,
    /// The handler's metrics beside what was counted; absent where they went elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Agreement>,
    /// What became of every event.
    pub count: Report,
}

/// Cores in use, on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuFigures {
    /// The handler.
    pub handler: f64,
    /// Azurite.
    pub azurite: f64,
    /// Hub, host, Cosmos DB emulator and drones, which are one process.
    pub hub_host_cosmos_drones: f64,
    /// Other programs; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<f64>,
    /// Cores that there are.
    pub available: f64,
}

/// What a load has shown.
pub(super) struct Measured {
    pub(super) offered: Option<f64>,
    pub(super) per_second: f64,
    pub(super) seconds: f64,
    pub(super) lag: u64,
    pub(super) batch_wait: Duration,
    pub(super) cores: Cores,
    pub(super) handler_cpu: Duration,
    pub(super) events: u64,
    pub(super) held: bool,
    pub(super) outage: Option<OutageFigures>,
    pub(super) functions: BTreeMap<String, FunctionFigures>,
    pub(super) latencies: Histogram<u64>,
    pub(super) blobs: u64,
    pub(super) request_units: f64,
    pub(super) metrics: Option<Agreement>,
    pub(super) count: Report,
}

impl LoadReport {
    pub(super) fn new(measured: Measured) -> Self {
        let cores = measured.cores;
        let sent = measured.count.sent.max(1) as f64;
        Self {
            offered_per_second: measured.offered,
            events_per_second: rounded(measured.per_second, 1),
            seconds: rounded(measured.seconds, 1),
            held: measured.held,
            lag_at_end: measured.lag,
            batch_wait_millis: u64::try_from(measured.batch_wait.as_millis()).unwrap_or(u64::MAX),
            event_to_state_millis: Spread::of(&measured.latencies),
            cosmos_writes_per_event: rounded(measured.count.cosmos_writes as f64 / sent, 3),
            request_units_per_event: rounded(measured.request_units / sent, 2),
            archive_blobs: measured.blobs,
            archive_blobs_per_event: rounded(measured.blobs as f64 / sent, 5),
            handler_cpu_micros_per_event: rounded(
                measured.handler_cpu.as_secs_f64() * 1e6 / measured.events.max(1) as f64,
                1,
            ),
            cpu: CpuFigures {
                handler: rounded(cores.handler, 2),
                azurite: rounded(cores.azurite, 2),
                hub_host_cosmos_drones: rounded(cores.this, 2),
                others: cores.others().map(|cores| rounded(cores, 2)),
                available: cores.available,
            },
            bottleneck: cores.bottleneck(measured.held),
            outage: measured.outage,
            functions: measured.functions,
            metrics: measured.metrics,
            count: measured.count,
        }
    }

    /// Writes the figures as JSON.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        std::fs::write(path, text).map_err(|error| ReportError::Write {
            path: path.display().to_string(),
            error,
        })
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        println!("\n{self}");
    }
}

impl std::fmt::Display for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let offered = match (self.offered_per_second, self.held) {
            (None, _) => "as fast as the functions took them".to_owned(),
            (Some(rate), true) => format!("held {rate:.0}/s"),
            (Some(rate), false) => format!("NOT HELD: {rate:.0}/s were offered"),
        };
        let (cpu, count, state) = (&self.cpu, &self.count, self.event_to_state_millis);
        let others = cpu
            .others
            .map_or_else(String::new, |cores| format!(", other programs {cores:.2}"));
        for (name, value) in [
            (
                "throughput",
                format!(
                    "{:.0} events/s for {:.0} s, {offered}, {} behind at the end",
                    self.events_per_second, self.seconds, self.lag_at_end
                ),
            ),
            (
                "event to state",
                format!(
                    "p50 {} ms, p95 {} ms, p99 {} ms, max {} ms; a batch waits up to {} ms of it",
                    state.p50, state.p95, state.p99, state.max, self.batch_wait_millis
                ),
            ),
            (
                "events",
                format!(
                    "{} sent, {} applied, {} dead-lettered, {} archived ({} repeats)",
                    count.sent,
                    count.applied,
                    count.dead_lettered,
                    count.archived,
                    count.archive_duplicates
                ),
            ),
            (
                "Cosmos DB",
                format!(
                    "{} writes an event, {} RU an event, {} drones",
                    self.cosmos_writes_per_event, self.request_units_per_event, count.drones
                ),
            ),
            (
                "archive",
                format!(
                    "{} files, {} an event",
                    self.archive_blobs, self.archive_blobs_per_event
                ),
            ),
            ("handler", {
                let handler = count.handler;
                format!(
                    "{} us CPU an event, {} MiB at peak, ready after {} ms",
                    self.handler_cpu_micros_per_event,
                    handler.map_or(0.0, |handler| handler.rss_mi_b),
                    handler.map_or(0.0, |handler| handler.ready_millis)
                )
            }),
            (
                "cores in use",
                format!(
                    "handler {:.2}, Azurite {:.2}, hub + host + Cosmos DB + drones {:.2}{others}, of {:.0}",
                    cpu.handler, cpu.azurite, cpu.hub_host_cosmos_drones, cpu.available
                ),
            ),
            ("bottleneck", self.bottleneck.clone()),
            (
                "metrics",
                self.metrics.as_ref().map_or_else(
                    || "not held against what was counted: they did not come here".to_owned(),
                    ToString::to_string,
                ),
            ),
        ] {
            writeln!(f, "  {name:<15} {value}")?;
        }
        writeln!(
            f,
            "\n  {:<22} {:>7} {:>7} {:>9} {:>21} {:>24}",
            "function",
            "calls",
            "failed",
            "ms/call",
            "events/call p50 p99",
            "event to done p50 p99"
        )?;
        for (name, function) in &self.functions {
            let pair = |spread: Option<Spread>| {
                spread.map_or_else(String::new, |it| format!("{} {}", it.p50, it.p99))
            };
            writeln!(
                f,
                "  {name:<22} {:>7} {:>7} {:>9} {:>21} {:>24}",
                function.calls,
                function.failures,
                function.millis_per_call,
                pair(function.events_per_call),
                pair(function.event_to_done_millis)
            )?;
        }
        if let Some(outage) = &self.outage {
            write!(f, "\n{outage}")?;
        }
        for day in &count.insights.days {
            writeln!(f, "\n  insights        {day}")?;
        }
        if let Some(agreement) = &count.insights.agreement {
            writeln!(f, "  {agreement}")?;
        }
        for fault in &count.faults {
            writeln!(f, "  FAULT           {fault}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for OutageFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            OutageKind::Hang => "no answer",
            OutageKind::Reset => "connections ended",
        };
        let drained = match self.drained_after_seconds {
            Some(seconds) => format!("as before {seconds} s later"),
            None => "never as before".to_owned(),
        };
        for (name, value) in [
            (
                "outage",
                format!(
                    "Cosmos DB out of reach for {} s: {kind}; {} calls failed, the handler restarted {} times",
                    self.seconds, self.failed_calls, self.restarts
                ),
            ),
            (
                "its memory",
                format!(
                    "{} MiB before, {} MiB at most until drained: a rise of {} MiB",
                    self.memory_before_mi_b, self.memory_peak_mi_b, self.memory_rise_mi_b
                ),
            ),
            (
                "its backlog",
                format!(
                    "{} events behind at its end, {drained} (at most {} behind)",
                    self.behind_at_end, self.behind_before
                ),
            ),
        ] {
            writeln!(f, "  {name:<15} {value}")?;
        }
        Ok(())
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

/// One line, unless `--quiet`.
pub(super) fn say(options: &LoadOptions, text: &str) {
    if !options.quiet {
        eprintln!("{text}");
    }
}

/// A bar on a terminal, lines elsewhere.
pub(super) struct Progress {
    quiet: bool,
    bar: Option<ProgressBar>,
    ramp_up: Duration,
    last_line: Option<Instant>,
}

impl Progress {
    pub(super) fn new(options: &LoadOptions) -> Self {
        let bar = (!options.quiet && std::io::stderr().is_terminal()).then(|| {
            let seconds = (options.ramp_up + options.duration).as_secs();
            let bar = ProgressBar::new(seconds);
            // The template is a constant; were it wrong, the default style would do.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos:>4}/{len} s  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            quiet: options.quiet,
            bar,
            ramp_up: options.ramp_up,
            last_line: None,
        }
    }

    pub(super) fn show(&mut self, system: &System, elapsed: Duration) {
        let due = self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.quiet || (self.bar.is_none() && !due) {
            return;
        }
        let hub = &system.hub;
        let lag = hub.groups().iter().map(|group| hub.lag(group)).max();
        let text = format!(
            "{}  {} events  {} behind",
            match elapsed < self.ramp_up {
                true => "ramping up",
                false => "measuring",
            },
            hub.appended(),
            lag.unwrap_or_default()
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(elapsed.as_secs());
                bar.set_message(text);
            }
            None => {
                self.last_line = Some(Instant::now());
                eprintln!("{:>4} s  {text}", elapsed.as_secs());
            }
        }
    }

    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
