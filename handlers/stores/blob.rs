//! [`BlobStore`] in Azure Blob storage.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{
    ClientOptions, Etag, ExponentialRetryOptions, RequestContent, RetryOptions, StatusCode, Url,
};
use azure_core::time::Duration;
use azure_functions_sdk::connection::{Connection, ConnectionString};
use azure_storage_blob::models::BlobClientUploadOptions;
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;

use super::alerts::{Snapshot, SnapshotStore};
use super::credentials::token_credential;
use super::shared_key::SharedKeyPolicy;
use super::{BlobStore, PutError, StoreError, Version};

/// Azurite's account, which every storage SDK knows by heart. Published, and worth nothing outside
/// the emulator: "Connect to Azurite with SDKs and tools" of the storage documentation.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const DEVELOPMENT_BLOB_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// A storage account's Blob service, reached through a Functions connection.
#[derive(Clone)]
pub struct BlobService {
    endpoint: Url,
    access: Access,
}

#[derive(Clone)]
enum Access {
    Token(Arc<dyn azure_core::credentials::TokenCredential>),
    Key(Arc<SharedKeyPolicy>),
    /// A SAS, already part of the endpoint's query.
    Sas,
}

/// A connection does not lead to a Blob service. The text names what is missing, never a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BlobConnectionError(String);

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
    pub fn connect(connection: &Connection) -> Result<Self, BlobConnectionError> {
        match connection {
            Connection::Identity(identity) => {
                let uri = identity
                    .uri("blobServiceUri")
                    .map_err(|error| BlobConnectionError(error.to_string()))?;
                Ok(Self {
                    endpoint: endpoint(&uri)?,
                    access: Access::Token(token_credential(&identity.credential).map_err(
                        |error| BlobConnectionError(format!("no Azure credential: {error}")),
                    )?),
                })
            }
            Connection::ConnectionString(text) => Self::from_connection_string(text),
        }
    }

    fn from_connection_string(text: &ConnectionString) -> Result<Self, BlobConnectionError> {
        if text
            .get("UseDevelopmentStorage")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Ok(Self {
                endpoint: endpoint(DEVELOPMENT_BLOB_ENDPOINT)?,
                access: Access::Key(Arc::new(SharedKeyPolicy::new(
                    DEVELOPMENT_ACCOUNT,
                    DEVELOPMENT_KEY,
                ))),
            });
        }
        let account = text.get("AccountName");
        let mut url = match (text.get("BlobEndpoint"), account) {
            (Some(explicit), _) => endpoint(explicit)?,
            (None, Some(account)) => endpoint(&format!(
                "{}://{account}.blob.{}",
                text.get("DefaultEndpointsProtocol").unwrap_or("https"),
                text.get("EndpointSuffix").unwrap_or("core.windows.net"),
            ))?,
            (None, None) => {
                return Err(BlobConnectionError(
                    "the connection string has neither BlobEndpoint nor AccountName".to_owned(),
                ));
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
                return Err(BlobConnectionError(
                    "the connection string has neither SharedAccessSignature nor AccountName \
                     with AccountKey"
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            endpoint: url,
            access,
        })
    }

    /// A container by name. Nothing is sent, and the container must exist.
    ///
    /// # Errors
    /// Where a token is to be sent to an endpoint that is not https.
    pub fn container(&self, name: &str) -> Result<BlobContainer, BlobConnectionError> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| BlobConnectionError("the Blob endpoint takes no path".to_owned()))?
            .pop_if_empty()
            .push(name);
        // Two quick tries of our own and then the host's: eight, the default, would hold the
        // partition for more than a minute before anybody hears of the trouble.
        let mut client_options = ClientOptions {
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: Duration::milliseconds(100),
                max_retries: 2,
                max_total_elapsed: Duration::seconds(10),
                ..Default::default()
            }),
            ..Default::default()
        };
        let credential = match &self.access {
            Access::Token(credential) => Some(Arc::clone(credential)),
            Access::Key(policy) => {
                client_options
                    .per_try_policies
                    .push(Arc::clone(policy) as _);
                None
            }
            Access::Sas => None,
        };
        let options = BlobContainerClientOptions {
            client_options,
            ..Default::default()
        };
        let client = BlobContainerClient::new(url, credential, Some(options))
            .map_err(|error| BlobConnectionError(error.to_string()))?;
        Ok(BlobContainer { client })
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

/// A slash at the end would become an empty segment, and `account//container` is a 400.
fn endpoint(text: &str) -> Result<Url, BlobConnectionError> {
    Url::parse(text.trim_end_matches('/'))
        .map_err(|error| BlobConnectionError(format!("the Blob endpoint is not a URL: {error}")))
}

fn store_error(operation: &'static str, error: &azure_core::Error) -> StoreError {
    let status = error.http_status();
    StoreError {
        operation,
        message: match status {
            // The service's own text can quote the request, so only its code is kept.
            Some(status) => format!("Blob storage answered {}", u16::from(status)),
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
