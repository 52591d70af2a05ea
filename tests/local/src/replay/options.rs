//! The options of `cargo local replay`.

use std::path::PathBuf;

use clap::Args;
use drone_delivery::domain::timestamp::parse_rfc3339;
use drone_delivery::domain::{DeviceId, Reason};
use simulator::parse_rate;
use time::UtcDateTime;

/// Events a second, where nobody says otherwise: half of what one throughput unit takes.
const RATE: f64 = 500.0;

/// See `cargo local replay --help`.
#[derive(Debug, Clone, Args)]
pub struct ReplayOptions {
    /// Where the events are.
    #[command(flatten)]
    pub source: Source,
    /// Only events or alerts of this device. Of a dead letter whose device could not be read, the sender's.
    #[arg(long, value_name = "ID")]
    pub device: Option<DeviceId>,
    /// Events or alerts per second at most, so that live ones are not pushed aside.
    #[arg(long, value_name = "EVENTS_PER_SECOND", default_value_t = RATE, value_parser = parse_rate)]
    pub rate: f64,
    /// Show what would be sent and why the rest would not; send nothing and take nothing off.
    #[arg(long, visible_alias = "peek")]
    pub dry_run: bool,

    /// Only dead letters with this reason, such as out-of-range; may be repeated. Those with the reason
    /// device-mismatch are never sent again.
    #[arg(long = "reason", value_name = "REASON", conflicts_with_all = ["archive", "alerts_poison"], value_parser = reason)]
    pub reasons: Vec<Reason>,
    /// Choose this many dead letters or alerts at most.
    #[arg(long, value_name = "N", conflicts_with = "archive", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// A shell command that mends a body: it gets one on its standard input and writes the mended one to its
    /// standard output. Where it fails, takes longer than 20 seconds, or changes the device, the letter stays.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["archive", "alerts_poison"])]
    pub repair: Option<String>,

    /// The first time, as RFC 3339: events that the hub took then or later.
    #[arg(long, value_name = "TIME", required_if_eq("archive", "true"), conflicts_with_all = ["dead_letters", "alerts_poison"], value_parser = time)]
    pub from: Option<UtcDateTime>,
    /// The end: events that the hub took before then. Not in the future, or the replay would read what it sends.
    #[arg(long, value_name = "TIME", required_if_eq("archive", "true"), conflicts_with_all = ["dead_letters", "alerts_poison"], value_parser = past)]
    pub to: Option<UtcDateTime>,
    /// Only this partition of the hub; may be repeated.
    #[arg(
        long = "partition",
        value_name = "NUMBER",
        conflicts_with_all = ["dead_letters", "alerts_poison"]
    )]
    pub partitions: Vec<u16>,
    /// Where it is noted how far the replay of the archive has come. Without it a file in target/replay/, another
    /// one for each choice of events.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dead_letters", "alerts_poison"])]
    pub progress: Option<PathBuf>,
    /// Stop at the first file of the archive that cannot be read, instead of naming it and going on.
    #[arg(long, conflicts_with_all = ["dead_letters", "alerts_poison"])]
    pub strict: bool,
    /// Begin anew, also where the same replay has ended before.
    #[arg(long, conflicts_with_all = ["dead_letters", "alerts_poison"])]
    pub again: bool,
}

/// Exactly one of the three.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// Send what was dead-lettered: what the hub has accepted is taken off the queue.
    #[arg(long)]
    pub dead_letters: bool,
    /// Send what was archived between --from and --to, in the order of each partition.
    #[arg(long)]
    pub archive: bool,
    /// Put alerts back into the queue drone-alerts that the webhook has refused for a day.
    #[arg(long)]
    pub alerts_poison: bool,
}

fn reason(text: &str) -> Result<Reason, String> {
    let replayable = || {
        Reason::ALL
            .into_iter()
            .filter(|it| *it != Reason::DeviceMismatch)
    };
    if text == Reason::DeviceMismatch.as_str() {
        return Err("an event that another device has sent must not be sent again".to_owned());
    }
    replayable().find(|it| it.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = replayable().map(Reason::as_str).collect();
        format!("one of {}", known.join(", "))
    })
}

fn time(text: &str) -> Result<UtcDateTime, String> {
    parse_rfc3339(text).map_err(|_| "a time such as 2024-05-01T12:00:00Z".to_owned())
}

fn past(text: &str) -> Result<UtcDateTime, String> {
    let time = time(text)?;
    match time <= UtcDateTime::now() {
        true => Ok(time),
        false => Err("it lies in the future".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        replay: ReplayOptions,
    }

    fn parse(arguments: &str) -> Result<ReplayOptions, clap::Error> {
        let arguments = std::iter::once("replay").chain(arguments.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| cli.replay)
    }

    #[test]
    fn what_belongs_together_is_taken() {
        let options = parse("--dead-letters --reason out-of-range --reason malformed-json --device d --limit 3 --dry-run").unwrap();
        assert_eq!(options.reasons, [Reason::OutOfRange, Reason::MalformedJson]);
        assert_eq!(options.rate, RATE);
        let options = parse("--alerts-poison --device d --limit 3 --dry-run --rate 5").unwrap();
        assert!(options.source.alerts_poison);
        let options = parse(
            "--archive --from 2024-05-01T00:00:00Z --to 2024-05-02T00:00:00+02:00 --partition 3 --again",
        )
        .unwrap();
        assert_eq!(options.partitions, [3]);
        assert!(options.from < options.to);
    }

    #[test]
    fn what_does_not_is_refused_with_exit_code_2() {
        for wrong in [
            "",
            "--dead-letters --archive",
            "--dead-letters --alerts-poison",
            "--alerts-poison --reason out-of-range",
            "--alerts-poison --repair cat",
            "--alerts-poison --partition 1",
            "--alerts-poison --again",
            "--archive",
            "--archive --from 2024-05-01T00:00:00Z",
            "--archive --from yesterday --to 2024-05-01T00:00:00Z",
            "--archive --from 2024-05-01T00:00:00Z --to 9999-01-01T00:00:00Z",
            "--archive --from 2024-05-01T00:00:00Z --to 2024-05-02T00:00:00Z --repair cat",
            "--dead-letters --from 2024-05-01T00:00:00Z",
            "--dead-letters --reason device-mismatch",
            "--dead-letters --reason bad-luck",
            "--dead-letters --limit 0",
            "--dead-letters --rate 0",
            "--dead-letters --again",
            "--dead-letters --strict",
        ] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
