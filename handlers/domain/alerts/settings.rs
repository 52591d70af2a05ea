//! The thresholds that an operator may change: the app settings `Alerts__…`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::rule::Limit;

/// The prefix of every setting of the rules.
pub const PREFIX: &str = "Alerts__";

/// The app settings that begin with [`PREFIX`], without it.
///
/// A rule called `EngineCritical` here has two: `Alerts__EngineCriticalRaise` and
/// `Alerts__EngineCriticalClear`. `Raise` set to `off` switches the rule off.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings(BTreeMap<String, String>);

/// A setting of the rules cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the app setting {PREFIX}{name}: {problem}")]
pub struct SettingError {
    name: String,
    problem: String,
}

impl SettingError {
    pub(super) fn new(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            problem: problem.into(),
        }
    }
}

impl AlertSettings {
    /// Picks the settings of the rules out of all settings. Empty values count as absent.
    pub fn from_all(settings: impl IntoIterator<Item = (String, String)>) -> Self {
        let own = settings.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX)?.to_owned();
            (!value.trim().is_empty()).then_some((name, value))
        });
        Self(own.collect())
    }

    /// A setting's text, by its name without the prefix.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// The limit of a rule, where the operator has not set another; `None` where the rule is off.
    ///
    /// # Errors
    /// A value that is no number, or hysteresis on the wrong side.
    pub fn limit(&self, rule: &str, default: Limit) -> Result<Option<Limit>, SettingError> {
        let (raise, clear) = (format!("{rule}Raise"), format!("{rule}Clear"));
        if self
            .get(&raise)
            .is_some_and(|value| value.eq_ignore_ascii_case("off"))
        {
            return Ok(None);
        }
        let number = |name: &str| -> Result<Option<f64>, SettingError> {
            let read = |value: &str| {
                value
                    .parse()
                    .map_err(|_| SettingError::new(name, "is not a number"))
            };
            self.get(name).map(read).transpose()
        };
        let (chosen_raise, chosen_clear) = (number(&raise)?, number(&clear)?);
        let raised = chosen_raise.unwrap_or(default.raise());
        // Who moves the limit alone means to keep the distance.
        let kept = raised + (default.clear() - default.raise());
        default
            .with(raised, chosen_clear.unwrap_or(kept))
            .map(Some)
            .ok_or_else(|| {
                let name = if chosen_clear.is_some() { clear } else { raise };
                SettingError::new(
                    name,
                    "an alert must be cleared on the safe side of where it is raised",
                )
            })
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// Where the value is something else.
    pub fn whole(
        &self,
        name: &str,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<u32, SettingError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                SettingError::new(
                    name,
                    format!(
                        "must be a whole number from {} to {}",
                        bounds.start(),
                        bounds.end()
                    ),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> AlertSettings {
        AlertSettings::from_all(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    const HOT: Limit = Limit::at_least(100.0, 95.0);

    #[test]
    fn without_settings_a_rule_has_its_own_limit() {
        let none = settings(&[("CosmosDb", "x"), ("Alerts__EngineCriticalRaise", " ")]);
        assert_eq!(none.limit("EngineCritical", HOT), Ok(Some(HOT)));
        assert_eq!(none.whole("ReminderMinutes", 5, 0..=9), Ok(5));
    }

    #[test]
    fn a_limit_can_be_moved_widened_and_switched_off() {
        for (pairs, expected) in [
            (vec![("Alerts__XRaise", "90")], Some((90.0, 85.0))),
            (vec![("Alerts__XClear", "80.5")], Some((100.0, 80.5))),
            (
                vec![("Alerts__XRaise", "90"), ("Alerts__XClear", "90")],
                Some((90.0, 90.0)),
            ),
            (vec![("Alerts__XRaise", "Off")], None),
        ] {
            let limit = settings(&pairs).limit("X", HOT).unwrap();
            assert_eq!(
                limit.map(|limit| (limit.raise(), limit.clear())),
                expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_right_is_named() {
        for (pairs, name) in [
            (vec![("Alerts__XRaise", "hot")], "Alerts__XRaise"),
            (vec![("Alerts__XRaise", "NaN")], "Alerts__XRaise"),
            (vec![("Alerts__XClear", "101")], "Alerts__XClear"),
            (
                vec![("Alerts__XRaise", "90"), ("Alerts__XClear", "inf")],
                "Alerts__XClear",
            ),
        ] {
            let error = settings(&pairs).limit("X", HOT).unwrap_err().to_string();
            assert!(error.contains(name), "{pairs:?}: {error}");
        }
        for bad in ["-1", "11", "5.0", "five"] {
            let error = settings(&[("Alerts__N", bad)])
                .whole("N", 5, 0..=10)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "the app setting Alerts__N: must be a whole number from 0 to 10"
            );
        }
    }
}
