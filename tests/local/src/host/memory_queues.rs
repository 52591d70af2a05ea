//! Queues in memory, for tests of the host alone.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::UtcDateTime;
use uuid::Uuid;

use super::queue_store::{QueueAccounts, QueueStore, ReceivedMessage};

#[derive(Default)]
pub(crate) struct MemoryQueues {
    queues: Mutex<BTreeMap<String, Vec<Message>>>,
    /// How many sends fail from now on.
    pub(crate) failing: AtomicUsize,
}

struct Message {
    shown: ReceivedMessage,
    visible_from: Instant,
}

impl MemoryQueues {
    /// What is in a queue, hidden messages too, decoded and sorted.
    pub(crate) fn texts(&self, queue: &str) -> Vec<String> {
        let queues = self.queues.lock().unwrap();
        let messages = queues.get(queue).into_iter().flatten();
        let decoded = |message: &Message| BASE64.decode(&message.shown.text).unwrap();
        let mut texts: Vec<_> = messages
            .map(|message| String::from_utf8_lossy(&decoded(message)).into_owned())
            .collect();
        texts.sort();
        texts
    }

    /// Puts a message into a queue, which is made if it is missing.
    pub(crate) fn put(&self, queue: &str, text: &str) {
        self.put_stored(queue, BASE64.encode(text));
    }

    /// Puts a text into a queue as it is.
    pub(crate) fn put_stored(&self, queue: &str, stored: String) {
        let now = UtcDateTime::now();
        let shown = ReceivedMessage {
            id: Uuid::new_v4().to_string(),
            receipt: String::new(),
            text: stored,
            dequeue_count: 0,
            inserted: now,
            expires: now + Duration::from_secs(7 * 86_400),
            next_visible: now,
        };
        let mut queues = self.queues.lock().unwrap();
        queues.entry(queue.to_owned()).or_default().push(Message {
            shown,
            visible_from: Instant::now(),
        });
    }

    pub(crate) fn accounts(self: &Arc<Self>) -> QueueAccounts {
        let queues = Arc::clone(self);
        Arc::new(move |_| Ok(Arc::clone(&queues) as Arc<dyn QueueStore>))
    }
}

#[async_trait]
impl QueueStore for MemoryQueues {
    async fn create(&self, queue: &str) -> Result<(), String> {
        let mut queues = self.queues.lock().unwrap();
        queues.entry(queue.to_owned()).or_default();
        Ok(())
    }

    async fn send(&self, queue: &str, text: String) -> Result<(), String> {
        use Ordering::SeqCst;
        if self
            .failing
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            return Err("out of order".to_owned());
        }
        if !self.queues.lock().unwrap().contains_key(queue) {
            return Err("there is no such queue".to_owned());
        }
        self.put_stored(queue, text);
        Ok(())
    }

    async fn receive(
        &self,
        queue: &str,
        count: usize,
        hidden: Duration,
    ) -> Result<Vec<ReceivedMessage>, String> {
        let now = Instant::now();
        let mut queues = self.queues.lock().unwrap();
        let visible = queues
            .get_mut(queue)
            .into_iter()
            .flatten()
            .filter(|message| message.visible_from <= now);
        Ok(visible
            .take(count)
            .map(|message| {
                message.visible_from = now + hidden;
                message.shown.next_visible = UtcDateTime::now() + hidden;
                message.shown.receipt = Uuid::new_v4().to_string();
                message.shown.dequeue_count += 1;
                message.shown.clone()
            })
            .collect())
    }

    async fn hide(
        &self,
        queue: &str,
        message: &ReceivedMessage,
        hidden: Duration,
    ) -> Result<Option<String>, String> {
        let mut queues = self.queues.lock().unwrap();
        let ours = queues
            .get_mut(queue)
            .into_iter()
            .flatten()
            .find(|known| known.shown.receipt == message.receipt);
        Ok(ours.map(|known| {
            known.visible_from = Instant::now() + hidden;
            known.shown.receipt = Uuid::new_v4().to_string();
            known.shown.receipt.clone()
        }))
    }

    async fn delete(&self, queue: &str, message: &ReceivedMessage) -> Result<(), String> {
        let mut queues = self.queues.lock().unwrap();
        if let Some(messages) = queues.get_mut(queue) {
            messages.retain(|known| known.shown.receipt != message.receipt);
        }
        Ok(())
    }

    async fn length(&self, queue: &str) -> Result<u64, String> {
        let queues = self.queues.lock().unwrap();
        Ok(queues.get(queue).map_or(0, Vec::len) as u64)
    }
}
