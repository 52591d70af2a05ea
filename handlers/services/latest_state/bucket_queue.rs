//! The changes of one bucket that wait to be stored, and the task that stores them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, TraceContextExt};
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::ticket::Ticket;
use super::{Writer, failure};
use crate::domain::{Bucket, DroneState};
use crate::stores::{MOST_WRITES, OPERATION_TIMEOUT, StoreError};

/// Changes wait for others to travel with, which other calls may bring: each request costs the store and this process as much as
/// a dozen drones in it. While they come closer together than this, there is something to wait for.
const LULL: Duration = Duration::from_millis(10);

/// But no longer than this: little beside the seconds that the host has waited for a batch of events.
const LONGEST: Duration = Duration::from_millis(100);

/// The queue of a bucket.
pub(super) struct BucketQueue {
    bucket: Bucket,
    state: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<Change>,
    /// Whether a task empties it.
    running: bool,
    /// Of the calls that wait, the first that is traced: what is stored for all of them is part of its trace.
    traced: Option<Context>,
}

/// What a call wants to be stored of one drone.
pub(super) struct Change {
    pub(super) state: DroneState,
    /// `None` once the call has been told.
    ticket: Option<Arc<Ticket>>,
}

impl Change {
    pub(super) fn new(state: DroneState, ticket: &Arc<Ticket>) -> Self {
        Self {
            state,
            ticket: Some(Arc::clone(ticket)),
        }
    }

    pub(super) fn written(mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.written();
        }
    }

    pub(super) fn unchanged(mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.unchanged();
        }
    }

    pub(super) fn failed(mut self, error: &StoreError) {
        if let Some(ticket) = self.ticket.take() {
            ticket.failed(error);
        }
    }

    /// Whether its call has ended meanwhile.
    fn is_over(&self) -> bool {
        self.ticket.as_ref().is_none_or(|ticket| ticket.is_over())
    }
}

impl Drop for Change {
    /// A call hears of each of its changes, also where the task that had them panicked.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.failed(&failure("it was given up on the way".to_owned()));
        }
    }
}

impl BucketQueue {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            state: Mutex::default(),
        }
    }

    /// Adds changes of this bucket, and sees to it that somebody stores them.
    ///
    /// That task is not the caller's: a call that is given up must not cut off a write under way, whose outcome
    /// would be unknown, nor what other calls have in the same batch.
    pub(super) fn add(&self, changes: Vec<Change>, writer: &Arc<Writer>) {
        let mut queue = self.lock();
        queue.changes.extend(changes);
        let context = Context::current();
        if queue.traced.is_none() && context.span().span_context().is_sampled() {
            queue.traced = Some(context);
        }
        if !queue.running {
            queue.running = true;
            let task = Task {
                writer: Arc::clone(writer),
                bucket: self.bucket,
            };
            _ = match &writer.runtime {
                Some(runtime) => runtime.spawn(task.until_empty()),
                None => tokio::spawn(task.until_empty()),
            };
        }
    }

    /// Whether nothing waits. Then nobody runs any more, either.
    fn is_done(&self) -> bool {
        let mut queue = self.lock();
        queue.running = !queue.changes.is_empty();
        !queue.running
    }

    /// Waits until a batch is full, or nothing more comes for a while.
    async fn gather(&self) {
        let began = Instant::now();
        let mut waiting = 0;
        while began.elapsed() < LONGEST {
            let now = self.lock().changes.len();
            if now >= MOST_WRITES || now == waiting {
                return;
            }
            waiting = now;
            sleep(LULL).await;
        }
    }

    /// The next changes, of as many drones as a batch takes, without those that nobody waits for; and whose trace they are part of.
    fn next(&self) -> (Batch, Context) {
        let mut batch = Batch::new(self.bucket);
        let mut queue = self.lock();
        while !batch.is_full() {
            match queue.changes.pop_front() {
                None => break,
                Some(change) if change.is_over() => {}
                Some(change) => batch.add(change),
            }
        }
        let traced = match queue.changes.is_empty() {
            true => queue.traced.take(),
            false => queue.traced.clone(),
        };
        (batch, traced.unwrap_or_default())
    }

    /// What waits fails.
    fn fail(&self, error: &StoreError) {
        let changes = std::mem::take(&mut self.lock().changes);
        for change in changes {
            change.failed(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stores one bucket's changes, until there are none.
struct Task {
    writer: Arc<Writer>,
    bucket: Bucket,
}

impl Task {
    async fn until_empty(self) {
        let queue = self.queue();
        while !queue.is_done() {
            queue.gather().await;
            // The batch is made when its turn has come, and not before: meanwhile it grows.
            match self.writer.limit.turn(OPERATION_TIMEOUT).await {
                Some(turn) => {
                    let (batch, context) = queue.next();
                    batch.store(&self.writer, turn).with_context(context).await;
                }
                None => queue.fail(&failure(format!(
                    "no turn within {} s: the store answers too slowly",
                    OPERATION_TIMEOUT.as_secs()
                ))),
            }
        }
    }

    fn queue(&self) -> &BucketQueue {
        &self.writer.queues[self.bucket.index()]
    }
}

impl Drop for Task {
    /// After a panic the queue would wait for ever for a task that is gone.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let queue = std::mem::take(&mut *self.queue().lock());
            let error = failure("the task that writes it has ended".to_owned());
            for change in queue.changes {
                change.failed(&error);
            }
        }
    }
}
