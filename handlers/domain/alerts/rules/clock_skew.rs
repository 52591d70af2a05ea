//! `clock-skew`: a drone in flight whose clock is far behind the hub's. Its readings are judged as of when they
//! arrived, see [`judged_at`](crate::domain::alerts::drone::judged_at); its state, which goes by its own clock, stands still.

use time::Duration;

use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// The rule's name.
pub const NAME: &str = "clock-skew";

/// The rule.
///
/// # Errors
/// Where its setting, `Alerts__ClockSkewMinutes`, cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    // A drone that was out of reach sends what it has kept, late by minutes. An hour of flight is hardly kept.
    let minutes = settings.whole("ClockSkewMinutes", 60, 0..=10_080)?;
    let limit = Duration::minutes(minutes.into()).as_seconds_f64();
    Ok((minutes > 0).then(|| {
        // Cleared at half of it: a clock is set right at once, or runs away slowly.
        let limit = Limit::at_least(limit, limit / 2.0);
        Rule::new(NAME, Severity::Warning, limit, |seen| match seen {
            Observation::ClockBehind(behind) => Some(behind.as_seconds_f64()),
            _ => None,
        })
    }))
}
