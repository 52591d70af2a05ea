//! The app settings, read once at the start. A bad one ends the start with one message that names it.

use azure_functions_sdk::connection::{Connection, ConnectionError};

/// The settings that the handler itself reads. `TelemetryHub` and `TelemetryHubName` belong to the host.
#[derive(Debug)]
pub struct Settings {
    /// `CosmosDb`: the account with the drones' state.
    pub cosmos: Connection,
    /// `CosmosDbDatabase`: the database in it.
    pub database: String,
    /// `FleetStorage`: the account with the archive, the dead letters' bodies and the queues.
    pub storage: Connection,
    /// `WEBSITE_AUTH_ENABLED`, set by App Service where its authentication is on.
    pub authentication: bool,
}

/// A setting is missing or of no use. Never holds a value: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A connection cannot be resolved.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A plain setting is absent or empty.
    #[error("the app setting {0} is missing: {1}")]
    Missing(&'static str, &'static str),
}

impl Settings {
    /// Reads the environment, which is where the Functions host puts app settings.
    ///
    /// # Errors
    /// The first setting that is missing or malformed.
    pub fn from_env() -> Result<Self, SettingsError> {
        Ok(Self {
            cosmos: Connection::from_env("CosmosDb")?,
            database: plain("CosmosDbDatabase").ok_or(SettingsError::Missing(
                "CosmosDbDatabase",
                "set it to the name of the Cosmos DB database with the container `drones`",
            ))?,
            storage: Connection::from_env("FleetStorage")?,
            authentication: plain("WEBSITE_AUTH_ENABLED")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

fn plain(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
