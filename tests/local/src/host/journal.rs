//! What happened: figures for each function, and news for whoever listens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::UtcDateTime;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::error::CallFailure;
use super::ledger::Ledger;
use super::log::LogSink;

/// News that a slow listener may fall behind by, before it loses the oldest.
const NEWS_KEPT: usize = 2_048;

/// The figures of one function since the host started. They outlive restarts of the handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionStats {
    /// Calls made, repeated ones included.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Events in successful Event Hubs calls.
    pub events: u64,
    /// Events that were checkpointed although their last call failed: no retry policy, or no retry left.
    pub lost_events: u64,
    /// Calls that repeated a failed one.
    pub retries: u64,
    /// The time that all calls took together.
    pub busy: Duration,
    /// Why the last failed call failed.
    pub last_failure: Option<String>,
}

/// What happened in the host.
#[derive(Debug, Clone)]
pub enum HostEvent {
    /// The handler answered for the first time after a start.
    HandlerReady {
        /// Its process.
        pid: u32,
        /// From the start of the process to its first answer.
        ready: Duration,
    },
    /// The handler's process ended.
    HandlerEnded {
        /// Its process.
        pid: u32,
        /// How it ended.
        status: String,
    },
    /// After the third error the host stopped; the platform starts it anew.
    HostStopped,
    /// An Event Hubs call succeeded, outputs delivered. Told before the checkpoint, so that whoever waits for [`super::Host::settled`]
    /// finds it in the channel afterwards.
    BatchDone(BatchDone),
    /// What a call has left for a queue was put there. The call may fail all the same, and leave it again.
    QueueOutput {
        /// The function.
        function: Arc<str>,
        /// The queue.
        queue: Arc<str>,
        /// The value of the output, as JSON: a text, or an array of texts.
        value: Arc<str>,
    },
    /// A call failed; it may be made again.
    CallFailed(CallFailed),
    /// A queue message was moved to the poison queue.
    MessagePoisoned {
        /// The function that it triggered.
        function: Arc<str>,
        /// The poison queue.
        queue: String,
    },
    /// Events were checkpointed although their last call failed.
    EventsLost {
        /// The function that missed them.
        function: Arc<str>,
        /// Their partition.
        partition: u16,
        /// The first sequence number.
        first: i64,
        /// The last sequence number.
        last: i64,
    },
}

/// A successful Event Hubs call.
#[derive(Debug, Clone)]
pub struct BatchDone {
    /// The function.
    pub function: Arc<str>,
    /// The partition.
    pub partition: u16,
    /// The first event's sequence number.
    pub first: i64,
    /// The last event's sequence number.
    pub last: i64,
    /// When the hub took each event, in the order of the batch; never empty.
    pub enqueued_at: Arc<[UtcDateTime]>,
    /// When the handler's answer had been dealt with, outputs delivered.
    pub finished_at: UtcDateTime,
    /// How many calls it took, from 1.
    pub attempts: u32,
}

impl BatchDone {
    /// How many events the call carried.
    #[must_use]
    pub fn count(&self) -> usize {
        self.enqueued_at.len()
    }

    /// When the hub took the first of them. Enqueued times never go back within a partition.
    #[must_use]
    pub fn oldest_enqueued_at(&self) -> UtcDateTime {
        self.enqueued_at
            .first()
            .copied()
            .unwrap_or(self.finished_at)
    }

    /// When the hub took the last of them.
    #[must_use]
    pub fn newest_enqueued_at(&self) -> UtcDateTime {
        self.enqueued_at.last().copied().unwrap_or(self.finished_at)
    }
}

/// A failed call.
#[derive(Debug, Clone)]
pub struct CallFailed {
    /// The function.
    pub function: Arc<str>,
    /// The call's `X-Azure-Functions-InvocationId`.
    pub invocation_id: Uuid,
    /// The partition, for an Event Hubs trigger.
    pub partition: Option<u16>,
    /// Which call for the same trigger it was, from 1.
    pub attempt: u32,
    /// Why.
    pub failure: CallFailure,
}

/// Keeps the figures and spreads the news.
#[derive(Debug)]
pub(crate) struct Journal {
    stats: Mutex<BTreeMap<String, FunctionStats>>,
    last_failure: Mutex<Option<(String, String)>>,
    news: broadcast::Sender<HostEvent>,
    in_flight: watch::Sender<usize>,
    pub(crate) log: LogSink,
    pub(crate) ledger: Arc<Ledger>,
}

impl Journal {
    pub(crate) fn new<'a>(
        functions: impl Iterator<Item = &'a String>,
        log: LogSink,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            stats: Mutex::new(
                functions
                    .map(|name| (name.clone(), FunctionStats::default()))
                    .collect(),
            ),
            last_failure: Mutex::default(),
            news: broadcast::Sender::new(NEWS_KEPT),
            in_flight: watch::Sender::new(0),
            log,
            ledger,
        }
    }

    pub(crate) fn stats(&self) -> BTreeMap<String, FunctionStats> {
        lock(&self.stats).clone()
    }

    pub(crate) fn last_failure(&self) -> Option<(String, String)> {
        lock(&self.last_failure).clone()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<HostEvent> {
        self.news.subscribe()
    }

    pub(crate) fn tell(&self, event: HostEvent) {
        // Nobody has to listen.
        _ = self.news.send(event);
    }

    pub(crate) fn watch_in_flight(&self) -> watch::Receiver<usize> {
        self.in_flight.subscribe()
    }

    pub(crate) fn update(&self, function: &str, change: impl FnOnce(&mut FunctionStats)) {
        let mut stats = lock(&self.stats);
        if let Some(stats) = stats.get_mut(function) {
            change(stats);
        }
    }

    /// Counts a call until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, function: &str) -> InFlight {
        self.update(function, |stats| stats.calls += 1);
        self.in_flight.send_modify(|count| *count += 1);
        InFlight {
            journal: Arc::clone(self),
            function: function.to_owned(),
            started: Instant::now(),
        }
    }

    pub(crate) fn failed(&self, failed: CallFailed) {
        let text = failed.failure.to_string();
        self.log.host(&format!(
            "{} failed (attempt {}): {text}",
            failed.function, failed.attempt
        ));
        *lock(&self.last_failure) = Some((failed.function.to_string(), text.clone()));
        self.update(&failed.function, |stats| {
            stats.failures += 1;
            stats.last_failure = Some(text);
        });
        self.tell(HostEvent::CallFailed(failed));
    }
}

/// A call in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    journal: Arc<Journal>,
    function: String,
    started: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.journal
            .update(&self.function, |stats| stats.busy += took);
        self.journal.in_flight.send_modify(|count| *count -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
