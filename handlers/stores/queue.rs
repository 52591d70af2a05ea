//! [`MessageQueue`] in Queue storage.
//!
//! For functions whose trigger is not repeated when they die: everything else leaves its messages to the
//! host, by an output binding.

use async_trait::async_trait;
use azure_functions_sdk::connection::Connection;
use azure_storage_queue::models::QueueMessage;
use azure_storage_queue::{QueueClient, QueueClientOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::silence::MessageQueue;
use super::storage::{QUEUE, StorageConnectionError, StorageService, store_error};
use super::{StoreError, in_time};

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

    /// The SDK's client, for tools that do more with a queue than the functions.
    pub fn client(&self) -> &QueueClient {
        &self.client
    }
}

#[async_trait]
impl MessageQueue for StorageQueue {
    /// In base64, as the Functions host writes messages and expects them.
    async fn send(&self, message: &str) -> Result<(), StoreError> {
        const OPERATION: &str = "send message";
        let failed = |error| store_error(OPERATION, &error, self.client.url());
        let message = QueueMessage {
            message_text: Some(STANDARD.encode(message)),
        };
        let content = message.try_into().map_err(failed)?;
        in_time(OPERATION, async {
            let sent = self.client.send_message(content, None).await;
            sent.map(|_| ()).map_err(failed)
        })
        .await
    }
}
