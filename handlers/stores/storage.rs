//! What Blob and Queue storage have in common: from a Functions connection to an address and the right to
//! use it.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, StatusCode, Url};
use azure_core::time::Duration;
use azure_functions_sdk::connection::{Connection, ConnectionString, IdentityConnection};

use super::credentials::{TokenError, token_credential};
use super::exchanges::ExchangePolicy;
use super::shared_key::SharedKeyPolicy;
use super::{OPERATION_TIMEOUT, StoreError};
use crate::tls;

/// Azurite's account, which every storage SDK knows by heart. Published, and worth nothing outside
/// the emulator: "Connect to Azurite with SDKs and tools" of the storage documentation.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How connections name a service of a storage account.
#[derive(Debug)]
pub struct Naming {
    /// For people: `Blob`.
    service: &'static str,
    /// In a connection with an identity.
    uri: &'static str,
    /// In a connection string.
    endpoint: &'static str,
    /// In the address of an account in Azure.
    subdomain: &'static str,
    /// Azurite's port for it.
    development: u16,
}

/// The Blob service.
pub const BLOB: Naming = Naming {
    service: "Blob",
    uri: "blobServiceUri",
    endpoint: "BlobEndpoint",
    subdomain: "blob",
    development: 10_000,
};

/// The Queue service.
pub const QUEUE: Naming = Naming {
    service: "Queue",
    uri: "queueServiceUri",
    endpoint: "QueueEndpoint",
    subdomain: "queue",
    development: 10_001,
};

/// What a storage connection string says of one service. The only reader of such strings, for the functions and for the tools
/// beside them.
#[derive(Debug, Clone)]
pub struct ServiceAddress {
    /// Where the service is, without a slash at the end; with a SAS, where the string has one.
    pub endpoint: Url,
    /// What opens it.
    pub opened_by: OpenedBy,
}

/// What a connection string has to open a storage account with.
#[derive(Debug, Clone)]
pub enum OpenedBy {
    /// The account's key.
    Key {
        /// The account's name.
        account: String,
        /// In base64, as the portal shows it.
        key: Secret,
    },
    /// A SAS, which is the endpoint's query.
    Sas,
}

/// A connection does not lead to a storage service. The text names what is missing, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageConnectionError(pub(super) String);

/// One service of a storage account.
#[derive(Clone)]
pub(super) struct StorageService {
    endpoint: Url,
    access: Access,
    service: &'static str,
    subdomain: &'static str,
}

#[derive(Clone)]
enum Access {
    Token(Arc<dyn TokenCredential>),
    Key(Arc<SharedKeyPolicy>),
    /// A SAS, already part of the endpoint's query.
    Sas,
}

impl StorageService {
    /// Reads the connection: `…ServiceUri` with an identity, or a storage connection string with a key,
    /// with a SAS, or `UseDevelopmentStorage=true`.
    ///
    /// # Errors
    /// Where the connection has no endpoint or no usable credential. Nothing is sent yet.
    pub(super) fn connect(
        connection: &Connection,
        naming: &Naming,
    ) -> Result<Self, StorageConnectionError> {
        let (endpoint, access) = match connection {
            Connection::Identity(identity) => {
                let endpoint = identity_endpoint(identity, naming)?;
                let credential = token_credential(&identity.credential).map_err(|error| {
                    StorageConnectionError(format!("no Azure credential: {error}"))
                })?;
                (endpoint, Access::Token(credential))
            }
            Connection::ConnectionString(text) => {
                let address = ServiceAddress::read(text, naming)?;
                let access = match address.opened_by {
                    OpenedBy::Key { account, key } => {
                        Access::Key(Arc::new(SharedKeyPolicy::new(account, key)))
                    }
                    OpenedBy::Sas => Access::Sas,
                };
                (address.endpoint, access)
            }
        };
        Ok(Self {
            endpoint,
            access,
            service: naming.service,
            subdomain: naming.subdomain,
        })
    }

    /// The address of something directly below the service: a container or a queue.
    pub(super) fn below(&self, name: &str) -> Result<Url, StorageConnectionError> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| {
                StorageConnectionError(format!("the {} endpoint takes no path", self.service))
            })?
            .pop_if_empty()
            .push(name);
        Ok(url)
    }

    /// The credential for a client, and its options.
    ///
    /// Two quick tries of our own and then the host's: eight, the default, would hold a call for more than
    /// a minute before anybody hears of the trouble. No try has a limit of its own: every operation goes
    /// through [`in_time`](super::in_time).
    pub(super) fn client(&self) -> (Option<Arc<dyn TokenCredential>>, ClientOptions) {
        tls::choose();
        let mut options = ClientOptions {
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: Duration::milliseconds(100),
                max_retries: 2,
                max_total_elapsed: OPERATION_TIMEOUT.try_into().unwrap_or(Duration::MAX),
                ..Default::default()
            }),
            ..Default::default()
        };
        let service = self.subdomain;
        options
            .per_try_policies
            .push(Arc::new(ExchangePolicy { service }));
        let credential = match &self.access {
            Access::Token(credential) => Some(Arc::clone(credential)),
            Access::Key(policy) => {
                options.per_try_policies.push(Arc::clone(policy) as _);
                None
            }
            Access::Sas => None,
        };
        (credential, options)
    }
}

