//! A queue of Queue storage, for the tools beside the functions: the functions themselves leave their messages to the
//! host, by an output binding.

use azure_functions_sdk::connection::Connection;
use azure_storage_queue::{QueueClient, QueueClientOptions};

use super::storage::{QUEUE, StorageConnectionError, StorageService};

/// One queue of a storage account.
pub struct StorageQueue {
    client: QueueClient,
}

impl StorageQueue {
    /// Reads the connection: `queueServiceUri` with an identity, or a storage connection string with a
    /// key, with a SAS, or `UseDevelopmentStorage=true`. The queue must exist.
    ///
    /// # Errors
    /// Where the connection has no Queue endpoint or no usable credential, or a token is to be sent to an
    /// endpoint that is not https. Nothing is sent yet.
    pub fn connect(connection: &Connection, name: &str) -> Result<Self, StorageConnectionError> {
        let service = StorageService::connect(connection, &QUEUE)?;
        let (credential, client_options) = service.client();
        let options = QueueClientOptions {
            client_options,
            ..Default::default()
        };
        let client = QueueClient::new(service.below(name)?, credential, Some(options))
            .map_err(|error| StorageConnectionError(error.to_string()))?;
        Ok(Self { client })
    }

    /// The SDK's client.
    pub fn client(&self) -> &QueueClient {
        &self.client
    }
}
