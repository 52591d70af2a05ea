//! `engine-critical`: one reading of an engine that is about to fail. Averages are too slow for that.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__EngineCritical…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("EngineCritical", Limit::at_least(100.0, 95.0))?;
    Ok(limit.map(|limit| {
        Rule::new(
            "engine-critical",
            Severity::Critical,
            limit,
            |seen| match seen {
                Observation::Operating(operating) => Some(operating.temperature),
                _ => None,
            },
        )
    }))
}