impl ServiceAddress {
    /// Reads a connection string with a key or with a SAS, with or without endpoints, or `UseDevelopmentStorage=true`.
    ///
    /// # Errors
    /// Where it says too little. The text names what is missing, and no value.
    pub fn read(text: &ConnectionString, naming: &Naming) -> Result<Self, StorageConnectionError> {
        if text
            .get("UseDevelopmentStorage")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return development(text, naming);
        }
        let account = text.get("AccountName");
        let mut endpoint = match (text.get(naming.endpoint), account) {
            (Some(explicit), _) => parse(explicit, naming)?,
            (None, Some(account)) => {
                let (protocol, suffix) = (
                    text.get("DefaultEndpointsProtocol").unwrap_or("https"),
                    text.get("EndpointSuffix").unwrap_or("core.windows.net"),
                );
                let subdomain = naming.subdomain;
                parse(
                    &format!("{protocol}://{account}.{subdomain}.{suffix}"),
                    naming,
                )?
            }
            (None, None) => {
                return Err(StorageConnectionError(format!(
                    "the connection string has neither {} nor AccountName",
                    naming.endpoint
                )));
            }
        };
        let opened_by = match (
            text.get("SharedAccessSignature"),
            account,
            text.get("AccountKey"),
        ) {
            (Some(sas), _, _) => {
                endpoint.set_query(Some(sas.trim_start_matches('?')));
                OpenedBy::Sas
            }
            (None, Some(account), Some(key)) => OpenedBy::Key {
                account: account.to_owned(),
                key: Secret::new(key.to_owned()),
            },
            _ => {
                return Err(StorageConnectionError(
                    "the connection string has neither SharedAccessSignature nor AccountName with \
                     AccountKey"
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            endpoint,
            opened_by,
        })
    }

    /// Where a connection leads, of whatever kind it is: nothing of it is a secret.
    ///
    /// # Errors
    /// Where it says too little.
    pub fn place(connection: &Connection, naming: &Naming) -> Result<Url, StorageConnectionError> {
        let mut place = match connection {
            Connection::Identity(identity) => identity_endpoint(identity, naming)?,
            Connection::ConnectionString(text) => Self::read(text, naming)?.endpoint,
        };
        place.set_query(None);
        Ok(place)
    }
}

fn development(
    text: &ConnectionString,
    naming: &Naming,
) -> Result<ServiceAddress, StorageConnectionError> {
    let host = text
        .get("DevelopmentStorageProxyUri")
        .unwrap_or("http://127.0.0.1");
    let (host, port) = (host.trim_end_matches('/'), naming.development);
    Ok(ServiceAddress {
        endpoint: parse(&format!("{host}:{port}/{DEVELOPMENT_ACCOUNT}"), naming)?,
        opened_by: OpenedBy::Key {
            account: DEVELOPMENT_ACCOUNT.to_owned(),
            key: Secret::new(DEVELOPMENT_KEY),
        },
    })
}

fn identity_endpoint(
    identity: &IdentityConnection,
    naming: &Naming,
) -> Result<Url, StorageConnectionError> {
    let uri = identity
        .uri(naming.uri)
        .map_err(|error| StorageConnectionError(error.to_string()))?;
    parse(&uri, naming)
}

/// A slash at the end would become an empty segment, and `account//container` is a 400.
fn parse(text: &str, naming: &Naming) -> Result<Url, StorageConnectionError> {
    Url::parse(text.trim_end_matches('/')).map_err(|error| {
        StorageConnectionError(format!(
            "the {} endpoint is not a URL: {error}",
            naming.service
        ))
    })
}

/// An error of a storage service; `at` is the container or queue that was asked.
pub(super) fn store_error(
    operation: &'static str,
    error: &azure_core::Error,
    at: &Url,
) -> StoreError {
    if let Some(failure) = TokenError::behind(error) {
        return failure.in_store(operation);
    }
    StoreError {
        operation,
        message: why(error, at),
        transient: error.http_status().is_none_or(|status| {
            status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TooManyRequests | StatusCode::RequestTimeout
                )
        }),
    }
}

/// Why a request to the container or queue `at` failed. Where that is missing, what makes it. The service's own text can quote
/// the request, so only its status is kept.
pub fn why(error: &azure_core::Error, at: &Url) -> String {
    let ErrorKind::HttpResponse {
        status, error_code, ..
    } = error.kind()
    else {
        return error.kind().to_string();
    };
    let kind = match error_code.as_deref() {
        Some("ContainerNotFound") => "container",
        Some("QueueNotFound") => "queue",
        _ => return format!("storage answered {}", u16::from(*status)),
    };
    let name = at
        .path_segments()
        .and_then(|mut segments| segments.next_back())
        .unwrap_or_default();
    // An account in Azure is the first part of its host's name; in an emulator it stands in the path.
    let made_by = match at.domain().and_then(|domain| domain.split_once('.')) {
        Some((account, _)) => format!(
            "az storage {kind} create --name {name} --account-name {account} --auth-mode login"
        ),
        None => "cargo local prepare".to_owned(),
    };
    format!("the {kind} {name} does not exist: `{made_by}` makes it")
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
