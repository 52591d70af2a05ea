//! Queue outputs: what the host makes of a value, and its delivery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;

use tokio::sync::Notify;

use super::function_json::Connection;
use super::json_text::indented;
use super::queue_store::{QueueAccounts, QueueStore};

/// What a queue message holds once encoded, in bytes: 48 KiB before.
const MAX_ENCODED_BYTES: usize = 64 * 1024;

/// Messages that one output sends at a time.
const CONCURRENT_SENDS: usize = 16;

/// Delivers queue outputs.
pub(crate) struct QueueOutputs {
    accounts: QueueAccounts,
    open: Mutex<BTreeMap<Connection, Arc<dyn QueueStore>>>,
    created: Mutex<Vec<(Connection, String)>>,
    watched: Mutex<Vec<Watched>>,
}

/// A queue that a function listens to.
struct Watched {
    connection: Connection,
    queue: String,
    filled: Arc<Notify>,
}

impl QueueOutputs {
    pub(crate) fn new(accounts: QueueAccounts) -> Self {
        Self {
            accounts,
            open: Mutex::default(),
            created: Mutex::default(),
            watched: Mutex::default(),
        }
    }

    /// Told whenever an output has filled the queue: the listener of a queue in the same host need not wait for its next look.
    pub(crate) fn watch(&self, connection: &Connection, queue: &str) -> Arc<Notify> {
        let filled = Arc::new(Notify::new());
        let mut watched = self.watched();
        // Those of a host that has stopped.
        watched.retain(|watched| Arc::strong_count(&watched.filled) > 1);
        watched.push(Watched {
            connection: connection.clone(),
            queue: queue.to_owned(),
            filled: Arc::clone(&filled),
        });
        filled
    }

    /// Sends the messages that a value stands for, and makes the queue first where it is missing.
    ///
    /// # Errors
    /// Why a message could not be sent. Others may have been sent: when the call is made again, they come again.
    pub(crate) async fn deliver(
        &self,
        connection: &Connection,
        queue: &str,
        value: &RawValue,
    ) -> Result<(), String> {
        let messages = messages(value.get());
        if messages.is_empty() {
            return Ok(());
        }
        let store = self.store(connection)?;
        self.create_once(&*store, connection, queue).await?;
        let sent = stream::iter(messages)
            .map(|message| {
                let store = Arc::clone(&store);
                async move { send(&*store, queue, &message).await }
            })
            .buffer_unordered(CONCURRENT_SENDS)
            .try_collect::<()>()
            .await;
        if sent.is_err() {
            // The queue may have been deleted under the host.
            self.created().retain(|(_, created)| created != queue);
        }
        for watched in self.watched().iter() {
            if watched.queue == queue && watched.connection == *connection {
                watched.filled.notify_one();
            }
        }
        sent
    }

