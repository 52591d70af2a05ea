//! A queue of Queue storage. Functions leave their messages to the host, by an output binding, where they can: a binding
//! cannot hide a message for a while.

use std::time::Duration;

use azure_core::http::RequestContent;
use azure_functions_sdk::connection::Connection;
use azure_storage_queue::models::{QueueClientSendMessageOptions, QueueMessage};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::StoreError;
use super::storage::{QUEUE, StorageConnectionError, StorageService, store_error};

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

    /// Puts a text on the queue as the host would, for its triggers to read: in base64. `hidden` is counted in whole
    /// seconds, up to 7 days; the message goes after 7 days that nobody took it.
    ///
    /// # Errors
    /// Where the service did not take it, or did not answer.
    pub async fn put(&self, text: &str, hidden: Duration) -> Result<(), StoreError> {
        let failed = |error| store_error("put a message", &error, self.client.url());
        let message = QueueMessage {
            message_text: Some(STANDARD.encode(text)),
        };
        let options = QueueClientSendMessageOptions {
            visibility_timeout: i32::try_from(hidden.as_secs()).ok(),
            ..Default::default()
        };
        let content = RequestContent::try_from(message).map_err(failed)?;
        let sent = self.client.send_message(content, Some(options)).await;
        sent.map(drop).map_err(failed)
    }

    /// The SDK's client.
    pub fn client(&self) -> &QueueClient {
        &self.client
    }
}
