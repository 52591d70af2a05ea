//! What a rule is: something measured, held against a limit with hysteresis.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::Duration;

use super::reminder::Reminders;
use super::rules::{clock_skew, telemetry_lost};
use super::settings::{AlertSettings, SettingError};
use crate::domain::telemetry::{Flight, Intake, Operating};

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Somebody should look at it today.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// What rules measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// One flight message.
    Flight(Flight),
    /// One operating-status message.
    Operating(Operating),
    /// The average temperature of a closed [window](super::window).
    AverageTemperature(f64),
    /// How long a drone in flight has not been heard of.
    Silence(Duration),
    /// How far a drone's clock is behind the hub's.
    ClockBehind(Duration),
}

/// From which side a value breaks its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Values at the limit and above break it.
    AtLeast,
    /// Values at the limit and below break it.
    AtMost,
}

/// A limit with hysteresis: an alert that was raised at one value is cleared only beyond another, so
/// that a value which trembles about the limit makes one alert and not many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    direction: Direction,
    raise: f64,
    clear: f64,
}

/// What a value means to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It breaks the limit.
    Breach,
    /// It neither breaks the limit nor is it far enough away from it: all stays as it is.
    Between,
    /// It is safely away from the limit.
    Clear,
}

impl Limit {
    /// Values of `raise` and more are a breach, values below `clear` are none any more.
    pub const fn at_least(raise: f64, clear: f64) -> Self {
        Self {
            direction: Direction::AtLeast,
            raise,
            clear,
        }
    }

    /// Values of `raise` and less are a breach, values above `clear` are none any more.
    pub const fn at_most(raise: f64, clear: f64) -> Self {
        Self {
            direction: Direction::AtMost,
            raise,
            clear,
        }
    }

    /// The value from which on it is broken; what an alert shows as its threshold.
    pub const fn raise(self) -> f64 {
        self.raise
    }

    /// The value beyond which an alert is cleared.
    pub const fn clear(self) -> f64 {
        self.clear
    }

    /// The same direction with other values; `None` where they are not finite, or `clear` lies on the
    /// wrong side of `raise`.
    pub fn with(self, raise: f64, clear: f64) -> Option<Self> {
        let ordered = match self.direction {
            Direction::AtLeast => clear <= raise,
            Direction::AtMost => clear >= raise,
        };
        (raise.is_finite() && clear.is_finite() && ordered).then_some(Self {
            raise,
            clear,
            ..self
        })
    }

    /// What `value` means.
    pub fn judge(self, value: f64) -> Judgement {
        let (breach, clear) = match self.direction {
            Direction::AtLeast => (value >= self.raise, value < self.clear),
            Direction::AtMost => (value <= self.raise, value > self.clear),
        };
        match (breach, clear) {
            (true, _) => Judgement::Breach,
            (false, true) => Judgement::Clear,
            (false, false) => Judgement::Between,
        }
    }
}

type Measure = Box<dyn Fn(&Observation) -> Option<f64> + Send + Sync>;

/// A rule: see [`rules`](super::rules) for all of them.
pub struct Rule {
    /// Its name in alerts, settings and snapshots: `engine-critical`. Never changes.
    pub name: &'static str,
    /// How much its alerts matter.
    pub severity: Severity,
    /// When it raises and clears.
    pub limit: Limit,
    measure: Measure,
}

impl Rule {
    /// `measure` gives the value that is held against `limit`; `None` for what the rule does not look
    /// at.
    pub fn new(
        name: &'static str,
        severity: Severity,
        limit: Limit,
        measure: impl Fn(&Observation) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            severity,
            limit,
            measure: Box::new(measure),
        }
    }

    /// The value that this rule takes from an observation; `None` where it does not look at such.
    pub fn measure(&self, observation: &Observation) -> Option<f64> {
        (self.measure)(observation)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("severity", &self.severity)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Every rule that is switched on, and what holds for all of them.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    /// Where `telemetry-lost` is among them.
    silence: Option<usize>,
    /// Where `clock-skew` is.
    clock_skew: Option<usize>,
    /// Which events are judged at all.
    pub intake: Intake,
    /// When open alerts are told again; `None` for never.
    pub reminders: Option<Reminders>,
    /// How much later than newer events an event may come and still count in its window.
    pub lateness: Duration,
}

