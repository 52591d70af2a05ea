//! The options that every program with drones has in common.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::{Area, Cadence, Plan, Point, Scenario};

/// Where drones fly, and what goes wrong.
#[derive(Debug, Clone, Args)]
pub struct FleetOptions {
    /// What goes wrong: calm, overheating, battery, lost, geofence, mixed, or a TOML file with shares.
    ///
    /// calm: nothing. overheating: engines that run hot. battery: batteries that are nearly empty at the
    /// end. lost: drones that fall silent in flight. geofence: drop-offs outside of the area. mixed: a
    /// little of everything, with malformed, repeated, late, overtaken and spoofed events besides.
    ///
    /// A file has one share between 0 and 1 a line, such as `overheating = 0.05`: overheating,
    /// weak-battery, lost, stray (of all deliveries), malformed, duplicated, late, reordered, spoofed (of
    /// all events). What it does not name does not happen.
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "mixed", value_parser = scenario)]
    pub scenario: Scenario,
    /// One event in this many is malformed and ends as a dead letter; 0 for none. Without it as often as
    /// the scenario says: in mixed 1 in 200.
    #[arg(long, value_name = "ONE_IN")]
    pub malformed: Option<u32>,
    /// The middle of the city that the drones serve, in degrees.
    #[arg(
        long,
        value_name = "LAT,LON",
        default_value = "47.476075,-122.192026",
        allow_hyphen_values = true
    )]
    pub city: Point,
    /// How far stations, pick-ups and drop-offs are from the middle, at most.
    #[arg(long, value_name = "KM", default_value_t = 10.0, value_parser = radius)]
    pub radius: f64,
    /// Makes the drones' flights repeatable.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

impl FleetOptions {
    /// The plan for so many drones; `rate` in events per second of the whole fleet, `None` for the
    /// article's cadence.
    #[must_use]
    pub fn plan(&self, drones: u32, rate: Option<f64>) -> Plan {
        Plan {
            drones,
            first: 0,
            seed: self.seed,
            area: Area {
                center: self.city,
                radius: self.radius * 1_000.0,
            },
            scenario: match self.malformed {
                Some(one_in) => self.scenario.with_malformed(one_in),
                None => self.scenario,
            },
            cadence: rate.map_or(Cadence::Article, Cadence::PerSecond),
        }
    }
}

/// A number of events per second: above 0, at most 1,000,000.
///
/// # Errors
/// Where it is none; the text says what is.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1_000_000.0 => Ok(rate),
        _ => Err("a number of events per second, above 0 and at most 1000000".to_owned()),
    }
}

/// `30s`, `5m`, `1h`, or a number of seconds; not 0.
///
/// # Errors
/// Where it is none; the text says what is.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|letter: char| letter.is_ascii_alphabetic())
            .unwrap_or(text.len()),
    );
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(count) if count > 0 && seconds > 0 => count
            .checked_mul(seconds)
            .map(Duration::from_secs)
            .ok_or_else(|| "too long".to_owned()),
        _ => Err("a duration such as 30s, 5m or 1h".to_owned()),
    }
}

fn scenario(text: &str) -> Result<Scenario, String> {
    if let Some(scenario) = Scenario::named(text) {
        return Ok(scenario);
    }
    let names = Scenario::NAMES.join(", ");
    if Path::new(text).extension().is_none_or(|it| it != "toml") {
        return Err(format!(
            "one of {names}, or a file whose name ends in .toml"
        ));
    }
    let file = std::fs::read_to_string(text).map_err(|error| format!("cannot read it: {error}"))?;
    Scenario::parse(&file).map_err(|error| error.to_string())
}

fn radius(text: &str) -> Result<f64, String> {
    let largest = Area::LARGEST / 1_000.0;
    match text.parse::<f64>() {
        Ok(radius) if radius >= 0.001 && radius <= largest => Ok(radius),
        _ => Err(format!("kilometers, from 0.001 to {largest}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        fleet: FleetOptions,
    }

    fn plan(arguments: &[&str]) -> Result<Plan, clap::Error> {
        let arguments = std::iter::once("drones").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).map(|cli| cli.fleet.plan(3, None))
    }

    #[test]
    fn without_options_the_fleet_is_a_mixed_one_in_its_usual_area() {
        let expected = Plan {
            scenario: Scenario::MIXED,
            ..Plan::new(3, 1)
        };
        assert_eq!(plan(&[]).unwrap(), expected);
    }

    #[test]
    fn options_say_where_and_what_goes_wrong() {
        let plan = plan(&[
            "--scenario",
            "calm",
            "--malformed",
            "4",
            "--city",
            "-33.87,151.21",
            "--radius",
            "2.5",
        ])
        .unwrap();
        assert_eq!(plan.scenario.malformed, 0.25);
        assert_eq!(plan.area.center.latitude, -33.87);
        assert_eq!(plan.area.radius, 2_500.0);
    }

    #[test]
    fn a_file_is_a_scenario_too_and_what_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("storm.toml");
        std::fs::write(&file, "late = 0.5\n").unwrap();
        let good = plan(&["--scenario", file.to_str().unwrap()]).unwrap();
        assert_eq!(good.scenario.late, 0.5);
        std::fs::write(&file, "late = 5\n").unwrap();
        for arguments in [
            ["--scenario", file.to_str().unwrap()],
            ["--scenario", "storm"],
            ["--scenario", "absent.toml"],
            ["--radius", "0"],
            ["--radius", "NaN"],
            ["--city", "here"],
        ] {
            assert!(plan(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3600), ("7", 7)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "s", "0s", "-1s", "5d", "1.5h", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_positive_and_finite() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "fast", "1000001"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
