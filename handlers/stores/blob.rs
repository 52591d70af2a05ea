//! [`BlobStore`], snapshots and notes in Azure Blob storage.

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::Etag;
use azure_functions_sdk::connection::Connection;
use azure_storage_blob::models::{
    BlobClientUploadOptions, BlobContainerClientListBlobsOptions, ListBlobsIncludeItem,
};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::num::NonZero;

use super::alerts::{Mark, Snapshot, SnapshotStore};
use super::storage::{BLOB, StorageConnectionError, StorageService, store_error};
use super::{BlobStore, PutError, StoreError, Version, in_time};
use crate::domain::timestamp::{Rfc3339Nanos, parse_rfc3339};

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

    pub(super) fn failed(&self, operation: &'static str, error: &azure_core::Error) -> StoreError {
        store_error(operation, error, self.client.url())
    }
}

/// One transfer at a time. Left to itself the client asks the operating system for its processors at each upload, which
/// reads half a dozen files.
pub(super) fn upload_options<'a>() -> BlobClientUploadOptions<'a> {
    BlobClientUploadOptions {
        parallel: Some(NonZero::<usize>::MIN),
        ..BlobClientUploadOptions::default()
    }
}

#[async_trait]
impl BlobStore for BlobContainer {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        const OPERATION: &str = "write blob";
        in_time(OPERATION, async {
            let blob = self.client.blob_client(name);
            match blob.upload(body.into(), Some(upload_options())).await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed(OPERATION, &error)),
            }
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "read blob container";
        in_time(OPERATION, async {
            match self.client.get_properties(None).await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed(OPERATION, &error)),
            }
        })
        .await
    }
}

#[async_trait]
impl SnapshotStore for BlobContainer {
    async fn load(&self, name: &str) -> Result<Option<Snapshot>, StoreError> {
        in_time(READ_SNAPSHOT, self.snapshot(name, READ_SNAPSHOT)).await
    }

    async fn marks(&self) -> Result<Vec<(String, Mark)>, StoreError> {
        const OPERATION: &str = "list snapshots";
        let failed = |error| self.failed(OPERATION, &error);
        let options = BlobContainerClientListBlobsOptions {
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            ..Default::default()
        };
        in_time(OPERATION, async {
            // The pager asks for page after page.
            let blobs = self.client.list_blobs(Some(options)).map_err(failed)?;
            let marks = blobs.try_filter_map(async |blob| {
                let values = blob.metadata.and_then(|metadata| metadata.values);
                let mark = values.as_ref().and_then(mark);
                Ok(blob.name.zip(mark))
            });
            marks.try_collect().await.map_err(failed)
        })
        .await
    }

    async fn save(
        &self,
        name: &str,
        body: Bytes,
        mark: Mark,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        const OPERATION: &str = "save snapshot";
        let mut options = match expected {
            Some(Version(etag)) => BlobClientUploadOptions {
                if_match: Some(Etag::from(etag.to_string())),
                ..upload_options()
            },
            None => upload_options().if_not_exists(),
        };
        options.metadata = Some(metadata(mark));
        let blob = self.client.blob_client(name);
        let saving = blob.upload(body.into(), Some(options));
        in_time(OPERATION, async {
            match saving.await {
                Ok(saved) => Ok(version(saved.etag, OPERATION)?),
                // Changed since it was loaded (412), or made by somebody else (409). A retry inside the
                // client after a lost answer looks the same, and loading again resolves that too.
                Err(error)
                    if matches!(code(&error), Some("ConditionNotMet" | "BlobAlreadyExists")) =>
                {
                    Err(PutError::Stale)
                }
                Err(error) => Err(self.failed(OPERATION, &error).into()),
            }
        })
        .await
    }
}

/// Names of metadata are C# identifiers, and know no case.
const WATERMARK: &str = "watermark";
const NEXT_DEADLINE: &str = "nextdeadline";

fn metadata(mark: Mark) -> HashMap<String, String> {
    let mut metadata = HashMap::new();
    metadata.insert(
        WATERMARK.to_owned(),
        Rfc3339Nanos(mark.watermark).to_string(),
    );
    if let Some(deadline) = mark.next_deadline {
        metadata.insert(NEXT_DEADLINE.to_owned(), Rfc3339Nanos(deadline).to_string());
    }
    metadata
}

/// `None` where it is not of [`metadata`].
fn mark(metadata: &HashMap<String, String>) -> Option<Mark> {
    let time = |name: &str| {
        let mut known = metadata.iter();
        let found = known.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| parse_rfc3339(value).ok())
    };
    Some(Mark {
        watermark: time(WATERMARK)??,
        next_deadline: match time(NEXT_DEADLINE) {
            Some(deadline) => Some(deadline?),
            None => None,
        },
    })
}

const READ_SNAPSHOT: &str = "read snapshot";

impl BlobContainer {
    /// A whole blob; `None` where there is none of this name.
    async fn snapshot(
        &self,
        name: &str,
        operation: &'static str,
    ) -> Result<Option<Snapshot>, StoreError> {
        let failed = |error| self.failed(operation, &error);
        let found = match self.client.blob_client(name).download(None).await {
            Ok(found) => found,
            Err(error) if code(&error) == Some("BlobNotFound") => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let version = version(found.properties.etag, operation)?;
        let body = found.body.collect().await.map_err(failed)?;
        Ok(Some(Snapshot { body, version }))
    }
}

pub(super) fn version(etag: Option<Etag>, operation: &'static str) -> Result<Version, StoreError> {
    etag.map(|etag| Version(etag.to_string().into()))
        .ok_or_else(|| StoreError {
            operation,
            message: "the answer has no ETag".to_owned(),
            transient: false,
        })
}

/// The service's word for what is wrong; a status alone does not tell a missing blob from a missing
/// container.
pub(super) fn code(error: &azure_core::Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use azure_functions_sdk::connection::ConnectionString;
    use tokio::net::TcpListener;

    use super::*;

    /// Connections are accepted, and nothing is ever answered. In paused time a time-out comes as soon as
    /// there is nothing else to wait for.
    #[tokio::test(start_paused = true)]
    async fn an_operation_that_is_never_answered_is_given_up_for_the_time_being() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        });
        let connection =
            format!("AccountName=fleet;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{port}/fleet");
        let connection = ConnectionString::parse("FleetStorage", &connection).unwrap();
        let connection = Connection::ConnectionString(connection);
        let blobs = BlobService::connect(&connection).unwrap();
        let container = blobs.container("telemetry-archive").unwrap();
        let mark = Mark {
            watermark: time::UtcDateTime::UNIX_EPOCH,
            next_deadline: None,
        };
        let body = Bytes::from_static(b"x");
        let stale = |error| match error {
            PutError::Store(error) => error,
            PutError::Stale => panic!("nobody has said so"),
        };
        let all = async {
            [
                BlobStore::put(&container, "a", body.clone())
                    .await
                    .unwrap_err(),
                BlobStore::check(&container).await.unwrap_err(),
                container.load("a").await.unwrap_err(),
                container
                    .save("a", body, mark, None)
                    .await
                    .map_err(stale)
                    .unwrap_err(),
            ]
        };
        let errors = tokio::time::timeout(Duration::from_secs(600), all).await;
        for error in errors.unwrap() {
            assert!(error.transient, "{error}");
            assert_eq!(error.message, "no answer within 10 s", "{error}");
        }
        server.abort();
    }
}
