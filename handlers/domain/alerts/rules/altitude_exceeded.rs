//! `altitude-exceeded`: higher than any delivery needs, in meters. What is legal differs by country, and
//! whether drones report heights above the ground or above the sea by maker: set it.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__AltitudeExceeded…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("AltitudeExceeded", Limit::at_least(1000.0, 950.0))?;
    Ok(limit.map(|limit| {
        Rule::new(
            "altitude-exceeded",
            Severity::Warning,
            limit,
            |seen| match seen {
                Observation::Flight(flight) => Some(flight.position.altitude),
                _ => None,
            },
        )
    }))
}
