//! What the user sees of a summary: a line for each unit, each day, and all of it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::time::{Duration, Instant};

use drone_delivery::domain::insights::figures::FleetDay;
use drone_delivery::services::insights::manifest::Manifest;
use drone_delivery::services::insights::unit::Unit;

use super::Outcome;
use crate::host::usage::{PeakMemory, Usage};
use crate::insights::in_a_line;

/// Files that are named; of more of them they are only counted.
const MOST_NAMED: u64 = 50;

/// On standard output, what went wrong on standard error.
pub struct View {
    silent: bool,
    usage: Usage,
    memory: PeakMemory,
    /// Whether what is used between two looks is one unit's alone.
    one_by_one: bool,
    begun: Instant,
    cpu: Duration,
    peak: u64,
    named: u64,
}

/// From when a unit was begun.
pub(super) struct Begun {
    at: Instant,
    cpu: Duration,
}

impl View {
    /// On the terminal.
    #[must_use]
    pub fn terminal(at_once: usize) -> Self {
        Self::new(false, at_once == 1)
    }

    /// Nowhere.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(true, false)
    }

    fn new(silent: bool, one_by_one: bool) -> Self {
        let pid = std::process::id();
        let usage = Usage::default();
        usage.attach(pid);
        Self {
            silent,
            cpu: usage.sample().cpu,
            usage,
            memory: PeakMemory::from_now_on(pid),
            one_by_one,
            begun: Instant::now(),
            peak: 0,
            named: 0,
        }
    }

    pub(super) fn begin(&self) -> Begun {
        Begun {
            at: Instant::now(),
            cpu: self.usage.sample().cpu,
        }
    }

    pub(super) fn made(&mut self, unit: &Unit, manifest: &Manifest, begun: &Begun) {
        let seconds = begun.at.elapsed().as_secs_f64();
        let cpu = self.usage.sample().cpu.saturating_sub(begun.cpu);
        let peak = self.memory.bytes();
        self.peak = self.peak.max(peak.unwrap_or_default());
        let mut line = format!(
            "{} {}/{}  {} events  {} files  {seconds:.2} s",
            unit.hour, unit.hub, unit.partition, manifest.quality.events, manifest.files
        );
        if self.one_by_one {
            self.memory = PeakMemory::from_now_on(std::process::id());
            line += &per_event(cpu, manifest.quality.events);
            line += &megabytes(peak);
        }
        if !manifest.sealed {
            line += "  under way";
        }
        self.say(&line);
        for skipped in &manifest.skipped {
            self.named += 1;
            if self.named <= MOST_NAMED {
                self.complain(&format!(
                    "  passed over: {}: {}",
                    skipped.name, skipped.reason
                ));
            }
        }
    }

    pub(super) fn failed(&self, unit: &Unit, error: &dyn std::error::Error) {
        let Unit {
            hub,
            partition,
            hour,
        } = unit;
        self.complain(&format!("{hour} {hub}/{partition}  not made: {error}"));
    }

    /// All units that were to be made.
    pub(super) fn units(&mut self, outcome: &Outcome) {
        let cpu = self.usage.sample().cpu.saturating_sub(self.cpu);
        let peak = self.memory.bytes();
        self.peak = self.peak.max(peak.unwrap_or_default());
        let mut line = format!(
            "{} units made  {} unchanged  {} failed  {} events  {:.2} s",
            outcome.made,
            outcome.unchanged,
            outcome.failed,
            outcome.events,
            self.begun.elapsed().as_secs_f64()
        );
        if outcome.compacted > 0 {
            line += &format!("  {} compacted", outcome.compacted);
        }
        line += &per_event(cpu, outcome.events);
        line += &megabytes(Some(self.peak).filter(|_| peak.is_some()));
        self.say(&line);
        if outcome.files_passed_over > 0 {
            self.complain(&format!(
                "{} files could not be read; their hours are not complete, and are made again once they can be",
                outcome.files_passed_over
            ));
        }
    }

    pub(super) fn day(&self, day: &FleetDay) {
        let complete = match day.complete {
            true => "",
            false => "  (not over, or not complete)",
        };
        self.say(&format!(
            "{}  {}{complete}",
            day.date,
            in_a_line(&day.day.figures)
        ));
    }

    pub(super) fn say(&self, line: &str) {
        if !self.silent {
            println!("{line}");
        }
    }

    pub(super) fn complain(&self, line: &str) {
        if !self.silent {
            eprintln!("{line}");
        }
    }
}

fn per_event(cpu: Duration, events: u64) -> String {
    match events {
        0 => String::new(),
        _ => format!(
            "  {:.1} us of CPU an event",
            cpu.as_secs_f64() * 1e6 / events as f64
        ),
    }
}

fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        format!("  {:.1} MiB at most", bytes as f64 / f64::from(1 << 20))
    })
}
