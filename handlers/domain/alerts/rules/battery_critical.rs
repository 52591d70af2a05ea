//! `battery-critical`: the battery level at which the article calls a battery `critical`: land now.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__BatteryCritical…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("BatteryCritical", Limit::at_most(0.10, 0.15))?;
    Ok(limit.map(|limit| {
        Rule::new(
            "battery-critical",
            Severity::Critical,
            limit,
            |seen| match seen {
                Observation::Operating(operating) => Some(operating.battery_level),
                _ => None,
            },
        )
    }))
}
