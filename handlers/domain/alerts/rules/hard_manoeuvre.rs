//! `hard-manoeuvre`: an acceleration, to either side, beyond what a parcel should bear. 15 is about one
//! and a half times the pull of gravity, if drones report meters per second squared.

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule.
///
/// # Errors
/// Where its settings, `Alerts__HardManoeuvre…`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let limit = settings.limit("HardManoeuvre", Limit::at_least(15.0, 10.0))?;
    Ok(limit.map(|limit| {
        Rule::new(
            "hard-manoeuvre",
            Severity::Warning,
            limit,
            |seen| match seen {
                Observation::Flight(flight) => Some(flight.acceleration.abs()),
                _ => None,
            },
        )
    }))
}