    /// The account's queues.
    pub(crate) fn store(&self, connection: &Connection) -> Result<Arc<dyn QueueStore>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(connection) {
            return Ok(Arc::clone(store));
        }
        let store = (self.accounts)(connection)?;
        open.insert(connection.clone(), Arc::clone(&store));
        Ok(store)
    }

    async fn create_once(
        &self,
        store: &dyn QueueStore,
        connection: &Connection,
        queue: &str,
    ) -> Result<(), String> {
        let key = (connection.clone(), queue.to_owned());
        if self.created().contains(&key) {
            return Ok(());
        }
        store.create(queue).await?;
        self.created().push(key);
        Ok(())
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn created(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, String)>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(store: &dyn QueueStore, queue: &str, message: &[u8]) -> Result<(), String> {
    let encoded = message.len().div_ceil(3) * 4;
    if encoded > MAX_ENCODED_BYTES {
        return Err(format!(
            "a message for queue '{queue}' has {encoded} bytes in base64; a queue message holds {MAX_ENCODED_BYTES}"
        ));
    }
    store.send(queue, BASE64.encode(message)).await
}

/// The messages that the host makes of an output's JSON text.
///
/// - null is no message;
/// - a string that is valid base64 is decoded, one that holds JSON is read as that JSON, any other is the message;
/// - an object is one message, indented anew;
/// - an array is a message for each element, its strings as they are.
fn messages(json: &str) -> Vec<Vec<u8>> {
    let text = match serde_json::from_str::<String>(json) {
        Err(_) => return structured(json),
        Ok(text) => text,
    };
    if let Some(bytes) = decode_base64(&text) {
        return vec![bytes];
    }
    let inner = text.trim();
    if inner.starts_with(['{', '[']) && super::json_text::check(inner).is_ok() {
        return structured(inner);
    }
    vec![text.into_bytes()]
}

fn structured(json: &str) -> Vec<Vec<u8>> {
    if let Ok(items) = serde_json::from_str::<Vec<Box<RawValue>>>(json) {
        return items
            .iter()
            .filter(|item| item.get() != "null")
            .map(|item| match serde_json::from_str::<String>(item.get()) {
                Ok(text) => text.into_bytes(),
                Err(_) => indented(item.get()).into_bytes(),
            })
            .collect();
    }
    if json == "null" {
        return Vec::new();
    }
    vec![indented(json).into_bytes()]
}

/// .NET's `Convert.FromBase64String` skips white space.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let compact: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if compact.is_empty() {
        return None;
    }
    BASE64.decode(compact).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::atomic::Ordering;

    use super::*;
    use crate::host::memory_queues::MemoryQueues;

    fn texts(json: &str) -> Vec<String> {
        messages(json)
            .into_iter()
            .map(|message| String::from_utf8(message).unwrap())
            .collect()
    }

    async fn deliver(queues: &Arc<MemoryQueues>, json: &str) -> Result<(), String> {
        let value = RawValue::from_string(json.to_owned()).unwrap();
        QueueOutputs::new(queues.accounts())
            .deliver(&Connection("c".to_owned()), "q", &value)
            .await
    }

    #[test]
    fn a_top_level_string_that_is_base64_is_decoded() {
        assert_eq!(texts(r#""aGVsbG8=""#), ["hello"]);
        // Whoever means the word itself has met the trap.
        assert_eq!(
            messages(r#""drone123""#),
            [BASE64.decode("drone123").unwrap()]
        );
        assert_eq!(texts(r#""drone-12""#), ["drone-12"]);
    }

    #[test]
    fn a_top_level_string_that_looks_like_json_is_read_again() {
        assert_eq!(
            texts(r#""{\"b\":1,\"a\":2}""#),
            ["{\n  \"b\": 1,\n  \"a\": 2\n}"]
        );
        assert_eq!(texts(r#""[\"x\",\"y\"]""#), ["x", "y"]);
        assert_eq!(texts(r#""{not json""#), ["{not json"]);
    }

    #[test]
    fn an_object_is_indented_anew() {
        assert_eq!(texts(r#"{"a":1}"#), ["{\n  \"a\": 1\n}"]);
    }

    #[test]
    fn strings_in_an_array_are_taken_as_they_are() {
        assert_eq!(
            texts(r#"["aGVsbG8=","{\"a\":1}",{"a":1}]"#),
            ["aGVsbG8=", r#"{"a":1}"#, "{\n  \"a\": 1\n}"]
        );
        assert!(texts("[]").is_empty());
        assert!(texts("null").is_empty());
    }

    #[tokio::test]
    async fn a_missing_queue_is_made() {
        let queues = Arc::new(MemoryQueues::default());
        deliver(&queues, r#"["a","b"]"#).await.unwrap();
        assert_eq!(queues.texts("q"), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_message_of_more_than_64_kib_in_base64_is_refused() {
        let queues = Arc::new(MemoryQueues::default());
        let fits = "é".repeat(24 * 1024);
        deliver(&queues, &serde_json::to_string(&[&fits]).unwrap())
            .await
            .unwrap();
        let problem = deliver(&queues, &serde_json::to_string(&[fits + "."]).unwrap())
            .await
            .unwrap_err();
        assert!(problem.contains("65540 bytes"), "{problem}");
        assert_eq!(queues.texts("q").len(), 1);
    }

    #[tokio::test]
    async fn a_send_that_fails_fails_the_output() {
        let queues = Arc::new(MemoryQueues::default());
        queues.failing.store(1, Ordering::SeqCst);
        assert!(deliver(&queues, r#"["a","b","c"]"#).await.is_err());
    }
}
