//! The stores in Azure Cosmos DB: one client for the database, one file a container and use.
//!
//! | module | container | what it is |
//! |---|---|---|
//! | [`drones`] | `drones` | the [`DroneStore`](super::DroneStore) |
//! | [`fleet`] | `drones` | the [`FleetReader`](super::fleet::FleetReader) |
//! | [`alerts`] | `alerts` | the [`AlertStore`](super::AlertStore) |

pub mod alerts;
pub mod drones;
pub mod fleet;
mod telemetry;

use std::num::NonZeroU32;
use std::sync::Arc;

use azure_core::http::{Etag, StatusCode};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::{
    BinaryEncodingOptions, ConnectionPoolOptions, EndToEndOperationLatencyPolicy, MaxItemCountHint,
    OperationOptions, QueryOptions, RoutingStrategy,
};
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, CosmosError, CosmosRuntime,
};
use azure_functions_sdk::connection::Connection;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tracing::warn;

use self::telemetry::CosmosTelemetry;
use super::credentials::{TokenError, token_credential};
use super::{OPERATION_TIMEOUT, StoreError, Version, in_time};
use crate::tls;

/// A database, connected on first use: the first connection takes tens of milliseconds, and the
/// handler's readiness must not wait for it.
pub struct CosmosDatabase {
    account: AccountReference,
    name: String,
    client: OnceCell<CosmosClient>,
}

/// A connection does not lead to a Cosmos DB account. The text names what is missing, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CosmosConnectionError(String);

impl CosmosDatabase {
    /// Reads the connection: `accountEndpoint` with an identity, or a connection string with
    /// `AccountEndpoint` and `AccountKey`.
    ///
    /// # Errors
    /// Where the connection has no endpoint or no usable credential. Nothing is sent yet.
    pub fn new(connection: &Connection, name: &str) -> Result<Arc<Self>, CosmosConnectionError> {
        let account = match connection {
            Connection::Identity(identity) => {
                let uri = identity
                    .uri("accountEndpoint")
                    .map_err(|error| CosmosConnectionError(error.to_string()))?;
                let credential = token_credential(&identity.credential).map_err(|error| {
                    CosmosConnectionError(format!("no Azure credential: {error}"))
                })?;
                AccountReference::with_credential(endpoint(&uri)?, credential)
            }
            Connection::ConnectionString(text) => {
                let part = |name: &str| {
                    text.get(name).ok_or_else(|| {
                        CosmosConnectionError(format!("the connection string has no {name}"))
                    })
                };
                AccountReference::with_authentication_key(
                    endpoint(part("AccountEndpoint")?)?,
                    part("AccountKey")?.to_owned(),
                )
            }
        };
        Ok(Arc::new(Self {
            account,
            name: name.to_owned(),
            client: OnceCell::new(),
        }))
    }

    async fn client(&self) -> azure_data_cosmos::Result<&CosmosClient> {
        self.client
            .get_or_try_init(|| async {
                tls::choose();
                // HTTP/1.1 costs about a fifth less CPU for each write than the default, HTTP/2.
                let pool = ConnectionPoolOptions::builder()
                    .with_is_http2_allowed(false)
                    .build()?;
                let mut defaults = OperationOptions::default();
                defaults.end_to_end_latency_policy =
                    Some(EndToEndOperationLatencyPolicy::new(OPERATION_TIMEOUT));
                let runtime = CosmosRuntime::builder()
                    .with_connection_pool(pool)
                    .with_default_operation_options(defaults)
                    .build()
                    .await?;
                CosmosClient::builder()
                    .with_runtime(runtime)
                    .with_diagnostics_handler(CosmosTelemetry::new())
                    .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
                    // No preference: the account's own order of regions.
                    .build(
                        self.account.clone(),
                        RoutingStrategy::PreferredRegions(Vec::new()),
                    )
                    .await
            })
            .await
    }
}

/// Asks for the items of a query in one answer, as far as that goes: without it they come 100 at a time,
/// each a round trip that begins the query anew.
///
/// Above what the service takes as a number it decides by itself, and fills an answer up to its limit of
/// 4 MB.
fn at_once(items: usize) -> QueryOptions {
    const MOST: u32 = 1_000;
    let hint = u32::try_from(items)
        .ok()
        .filter(|items| *items <= MOST)
        .and_then(NonZeroU32::new)
        .map_or(MaxItemCountHint::ServerDecides, MaxItemCountHint::Limit);
    QueryOptions::default().with_max_item_count(hint)
}

/// A container, opened on first use.
struct Container {
    database: Arc<CosmosDatabase>,
    name: &'static str,
    client: OnceCell<ContainerClient>,
}

impl Container {
    fn new(database: &Arc<CosmosDatabase>, name: &'static str) -> Self {
        Self {
            database: Arc::clone(database),
            name,
            client: OnceCell::new(),
        }
    }

    /// A failed attempt is forgotten: the next call tries anew.
    async fn client(&self) -> Result<&ContainerClient, StoreError> {
        const OPERATION: &str = "connect to Cosmos DB";
        let open = || async {
            let opening = async {
                let client = self.database.client().await?;
                client
                    .database_client(self.database.name.clone())
                    .container_client(self.name, None)
                    .await
            };
            in_time(OPERATION, async {
                opening.await.map_err(|error| {
                    let mut failed = store_error(OPERATION, &error);
                    if error.status().is_not_found() {
                        failed.message = self.missing();
                    }
                    failed
                })
            })
            .await
        };
        self.client.get_or_try_init(open).await
    }

