//! `telemetry-lost`: a drone in flight that has not been heard of for a while. See
//! [`silence`](crate::domain::alerts::silence).

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule's name.
pub const NAME: &str = "telemetry-lost";

/// The rule.
///
/// # Errors
/// Where its setting, `Alerts__SilenceSeconds`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let seconds = f64::from(settings.whole("SilenceSeconds", 120, 0..=86_400)?);
    // 0 switches it off. There is no hysteresis: a drone is either heard of or not.
    Ok((seconds > 0.0).then(|| {
        let limit = Limit::at_least(seconds, seconds);
        Rule::new(NAME, Severity::Critical, limit, |seen| match seen {
            Observation::Silence(silence) => Some(silence.as_seconds_f64()),
            _ => None,
        })
    }))
}
