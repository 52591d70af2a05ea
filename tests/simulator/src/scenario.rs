//! What goes wrong in a fleet, and how often.

use serde::Deserialize;

/// Shares between 0, never, and 1, always. The first four are parts of all deliveries, the others of all
/// events.
///
/// A file names what it wants to be other than 0:
///
/// ```toml
/// overheating = 0.05   # engines that run hot as long as they fly
/// weak-battery = 0.05  # batteries that are nearly empty at the end
/// lost = 0.02          # drones that fall silent in flight, for some minutes
/// stray = 0.02         # drop-offs outside of the fleet's area
/// malformed = 0.005    # events that nobody can apply
/// duplicated = 0.01    # events that come twice
/// late = 0.01          # events that are held up on the way, for up to 2 minutes
/// reordered = 0.01     # events that come after the drone's next one
/// spoofed = 0.001      # events that name another drone than the one that sends them
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Scenario {
    /// Engines that run hot as long as they fly: above 100 degrees after some minutes.
    pub overheating: f64,
    /// Batteries that are at 10 % or less at the end of the delivery.
    pub weak_battery: f64,
    /// Drones that fall silent in flight, for 2.5 to 5 minutes.
    pub lost: f64,
    /// Drop-offs outside of the fleet's area.
    pub stray: f64,
    /// Events that nobody can apply.
    pub malformed: f64,
    /// Events that come again within 10 seconds.
    pub duplicated: f64,
    /// Events that are held up on the way for 30 to 120 seconds.
    pub late: f64,
    /// Events that come after the drone's next one.
    pub reordered: f64,
    /// Events whose body names another drone than the one that sends them.
    pub spoofed: f64,
}

/// The text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not TOML, or names what no scenario has.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A share below 0 or above 1.
    #[error("{name} = {value}: a share is between 0 and 1")]
    Share {
        /// Which.
        name: &'static str,
        /// The value.
        value: f64,
    },
}

impl Scenario {
    /// The names that [`Scenario::named`] knows.
    pub const NAMES: [&str; 6] = [
        "calm",
        "overheating",
        "battery",
        "lost",
        "geofence",
        "mixed",
    ];

    /// Nothing goes wrong.
    pub const CALM: Self = Self {
        overheating: 0.0,
        weak_battery: 0.0,
        lost: 0.0,
        stray: 0.0,
        malformed: 0.0,
        duplicated: 0.0,
        late: 0.0,
        reordered: 0.0,
        spoofed: 0.0,
    };

    /// A little of everything.
    pub const MIXED: Self = Self {
        overheating: 0.05,
        weak_battery: 0.05,
        lost: 0.03,
        stray: 0.03,
        malformed: 0.005,
        duplicated: 0.01,
        late: 0.01,
        reordered: 0.01,
        spoofed: 0.001,
    };

    /// How many deliveries are troubled in a scenario that is about one trouble.
    const OFTEN: f64 = 0.3;

    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let calm = Self::CALM;
        let often = Self::OFTEN;
        Some(match name {
            "calm" => calm,
            "overheating" => Self {
                overheating: often,
                ..calm
            },
            "battery" => Self {
                weak_battery: often,
                ..calm
            },
            "lost" => Self {
                lost: often,
                ..calm
            },
            "geofence" => Self {
                stray: often,
                ..calm
            },
            "mixed" => Self::MIXED,
            _ => return None,
        })
    }

    /// Reads the text of a scenario file.
    ///
    /// # Errors
    /// Where it is not TOML, names what no scenario has, or has a share that is none.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()
    }

    fn check(self) -> Result<Self, ScenarioError> {
        for (name, value) in [
            ("overheating", self.overheating),
            ("weak-battery", self.weak_battery),
            ("lost", self.lost),
            ("stray", self.stray),
            ("malformed", self.malformed),
            ("duplicated", self.duplicated),
            ("late", self.late),
            ("reordered", self.reordered),
            ("spoofed", self.spoofed),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ScenarioError::Share { name, value });
            }
        }
        Ok(self)
    }

    /// The same with one event in so many malformed, on average; 0 for none.
    #[must_use]
    pub fn with_malformed(self, one_in: u32) -> Self {
        Self {
            malformed: match one_in {
                0 => 0.0,
                one_in => 1.0 / f64::from(one_in),
            },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_name_is_a_scenario_of_its_own() {
        let scenarios: Vec<Scenario> = Scenario::NAMES
            .iter()
            .map(|name| Scenario::named(name).unwrap().check().unwrap())
            .collect();
        for (number, scenario) in scenarios.iter().enumerate() {
            assert!(!scenarios[..number].contains(scenario));
        }
        assert_eq!(Scenario::named("wild"), None);
    }

    #[test]
    fn a_file_names_what_is_not_zero_and_nothing_unknown() {
        let scenario = Scenario::parse("overheating = 0.5\nweak-battery = 1.0 # all\n").unwrap();
        let expected = Scenario {
            overheating: 0.5,
            weak_battery: 1.0,
            ..Scenario::CALM
        };
        assert_eq!(scenario, expected);
        for text in [
            "overheating = 1.1",
            "late = -0.1",
            "lost = nan",
            "wind = 0.1",
            "lost",
        ] {
            assert!(Scenario::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_malformed_event_in_none_is_none() {
        assert_eq!(Scenario::MIXED.with_malformed(0).malformed, 0.0);
        assert_eq!(Scenario::CALM.with_malformed(200).malformed, 0.005);
    }
}
