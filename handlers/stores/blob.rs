//! [`BlobStore`] in Azure Blob storage.

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{Etag, RequestContent};
use azure_functions_sdk::connection::Connection;
use azure_storage_blob::models::BlobClientUploadOptions;
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;

use super::alerts::{Snapshot, SnapshotStore};
use super::storage::{BLOB, StorageConnectionError, StorageService, store_error};
use super::{BlobStore, PutError, StoreError, Version};

/// A storage account's Blob service, reached through a Functions connection.
#[derive(Clone)]
pub struct BlobService(StorageService);

/// One container of a [`BlobService`].
pub struct BlobContainer {
    client: BlobContainerClient,
}

impl BlobService {
    /// Reads the connection: `blobServiceUri` with an identity, or a storage connection string with
    /// a key, with a SAS, or `UseDevelopmentStorage=true`.
    ///
    /// # Errors
    /// Where the connection has no Blob endpoint or no usable credential. Nothing is sent yet.
    pub fn connect(connection: &Connection) -> Result<Self, StorageConnectionError> {
        StorageService::connect(connection, &BLOB).map(Self)
    }

    /// A container by name. Nothing is sent, and the container must exist.
    ///
    /// # Errors
    /// Where a token is to be sent to an endpoint that is not https.
    pub fn container(&self, name: &str) -> Result<BlobContainer, StorageConnectionError> {
        let (credential, client_options) = self.0.client();
        let options = BlobContainerClientOptions {
            client_options,
            ..Default::default()
        };
        let client = BlobContainerClient::new(self.0.below(name)?, credential, Some(options))
            .map_err(|error| StorageConnectionError(error.to_string()))?;
        Ok(BlobContainer { client })
    }
}

impl BlobContainer {
    /// The SDK's client, for tools that do more with a container than the functions.
    pub fn client(&self) -> &BlobContainerClient {
        &self.client
    }
}

#[async_trait]
impl BlobStore for BlobContainer {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.client
            .blob_client(name)
            .upload(RequestContent::from(body.to_vec()), None)
            .await
            .map(|_| ())
            .map_err(|error| store_error("write blob", &error))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.client
            .get_properties(None)
            .await
            .map(|_| ())
            .map_err(|error| store_error("read blob container", &error))
    }
}

#[async_trait]
impl SnapshotStore for BlobContainer {
    async fn load(&self, name: &str) -> Result<Option<Snapshot>, StoreError> {
        const OPERATION: &str = "read snapshot";
        let failed = |error| store_error(OPERATION, &error);
        let found = match self.client.blob_client(name).download(None).await {
            Ok(found) => found,
            Err(error) if code(&error) == Some("BlobNotFound") => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let version = version(found.properties.etag, OPERATION)?;
        let body = found.body.collect().await.map_err(failed)?;
        Ok(Some(Snapshot { body, version }))
    }

    async fn save(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        const OPERATION: &str = "save snapshot";
        let options = match expected {
            Some(Version(etag)) => BlobClientUploadOptions {
                if_match: Some(Etag::from(etag.to_string())),
                ..Default::default()
            },
            None => BlobClientUploadOptions::default().if_not_exists(),
        };
        let saved = self
            .client
            .blob_client(name)
            .upload(RequestContent::from(body.to_vec()), Some(options))
            .await;
        match saved {
            Ok(saved) => Ok(version(saved.etag, OPERATION)?),
            // Changed since it was loaded (412), or made by somebody else (409). A retry inside the client
            // after a lost answer looks the same, and loading again resolves that too.
            Err(error) if matches!(code(&error), Some("ConditionNotMet" | "BlobAlreadyExists")) => {
                Err(PutError::Stale)
            }
            Err(error) => Err(store_error(OPERATION, &error).into()),
        }
    }
}

fn version(etag: Option<Etag>, operation: &'static str) -> Result<Version, StoreError> {
    etag.map(|etag| Version(etag.to_string().into()))
        .ok_or_else(|| StoreError {
            operation,
            message: "the answer has no ETag".to_owned(),
            transient: false,
        })
}

/// The service's word for what is wrong; a status alone does not tell a missing blob from a missing
/// container.
fn code(error: &azure_core::Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}
