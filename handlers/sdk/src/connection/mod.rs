//! Functions "connections": the app settings that say how a service is reached, resolved as the host
//! does for its own bindings.
//!
//! A connection `Storage` is either one setting with a connection string, `Storage` (or
//! `AzureWebJobsStorage`, which comes first), or a group of settings for a connection by identity:
//! `Storage__blobServiceUri`, `Storage__credential`, `Storage__clientId`.
//!
//! The key in a connection string of Event Hubs or Service Bus signs tokens: [`SharedAccessKey`].

mod connection_string;
mod identity;
mod sas;

use std::collections::HashMap;

pub use connection_string::ConnectionString;
pub use identity::{Credential, IdentityConnection};
pub use sas::SharedAccessKey;

/// How a service is reached.
#[derive(Debug, Clone)]
pub enum Connection {
    /// By a connection string, usually with a key.
    ConnectionString(ConnectionString),
    /// By an identity.
    Identity(IdentityConnection),
}

/// A connection cannot be resolved. Names settings, and never holds a value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No setting belongs to the connection.
    #[error(
        "the app setting {0} is missing: set it to a connection string, or set {0}__<service>Uri for a \
         connection by identity"
    )]
    Missing(String),
    /// The setting is not a connection string.
    #[error("the app setting {0} is not a connection string: expected `Name=value;Name=value`")]
    Malformed(String),
    /// A setting of a connection by identity is missing.
    #[error("the app setting {setting} is missing: expected {expected}")]
    MissingProperty {
        /// The setting.
        setting: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A setting of a connection by identity cannot be used.
    #[error("the app setting {setting} cannot be used: expected {expected}")]
    BadProperty {
        /// The setting.
        setting: String,
        /// What it should hold.
        expected: &'static str,
    },
}

impl Connection {
    /// Resolves a connection by name. `lookup` gives the value of a setting; an empty value counts as
    /// none. Of a setting's name, both separators are tried, `__` and `:`.
    ///
    /// # Errors
    /// Where no setting belongs to the connection, or one of them cannot be used.
    pub fn resolve(
        name: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectionError> {
        let lookup = |setting: &str| lookup(setting).filter(|value| !value.trim().is_empty());
        let prefixes = [format!("AzureWebJobs{name}"), name.to_owned()];
        for setting in &prefixes {
            if let Some(text) = lookup(setting) {
                return ConnectionString::parse(setting, &text).map(Self::ConnectionString);
            }
            if let Some(connection) = IdentityConnection::resolve(setting, &lookup)? {
                return Ok(Self::Identity(connection));
            }
        }
        Err(ConnectionError::Missing(name.to_owned()))
    }

    /// Resolves a connection from the environment, which is where the host puts app settings. Names
    /// match in any case, as they do in the host.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    pub fn from_env(name: &str) -> Result<Self, ConnectionError> {
        // Not `vars()`, which panics at a variable that is not Unicode.
        let settings: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                Some((name.to_lowercase(), value.into_string().ok()?))
            })
            .collect();
        Self::resolve(name, |setting| {
            settings.get(&setting.to_lowercase()).cloned()
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
