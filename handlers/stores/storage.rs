//! What Blob and Queue storage have in common: from a Functions connection to an address and the right to
//! use it.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, StatusCode, Url};
use azure_core::time::Duration;
use azure_functions_sdk::connection::{Connection, ConnectionString};

use super::credentials::token_credential;
use super::shared_key::SharedKeyPolicy;
use super::{OPERATION_TIMEOUT, StoreError};

/// Azurite's account, which every storage SDK knows by heart. Published, and worth nothing outside
/// the emulator: "Connect to Azurite with SDKs and tools" of the storage documentation.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// How connections name a service of a storage account.
pub(super) struct Naming {
    /// For people: `Blob`.
    pub service: &'static str,
    /// In a connection with an identity.
    pub uri: &'static str,
    /// In a connection string.
    pub endpoint: &'static str,
    /// In the address of an account in Azure.
    pub subdomain: &'static str,
    /// Where Azurite has it.
    pub development: &'static str,
}

pub(super) const BLOB: Naming = Naming {
    service: "Blob",
    uri: "blobServiceUri",
    endpoint: "BlobEndpoint",
    subdomain: "blob",
    development: "http://127.0.0.1:10000/devstoreaccount1",
};

pub(super) const QUEUE: Naming = Naming {
    service: "Queue",
    uri: "queueServiceUri",
    endpoint: "QueueEndpoint",
    subdomain: "queue",
    development: "http://127.0.0.1:10001/devstoreaccount1",
};

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
                let uri = identity
                    .uri(naming.uri)
                    .map_err(|error| StorageConnectionError(error.to_string()))?;
                let credential = token_credential(&identity.credential).map_err(|error| {
                    StorageConnectionError(format!("no Azure credential: {error}"))
                })?;
                (parse(&uri, naming)?, Access::Token(credential))
            }
            Connection::ConnectionString(text) => from_connection_string(text, naming)?,
        };
        Ok(Self {
            endpoint,
            access,
            service: naming.service,
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
        let mut options = ClientOptions {
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: Duration::milliseconds(100),
                max_retries: 2,
                max_total_elapsed: OPERATION_TIMEOUT.try_into().unwrap_or(Duration::MAX),
                ..Default::default()
            }),
            ..Default::default()
        };
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

fn from_connection_string(
    text: &ConnectionString,
    naming: &Naming,
) -> Result<(Url, Access), StorageConnectionError> {
    if text
        .get("UseDevelopmentStorage")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        let key = SharedKeyPolicy::new(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY);
        let access = Access::Key(Arc::new(key));
        return Ok((parse(naming.development, naming)?, access));
    }
    let account = text.get("AccountName");
    let mut url = match (text.get(naming.endpoint), account) {
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
    let access = match (
        text.get("SharedAccessSignature"),
        account,
        text.get("AccountKey"),
    ) {
        (Some(sas), _, _) => {
            url.set_query(Some(sas.trim_start_matches('?')));
            Access::Sas
        }
        (None, Some(account), Some(key)) => Access::Key(Arc::new(SharedKeyPolicy::new(
            account.to_owned(),
            key.to_owned(),
        ))),
        _ => {
            return Err(StorageConnectionError(
                "the connection string has neither SharedAccessSignature nor AccountName with \
                 AccountKey"
                    .to_owned(),
            ));
        }
    };
    Ok((url, access))
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

/// The service's own text can quote the request, so only its status is kept.
pub(super) fn store_error(operation: &'static str, error: &azure_core::Error) -> StoreError {
    let status = error.http_status();
    StoreError {
        operation,
        message: match status {
            Some(status) => format!("storage answered {}", u16::from(status)),
            None => error.kind().to_string(),
        },
        transient: status.is_none_or(|status| {
            status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TooManyRequests | StatusCode::RequestTimeout
                )
        }),
    }
}
