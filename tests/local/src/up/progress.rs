//! Figures of a run as it goes, seen from the host: what the calls carried, and how late.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::broadcast::error::RecvError;

use crate::host::HostEvent;
use crate::system::{DEAD_LETTERS, System};

const STATE: &str = "UpdateDroneState";
const ARCHIVE: &str = "ArchiveTelemetry";
const STATE_GROUP: &str = "drone-state";
const ARCHIVE_GROUP: &str = "telemetry-archive";

/// How often the dead-letter queue is asked for its length.
const ASK_QUEUE: Duration = Duration::from_secs(1);

/// Figures that [`follow`] keeps up to date.
pub(super) struct Progress {
    through_state: AtomicU64,
    archived: AtomicU64,
    dead_lettered: AtomicU64,
    failures: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
}

impl Default for Progress {
    fn default() -> Self {
        // Milliseconds up to an hour, to three digits. The constants are in range, and without
        // bounds the histogram grows as it must.
        let latencies = Histogram::new_with_max(3_600_000, 3)
            .unwrap_or_else(|_| Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are allowed")));
        Self {
            through_state: AtomicU64::new(0),
            archived: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
        }
    }
}

/// The figures at one moment; its text is the live view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    sent: u64,
    applied: u64,
    archived: u64,
    dead_lettered: u64,
    lag: u64,
    per_second: f64,
    failures: u64,
}

impl Progress {
    pub(super) fn snapshot(&self, system: &System, elapsed: Duration) -> Snapshot {
        let sent = system.hub.appended();
        let dead_lettered = self.dead_lettered.load(Ordering::Relaxed);
        Snapshot {
            sent,
            applied: self
                .through_state
                .load(Ordering::Relaxed)
                .saturating_sub(dead_lettered),
            archived: self.archived.load(Ordering::Relaxed),
            dead_lettered,
            lag: system.hub.lag(STATE_GROUP).max(system.hub.lag(ARCHIVE_GROUP)),
            per_second: sent as f64 / elapsed.as_secs_f64().max(0.001),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// From the moment the hub took an event to the end of the call that applied it, in milliseconds.
    pub(super) fn latencies(&self) -> Histogram<u64> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Keeps the figures up to date, for ever.
pub(super) async fn follow(system: &System, progress: Arc<Progress>) -> Infallible {
    tokio::join!(
        follow_calls(system, &progress),
        follow_dead_letters(system, &progress)
    )
    .0
}
