//! What the host needs of queue storage: Azurite, or a list in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::function_json::Connection;

/// One storage account's queues.
#[async_trait]
pub(crate) trait QueueStore: Send + Sync {
    /// Makes a queue. Without effect where there is one.
    async fn create(&self, queue: &str) -> Result<(), String>;

    /// Puts a message at the end of a queue, encoded as base64, as the Functions host does.
    ///
    /// Ok means that the message is in the queue. After an error it may be there or not.
    async fn send(&self, queue: &str, message: &[u8]) -> Result<(), String>;
}

/// Finds the account that a connection string names.
pub(crate) type QueueAccounts =
    Arc<dyn Fn(&Connection) -> Result<Arc<dyn QueueStore>, String> + Send + Sync>;

/// Accounts as Azurite has them.
pub(crate) fn azurite() -> QueueAccounts {
    Arc::new(|connection| {
        let account = crate::azurite::StorageAccount::from_connection_string(&connection.0)
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(account))
    })
}

#[async_trait]
impl QueueStore for crate::azurite::StorageAccount {
    async fn create(&self, queue: &str) -> Result<(), String> {
        self.create_queue(queue)
            .await
            .map_err(|error| error.to_string())
    }

    async fn send(&self, queue: &str, message: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(message).map_err(|_| {
            "a queue message that is not UTF-8 text is not supported here".to_owned()
        })?;
        self.send_queue_message(queue, text)
            .await
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! Queues in memory, for tests of the host alone.

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    pub(crate) struct MemoryQueues {
        queues: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
        /// How many sends fail from now on.
        pub(crate) failing: std::sync::atomic::AtomicUsize,
    }

    impl MemoryQueues {
        #[allow(clippy::unwrap_used, reason = "test code")]
        pub(crate) fn texts(&self, queue: &str) -> Vec<String> {
            let queues = self.queues.lock().unwrap();
            let messages = queues.get(queue).into_iter().flatten();
            let mut texts: Vec<_> = messages
                .map(|message| String::from_utf8_lossy(message).into_owned())
                .collect();
            texts.sort();
            texts
        }

        pub(crate) fn accounts(self: &Arc<Self>) -> QueueAccounts {
            let queues = Arc::clone(self);
            Arc::new(move |_| Ok(Arc::clone(&queues) as Arc<dyn QueueStore>))
        }
    }

    #[async_trait]
    #[allow(clippy::unwrap_used, reason = "test code")]
    impl QueueStore for MemoryQueues {
        async fn create(&self, queue: &str) -> Result<(), String> {
            self.queues
                .lock()
                .unwrap()
                .entry(queue.to_owned())
                .or_default();
            Ok(())
        }

        async fn send(&self, queue: &str, message: &[u8]) -> Result<(), String> {
            use std::sync::atomic::Ordering::SeqCst;
            if self
                .failing
                .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
                .is_ok()
            {
                return Err("out of order".to_owned());
            }
            let mut queues = self.queues.lock().unwrap();
            let queue = queues.get_mut(queue).ok_or("there is no such queue")?;
            queue.push(message.to_vec());
            Ok(())
        }
    }
}