    fn missing(&self) -> String {
        format!(
            "the container {} of the database {} does not exist: `cargo local prepare` makes it on this machine, and a deployment \
             of infra/ in Azure",
            self.name, self.database.name
        )
    }
}

fn endpoint(text: &str) -> Result<AccountEndpoint, CosmosConnectionError> {
    text.parse()
        .map_err(|_| CosmosConnectionError("the account endpoint is not a URL".to_owned()))
}

fn version(etag: Option<&Etag>, operation: &'static str) -> Result<Version, StoreError> {
    etag.map(|etag| Version(etag.to_string().into()))
        .ok_or_else(|| StoreError {
            operation,
            message: "the answer has no ETag".to_owned(),
            transient: false,
        })
}

/// Only the status is kept: the error's own text carries request details, and a backtrace where
/// `RUST_BACKTRACE` is set.
fn store_error(operation: &'static str, error: &CosmosError) -> StoreError {
    if let Some(failure) = TokenError::behind(error) {
        return failure.in_store(operation);
    }
    let status = error.status();
    let code = status.status_code();
    // The driver's own, where signing a request or getting a token failed (20401, 20402), and the service's for a token
    // that ended on its way (5006).
    let is_token = code == StatusCode::Unauthorized
        && matches!(
            status.sub_status().map(|code| code.value()),
            Some(20401 | 20402 | 5006)
        );
    StoreError {
        operation,
        message: match (status.name(), error.is_from_wire()) {
            (Some(name), _) => format!("{} ({name})", u16::from(code)),
            (None, true) => format!("Cosmos DB answered {}", u16::from(code)),
            (None, false) => format!("the client gave up with {}", u16::from(code)),
        },
        transient: is_token
            || status.is_transient()
            // A partition that moves, a region that fails over.
            || status.is_gone()
            || status.is_read_session_not_available()
            || status.is_write_forbidden()
            || status.is_database_account_not_found()
            || matches!(
                code,
                StatusCode::TooManyRequests | StatusCode::RequestTimeout
            )
            || code.is_server_error(),
    }
}

/// What Cosmos DB has in every item.
#[derive(Deserialize)]
struct Head {
    id: String,
    #[serde(rename = "_etag")]
    etag: String,
}

/// A stored item as what it should be. One that cannot be read, a newer version's or an edit by hand, is said, and
/// stops nobody: it is passed over where items are listed, and replaced where what it is of is written.
fn readable<T: DeserializeOwned>(item: &RawValue) -> Option<T> {
    serde_json::from_str(item.get())
        .inspect_err(|error| {
            unreadable(
                item,
                &format!("{:?} at column {}", error.classify(), error.column()),
            );
        })
        .ok()
}

fn unreadable(item: &RawValue, error: &str) {
    let id = serde_json::from_str::<Head>(item.get()).map_or(String::new(), |head| head.id);
    warn!(item.id = id, error, "a stored item cannot be read");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};

    use super::super::credentials::CachingCredential;
    use super::*;

    #[test]
    fn a_page_comes_at_once_or_as_the_service_can() {
        let hint = |items| match at_once(items).feed.max_item_count {
            Some(MaxItemCountHint::Limit(count)) => Some(count.get()),
            _ => None,
        };
        assert_eq!(hint(1), Some(1));
        assert_eq!(hint(1_000), Some(1_000));
        assert_eq!(hint(1_001), None);
        assert_eq!(hint(usize::MAX), None);
    }

    /// A credential without a token, and a listener in place of Cosmos DB that nothing may reach.
    #[derive(Debug)]
    struct NoToken(azure_core::error::ErrorKind);

    #[async_trait::async_trait]
    impl TokenCredential for NoToken {
        async fn get_token(
            &self,
            _scopes: &[&str],
            _options: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            Err(azure_core::Error::with_message(self.0.clone(), "as told"))
        }
    }

    #[tokio::test]
    async fn where_there_is_no_token_the_credential_says_whether_waiting_helps() {
        use azure_core::error::ErrorKind;
        for (kind, transient) in [(ErrorKind::Io, true), (ErrorKind::Credential, false)] {
            let credential = Arc::new(CachingCredential::new(Arc::new(NoToken(kind))));
            let endpoint = endpoint("https://127.0.0.1:1").unwrap();
            let database = Arc::new(CosmosDatabase {
                account: AccountReference::with_credential(endpoint, credential),
                name: "drones".to_owned(),
                client: OnceCell::new(),
            });
            let container = Container::new(&database, "drones");
            let opened = container.client().await.map(|_| ());
            let error = opened.expect_err("there is no token");
            assert!(error.message.starts_with("no token for Azure: "), "{error}");
            assert_eq!(error.transient, transient, "{error}");
        }
    }

    #[test]
    fn a_token_that_ended_on_its_way_is_transient_and_a_wrong_one_is_not() {
        let error = |sub_status: u16| {
            let status = azure_data_cosmos::CosmosStatus::new(StatusCode::Unauthorized)
                .with_sub_status(sub_status);
            let error = CosmosError::builder().with_status(status).build();
            store_error("read", &error)
        };
        for sub_status in [20_401, 20_402, 5_006] {
            assert!(error(sub_status).transient, "{sub_status}");
        }
        // AadTokenInvalidAudience.
        assert!(!error(5_008).transient);
    }
}
