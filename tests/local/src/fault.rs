//! Outages of every kind, for the servers of the local system.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This HTTP status, and nothing was done: 408, 429, 500, 503 or the like.
    Status(u16),
    /// Nothing was done, and there is no answer. The connection breaks when the fault is over.
    Hang,
    /// Nothing was done, and the connection breaks.
    Reset,
    /// What was asked is done, and then the connection breaks: the client cannot know.
    LostAnswer,
    /// The right answer, this much later.
    Slow(Duration),
}

/// A fault for a share of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// What goes wrong.
    pub fault: Fault,
    /// Every how many requests, counted over all connections; 1 (or 0) for all of them.
    pub one_in: u32,
}

impl From<Fault> for FaultPlan {
    /// For all requests.
    fn from(fault: Fault) -> Self {
        Self { fault, one_in: 1 }
    }
}

/// The present fault of a server, and how often one has struck.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: watch::Sender<Option<FaultPlan>>,
    asked: AtomicU64,
    met: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            plan: watch::Sender::new(None),
            asked: AtomicU64::new(0),
            met: AtomicU64::new(0),
        }
    }
}

impl Faults {
    /// From now on, and the end of what was.
    pub(crate) fn set(&self, plan: Option<FaultPlan>) {
        self.plan.send_replace(plan);
    }

    /// Whether anything goes wrong now.
    pub(crate) fn is_set(&self) -> bool {
        self.plan.borrow().is_some()
    }

    /// Requests that a fault has met.
    pub(crate) fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// Answers a request, unless something goes wrong with it. `refuse` makes an answer of a status.
    ///
    /// # Errors
    /// Where the connection has to break.
    pub(crate) async fn meet<T>(
        &self,
        refuse: impl FnOnce(u16) -> T,
        answer: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        match self.next() {
            None => answer.await,
            Some(Fault::Status(status)) => Ok(refuse(status)),
            Some(Fault::Hang) => {
                self.over().await;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::LostAnswer) => {
                answer.await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                answer.await
            }
        }
    }

    /// What goes wrong with the next request, if anything.
    fn next(&self) -> Option<Fault> {
        let plan = (*self.plan.borrow())?;
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(u64::from(plan.one_in.max(1))) {
            return None;
        }
        self.met.fetch_add(1, Ordering::Relaxed);
        Some(plan.fault)
    }

    /// Waits for the end of the present fault.
    async fn over(&self) {
        // The sender is `self`, so the channel does not close meanwhile.
        _ = self.plan.subscribe().changed().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_share_of_the_requests_is_met_and_counted() {
        let faults = Faults::default();
        let fault = Fault::Status(429);
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

    /// The answer, and whether the request was carried out.
    async fn ask(faults: &Faults) -> (io::Result<u16>, bool) {
        let mut done = false;
        let answer = faults.meet(|status| status, async {
            done = true;
            Ok(200)
        });
        (answer.await, done)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_lost_and_a_slow_answer_are_of_requests_that_were_carried_out() {
        let faults = Faults::default();
        for (fault, status, carried_out) in [
            (None, Some(200), true),
            (Some(Fault::Status(503)), Some(503), false),
            (Some(Fault::Reset), None, false),
            (Some(Fault::LostAnswer), None, true),
            (Some(Fault::Slow(Duration::from_secs(9))), Some(200), true),
        ] {
            faults.set(fault.map(FaultPlan::from));
            let (answer, done) = ask(&faults).await;
            assert_eq!((answer.ok(), done), (status, carried_out), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn what_hangs_breaks_when_the_fault_is_over() {
        let faults = Arc::new(Faults::default());
        faults.set(Some(Fault::Hang.into()));
        let asking = tokio::spawn({
            let faults = Arc::clone(&faults);
            async move { ask(&faults).await.0 }
        });
        while faults.met() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert!(!asking.is_finished());
        faults.set(None);
        assert!(asking.await.unwrap().is_err());
    }
}
