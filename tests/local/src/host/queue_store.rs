//! What the host needs of queue storage: Azurite, or queues in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::StatusCode;
use time::UtcDateTime;

use super::function_json::Connection;
use crate::azurite::{StorageAccount, StorageError};

/// One storage account's queues. Messages are texts here: what the Functions host stores is base64 of the message.
#[async_trait]
pub(crate) trait QueueStore: Send + Sync {
    /// Makes a queue. Without effect where there is one.
    async fn create(&self, queue: &str) -> Result<(), String>;

    /// Puts a text at the end of a queue.
    ///
    /// Ok means that the message is in the queue. After an error it may be there or not.
    async fn send(&self, queue: &str, text: String) -> Result<(), String>;

    /// Takes up to `count` messages, from 1 to 32, and hides them for a time. None where there is no such queue.
    async fn receive(
        &self,
        queue: &str,
        count: usize,
        hidden: Duration,
    ) -> Result<Vec<ReceivedMessage>, String>;

    /// Hides a message for a time from now on, 0 to show it, and returns its new receipt; `None` where somebody else has it or it is
    /// gone.
    async fn hide(
        &self,
        queue: &str,
        message: &ReceivedMessage,
        hidden: Duration,
    ) -> Result<Option<String>, String>;

    /// Takes a message off its queue. Without effect where somebody else has it or it is gone.
    async fn delete(&self, queue: &str, message: &ReceivedMessage) -> Result<(), String>;

    /// How many messages there are, hidden ones included; 0 where there is no such queue.
    async fn length(&self, queue: &str) -> Result<u64, String>;
}

/// A message as it was handed out.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedMessage {
    pub id: String,
    /// Proves that the message is still ours; new after each change.
    pub receipt: String,
    /// As it is stored.
    pub text: String,
    /// From 1.
    pub dequeue_count: u32,
    pub inserted: UtcDateTime,
    pub expires: UtcDateTime,
    pub next_visible: UtcDateTime,
}

/// Finds the account that a connection string names.
pub(crate) type QueueAccounts =
    Arc<dyn Fn(&Connection) -> Result<Arc<dyn QueueStore>, String> + Send + Sync>;

/// Accounts as Azurite has them.
pub(crate) fn azurite() -> QueueAccounts {
    Arc::new(|connection| {
        let account = StorageAccount::from_connection_string(&connection.0)
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(account))
    })
}

#[async_trait]
impl QueueStore for StorageAccount {
    async fn create(&self, queue: &str) -> Result<(), String> {
        self.create_queue(queue)
            .await
            .map_err(|error| error.to_string())
    }

    async fn send(&self, queue: &str, text: String) -> Result<(), String> {
        self.put_queue_message(queue, text)
            .await
            .map_err(|error| error.to_string())
    }

    async fn receive(
        &self,
        queue: &str,
        count: usize,
        hidden: Duration,
    ) -> Result<Vec<ReceivedMessage>, String> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let messages = self
            .receive_queue_messages(queue, count, seconds(hidden))
            .await;
        let time = |time: Option<azure_core::time::OffsetDateTime>| {
            time.map_or(UtcDateTime::UNIX_EPOCH, UtcDateTime::from)
        };
        Ok(unless_gone(messages)?
            .unwrap_or_default()
            .into_iter()
            .map(|message| ReceivedMessage {
                id: message.message_id.unwrap_or_default(),
                receipt: message.pop_receipt.unwrap_or_default(),
                text: message.message_text.unwrap_or_default(),
                dequeue_count: message
                    .dequeue_count
                    .and_then(|count| count.try_into().ok())
                    .unwrap_or(1),
                inserted: time(message.insertion_time),
                expires: time(message.expiration_time),
                next_visible: time(message.time_next_visible),
            })
            .collect())
    }

    async fn hide(
        &self,
        queue: &str,
        message: &ReceivedMessage,
        hidden: Duration,
    ) -> Result<Option<String>, String> {
        let ReceivedMessage {
            id, receipt, text, ..
        } = message;
        unless_gone(
            self.hide_queue_message(queue, id, receipt, seconds(hidden), text.clone())
                .await,
        )
    }

    async fn delete(&self, queue: &str, message: &ReceivedMessage) -> Result<(), String> {
        unless_gone(
            self.delete_queue_message(queue, &message.id, &message.receipt)
                .await,
        )
        .map(|_| ())
    }

    async fn length(&self, queue: &str) -> Result<u64, String> {
        unless_gone(self.queue_length(queue).await).map(Option::unwrap_or_default)
    }
}

/// The service counts in whole seconds; .NET cuts the rest off.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// Gone is a queue, or a message, or its receipt that has been replaced by another.
fn unless_gone<T>(result: Result<T, StorageError>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StorageError::Request { error, .. }) if is_gone(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn is_gone(error: &azure_core::Error) -> bool {
    match error.kind() {
        ErrorKind::HttpResponse {
            status, error_code, ..
        } => *status == StatusCode::NotFound || error_code.as_deref() == Some("PopReceiptMismatch"),
        _ => false,
    }
}

#[cfg(test)]
#[path = "queue_store_tests.rs"]
mod tests;
