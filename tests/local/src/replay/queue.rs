//! A queue of what was put aside: messages are looked at, hidden from others, and taken off or put back. Beside it the blobs of
//! dead letters.

use std::collections::HashMap;
use std::time::Duration;

use azure_core::http::StatusCode;
use azure_core::http::headers::HeaderName;
use azure_core::time::{OffsetDateTime, parse_rfc7231};
use azure_functions_sdk::connection::Connection;
use azure_storage_queue::models::{
    QueueClientGetPropertiesResultHeaders, QueueClientReceiveMessagesOptions,
};
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use drone_delivery::stores::queue::StorageQueue;
use drone_delivery::stores::{BlobStore, StoreError};
use futures_util::{StreamExt, stream};

use super::{ReplayError, failed};
use crate::system::DEAD_LETTERS;

const DATE: HeaderName = HeaderName::from_static("date");

/// The most that one request takes off a queue.
pub(super) const MOST: usize = 32;

/// How long a message is hidden while it is looked at; a killed replay leaves it hidden for that long. Longer than
/// 32 repairs take.
const HIDDEN_SECONDS: i32 = 15 * 60;

/// Requests at once that put messages back.
const CONCURRENCY: usize = 16;

/// A message that was taken, and is hidden from others.
pub(super) struct Taken {
    pub(super) id: String,
    pub(super) text: String,
    /// When it was put on the queue, by the service's clock.
    pub(super) inserted_at: Option<OffsetDateTime>,
}

/// The queue. What was taken stays in it, hidden, until it is taken off or put back.
pub(super) struct QueueReader {
    name: &'static str,
    queue: StorageQueue,
    /// What is hidden now, with the receipt for each. Messages stay hidden to the end of a replay rather than be put
    /// back at once, or it would come upon them again and again.
    hidden: HashMap<String, String>,
}

impl QueueReader {
    pub(super) fn connect(storage: &Connection, name: &'static str) -> Result<Self, ReplayError> {
        Ok(Self {
            name,
            queue: StorageQueue::connect(storage, name)?,
            hidden: HashMap::new(),
        })
    }

    fn failed(&self, operation: &str, error: &azure_core::Error) -> ReplayError {
        let operation = format!("{operation} {}", self.name);
        failed(&operation, error, self.queue.client().url())
    }

    /// About how many messages there are, and what time it is there; `None` where there is no such queue.
    pub(super) async fn look(&self) -> Result<Option<(u64, OffsetDateTime)>, ReplayError> {
        let answer = match self.queue.client().get_properties(None).await {
            Ok(answer) => answer,
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => return Ok(None),
            Err(error) => return Err(self.failed("look at the queue", &error)),
        };
        let count = answer.approximate_messages_count().ok().flatten();
        let time = answer.headers().get_str(&DATE).ok();
        let time = time.and_then(|text| parse_rfc7231(text).ok());
        Ok(Some((
            count.map_or(0, |count| count.max(0).unsigned_abs()),
            time.unwrap_or_else(OffsetDateTime::now_utc),
        )))
    }

    /// Takes up to `count` messages that were not taken before; `None` where there are none at all.
    pub(super) async fn take(&mut self, count: usize) -> Result<Option<Vec<Taken>>, ReplayError> {
        let options = QueueClientReceiveMessagesOptions {
            // At most 32.
            number_of_messages: i32::try_from(count.clamp(1, MOST)).ok(),
            visibility_timeout: Some(HIDDEN_SECONDS),
            ..Default::default()
        };
        let client = self.queue.client();
        let received = async { client.receive_messages(Some(options)).await?.into_model() }.await;
        let received = received
            .map_err(|error| self.failed("read the queue", &error))?
            .items
            .unwrap_or_default();
        if received.is_empty() {
            return Ok(None);
        }
        let mut fresh = Vec::with_capacity(received.len());
        for message in received {
            let (Some(id), Some(receipt)) = (message.message_id, message.pop_receipt) else {
                continue;
            };
            // A long replay meets messages that were hidden for too short a time: only the receipt is new.
            if self.hidden.insert(id.clone(), receipt).is_none() {
                fresh.push(Taken {
                    id,
                    text: message.message_text.unwrap_or_default(),
                    inserted_at: message.insertion_time,
                });
            }
        }
        Ok(Some(fresh))
    }

    /// Puts a message on the queue, as the host does.
    pub(super) async fn put(&self, text: &str) -> Result<(), StoreError> {
        self.queue.put(text, Duration::ZERO).await
    }

    /// Takes a message off.
    pub(super) async fn take_off(&mut self, id: &str) -> Result<(), ReplayError> {
        if let Some(receipt) = self.hidden.get(id) {
            let deleted = self.queue.client().delete_message(id, receipt, None).await;
            deleted.map_err(|error| self.failed("take a message off the queue", &error))?;
            self.hidden.remove(id);
        }
        Ok(())
    }

    /// Shows everything again that is hidden. What cannot be shown comes back by itself.
    pub(super) async fn put_back(&mut self) {
        let client = self.queue.client();
        let hidden = std::mem::take(&mut self.hidden);
        let shows: Vec<_> = hidden
            .iter()
            // Without a text, which then stays as it is.
            .map(|(id, receipt)| client.update_message(id, receipt, 0, None))
            .collect();
        stream::iter(shows)
            .buffer_unordered(CONCURRENCY)
            .for_each(|_| async {})
            .await;
    }
}

/// The blobs with bodies of dead letters, and with many of them together.
pub(super) struct Bodies(BlobContainer);

impl Bodies {
    pub(super) fn connect(storage: &Connection) -> Result<Self, ReplayError> {
        Ok(Self(
            BlobService::connect(storage)?.container(DEAD_LETTERS)?,
        ))
    }

    /// A body; `None` where there is no such blob.
    pub(super) async fn read(&self, blob: &str) -> Result<Option<Vec<u8>>, ReplayError> {
        let operation = "read a blob of telemetry-dead-letters";
        let blob = self.0.client().blob_client(blob);
        let found = match blob.download(None).await {
            Ok(found) => found,
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => return Ok(None),
            Err(error) => return Err(failed(operation, &error, self.0.client().url())),
        };
        let body = found.body.collect().await;
        body.map(|body| Some(body.to_vec()))
            .map_err(|error| failed(operation, &error, self.0.client().url()))
    }

    pub(super) async fn write(&self, blob: &str, body: String) -> Result<(), StoreError> {
        self.0.put(blob, body.into()).await
    }

    /// What stays behind goes after 30 days, by the account's rules.
    pub(super) async fn delete(&self, blob: &str) {
        _ = self.0.client().blob_client(blob).delete(None).await;
    }
}
