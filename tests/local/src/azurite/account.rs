//! A storage account, for looking at what is in it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use azure_core::http::{
    ClientOptions, ExponentialRetryOptions, HttpClientOptions, RetryOptions, StatusCode, Transport,
    Url, new_http_client,
};
use azure_core::time::Duration;
use azure_functions_sdk::connection::{ConnectionError, ConnectionString};
use azure_storage_blob::models::BlobContainerClientListBlobsOptions;
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use bytes::Bytes;
use drone_delivery::stores::shared_key::SharedKeyPolicy;
use drone_delivery::stores::storage::{
    BLOB, OpenedBy, QUEUE, ServiceAddress, StorageConnectionError,
};
use drone_delivery::tls;
use futures_util::TryStreamExt;
use http::uri::Authority;

/// A storage account with its key. Clones share their connections.
#[derive(Clone)]
pub struct StorageAccount {
    name: String,
    connection_string: Arc<str>,
    blob_endpoint: Url,
    queue_endpoint: Url,
    key: Arc<SharedKeyPolicy>,
    transport: Transport,
}

/// The storage account could not be used; the text names the operation.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No connection string.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A connection string without something that is needed.
    #[error(transparent)]
    ConnectionString(#[from] StorageConnectionError),
    /// A connection string with a SAS.
    #[error("the storage connection string has no AccountKey")]
    NoKey,
    /// An endpoint without a host.
    #[error("the storage connection string's {0} has no host")]
    NoHost(&'static str),
    /// A request failed.
    #[error("cannot {operation}: {error}")]
    Request {
        /// What was tried, on what.
        operation: String,
        /// What the client or the service says.
        error: azure_core::Error,
    },
    /// A message that is not as the Functions host writes it.
    #[error("a message in queue {0} is not base64 of UTF-8 text")]
    Message(String),
    /// The proxy before the account cannot listen.
    #[error("the proxy before the storage account cannot listen: {0}")]
    Proxy(std::io::Error),
}

impl StorageAccount {
    /// Reads a connection string with a key, or `UseDevelopmentStorage=true`. Nothing is sent.
    ///
    /// # Errors
    /// Where it is none, or has no key.
    pub fn from_connection_string(text: &str) -> Result<Self, StorageError> {
        let parts = ConnectionString::parse("FleetStorage", text)?;
        let address = |naming| ServiceAddress::read(&parts, naming);
        let (blob, queue) = (address(&BLOB)?, address(&QUEUE)?);
        let OpenedBy::Key { account, key } = blob.opened_by else {
            return Err(StorageError::NoKey);
        };
        Ok(Self {
            key: Arc::new(SharedKeyPolicy::new(account.clone(), key)),
            name: account,
            blob_endpoint: blob.endpoint,
            queue_endpoint: queue.endpoint,
            connection_string: text.into(),
            transport: transport(),
        })
    }

    /// `blob` and `queue` are what Azurite says, without the account.
    pub(super) fn new(
        name: &str,
        key: &str,
        blob: &str,
        queue: &str,
    ) -> Result<Self, StorageError> {
        Self::from_connection_string(&format!(
            "DefaultEndpointsProtocol=http;AccountName={name};AccountKey={key};\
             BlobEndpoint={blob}/{name};QueueEndpoint={queue}/{name};"
        ))
    }

    /// The same account, reached at other addresses.
    pub(super) fn by_way_of(
        &self,
        blob: SocketAddr,
        queue: SocketAddr,
    ) -> Result<Self, StorageError> {
        let parts = self
            .connection_string
            .split(';')
            .map(|part| match part.split_once('=') {
                Some((name @ "BlobEndpoint", _)) => {
                    format!("{name}={}", at(&self.blob_endpoint, blob))
                }
                Some((name @ "QueueEndpoint", _)) => {
                    format!("{name}={}", at(&self.queue_endpoint, queue))
                }
                _ => part.to_owned(),
            });
        Self::from_connection_string(&parts.collect::<Vec<_>>().join(";"))
    }

    pub(super) fn blob_authority(&self) -> Result<Authority, StorageError> {
        authority(&self.blob_endpoint).ok_or(StorageError::NoHost("BlobEndpoint"))
    }

    pub(super) fn queue_authority(&self) -> Result<Authority, StorageError> {
        authority(&self.queue_endpoint).ok_or(StorageError::NoHost("QueueEndpoint"))
    }

    pub(super) fn with_new_connections(&self) -> Self {
        Self {
            transport: transport(),
            ..self.clone()
        }
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name, key and endpoints, as an app setting takes them. A secret.
    pub fn connection_string(&self) -> &str {
        &self.connection_string
    }

    /// Makes a Blob container, if it is not there yet.
    ///
    /// # Errors
    /// Where the request fails.
    pub async fn create_container(&self, container: &str) -> Result<(), StorageError> {
        let operation = || format!("create the container {container}");
        match self.container(container)?.create(None).await {
            Ok(_) => Ok(()),
            Err(error) if error.http_status() == Some(StatusCode::Conflict) => Ok(()),
            Err(error) => Err(failed(operation(), error)),
        }
    }

    /// The names of all blobs that begin with `prefix`, in order.
    ///
    /// # Errors
    /// Where a request fails, or there is no such container.
    pub async fn blob_names(
        &self,
        container: &str,
        prefix: &str,
    ) -> Result<Vec<String>, StorageError> {
        self.blob_names_by_page(container, prefix, None).await
    }

    /// `page` is the most names that one request asks for; without it the service decides, on 5,000.
    pub(super) async fn blob_names_by_page(
        &self,
        container: &str,
        prefix: &str,
        page: Option<i32>,
    ) -> Result<Vec<String>, StorageError> {
        let operation = || format!("list the blobs of {container}");
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            maxresults: page,
            ..Default::default()
        };
        // The pager asks for page after page.
        let blobs = self
            .container(container)?
            .list_blobs(Some(options))
            .map_err(|error| failed(operation(), error))?;
        let names = blobs.try_filter_map(async |blob| Ok(blob.name));
        names
            .try_collect()
            .await
            .map_err(|error| failed(operation(), error))
    }

    /// A blob's content.
    ///
    /// # Errors
    /// Where a request fails, or there is no such blob.
    pub async fn read_blob(&self, container: &str, name: &str) -> Result<Bytes, StorageError> {
        let operation = || format!("read the blob {name} of {container}");
        let blob = self
            .container(container)?
            .blob_client(name)
            .download(None)
            .await
            .map_err(|error| failed(operation(), error))?;
        blob.body
            .collect()
            .await
            .map_err(|error| failed(operation(), error))
    }

    pub(super) fn container(&self, name: &str) -> Result<BlobContainerClient, StorageError> {
        let options = BlobContainerClientOptions {
            client_options: self.client_options(),
            ..Default::default()
        };
        BlobContainerClient::new(below(&self.blob_endpoint, name), None, Some(options))
            .map_err(|error| failed(format!("use the container {name}"), error))
    }

    pub(super) fn queue(&self, name: &str) -> Result<QueueClient, StorageError> {
        let options = QueueClientOptions {
            client_options: self.client_options(),
            ..Default::default()
        };
        QueueClient::new(below(&self.queue_endpoint, name), None, Some(options))
            .map_err(|error| failed(format!("use the queue {name}"), error))
    }

    /// Few retries: the service is on this machine, and whoever looks wants to know soon.
    fn client_options(&self) -> ClientOptions {
        ClientOptions {
            per_try_policies: vec![Arc::clone(&self.key) as _],
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: Duration::milliseconds(50),
                max_retries: 3,
                max_total_elapsed: Duration::seconds(10),
                ..Default::default()
            }),
            transport: Some(self.transport.clone()),
            ..Default::default()
        }
    }
}

impl fmt::Debug for StorageAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageAccount")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One pool of connections for all clients of an account. The Blob client asks for no decompression,
/// which would break its ranged downloads.
fn transport() -> Transport {
    tls::choose();
    Transport::new(new_http_client(Some(HttpClientOptions {
        automatic_decompression: false,
    })))
}

fn authority(endpoint: &Url) -> Option<Authority> {
    endpoint.authority().parse().ok()
}

fn at(endpoint: &Url, address: SocketAddr) -> String {
    format!("http://{address}{}", endpoint.path())
}

fn below(endpoint: &Url, name: &str) -> Url {
    let mut url = endpoint.clone();
    // The endpoint was checked to take a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(name);
    }
    url
}

pub(super) fn failed(operation: String, error: azure_core::Error) -> StorageError {
    StorageError::Request { operation, error }
}
