//! Puts dead letters aside: what has to be in a blob goes there, and what is left are queue messages.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::domain::DeadLetter;
use crate::domain::dead_letter::{DeadLetterGroup, MOST_MESSAGES};
use crate::stores::{BlobStore, StoreError};

/// Puts letters of one batch aside, and returns the messages for their queue, in the order of the letters; of many letters one
/// message. Their bodies are let go of: they are in a message or in a blob then.
///
/// # Errors
/// Where a blob could not be written. To do it again writes the same blobs.
pub async fn put_aside(
    blobs: &dyn BlobStore,
    hub: &str,
    letters: &mut [DeadLetter],
) -> Result<Vec<String>, StoreError> {
    if letters.len() > MOST_MESSAGES {
        return put_aside_together(blobs, hub, letters).await;
    }
    let mut messages: Vec<BoxFuture<'_, _>> = Vec::with_capacity(letters.len());
    for letter in letters {
        messages.push(put_aside_alone(blobs, hub, letter).boxed());
    }
    let messages = stream::iter(messages).buffered(MOST_MESSAGES);
    messages.try_collect().await
}

/// The blob comes before the message that points at it: a message must never point at nothing.
async fn put_aside_together(
    blobs: &dyn BlobStore,
    hub: &str,
    letters: &mut [DeadLetter],
) -> Result<Vec<String>, StoreError> {
    let mut messages = Vec::new();
    for group in DeadLetterGroup::of(hub, letters) {
        blobs
            .put(&group.blob_name, Bytes::from(group.lines))
            .await?;
        messages.push(group.message);
    }
    Ok(messages)
}

/// A body that no queue message can hold goes to a blob, for the same reason before the message.
async fn put_aside_alone(
    blobs: &dyn BlobStore,
    hub: &str,
    letter: &mut DeadLetter,
) -> Result<String, StoreError> {
    let message = letter.message();
    let body = std::mem::take(&mut letter.body);
    if let Some(message) = message {
        return Ok(message);
    }
    let name = letter.blob_name(hub);
    blobs.put(&name, Bytes::from(body)).await?;
    Ok(letter.message_with_blob(&name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use serde_json::Value;
    use time::UtcDateTime;
    use tokio::time::Instant;

    use super::*;
    use crate::domain::{MAX_MESSAGE_TEXT, Reason};
    use crate::memory_stores::MemoryBlobs;

    /// Takes its time for each blob, the first the longest, and counts how many it is asked for at once.
    #[derive(Default)]
    struct SlowBlobs {
        blobs: MemoryBlobs,
        under_way: AtomicUsize,
        most: AtomicUsize,
        fails_at: Option<&'static str>,
    }

    #[async_trait]
    impl BlobStore for SlowBlobs {
        async fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(under_way, Ordering::Relaxed);
            let first = name.ends_with("00.bin");
            tokio::time::sleep(Duration::from_millis(if first { 700 } else { 300 })).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            if self.fails_at.is_some_and(|end| name.ends_with(end)) {
                return Err(StoreError {
                    operation: "write blob",
                    message: "unavailable".to_owned(),
                    transient: true,
                });
            }
            self.blobs.put(name, body).await
        }

        async fn check(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn letters(numbers: std::ops::Range<i64>) -> Vec<DeadLetter> {
        numbers
            .map(|number| DeadLetter {
                reason: Reason::MalformedJson,
                detail: "it is not JSON".to_owned(),
                device_id: None,
                partition_id: "7".to_owned(),
                sequence_number: number,
                offset: "0".to_owned(),
                enqueued_at: UtcDateTime::UNIX_EPOCH,
                first_enqueued_at: None,
                authenticated_device: None,
                // One of them fits into its message.
                body: vec![b'x'; if number == 3 { 9 } else { MAX_MESSAGE_TEXT }],
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_a_message_each_in_their_order() {
        let store = SlowBlobs::default();
        let most = i64::try_from(MOST_MESSAGES).unwrap();
        let mut letters = letters(0..most);
        let started = Instant::now();
        let messages = put_aside(&store, "telemetry", &mut letters).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "all at once");
        assert_eq!(store.most.load(Ordering::Relaxed), MOST_MESSAGES - 1);
        let blobs = store.blobs.snapshot();
        assert_eq!(
            (messages.len(), blobs.len()),
            (MOST_MESSAGES, MOST_MESSAGES - 1)
        );
        for (number, message) in messages.iter().enumerate() {
            let message: Value = serde_json::from_str(message).unwrap();
            assert_eq!(message["sequenceNumber"], number);
            match message["bodyBlob"].as_str() {
                Some(name) => assert_eq!(blobs[name].len(), MAX_MESSAGE_TEXT),
                None => assert_eq!(number, 3),
            }
        }
        assert!(letters.iter().all(|letter| letter.body.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_are_a_few_messages() {
        let store = SlowBlobs::default();
        let mut letters = letters(0..1_000);
        let started = Instant::now();
        let messages = put_aside(&store, "telemetry", &mut letters).await.unwrap();
        // A call has 60 s, and the store is not all that it waits for.
        assert!(started.elapsed() < Duration::from_secs(10));
        let blobs = store.blobs.snapshot();
        assert_eq!(messages.len(), blobs.len());
        assert!(messages.len() < 10, "{}", messages.len());
        let mut told = 0;
        for message in &messages {
            let message: Value = serde_json::from_str(message).unwrap();
            let blob = &blobs[message["lettersBlob"].as_str().unwrap()];
            told += std::str::from_utf8(blob).unwrap().lines().count();
        }
        assert_eq!(told, 1_000);
        // A host calls again where it did not hear of it.
        let again = put_aside(&store, "telemetry", &mut self::letters(0..1_000)).await;
        assert_eq!(again.unwrap(), messages);
        assert_eq!(store.blobs.snapshot(), blobs);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_was_made_anew_overwrites_nothing() {
        let store = MemoryBlobs::default();
        let mut messages = Vec::new();
        for hour in 0..2 {
            for count in [2, 20] {
                let mut letters = letters(0..count);
                for letter in &mut letters {
                    letter.enqueued_at += Duration::from_secs(hour * 3_600);
                }
                messages.extend(put_aside(&store, "telemetry", &mut letters).await.unwrap());
            }
        }
        let ids = messages.iter().map(|message| {
            let message: Value = serde_json::from_str(message).unwrap();
            message["id"].as_str().unwrap().to_owned()
        });
        let ids: std::collections::BTreeSet<_> = ids.collect();
        assert_eq!(
            (messages.len(), ids.len(), store.snapshot().len()),
            (6, 6, 6)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_cannot_be_written_fails_the_call() {
        for (count, fails_at) in [(6, "0004.bin"), (60, ".jsonl")] {
            let store = SlowBlobs {
                fails_at: Some(fails_at),
                ..SlowBlobs::default()
            };
            let told = put_aside(&store, "telemetry", &mut letters(0..count)).await;
            assert!(told.unwrap_err().transient);
        }
    }
}
