//! The app settings, read once at the start. A bad one ends the start with one message that names it.

use std::time::Duration;

use azure_functions_sdk::connection::{Connection, ConnectionError};

use crate::domain::Intake;
use crate::domain::alerts::{AlertSettings, Rules, SettingError};
use crate::domain::telemetry::EARLIEST;
use crate::domain::timestamp::parse_rfc3339;
use crate::functions::fleet_map::tiles::{TileLayer, TileTemplateError};
use crate::functions::notify_alert::LONGEST_POST;
use crate::webhook::WebhookUrl;

const ROLE_REQUIRED: &str = "RequireReaderRole";
const DEVICE_REQUIRED: &str = "RequireAuthenticatedDevice";
const EARLIEST_OCCURRENCE: &str = "EarliestOccurrence";
const LIVE_INSIGHTS: &str = "InsightsLive";
const WEBHOOK_URL: &str = "AlertWebhookUrl";
const WEBHOOK_TIMEOUT: &str = "AlertWebhookTimeoutSeconds";
const DEFAULT_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that the handler itself reads.
#[derive(Debug)]
pub struct Settings {
    /// `TelemetryHub`: the namespace, into whose quiet partitions ticks are sent. The triggers' own, so that what is sent comes
    /// back.
    pub hub: Connection,
    /// `TelemetryHubName`: the hub in it.
    pub hub_name: String,
    /// `CosmosDb`: the account with the drones' state.
    pub cosmos: Connection,
    /// `CosmosDbDatabase`: the database in it.
    pub database: String,
    /// `FleetStorage`: the account with the archive, the dead letters' bodies and the queues.
    pub storage: Connection,
    /// `StateStorage`: the account with what is overwritten at every batch, apart from one that keeps what was
    /// overwritten; `FleetStorage` where it is not set.
    pub state: Connection,
    /// `AlertWebhookUrl`: where alerts are posted; `None` where NotifyAlert is switched off.
    pub webhook: Option<WebhookUrl>,
    /// `AlertWebhookTimeoutSeconds`: how long one post may take.
    pub webhook_timeout: Duration,
    /// `RequireAuthenticatedDevice` and `EarliestOccurrence`: which events are taken at all.
    pub intake: Intake,
    /// `Alerts__…`: the rules, with their thresholds.
    pub alerts: Rules,
    /// `FleetMapTiles` and `FleetMapTilesAttribution`: a background for the map; without it, its own.
    pub map_tiles: Option<TileLayer>,
    /// `InsightsLive`: whether the hour under way is summarised as well, and again as it goes on.
    pub live_insights: bool,
    /// `RequireReaderRole`, which the templates set, or `WEBSITE_AUTH_ENABLED`, which App Service sets on some plans: whether App
    /// Service Authentication is on.
    pub authentication: bool,
}

