//! The queues of a storage account.

use azure_core::http::headers::HeaderName;
use azure_storage_queue::models::{
    QueueClientGetPropertiesResultHeaders, QueueClientPeekMessagesOptions,
    QueueClientReceiveMessagesOptions, QueueClientUpdateMessageOptions, QueueMessage,
    ReceivedMessage,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::account::{StorageAccount, StorageError, failed};

/// The most that one request takes off a queue.
pub(crate) const MESSAGES_A_REQUEST: i32 = 32;

/// How long taken messages stay hidden, the longest that the service allows: 7 days, in seconds.
const HIDDEN: i32 = 7 * 24 * 3600;

const POP_RECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

impl StorageAccount {
    /// Makes a queue, if it is not there yet.
    ///
    /// # Errors
    /// Where the request fails.
    pub async fn create_queue(&self, queue: &str) -> Result<(), StorageError> {
        self.queue(queue)?
            .create(None)
            .await
            .map(|_| ())
            .map_err(|error| failed(format!("create the queue {queue}"), error))
    }

    /// Sends a message in base64, as the Functions host does.
    ///
    /// # Errors
    /// Where the request fails; a text of more than 48 KiB is too large for a queue.
    pub async fn send_queue_message(&self, queue: &str, text: &str) -> Result<(), StorageError> {
        self.put_queue_message(queue, STANDARD.encode(text)).await
    }

    /// Sends a message as it is to be stored.
    pub(crate) async fn put_queue_message(
        &self,
        queue: &str,
        stored: String,
    ) -> Result<(), StorageError> {
        let operation = || format!("send a message to the queue {queue}");
        let message = QueueMessage {
            message_text: Some(stored),
        };
        let content = message
            .try_into()
            .map_err(|error| failed(operation(), error))?;
        self.queue(queue)?
            .send_message(content, None)
            .await
            .map(|_| ())
            .map_err(|error| failed(operation(), error))
    }

    /// Takes every message that is there, decoded. They stay in the queue but hidden, so that the next
    /// call does not see them: the service has no other way to read more than 32.
    ///
    /// Azurite sorts the whole queue for each 32, so the time grows with the square: about 7 s for 5,000
    /// messages, minutes for 20,000.
    ///
    /// # Errors
    /// Where a request fails, or a message is not as the Functions host writes it.
    pub async fn take_queue_messages(&self, queue: &str) -> Result<Vec<String>, StorageError> {
        let mut texts = Vec::new();
        loop {
            let messages = self
                .receive_queue_messages(queue, MESSAGES_A_REQUEST, HIDDEN)
                .await?;
            if messages.is_empty() {
                return Ok(texts);
            }
            for message in messages {
                texts.push(
                    decode(message.message_text.as_deref().unwrap_or_default())
                        .ok_or_else(|| StorageError::Message(queue.to_owned()))?,
                );
            }
        }
    }

    /// The first 32 messages that nobody hides, decoded, and left as they are.
    ///
    /// # Errors
    /// Where the request fails, or a message is not as the Functions host writes it.
    pub async fn peek_queue_messages(&self, queue: &str) -> Result<Vec<String>, StorageError> {
        let client = self.queue(queue)?;
        let options = QueueClientPeekMessagesOptions {
            number_of_messages: Some(MESSAGES_A_REQUEST),
            ..Default::default()
        };
        let peeked = async { client.peek_messages(Some(options)).await?.into_model() }
            .await
            .map_err(|error| failed(format!("look at the queue {queue}"), error))?;
        let texts = peeked.items.unwrap_or_default().into_iter().map(|message| {
            decode(message.message_text.as_deref().unwrap_or_default())
                .ok_or_else(|| StorageError::Message(queue.to_owned()))
        });
        texts.collect()
    }

    /// Takes up to 32 messages off a queue for good, decoded.
    ///
    /// # Errors
    /// Where they cannot be read, or a message is not as the Functions host writes it.
    pub(crate) async fn remove_queue_messages(
        &self,
        queue: &str,
    ) -> Result<Vec<String>, StorageError> {
        // Long enough to delete them.
        const HIDDEN: i32 = 60;
        let messages = self
            .receive_queue_messages(queue, MESSAGES_A_REQUEST, HIDDEN)
            .await?;
        let removed = messages.into_iter().map(async |message| {
            if let (Some(id), Some(receipt)) = (&message.message_id, &message.pop_receipt) {
                // One that cannot be deleted comes again, as messages may.
                _ = self.delete_queue_message(queue, id, receipt).await;
            }
            decode(message.message_text.as_deref().unwrap_or_default())
                .ok_or_else(|| StorageError::Message(queue.to_owned()))
        });
        let texts = futures_util::future::join_all(removed).await;
        texts.into_iter().collect()
    }

    /// Takes up to `count` messages, and hides them for so many seconds.
    pub(crate) async fn receive_queue_messages(
        &self,
        queue: &str,
        count: i32,
        hidden: i32,
    ) -> Result<Vec<ReceivedMessage>, StorageError> {
        let client = self.queue(queue)?;
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(count),
            visibility_timeout: Some(hidden),
            ..Default::default()
        };
        async { client.receive_messages(Some(options)).await?.into_model() }
            .await
            .map(|received| received.items.unwrap_or_default())
            .map_err(|error| failed(format!("read the queue {queue}"), error))
    }

    /// Hides a received message for so many seconds from now, and returns its new receipt. `stored` is its text, unchanged.
    pub(crate) async fn hide_queue_message(
        &self,
        queue: &str,
        id: &str,
        receipt: &str,
        hidden: i32,
        stored: String,
    ) -> Result<String, StorageError> {
        let operation = || format!("change the visibility of a message of the queue {queue}");
        let message = QueueMessage {
            message_text: Some(stored),
        };
        let options = QueueClientUpdateMessageOptions {
            queue_message: Some(
                message
                    .try_into()
                    .map_err(|error| failed(operation(), error))?,
            ),
            ..Default::default()
        };
        let response = self
            .queue(queue)?
            .update_message(id, receipt, hidden, Some(options))
            .await
            .map_err(|error| failed(operation(), error))?;
        response
            .headers()
            .get_str(&POP_RECEIPT)
            .map(str::to_owned)
            .map_err(|error| failed(operation(), error))
    }

    /// Takes a received message off its queue.
    pub(crate) async fn delete_queue_message(
        &self,
        queue: &str,
        id: &str,
        receipt: &str,
    ) -> Result<(), StorageError> {
        self.queue(queue)?
            .delete_message(id, receipt, None)
            .await
            .map(|_| ())
            .map_err(|error| failed(format!("delete a message of the queue {queue}"), error))
    }

    /// Takes every message off a queue for good, hidden ones included.
    ///
    /// # Errors
    /// Where the request fails, or there is no such queue.
    pub async fn clear_queue(&self, queue: &str) -> Result<(), StorageError> {
        self.queue(queue)?
            .clear(None)
            .await
            .map(|_| ())
            .map_err(|error| failed(format!("clear the queue {queue}"), error))
    }

    /// How many messages are in a queue, hidden ones included; Azurite counts exactly.
    ///
    /// # Errors
    /// Where the request fails, or there is no such queue.
    pub async fn queue_length(&self, queue: &str) -> Result<u64, StorageError> {
        let client = self.queue(queue)?;
        async {
            client
                .get_properties(None)
                .await?
                .approximate_messages_count()
        }
        .await
        .map(|count| count.map_or(0, |count| count.max(0).unsigned_abs()))
        .map_err(|error| failed(format!("count the messages of the queue {queue}"), error))
    }
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}
