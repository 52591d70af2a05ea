//! The options of `cargo local up`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use simulator::{FleetOptions, parse_duration, parse_rate};

use crate::hub::ConsumerGroups;
use crate::otlp::OtlpOptions;
use crate::system::Ports;

/// See `cargo local up --help`.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// Run the function app in this folder instead, made with azure_functions_sdk: its package is built, and Azurite and a hub
    /// stand in for what it connects to. A folder of some package's `examples` will do.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "drones", "rate", "report", "scenario", "malformed", "city", "radius", "seed", "mqtt_port", "cosmos_port",
        ]
    )]
    pub app: Option<PathBuf>,
    /// How many drones fly; 0 for none, to send events by hand.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub drones: u32,
    /// Stop after this long, count what arrived, and fail if anything is missing: 30s, 5m, 1h.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Write the count to this file as JSON. Needs --for.
    #[arg(long, value_name = "FILE", requires = "duration")]
    pub report: Option<PathBuf>,
    /// Which Functions host runs the handler: the one in here, or the real one of Core Tools, which must be on the PATH as `func`.
    #[arg(long, value_enum, default_value_t)]
    pub host: HostKind,
    /// Open the map and "What happens" in the browser.
    #[arg(long)]
    pub open: bool,
    /// Where telemetry goes.
    #[command(flatten)]
    pub otlp: OtlpOptions,
    /// Port of the page "What happens", which telemetry comes to; 0 for any free one. Without it 4318, or any free one where that is
    /// taken.
    #[arg(long, value_name = "PORT")]
    pub telemetry_port: Option<u16>,
    /// What `cargo local services` has too.
    #[command(flatten)]
    pub services: ServiceOptions,
}

/// A Functions host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HostKind {
    /// Ours: starts in milliseconds, and knows what became of each call.
    #[default]
    Local,
    /// Microsoft's, of Core Tools.
    Func,
}

/// See `cargo local services --help`.
#[derive(Debug, Clone, Args)]
pub struct ServicesOptions {
    /// How many drones fly; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub drones: u32,
    /// What `cargo local up` has too.
    #[command(flatten)]
    pub services: ServiceOptions,
}

/// How the services around the Functions host are started.
#[derive(Debug, Clone, Args)]
pub struct ServiceOptions {
    /// Events per second of the whole fleet. Without it each drone reports its flight every 5 s and its
    /// state every 20 s.
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Where the drones fly, and what goes wrong.
    #[command(flatten)]
    pub fleet: FleetOptions,
    /// Partitions of the hub.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
    /// Port of the HTTP functions; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 7071)]
    pub http_port: u16,
    /// Port of the hub; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 7072)]
    pub hub_port: u16,
    /// Port of the hub's MQTT side, where devices connect as to IoT Hub; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    pub mqtt_port: u16,
    /// Port of the hub's AMQP side, for clients of Event Hubs; 0 for any free one. Without it 5672, or any free one where that is
    /// taken.
    #[arg(long, value_name = "PORT")]
    pub amqp_port: Option<u16>,
    /// A consumer group that clients may read for, besides $Default and the functions' own; may be repeated.
    #[arg(
        long = "consumer-group",
        value_name = "NAME",
        conflicts_with = "any_consumer_group"
    )]
    pub consumer_groups: Vec<String>,
    /// Let clients name any consumer group. Without it, one that is not there is an error, as it is in Azure.
    #[arg(long)]
    pub any_consumer_group: bool,
    /// Port of Cosmos DB; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub cosmos_port: u16,
    /// Port of Azurite's Blob service; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 10000)]
    pub azurite_blob_port: u16,
    /// Port of Azurite's Queue service; 0 for any free one.
    #[arg(long, value_name = "PORT", default_value_t = 10001)]
    pub azurite_queue_port: u16,
    /// An app setting beside or instead of the usual ones; may be repeated.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Run this handler instead of building it.
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
}

impl ServiceOptions {
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            http: self.http_port,
            hub: self.hub_port,
            mqtt: self.mqtt_port,
            amqp: self.amqp_port,
            cosmos: self.cosmos_port,
        }
    }

    /// What so many drones send together.
    #[must_use]
    pub fn events_per_second(&self, drones: u32) -> f64 {
        let usual = f64::from(drones) * (1.0 / 5.0 + 1.0 / 20.0);
        self.rate.filter(|_| drones > 0).unwrap_or(usual)
    }

    /// The consumer groups that clients may name.
    pub(crate) fn consumer_groups(&self) -> ConsumerGroups {
        match self.any_consumer_group {
            true => ConsumerGroups::Any,
            false => ConsumerGroups::Listed(self.consumer_groups.clone()),
        }
    }
}

pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE".to_owned()),
    }
}
