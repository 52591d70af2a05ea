//! Outages of every kind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// What goes wrong with a request, before anything was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CosmosFault {
    /// This HTTP status: 408, 429 (asking to come back after 20 ms), 500, 503 or the like.
    Status(u16),
    /// No answer, for as long as the client waits.
    Hang,
    /// The connection ends without an answer.
    Reset,
    /// The right answer, this much later.
    Slow(Duration),
}

/// A fault for a share of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// What goes wrong.
    pub fault: CosmosFault,
    /// Every how many requests, counted over all connections; 1 (or 0) for all of them.
    pub one_in: u32,
}

/// The present fault, and how often one has struck.
#[derive(Debug, Default)]
pub(super) struct Faults {
    plan: RwLock<Option<FaultPlan>>,
    asked: AtomicU64,
    met: AtomicU64,
}

impl Faults {
    pub(super) fn set(&self, plan: Option<FaultPlan>) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// What goes wrong with the next request, if anything.
    pub(super) fn next(&self) -> Option<CosmosFault> {
        let plan = (*self.plan.read().unwrap_or_else(PoisonError::into_inner))?;
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(u64::from(plan.one_in.max(1))) {
            return None;
        }
        self.met.fetch_add(1, Ordering::Relaxed);
        Some(plan.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_is_met_and_counted() {
        let faults = Faults::default();
        let fault = CosmosFault::Status(429);
        assert_eq!(faults.next(), None);
        faults.set(Some(FaultPlan { fault, one_in: 3 }));
        let met = (0..9).filter(|_| faults.next() == Some(fault)).count();
        assert_eq!((met, faults.met()), (3, 3));
        for one_in in [0, 1] {
            faults.set(Some(FaultPlan { fault, one_in }));
            assert!((0..5).all(|_| faults.next() == Some(fault)));
        }
        faults.set(None);
        assert_eq!((faults.next(), faults.met()), (None, 13));
    }
}
