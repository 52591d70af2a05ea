//! `battery-low`: the battery level at which the article calls a battery `low`. Of the two fields the level
//! counts: the word beside it is derived from it, and says less.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__BatteryLow…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("BatteryLow", Limit::at_most(0.30, 0.35))?;
    Ok(limit.map(|limit| {
        Rule::new("battery-low", Severity::Warning, limit, |seen| match seen {
            Observation::Operating(operating) => Some(operating.battery_level),
            _ => None,
        })
    }))
}
