//! The options of `cargo local load`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use simulator::{FleetOptions, parse_duration, parse_rate};

use super::outage::OutageKind;
use crate::otlp::OtlpOptions;
use crate::up::ServiceOptions;

/// See `cargo local load --help`.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("scenario", |scenario| scenario.default_value("calm")))]
pub struct LoadOptions {
    /// How many drones fly.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub drones: u32,
    /// article: each drone a flight every 5 s and a state every 20 s, 15 messages a minute. A number:
    /// events per second of the whole fleet. max: as fast as the functions take them.
    #[arg(
        long,
        value_name = "article|EVENTS_PER_SECOND|max",
        default_value = "article"
    )]
    pub rate: LoadRate,
    /// How long to measure, after the ramp-up: 30s, 5m, 1h.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Cosmos DB is out of reach for so long, in the middle of the measured time, while the drones go on.
    /// The figures then say what that did to the handler's memory and how long it took to catch up.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub outage: Option<Duration>,
    /// How Cosmos DB is out of reach.
    #[arg(long, value_enum, default_value = "hang", requires = "outage")]
    pub outage_kind: OutageKind,
    /// How long the fleet takes to come up to its size. The article's fleet reports in full after 20 s.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub ramp_up: Duration,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Say nothing before the figures.
    #[arg(long)]
    pub quiet: bool,
    /// Where the drones fly, and what goes wrong.
    #[command(flatten)]
    pub fleet: FleetOptions,
    /// Where telemetry goes. What comes here is held against what was counted.
    #[command(flatten)]
    pub otlp: OtlpOptions,
    /// Partitions of the hub.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
    /// An app setting beside or instead of the usual ones; may be repeated.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = crate::up::setting)]
    pub settings: Vec<(String, String)>,
    /// Run this handler instead of building it.
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
}

/// How fast events come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadRate {
    /// At the drones' own pace.
    Article,
    /// So many events a second.
    PerSecond(f64),
    /// As fast as the functions take them.
    Max,
}

impl FromStr for LoadRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "article" => Ok(Self::Article),
            "max" => Ok(Self::Max),
            number => parse_rate(number)
                .map(Self::PerSecond)
                .map_err(|error| format!("article, max, or {error}")),
        }
    }
}

impl LoadRate {
    /// In events per second; `None` for [`LoadRate::Max`].
    pub(super) fn per_second(self, drones: u32) -> Option<f64> {
        match self {
            // 12 flights and 3 states a minute.
            Self::Article => Some(f64::from(drones) * 15.0 / 60.0),
            Self::PerSecond(rate) => Some(rate),
            Self::Max => None,
        }
    }
}

impl LoadOptions {
    /// What is wrong with the options as a whole.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.outage {
            Some(outage) if outage.is_zero() || outage >= self.duration => {
                Err("--outage must be shorter than --for: what came before it is compared with it")
            }
            _ => Ok(()),
        }
    }

    /// The system to put under load: the one of `cargo local up`, in nobody's way.
    pub(super) fn system(&self) -> ServiceOptions {
        // As in Azure, where an hour is summarised once it is over: otherwise all of it would be, each minute anew.
        let mut settings = vec![("InsightsLive".to_owned(), "false".to_owned())];
        settings.extend(self.settings.iter().cloned());
        ServiceOptions {
            rate: None,
            fleet: self.fleet.clone(),
            partitions: self.partitions,
            http_port: 0,
            hub_port: 0,
            mqtt_port: 0,
            amqp_port: Some(0),
            consumer_groups: Vec::new(),
            any_consumer_group: false,
            cosmos_port: 0,
            azurite_blob_port: 0,
            azurite_queue_port: 0,
            settings,
            binary: self.binary.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use clap::Parser;
    use simulator::Scenario;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadOptions,
    }

    #[test]
    fn without_options_it_is_the_articles_load_and_nothing_goes_wrong() {
        let load = Cli::try_parse_from(["load"]).unwrap().load;
        assert_eq!(load.rate.per_second(load.drones), Some(2_500.0));
        assert_eq!(load.fleet.scenario, Scenario::CALM);
    }

    #[test]
    fn an_outage_leaves_time_before_and_after_it() {
        let parse = |arguments: &[&str]| {
            let all = [&["load", "--for", "130s"], arguments].concat();
            Cli::try_parse_from(all).map(|cli| cli.load)
        };
        let load = parse(&["--outage", "60s", "--outage-kind", "reset"]).unwrap();
        assert_eq!(load.outage_kind, OutageKind::Reset);
        assert_eq!(load.check(), Ok(()));
        assert_eq!(parse(&[]).unwrap().check(), Ok(()));
        assert!(parse(&["--outage", "130s"]).unwrap().check().is_err());
        assert!(parse(&["--outage-kind", "reset"]).is_err(), "of no outage");
    }

    #[test]
    fn a_rate_is_the_articles_a_number_or_as_much_as_goes() {
        for (text, rate) in [
            ("article", LoadRate::Article),
            ("max", LoadRate::Max),
            ("12.5", LoadRate::PerSecond(12.5)),
        ] {
            assert_eq!(text.parse(), Ok(rate));
        }
        for text in ["", "min", "0", "-1", "NaN"] {
            assert!(text.parse::<LoadRate>().is_err(), "{text}");
        }
    }
}
