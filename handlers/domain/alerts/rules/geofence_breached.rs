//! `geofence-breached`: outside of the area that the fleet may fly in. Off until an area is set.

use crate::domain::alerts::geofence::Geofence;
use crate::domain::alerts::rule::{Limit, Observation, Rule, Severity};
use crate::domain::alerts::settings::{AlertSettings, SettingError};

/// Meters beyond the fence: at the fence it is breached, and 25 m inside of it cleared.
const LIMIT: Limit = Limit::at_least(0.0, -25.0);

/// The rule, where `Alerts__Geofence` holds a GeoJSON polygon.
///
/// # Errors
/// Where that is no polygon, or `Alerts__GeofenceBreached…` cannot be right.
pub fn rule(settings: &AlertSettings) -> Result<Option<Rule>, SettingError> {
    let Some(text) = settings.get("Geofence") else {
        return Ok(None);
    };
    let fence =
        Geofence::parse(text).map_err(|error| SettingError::new("Geofence", error.to_string()))?;
    let limit = settings.limit("GeofenceBreached", LIMIT)?;
    Ok(limit.map(|limit| {
        Rule::new(
            "geofence-breached",
            Severity::Critical,
            limit,
            move |seen| match seen {
                Observation::Flight(flight) => Some(fence.meters_beyond(&flight.position)),
                _ => None,
            },
        )
    }))
}
