//! The options of `cargo local chaos`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use simulator::{parse_duration, parse_rate};

use super::plan::Outages;
use super::trial::{Length, TrialOptions};
use crate::otlp::OtlpOptions;

/// Outages of a trial by hand: some longer than the handler's patience with one operation, 10 s.
const OUTAGES: Outages = Outages {
    shortest: Duration::from_millis(500),
    longest: Duration::from_secs(4),
    // As often a nuisance as an outage.
    partial: 0.5,
};

/// See `cargo local chaos --help`.
#[derive(Debug, Clone, Args)]
pub struct ChaosOptions {
    /// How many events are sent.
    #[arg(long, value_name = "N", default_value_t = 100_000, conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub events: u64,
    /// Go on for so many minutes instead, however many events that are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub minutes: Option<u64>,
    /// Instead of faults of every kind: switch RaiseAlerts off after a minute, for so long, and on again for another minute, while
    /// events go on at --rate.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["events", "minutes"], value_parser = parse_duration)]
    pub alerts_off: Option<Duration>,
    /// Events per second at most. Without it as fast as the functions follow.
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Chooses what goes wrong, and what drones send. The same seed does the same again, but for its timing.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Where telemetry goes. What comes here is held against what was counted.
    #[command(flatten)]
    pub otlp: OtlpOptions,
    /// Partitions of the hub.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
    /// Write what was found to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep what the host and the handler say in this file.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Run this handler instead of building it.
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
}

impl ChaosOptions {
    /// The same trial again, as a user would ask for it.
    pub(super) fn again(&self) -> String {
        let length = match (self.alerts_off, self.minutes) {
            (Some(off), _) => format!("--alerts-off {}s", off.as_secs()),
            (None, Some(minutes)) => format!("--minutes {minutes}"),
            (None, None) => format!("--events {}", self.events),
        };
        let rate = self
            .rate
            .map_or_else(String::new, |rate| format!(" --rate {rate}"));
        let Self {
            seed, partitions, ..
        } = self;
        format!("cargo local chaos {length}{rate} --seed {seed} --partitions {partitions}")
    }

    pub(super) fn trial(&self) -> TrialOptions {
        TrialOptions {
            seed: self.seed,
            length: match (self.alerts_off, self.minutes) {
                (Some(off), _) => Length::AlertsOff(off),
                (None, Some(minutes)) => Length::Time(Duration::from_secs(minutes * 60)),
                (None, None) => Length::Events(self.events),
            },
            rate: self.rate,
            outages: OUTAGES,
        }
    }
}
