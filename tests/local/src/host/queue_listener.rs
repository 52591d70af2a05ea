//! The queue trigger: takes messages off a queue, calls the function for each, and puts aside what keeps failing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::UtcDateTime;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::envelope::{CallContext, queue::envelope};
use super::function_json::{Function, QueueTrigger};
use super::host_json::QueuesOptions;
use super::invoker::{Call, Invoker};
use super::journal::{CallFailed, HostEvent};
use super::queue_store::{QueueStore, ReceivedMessage};

/// The Storage extension's times that host.json does not set.
#[derive(Clone, Copy)]
struct Times {
    /// How long a message is hidden while its call runs. It is hidden again at half time, for as long as the call takes. A host that
    /// dies leaves its messages hidden for what remains of it.
    hidden: Duration,
    /// Between two looks at a queue that was empty once. It grows up to `maxPollingInterval`.
    shortest_polling_interval: Duration,
}

const TIMES: Times = Times {
    hidden: Duration::from_secs(600),
    shortest_polling_interval: Duration::from_millis(100),
};

/// Listens to one queue for one function.
pub(crate) struct QueueListener {
    source: Arc<Source>,
    filled: Arc<Notify>,
}

/// What every message of the queue needs.
struct Source {
    function: Arc<Function>,
    trigger: QueueTrigger,
    options: QueuesOptions,
    store: Arc<dyn QueueStore>,
    invoker: Arc<Invoker>,
    times: Times,
}

impl QueueListener {
    /// # Errors
    /// Where the connection leads to no account.
    pub(crate) fn new(
        function: &Arc<Function>,
        trigger: &QueueTrigger,
        options: QueuesOptions,
        invoker: &Arc<Invoker>,
    ) -> Result<Self, String> {
        let queues = invoker.queues();
        Ok(Self {
            filled: queues.watch(&trigger.connection, &trigger.queue),
            source: Arc::new(Source {
                function: Arc::clone(function),
                store: queues.store(&trigger.connection)?,
                trigger: trigger.clone(),
                options,
                invoker: Arc::clone(invoker),
                times: TIMES,
            }),
        })
    }

    /// Calls the function for message after message, for ever. Aborting it in mid-call leaves the messages in flight hidden, as a host
    /// does that is stopped.
    pub(crate) async fn run(self) {
        let (options, times) = (self.source.options, self.source.times);
        let shortest = times
            .shortest_polling_interval
            .min(options.max_polling_interval);
        let mut in_flight = JoinSet::new();
        let mut interval = shortest;
        let mut reachable = true;
        loop {
            while in_flight.len() > options.new_batch_threshold {
                in_flight.join_next().await;
            }
            let source = &self.source;
            let received = source
                .store
                .receive(&source.trigger.queue, options.batch_size, times.hidden)
                .await;
            if let Err(problem) = &received
                && reachable
            {
                source.invoker.journal().log.host(problem);
            }
            reachable = received.is_ok();
            let messages = received.unwrap_or_default();
            if messages.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = self.filled.notified() => {}
                }
                interval = (interval * 2).min(options.max_polling_interval);
            } else {
                interval = shortest;
            }
            for message in messages {
                in_flight.spawn(Arc::clone(source).deal_with(message));
            }
            // Those that have ended; the others go on.
            while in_flight.try_join_next().is_some() {}
        }
    }
}

impl Source {
    async fn deal_with(self: Arc<Self>, message: ReceivedMessage) {
        let queue = self.trigger.queue.clone();
        if let Err(problem) = self.handle(message).await {
            // The message shows itself again when its time is over.
            let log = &self.invoker.journal().log;
            log.host(&format!("a message of queue '{queue}': {problem}"));
        }
    }

    async fn handle(&self, mut message: ReceivedMessage) -> Result<(), String> {
        let queue = &self.trigger.queue;
        // .NET's decoder skips white space; nothing that writes to a queue adds any.
        let Ok(body) = BASE64.decode(&message.text) else {
            return self.put_aside(&message, "is not base64").await;
        };
        // It was handed out too often without an end: by hosts that died.
        if message.dequeue_count > self.options.max_dequeue_count {
            return self.put_aside(&message, "never succeeded").await;
        }
        if self.call(&mut message, &body).await {
            return self.store.delete(queue, &message).await;
        }
        if message.dequeue_count >= self.options.max_dequeue_count {
            return self.put_aside(&message, "failed too often").await;
        }
        self.store
            .hide(queue, &message, self.options.visibility_timeout)
            .await
            .map(|_| ())
    }

    /// Whether the call succeeded. Meanwhile the message is kept hidden, and gets new receipts.
    async fn call(&self, message: &mut ReceivedMessage, body: &[u8]) -> bool {
        let invocation_id = Uuid::new_v4();
        let context = CallContext {
            function: &self.function.name,
            now: UtcDateTime::now(),
            retry: None,
        };
        let QueueTrigger {
            binding, data_type, ..
        } = &self.trigger;
        let call = Call {
            invocation_id,
            envelope: envelope(binding, *data_type, message, body, &context),
            events: 0,
        };
        let attempt = message.dequeue_count;
        let outcome = {
            let invocation = self.invoker.invoke(&self.function, call);
            tokio::pin!(invocation);
            loop {
                tokio::select! {
                    outcome = &mut invocation => break outcome,
                    () = tokio::time::sleep(self.times.hidden / 2) => self.keep_hidden(message).await,
                }
            }
        };
        let Err(failure) = outcome else {
            return true;
        };
        self.invoker.journal().failed(CallFailed {
            function: self.function.name.as_str().into(),
            invocation_id,
            partition: None,
            attempt,
            failure,
        });
        false
    }

    async fn keep_hidden(&self, message: &mut ReceivedMessage) {
        let hidden = self
            .store
            .hide(&self.trigger.queue, message, self.times.hidden)
            .await;
        match hidden {
            Ok(Some(receipt)) => message.receipt = receipt,
            // Somebody else has it now, and will deal with it too.
            Ok(None) => {}
            Err(problem) => self.invoker.journal().log.host(&problem),
        }
    }

    /// Moves a message to the poison queue: first there, then away from here, so that it may be in both but never in neither.
    async fn put_aside(&self, message: &ReceivedMessage, reason: &str) -> Result<(), String> {
        let queue = &self.trigger.queue;
        let poison = format!("{queue}-poison");
        self.store.create(&poison).await?;
        self.store.send(&poison, message.text.clone()).await?;
        self.store.delete(queue, message).await?;
        let journal = self.invoker.journal();
        journal.log.host(&format!(
            "a message of queue '{queue}' {reason}; it is in '{poison}' now"
        ));
        journal.tell(HostEvent::MessagePoisoned {
            function: self.function.name.as_str().into(),
            queue: poison,
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "queue_listener_tests.rs"]
mod tests;
