//! `engine-overheating`: the average temperature of a drone on one delivery, over a tumbling window of 180 s of
//! event time. The reference rule of the article.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__EngineOverheating…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("EngineOverheating", Limit::at_least(75.0, 72.0))?;
    Ok(limit.map(|limit| {
        Rule::new(
            "engine-overheating",
            Severity::Warning,
            limit,
            |seen| match seen {
                Observation::AverageTemperature(average) => Some(*average),
                _ => None,
            },
        )
    }))
}