/// A setting is missing or of no use. Never holds a value: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A connection cannot be resolved.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A threshold cannot be right.
    #[error(transparent)]
    Alerts(#[from] SettingError),
    /// A plain setting is absent or empty.
    #[error("the app setting {0} is missing: {1}")]
    Missing(&'static str, &'static str),
    /// A setting holds what cannot be used.
    #[error("the app setting {0} cannot be used: {1}")]
    Unusable(&'static str, &'static str),
    /// `FleetMapTiles` is not a template for tiles.
    #[error("the app setting FleetMapTiles {0}")]
    Tiles(#[from] TileTemplateError),
}

impl Settings {
    /// Reads the environment, which is where the Functions host puts app settings.
    ///
    /// # Errors
    /// The first setting that is missing or malformed.
    pub fn from_env() -> Result<Self, SettingsError> {
        let intake = intake(plain)?;
        Ok(Self {
            hub: Connection::from_env("TelemetryHub")?,
            hub_name: plain("TelemetryHubName").ok_or(SettingsError::Missing(
                "TelemetryHubName",
                "set it to the name of the event hub that telemetry comes from",
            ))?,
            cosmos: Connection::from_env("CosmosDb")?,
            database: plain("CosmosDbDatabase").ok_or(SettingsError::Missing(
                "CosmosDbDatabase",
                "set it to the name of the Cosmos DB database with the container `drones`",
            ))?,
            storage: Connection::from_env("FleetStorage")?,
            state: state_storage(Connection::from_env)?,
            webhook: plain(WEBHOOK_URL)
                .map(|text| WebhookUrl::parse(&text))
                .transpose()
                .map_err(|wrong| SettingsError::Unusable(WEBHOOK_URL, wrong))?,
            webhook_timeout: webhook_timeout()?,
            alerts: Rules::new(&AlertSettings::from_all(text_variables()))?.taking(intake),
            intake,
            map_tiles: plain("FleetMapTiles")
                .map(|template| {
                    let attribution = plain("FleetMapTilesAttribution").unwrap_or_default();
                    TileLayer::new(&template, &attribution)
                })
                .transpose()?,
            live_insights: flag(LIVE_INSIGHTS, plain)?,
            authentication: flag(ROLE_REQUIRED, plain)?
                || plain("WEBSITE_AUTH_ENABLED")
                    .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

/// `StateStorage`, or `FleetStorage` where no setting belongs to it; one that is wrong is never passed over.
fn state_storage(
    resolve: impl Fn(&str) -> Result<Connection, ConnectionError>,
) -> Result<Connection, ConnectionError> {
    match resolve("StateStorage") {
        Err(ConnectionError::Missing(_)) => resolve("FleetStorage"),
        set => set,
    }
}

/// A safeguard, off where nothing is set. One that is misspelt must not be off.
fn flag(
    name: &'static str,
    setting: impl Fn(&str) -> Option<String>,
) -> Result<bool, SettingsError> {
    match setting(name).as_deref().map(str::trim) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(SettingsError::Unusable(name, "it must be true or false")),
    }
}

/// Which events are taken at all, by the environment: for a program that reads the archive as the app would.
///
/// # Errors
/// Where one of the two settings cannot be used.
pub fn intake_from_env() -> Result<Intake, SettingsError> {
    intake(plain)
}

fn intake(setting: impl Fn(&str) -> Option<String>) -> Result<Intake, SettingsError> {
    let device_required = flag(DEVICE_REQUIRED, &setting)?;
    let earliest = match setting(EARLIEST_OCCURRENCE).as_deref().map(str::trim) {
        None => Some(EARLIEST),
        Some(text) if text.eq_ignore_ascii_case("off") => None,
        Some(text) => Some(parse_rfc3339(text).map_err(|_| {
            SettingsError::Unusable(
                EARLIEST_OCCURRENCE,
                "it must be off, or a time such as 2010-01-01T00:00:00Z",
            )
        })?),
    };
    Ok(Intake {
        device_required,
        earliest,
    })
}

fn webhook_timeout() -> Result<Duration, SettingsError> {
    let Some(text) = plain(WEBHOOK_TIMEOUT) else {
        return Ok(DEFAULT_WEBHOOK_TIMEOUT);
    };
    text.trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
        // The function's deadline is after it.
        .filter(|timeout| !timeout.is_zero() && *timeout <= LONGEST_POST)
        .ok_or(SettingsError::Unusable(
            WEBHOOK_TIMEOUT,
            "it must be a whole number of seconds from 1 to 120",
        ))
}

/// The environment, but for what is no text: no setting of ours is.
fn text_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn plain(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn state_of(settings: &[(&str, &str)]) -> Result<String, ConnectionError> {
        let lookup = |name: &str| {
            let found = settings.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        state_storage(|name| Connection::resolve(name, lookup))
            .map(|connection| format!("{connection:?}"))
    }

    #[test]
    fn state_lies_in_its_own_account_where_one_is_set() {
        let fleet = ("FleetStorage", "AccountName=fleet;AccountKey=bG9jYWw=");
        let state = (
            "StateStorage",
            "AccountName=state;AccountKey=bG9jYWw=;BlobEndpoint=http://state",
        );
        let (own, shared) = (state_of(&[fleet, state]), state_of(&[fleet]));
        assert_ne!(own.unwrap(), shared.unwrap());
        assert_eq!(
            state_of(&[fleet, ("StateStorage", "AccountName")]).unwrap_err(),
            ConnectionError::Malformed("StateStorage".to_owned())
        );
        assert_eq!(
            state_of(&[]).unwrap_err(),
            ConnectionError::Missing("FleetStorage".to_owned())
        );
    }

    #[test]
    fn what_is_taken_is_a_choice_that_no_misspelling_makes() {
        let chosen = |name: &'static str, value: &'static str| {
            intake(move |asked| (asked == name).then(|| value.to_owned()))
        };
        let by_itself = intake(|_| None).unwrap();
        assert_eq!(
            (by_itself.device_required, by_itself.earliest),
            (false, Some(EARLIEST))
        );
        assert!(chosen(DEVICE_REQUIRED, "True").unwrap().device_required);
        assert!(!chosen(DEVICE_REQUIRED, "false").unwrap().device_required);
        assert!(chosen(DEVICE_REQUIRED, "yes").is_err());
        assert_eq!(chosen(EARLIEST_OCCURRENCE, "off").unwrap().earliest, None);
        let later = chosen(EARLIEST_OCCURRENCE, "2026-01-01T00:00:00Z").unwrap();
        assert!(later.earliest > by_itself.earliest);
        assert!(chosen(EARLIEST_OCCURRENCE, "1. 1. 2026").is_err());
    }
}
