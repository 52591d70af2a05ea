//! Connections by identity: a group of app settings instead of a secret.

use super::ConnectionError;

/// The properties that the host's own extensions read. A lookup can be asked for names, not for a list
/// of them, so the names have to be known.
const PROPERTIES: [&str; 10] = [
    "accountEndpoint",
    "accountName",
    "blobServiceUri",
    "clientId",
    "clientSecret",
    "credential",
    "fullyQualifiedNamespace",
    "queueServiceUri",
    "serviceUri",
    "tableServiceUri",
];

/// What only qualifies an identity, and leads to no service by itself.
const QUALIFIERS: [&str; 3] = ["clientId", "clientSecret", "credential"];

const URI: &str = "a URI that begins with https://";

/// A service and the identity to reach it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityConnection {
    /// The identity.
    pub credential: Credential,
    prefix: String,
    properties: Vec<(&'static str, String)>,
}

/// Which identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// The managed identity of the app, or the developer's own account on a developer's machine.
    #[default]
    Default,
    /// A managed identity: `__credential` is `managedidentity`, or `__clientId` is set.
    ManagedIdentity {
        /// The client id of a user-assigned identity; `None` for the system-assigned one.
        client_id: Option<String>,
    },
}

impl IdentityConnection {
    /// `None` where no setting of the group leads to a service.
    pub(super) fn resolve(
        prefix: &str,
        lookup: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConnectionError> {
        let found = |property| {
            lookup(&format!("{prefix}__{property}"))
                .or_else(|| lookup(&format!("{prefix}:{property}")))
                .map(|value| value.trim().to_owned())
        };
        let properties: Vec<(&'static str, String)> = PROPERTIES
            .into_iter()
            .filter_map(|property| Some((property, found(property)?)))
            .collect();
        let leads_somewhere = |(property, _): &(&str, String)| !QUALIFIERS.contains(property);
        if !properties.iter().any(leads_somewhere) {
            return Ok(None);
        }
        let mut connection = Self {
            credential: Credential::Default,
            prefix: prefix.to_owned(),
            properties,
        };
        connection.credential = connection.wanted_credential()?;
        Ok(Some(connection))
    }

    /// The address of a service, by the property that names it: `blobServiceUri`, `queueServiceUri`,
    /// `accountEndpoint`, `fullyQualifiedNamespace` and so on. For the three storage services,
    /// `accountName` does as well.
    ///
    /// # Errors
    /// Where the setting is missing, or, other than `fullyQualifiedNamespace`, not a URI.
    pub fn uri(&self, property: &str) -> Result<String, ConnectionError> {
        let plain = property.eq_ignore_ascii_case("fullyQualifiedNamespace");
        let expected = if plain {
            "a name such as `namespace.servicebus.windows.net`"
        } else {
            URI
        };
        let setting = || format!("{}__{property}", self.prefix);
        let value = self.get(property).map(str::to_owned);
        let value = value.or_else(|| self.by_account_name(property));
        let value = value.ok_or_else(|| ConnectionError::MissingProperty {
            setting: setting(),
            expected,
        })?;
        // Plain http is for emulators.
        let is_uri = |scheme: &str| {
            let head = value.get(..scheme.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(scheme)) && value.len() > scheme.len()
        };
        if plain || is_uri("https://") || is_uri("http://") {
            Ok(value)
        } else {
            Err(ConnectionError::BadProperty {
                setting: setting(),
                expected,
            })
        }
    }

    fn get(&self, property: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(property))
            .map(|(_, value)| value.as_str())
    }

    fn by_account_name(&self, property: &str) -> Option<String> {
        let service = match property.to_ascii_lowercase().as_str() {
            "blobserviceuri" => "blob",
            "queueserviceuri" => "queue",
            "tableserviceuri" => "table",
            _ => return None,
        };
        let account = self.get("accountName")?;
        Some(format!("https://{account}.{service}.core.windows.net"))
    }

    fn wanted_credential(&self) -> Result<Credential, ConnectionError> {
        let bad = |property, expected| ConnectionError::BadProperty {
            setting: format!("{}__{property}", self.prefix),
            expected,
        };
        if self.get("clientSecret").is_some() {
            return Err(bad("clientSecret", "no secret but a managed identity"));
        }
        let client_id = self.get("clientId").map(str::to_owned);
        match self.get("credential") {
            Some(word) if word.eq_ignore_ascii_case("managedidentity") => {
                Ok(Credential::ManagedIdentity { client_id })
            }
            Some(_) => Err(bad("credential", "`managedidentity`, or nothing")),
            // As in the host, where the id then goes to the managed identity of the default chain.
            None if client_id.is_some() => Ok(Credential::ManagedIdentity { client_id }),
            None => Ok(Credential::Default),
        }
    }
}
