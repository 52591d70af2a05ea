//! [`DroneStore`] in Azure Cosmos DB.

use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{Etag, StatusCode};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::{
    BinaryEncodingOptions, ConnectionPoolOptions, EndToEndOperationLatencyPolicy, ItemReadOptions,
    ItemWriteOptions, OperationOptions, Precondition, RoutingStrategy,
};
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, CosmosError, CosmosRuntime,
};
use azure_functions_sdk::connection::Connection;
use tokio::sync::OnceCell;

use super::credentials::token_credential;
use super::fleet::Read;
use super::{DroneStore, PutError, StoreError, Version, VersionedState};
use crate::domain::{DeviceId, DroneDocument, DroneState};

/// The container of latest states; its partition key is `/deviceId`.
const DRONES: &str = "drones";

/// One operation's limit, its retries included: long enough for a throttled write to wait its turn,
/// short enough that a server that never answers cannot hold a call to its deadline by itself.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The drones' container, connected on first use: the first connection takes tens of milliseconds,
/// and the handler's readiness must not wait for it.
pub struct CosmosDrones {
    account: AccountReference,
    database: String,
    container: OnceCell<ContainerClient>,
}

/// A connection does not lead to a Cosmos DB account. The text names what is missing, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CosmosConnectionError(String);

impl CosmosDrones {
    /// Reads the connection: `accountEndpoint` with an identity, or a connection string with
    /// `AccountEndpoint` and `AccountKey`.
    ///
    /// # Errors
    /// Where the connection has no endpoint or no usable credential. Nothing is sent yet.
    pub fn new(connection: &Connection, database: &str) -> Result<Self, CosmosConnectionError> {
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
        Ok(Self {
            account,
            database: database.to_owned(),
            container: OnceCell::new(),
        })
    }

    /// Connects if that has not happened yet. A failed attempt is forgotten: the next call tries anew.
    ///
    /// # Errors
    /// Where the account cannot be reached, or has no such database or container.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.container().await.map(|_| ())
    }

    pub(super) async fn container(&self) -> Result<&ContainerClient, StoreError> {
        self.container
            .get_or_try_init(|| async {
                let connecting = self.open();
                match tokio::time::timeout(OPERATION_TIMEOUT, connecting).await {
                    Ok(opened) => {
                        opened.map_err(|error| store_error("connect to Cosmos DB", &error))
                    }
                    Err(_) => Err(StoreError {
                        operation: "connect to Cosmos DB",
                        message: format!("no answer within {} s", OPERATION_TIMEOUT.as_secs()),
                        transient: true,
                    }),
                }
            })
            .await
    }

    /// Reads one drone, and tells what that cost.
    pub(super) async fn read(
        &self,
        drone: &DeviceId,
    ) -> Result<Read<Option<VersionedState>>, StoreError> {
        const OPERATION: &str = "read drone from Cosmos DB";
        let response = self
            .container()
            .await?
            .read_item(
                drone.as_str().to_owned(),
                &drone.item_id(),
                Some(ItemReadOptions::default()),
            )
            .await;
        let response = match response {
            Ok(response) => response,
            // A miss costs a request unit, which the error does not tell.
            Err(error) if error.status().is_not_found() => {
                return Ok(Read {
                    value: None,
                    request_charge: 1.0,
                });
            }
            Err(error) => return Err(store_error(OPERATION, &error)),
        };
        let version = version(response.headers().etag(), OPERATION)?;
        let request_charge = response
            .headers()
            .request_charge()
            .map_or(0.0, |charge| charge.value());
        let document: DroneDocument = response
            .into_model()
            .map_err(|error| store_error(OPERATION, &error))?;
        let state = drone_state(document, OPERATION)?;
        Ok(Read {
            value: Some(VersionedState { state, version }),
            request_charge,
        })
    }

    async fn open(&self) -> azure_data_cosmos::Result<ContainerClient> {
        // HTTP/1.1 costs about a fifth less CPU for each write than the client's default, HTTP/2.
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
        let client = CosmosClient::builder()
            .with_runtime(runtime)
            .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
            // No preference: the account's own order of regions.
            .build(
                self.account.clone(),
                RoutingStrategy::PreferredRegions(Vec::new()),
            )
            .await?;
        client
            .database_client(self.database.clone())
            .container_client(DRONES, None)
            .await
    }
}

#[async_trait]
impl DroneStore for CosmosDrones {
    async fn get(&self, drone: &DeviceId) -> Result<Option<VersionedState>, StoreError> {
        Ok(self.read(drone).await?.value)
    }

    async fn put(
        &self,
        state: &DroneState,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        const OPERATION: &str = "write drone to Cosmos DB";
        let container = self.container().await?;
        let document = DroneDocument::from(state);
        let key = state.device_id.as_str().to_owned();
        let id = state.device_id.item_id();
        let written = match expected {
            Some(Version(etag)) => {
                let options = ItemWriteOptions::default()
                    .with_precondition(Precondition::if_match(Etag::from(etag.to_string())));
                container
                    .replace_item(key, &id, document, Some(options))
                    .await
            }
            None => container.create_item(key, &id, document, None).await,
        };
        match written {
            Ok(response) => Ok(version(response.headers().etag(), OPERATION)?),
            // Deleted (404) or changed (412) since it was read, or created by somebody else (409).
            // A retry inside the client after a lost answer looks the same, and reading again
            // resolves that too.
            Err(error)
                if error.status().is_precondition_failed()
                    || error.status().is_conflict()
                    || (expected.is_some() && error.status().is_not_found()) =>
            {
                Err(PutError::Stale)
            }
            Err(error) => Err(store_error(OPERATION, &error).into()),
        }
    }

    /// Reads an item that no drone can have: the id of a device never starts with `~~`.
    async fn check(&self) -> Result<(), StoreError> {
        const NOBODY: &str = "~~health";
        match self
            .container()
            .await?
            .read_item(NOBODY, NOBODY, None)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_not_found() => Ok(()),
            Err(error) => Err(store_error("reach Cosmos DB", &error)),
        }
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

pub(super) fn drone_state(
    document: DroneDocument,
    operation: &'static str,
) -> Result<DroneState, StoreError> {
    DroneState::try_from(document).map_err(|error| StoreError {
        operation,
        message: format!("the stored document is not a drone: {error}"),
        transient: false,
    })
}

/// Only the status is kept: the error's own text carries request details, and a backtrace where
/// `RUST_BACKTRACE` is set.
pub(super) fn store_error(operation: &'static str, error: &CosmosError) -> StoreError {
    let status = error.status();
    let code = status.status_code();
    StoreError {
        operation,
        message: match (status.name(), error.is_from_wire()) {
            (Some(name), _) => format!("{} ({name})", u16::from(code)),
            (None, true) => format!("Cosmos DB answered {}", u16::from(code)),
            (None, false) => format!("the client gave up with {}", u16::from(code)),
        },
        transient: status.is_transient()
            || matches!(
                code,
                StatusCode::TooManyRequests | StatusCode::RequestTimeout
            )
            || code.is_server_error(),
    }
}
