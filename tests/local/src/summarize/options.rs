//! The options of `cargo local summarize`.

use std::path::PathBuf;

use clap::Args;
use drone_delivery::domain::timestamp::parse_rfc3339;
use drone_delivery::services::insights;
use time::UtcDateTime;

/// See `cargo local summarize --help`.
#[derive(Debug, Clone, Default, Args)]
pub struct SummarizeOptions {
    /// A folder with a copy of the container telemetry-archive. All of it is summarised, or what --from and --to choose.
    #[arg(long, value_name = "FOLDER", requires = "tables")]
    pub archive: Option<PathBuf>,
    /// The folder for the tables: made if it is not there. Tables that are there already are kept, and made anew where
    /// the archive has changed.
    #[arg(long, value_name = "FOLDER", requires = "archive")]
    pub tables: Option<PathBuf>,
    /// The first hour: the one that has this time, as RFC 3339.
    #[arg(long, value_name = "TIME", required_unless_present = "archive", value_parser = time)]
    pub from: Option<UtcDateTime>,
    /// The end: hours that begin before then.
    #[arg(long, value_name = "TIME", required_unless_present = "archive", value_parser = time)]
    pub to: Option<UtcDateTime>,
    /// Only this hub of the archive. Without it all of a folder, EVENT_HUB_NAME in Azure, and the hub of the local system.
    #[arg(long, value_name = "NAME")]
    pub hub: Option<String>,
    /// How many units are made at a time. The CPU time and memory of each can only be told where it is 1.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = at_once)]
    pub at_once: usize,
    /// What time it is, for tests: hours are over, and deliveries lost, as of then.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub now: Option<UtcDateTime>,
}

fn time(text: &str) -> Result<UtcDateTime, String> {
    parse_rfc3339(text).map_err(|_| "a time such as 2024-05-01T12:00:00Z".to_owned())
}

fn at_once(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=insights::AT_ONCE).contains(number))
        .ok_or_else(|| format!("1 to {}", insights::AT_ONCE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        summarize: SummarizeOptions,
    }

    fn parse(arguments: &str) -> Result<SummarizeOptions, clap::Error> {
        let arguments = std::iter::once("summarize").chain(arguments.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| cli.summarize)
    }

    #[test]
    fn what_belongs_together_is_taken() {
        let options = parse("--archive a --tables t").unwrap();
        assert_eq!((options.at_once, options.from), (1, None));
        parse("--archive a --tables t --from 2024-05-01T00:00:00Z --hub h --at-once 2").unwrap();
        let options = parse("--from 2024-05-01T00:00:00Z --to 2024-05-02T02:00:00+02:00").unwrap();
        assert!(options.from < options.to);
    }

    #[test]
    fn what_does_not_is_refused_with_exit_code_2() {
        for wrong in [
            "",
            "--archive a",
            "--tables t",
            "--from 2024-05-01T00:00:00Z",
            "--to 2024-05-01T00:00:00Z",
            "--from 2024-05-01T00:00:00Z --to 2024-05-02T00:00:00Z --tables t",
            "--archive a --tables t --from yesterday",
            "--archive a --tables t --at-once 0",
            "--archive a --tables t --at-once 3",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
