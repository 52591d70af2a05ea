//! [`DroneStore`] in Azure Cosmos DB.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::options::{ItemReadOptions, ItemWriteOptions, Precondition};

use super::{Container, CosmosDatabase, store_error, version};
use crate::domain::{DeviceId, DroneDocument, DroneState};
use crate::stores::fleet::Read;
use crate::stores::{DroneStore, PutError, StoreError, Version, VersionedState};

/// The drones' latest states, in the container `drones` with the partition key `/deviceId`.
pub struct CosmosDrones {
    pub(super) container: Container,
}

impl CosmosDrones {
    /// Nothing is sent yet.
    pub fn new(database: &Arc<CosmosDatabase>) -> Self {
        Self {
            container: Container::new(database, "drones"),
        }
    }

    /// Connects if that has not happened yet. A failed attempt is forgotten: the next call tries anew.
    ///
    /// # Errors
    /// Where the account cannot be reached, or has no such database or container.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.container.client().await.map(|_| ())
    }

    /// Reads one drone, and tells what that cost.
    pub(super) async fn read(
        &self,
        drone: &DeviceId,
    ) -> Result<Read<Option<VersionedState>>, StoreError> {
        const OPERATION: &str = "read drone from Cosmos DB";
        let response = self
            .container
            .client()
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
        let container = self.container.client().await?;
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
            .container
            .client()
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
