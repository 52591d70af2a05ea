//! The rules, one file each. A new one is a file and a line in [`ALL`].

pub mod altitude_exceeded;
pub mod battery_critical;
pub mod battery_low;
pub mod clock_skew;
pub mod engine_critical;
pub mod engine_overheating;
pub mod geofence_breached;
pub mod hard_manoeuvre;
pub mod telemetry_lost;

use super::rule::Rule;
use super::settings::{AlertSettings, SettingError};

/// Makes a rule from its settings; `None` where it is switched off.
pub type Make = fn(&AlertSettings) -> Result<Option<Rule>, SettingError>;

/// Every rule there is.
pub const ALL: [Make; 9] = [
    engine_overheating::rule,
    engine_critical::rule,
    battery_low::rule,
    battery_critical::rule,
    hard_manoeuvre::rule,
    altitude_exceeded::rule,
    geofence_breached::rule,
    telemetry_lost::rule,
    clock_skew::rule,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::Duration;

    use super::super::rule::{Judgement, Observation, Rules, Severity};
    use super::*;
    use crate::domain::telemetry::{BatteryStatus, Flight, FlightStatus, Operating, Position};

    const FENCE: &str =
        r#"{"type":"Polygon","coordinates":[[[10,50],[11,50],[11,51],[10,51],[10,50]]]}"#;

    fn rules() -> Rules {
        Rules::new(&AlertSettings::from_all([(
            "Alerts__Geofence".to_owned(),
            FENCE.to_owned(),
        )]))
        .unwrap()
    }

    fn flight(change: impl FnOnce(&mut Flight)) -> Observation {
        let mut flight = Flight {
            position: Position {
                latitude: 50.5,
                longitude: 10.5,
                altitude: 100.0,
            },
            velocity: 20.0,
            acceleration: 1.0,
            status: FlightStatus::InFlight,
        };
        change(&mut flight);
        Observation::Flight(flight)
    }

    fn operating(temperature: f64, battery_level: f64) -> Observation {
        Observation::Operating(Operating {
            temperature,
            battery_status: BatteryStatus::Medium,
            battery_level,
        })
    }

    #[test]
    fn names_and_severities_are_those_of_the_design() {
        let named: Vec<_> = rules()
            .iter()
            .map(|rule| (rule.name, rule.severity))
            .collect();
        use Severity::{Critical, Warning};
        assert_eq!(
            named,
            [
                ("engine-overheating", Warning),
                ("engine-critical", Critical),
                ("battery-low", Warning),
                ("battery-critical", Critical),
                ("hard-manoeuvre", Warning),
                ("altitude-exceeded", Warning),
                ("geofence-breached", Critical),
                ("telemetry-lost", Critical),
                ("clock-skew", Warning),
            ]
        );
    }

    #[test]
    fn each_rule_has_its_limit_and_its_hysteresis() {
        use Judgement::{Between, Breach, Clear};
        let average = Observation::AverageTemperature;
        let silence = |seconds| Observation::Silence(Duration::seconds(seconds));
        let behind = |minutes| Observation::ClockBehind(Duration::minutes(minutes));
        let accelerating = |value| flight(|flight| flight.acceleration = value);
        let high = |value| flight(|flight| flight.position.altitude = value);
        let west = |value| flight(|flight| flight.position.longitude = value);
        for (name, observation, expected) in [
            ("engine-overheating", average(75.0), Breach),
            ("engine-overheating", average(74.9), Between),
            ("engine-overheating", average(71.9), Clear),
            ("engine-critical", operating(100.0, 1.0), Breach),
            ("engine-critical", operating(99.9, 1.0), Between),
            ("engine-critical", operating(94.9, 1.0), Clear),
            ("battery-low", operating(20.0, 0.30), Breach),
            ("battery-low", operating(20.0, 0.35), Between),
            ("battery-low", operating(20.0, 0.36), Clear),
            ("battery-critical", operating(20.0, 0.10), Breach),
            ("battery-critical", operating(20.0, 0.15), Between),
            ("battery-critical", operating(20.0, 0.16), Clear),
            ("hard-manoeuvre", accelerating(-15.0), Breach),
            ("hard-manoeuvre", accelerating(15.0), Breach),
            ("hard-manoeuvre", accelerating(-10.0), Between),
            ("hard-manoeuvre", accelerating(9.9), Clear),
            ("altitude-exceeded", high(1000.0), Breach),
            ("altitude-exceeded", high(950.0), Between),
            ("altitude-exceeded", high(949.9), Clear),
            ("geofence-breached", west(9.999), Breach),
            ("geofence-breached", west(10.0001), Between),
            ("geofence-breached", west(10.001), Clear),
            ("telemetry-lost", silence(120), Breach),
            ("telemetry-lost", silence(119), Clear),
            ("clock-skew", behind(60), Breach),
            ("clock-skew", behind(30), Between),
            ("clock-skew", behind(29), Clear),
        ] {
            let rules = rules();
            let rule = rules.get(name).unwrap();
            let value = rule.measure(&observation).unwrap();
            assert_eq!(rule.limit.judge(value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_rule_looks_at_nothing_but_its_own() {
        let looks = |observation: &Observation| -> Vec<&str> {
            rules()
                .iter()
                .filter(|rule| rule.measure(observation).is_some())
                .map(|rule| rule.name)
                .collect()
        };
        assert_eq!(
            looks(&flight(|_| ())),
            ["hard-manoeuvre", "altitude-exceeded", "geofence-breached"]
        );
        assert_eq!(
            looks(&operating(20.0, 1.0)),
            ["engine-critical", "battery-low", "battery-critical"]
        );
        assert_eq!(
            looks(&Observation::AverageTemperature(75.0)),
            ["engine-overheating"]
        );
        assert_eq!(
            looks(&Observation::Silence(Duration::HOUR)),
            ["telemetry-lost"]
        );
        assert_eq!(
            looks(&Observation::ClockBehind(Duration::WEEK)),
            ["clock-skew"]
        );
    }

    #[test]
    fn there_is_no_fence_unless_somebody_draws_one() {
        let rules = Rules::new(&AlertSettings::default()).unwrap();
        assert!(rules.get("geofence-breached").is_none());
        assert_eq!(rules.iter().count(), 8);
    }
}
