//! How one call hears what became of its changes, which travel in several batches.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::Applied;
use crate::stores::StoreError;

/// What became of the changes of one call.
pub(super) struct Ticket {
    left: AtomicUsize,
    written: AtomicUsize,
    unchanged: AtomicUsize,
    error: OnceLock<StoreError>,
    /// Nobody waits any more: the call has failed or was given up.
    over: AtomicBool,
    settled: Notify,
}

impl Ticket {
    /// For so many changes.
    pub(super) fn new(changes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(changes),
            written: AtomicUsize::new(0),
            unchanged: AtomicUsize::new(0),
            error: OnceLock::new(),
            over: AtomicBool::new(false),
            settled: Notify::new(),
        })
    }

    /// Waits until all changes are stored, or the first has failed.
    pub(super) async fn settled(&self) -> Result<Applied, StoreError> {
        loop {
            // Before the look, so that nothing that comes between the two is missed.
            let settled = self.settled.notified();
            if let Some(error) = self.error.get() {
                return Err(error.clone());
            }
            if self.left.load(Ordering::Acquire) == 0 {
                return Ok(Applied {
                    written: self.written.load(Ordering::Relaxed),
                    unchanged: self.unchanged.load(Ordering::Relaxed),
                });
            }
            settled.await;
        }
    }

    /// Whether there is nobody any more whom a change would help.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
        self.one_less();
    }

    pub(super) fn unchanged(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
        self.one_less();
    }

    /// Later errors are most likely the same trouble.
    pub(super) fn failed(&self, error: &StoreError) {
        self.over.store(true, Ordering::Relaxed);
        if self.error.set(error.clone()).is_ok() {
            self.settled.notify_waiters();
        }
    }

    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_waiters();
        }
    }
}

/// Gives the changes up when the call ends, however it does: those that still wait are dropped.
pub(super) struct GiveUp<'a>(pub(super) &'a Ticket);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}
