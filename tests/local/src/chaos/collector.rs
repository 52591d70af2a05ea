//! Takes messages off the queues while a trial runs, as their receivers would: a queue of many thousands makes
//! Azurite slow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::azurite::{StorageAccount, StorageError};
use crate::letters;
use crate::system::{ALERT_QUEUE, DEAD_LETTERS};

/// Between two looks at a queue that was empty.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was in the queues, by the messages' ids, each with how often it was there.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) dead_letters: HashMap<String, (Value, u64)>,
    /// Without their `traceparent`: one that comes again has that of the call that told it again.
    pub(super) alerts: HashMap<String, (Value, u64)>,
    /// Messages that no receiver could make sense of, or two with one id that differ.
    pub(super) faults: Vec<String>,
}

pub(super) struct Collector {
    storage: StorageAccount,
    collected: Arc<Mutex<Collected>>,
    enough: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Collector {
    /// Begins. `storage` is reached directly, not through the faults.
    pub(super) fn start(storage: StorageAccount) -> Self {
        let collected = Arc::new(Mutex::new(Collected::default()));
        let enough = watch::Sender::new(false);
        let tasks = [DEAD_LETTERS, ALERT_QUEUE].map(|queue| {
            let (storage, collected) = (storage.clone(), Arc::clone(&collected));
            let enough = enough.subscribe();
            tokio::spawn(async move {
                while !*enough.borrow() {
                    // What fails now is there to be taken by the next look; the last one reports errors.
                    if !matches!(take(&storage, queue, &collected).await, Ok(1..)) {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
            })
        });
        Self {
            storage,
            collected,
            enough,
            tasks: tasks.into(),
        }
    }

    /// Takes what is left, when nothing comes any more.
    ///
    /// # Errors
    /// Where a queue cannot be read.
    pub(super) async fn finish(mut self) -> Result<Collected, StorageError> {
        // Not aborted: messages are off the queue a moment before they are noted.
        self.enough.send_replace(true);
        for task in &mut self.tasks {
            // The only error would be a panic, whose messages are then missing.
            _ = task.await;
        }
        for queue in [DEAD_LETTERS, ALERT_QUEUE] {
            while take(&self.storage, queue, &self.collected).await? > 0 {}
        }
        let mut collected = self
            .collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut collected))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Takes some messages, and returns how many.
async fn take(
    storage: &StorageAccount,
    queue: &str,
    collected: &Mutex<Collected>,
) -> Result<usize, StorageError> {
    let texts = storage.remove_queue_messages(queue).await?;
    let count = texts.len();
    let texts = match queue {
        DEAD_LETTERS => letters_of(storage, &texts).await?,
        _ => texts,
    };
    let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
    for text in texts {
        collected.note(queue, &text);
    }
    Ok(count)
}

async fn letters_of(
    storage: &StorageAccount,
    messages: &[String],
) -> Result<Vec<String>, StorageError> {
    let mut texts = Vec::new();
    for message in messages {
        let letters = letters::read(storage, message).await?;
        texts.extend(letters.iter().map(Value::to_string));
    }
    Ok(texts)
}

impl Collected {
    fn note(&mut self, queue: &str, text: &str) {
        let mut message: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(id) = message["id"].as_str().map(str::to_owned) else {
            self.faults.push(format!("a message in {queue} has no id"));
            return;
        };
        let same = match queue {
            DEAD_LETTERS => again(&mut self.dead_letters, id.clone(), message),
            _ => {
                if let Some(message) = message.as_object_mut() {
                    message.remove("traceparent");
                }
                again(&mut self.alerts, id.clone(), message)
            }
        };
        if !same {
            self.faults
                .push(format!("two messages {id} in {queue} differ"));
        }
    }
}

/// Counts a message. False where an earlier one of its id was another.
fn again<T: PartialEq>(messages: &mut HashMap<String, (T, u64)>, id: String, message: T) -> bool {
    match messages.get_mut(&id) {
        Some((earlier, count)) => {
            *count += 1;
            *earlier == message
        }
        None => {
            messages.insert(id, (message, 1));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted_and_differences_are_faults() {
        let mut collected = Collected::default();
        for text in [
            r#"{"id":"a","x":1}"#,
            r#"{"id":"a","x":1,"traceparent":"00-1-2-01"}"#,
            r#"{"id":"b"}"#,
        ] {
            collected.note(ALERT_QUEUE, text);
        }
        assert_eq!(collected.alerts["a"].1, 2);
        assert_eq!(collected.faults, Vec::<String>::new());
        collected.note(ALERT_QUEUE, r#"{"id":"a","x":2}"#);
        collected.note(DEAD_LETTERS, "nonsense");
        collected.note(DEAD_LETTERS, r#"{"id":"a"}"#);
        assert_eq!(
            collected.faults,
            [
                "two messages a in drone-alerts differ",
                "a message in telemetry-dead-letters has no id",
            ]
        );
    }
}