impl Rules {
    /// Reads the settings of every rule.
    ///
    /// # Errors
    /// The first setting that cannot be right, by name.
    pub fn new(settings: &AlertSettings) -> Result<Self, SettingError> {
        let mut rules = Vec::new();
        for make in super::rules::ALL {
            rules.extend(make(settings)?);
        }
        let minutes: u32 = settings.whole("ReminderMinutes", 5, 0..=1440)?;
        let lateness: u32 = settings.whole("LatenessSeconds", 60, 0..=3600)?;
        let place = |name| rules.iter().position(|rule: &Rule| rule.name == name);
        Ok(Self {
            intake: Intake::default(),
            reminders: (minutes > 0).then(|| Reminders::new(Duration::minutes(minutes.into()))),
            silence: place(telemetry_lost::NAME),
            clock_skew: place(clock_skew::NAME),
            rules,
            lateness: Duration::seconds(lateness.into()),
        })
    }

    /// The same rules, for those events that are taken.
    pub fn taking(self, intake: Intake) -> Self {
        Self { intake, ..self }
    }

    /// The rules in the order of [`rules::ALL`](super::rules::ALL).
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// `telemetry-lost`, with its place and the time that a drone may be silent; `None` where it is off.
    pub(super) fn silence(&self) -> Option<(usize, &Rule, Duration)> {
        self.timed(self.silence)
    }

    /// `clock-skew`, with its place and the time that a clock may be behind; `None` where it is off.
    pub(super) fn clock_skew(&self) -> Option<(usize, &Rule, Duration)> {
        self.timed(self.clock_skew)
    }

    fn timed(&self, place: Option<usize>) -> Option<(usize, &Rule, Duration)> {
        let place = place?;
        let rule = self.rules.get(place)?;
        Some((place, rule, Duration::seconds_f64(rule.limit.raise())))
    }

    /// The rule of that name, where it is switched on.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

impl FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_broken_at_its_value_and_cleared_beyond_the_other() {
        let hot = Limit::at_least(100.0, 95.0);
        for (value, expected) in [
            (100.0, Judgement::Breach),
            (99.9, Judgement::Between),
            (95.0, Judgement::Between),
            (94.9, Judgement::Clear),
        ] {
            assert_eq!(hot.judge(value), expected, "{value}");
        }
        let empty = Limit::at_most(0.30, 0.35);
        for (value, expected) in [
            (0.30, Judgement::Breach),
            (0.31, Judgement::Between),
            (0.35, Judgement::Between),
            (0.36, Judgement::Clear),
        ] {
            assert_eq!(empty.judge(value), expected, "{value}");
        }
    }

    #[test]
    fn hysteresis_lies_on_the_safe_side_of_the_limit() {
        let hot = Limit::at_least(100.0, 95.0);
        assert_eq!(hot.with(90.0, 90.0), Some(Limit::at_least(90.0, 90.0)));
        assert_eq!(hot.with(90.0, 91.0), None);
        assert_eq!(hot.with(f64::NAN, 1.0), None);
        assert_eq!(hot.with(f64::INFINITY, 1.0), None);
        let empty = Limit::at_most(0.30, 0.35);
        assert_eq!(empty.with(0.5, 0.4), None);
        assert!(empty.with(0.5, 0.5).is_some());
    }

    proptest! {
        #[test]
        fn what_a_limit_says_changes_once_along_the_values(raise in -50.0..50.0, width in 0.0..9.0, value in -60.0..60.0, step in 0.0..9.0) {
            let rank = |judgement| match judgement {
                Judgement::Clear => 0,
                Judgement::Between => 1,
                Judgement::Breach => 2,
            };
            let hot = Limit::at_least(raise, raise - width);
            prop_assert!(rank(hot.judge(value)) <= rank(hot.judge(value + step)));
            let empty = Limit::at_most(raise, raise + width);
            prop_assert!(rank(empty.judge(value)) >= rank(empty.judge(value + step)));
        }
    }
}
