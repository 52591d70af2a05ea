//! How many bytes of calls are held at a time, over all functions.
//!
//! The host bounds a batch by its events, not by their size: a thousand of 250 KB are one call of 330 MB, and each
//! Event Hubs function may get one for each partition. So a body has to be admitted before it is read, and whoever
//! has to wait leaves it in the socket. What was admitted is given back when the last slice of the body is gone,
//! wherever that is held.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Bodies up to here are not counted, so that no timer, queue message or small batch waits for a large one. There
/// are as many of them as calls can run at a time.
const UNCOUNTED: usize = 256 * 1024;

/// What is counted in: a permit for each byte would not be counted in 32 bits.
const UNIT: usize = 1024;

/// Shared by all functions of an app.
pub(crate) struct ByteBudget {
    units: Arc<Semaphore>,
    /// In units.
    total: u32,
    /// Only who holds this may wait for units. Everybody else either has all that they need or none at all, so that
    /// what is waited for comes; and whoever came first is first, however much they need.
    gate: Arc<Mutex<()>>,
}

impl ByteBudget {
    /// At least one unit.
    pub(crate) fn new(bytes: usize) -> Self {
        let largest = (u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let units = bytes.div_ceil(UNIT).clamp(1, largest);
        Self {
            units: Arc::new(Semaphore::new(units)),
            total: u32::try_from(units).unwrap_or(u32::MAX),
            gate: Arc::new(Mutex::new(())),
        }
    }

    /// Waits until a body of this length may be read. One that is larger than everything waits until it is alone.
    pub(crate) async fn admit(self: &Arc<Self>, bytes: usize) -> Admission {
        let mut admission = Admission {
            budget: Some(Arc::clone(self)),
            held: None,
            gate: None,
        };
        admission.grow(bytes).await;
        admission.settle(bytes);
        admission
    }
}

/// What a body has been admitted for; given back when dropped.
#[derive(Default)]
pub(crate) struct Admission {
    /// `None` for a body that did not come with a call.
    budget: Option<Arc<ByteBudget>>,
    held: Option<OwnedSemaphorePermit>,
    gate: Option<OwnedMutexGuard<()>>,
}

impl Admission {
    /// Waits until the body may have this length, which is not known to be its last. From the first growth to
    /// [`settle`](Self::settle) nobody else is admitted.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let Some(budget) = &self.budget else { return };
        if bytes <= UNCOUNTED {
            return;
        }
        let wanted = units(bytes).min(budget.total);
        let held = self.held.as_ref().map_or(0, permits);
        if wanted <= held {
            return;
        }
        if self.gate.is_none() {
            self.gate = Some(Arc::clone(&budget.gate).lock_owned().await);
        }
        let more = Arc::clone(&budget.units).acquire_many_owned(wanted - held);
        // The semaphore is never closed.
        if let Ok(more) = more.await {
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        }
    }

    /// The body is as long as this, and will not grow: others may be admitted, and what is too much is given back.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.gate = None;
        if let Some(held) = &mut self.held {
            let surplus = permits(held).saturating_sub(units(bytes));
            drop(held.split(surplus as usize));
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

fn permits(permit: &OwnedSemaphorePermit) -> u32 {
    u32::try_from(permit.num_permits()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MIB: usize = 1024 * 1024;
    const SECOND: Duration = Duration::from_secs(1);

    /// In paused time, a time-out means that it waits for somebody.
    async fn admitted(budget: &Arc<ByteBudget>, bytes: usize) -> Option<Admission> {
        timeout(SECOND, budget.admit(bytes)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_until_there_is_room_and_small_ones_never() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let first = admitted(&budget, 3 * MIB).await.unwrap();
        assert!(admitted(&budget, 2 * MIB).await.is_none());
        let _second = admitted(&budget, MIB).await.unwrap();
        for _ in 0..100 {
            std::mem::forget(admitted(&budget, UNCOUNTED).await.unwrap());
        }
        assert!(admitted(&budget, UNCOUNTED + 1).await.is_none());
        drop(first);
        assert!(admitted(&budget, 3 * MIB).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_larger_than_everything_is_admitted_alone() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let small = admitted(&budget, MIB).await.unwrap();
        assert!(admitted(&budget, 100 * MIB).await.is_none());
        drop(small);
        let large = admitted(&budget, 100 * MIB).await.unwrap();
        assert!(admitted(&budget, MIB).await.is_none());
        drop(large);
        assert!(admitted(&budget, 4 * MIB).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_is_not_overtaken_for_ever() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let first = admitted(&budget, 2 * MIB).await.unwrap();
        let waiting = Arc::clone(&budget);
        let large = tokio::spawn(async move { waiting.admit(4 * MIB).await });
        tokio::task::yield_now().await;
        assert!(admitted(&budget, MIB).await.is_none(), "it came later");
        drop(first);
        let large = timeout(SECOND, large).await.unwrap().unwrap();
        drop(large);
        assert!(admitted(&budget, MIB).await.is_some());
    }

    /// Two that grow at a time would each hold what the other waits for.
    #[tokio::test(start_paused = true)]
    async fn bodies_of_unknown_length_grow_one_after_the_other() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let grow = async |budget: Arc<ByteBudget>| {
            let mut admission = budget.admit(0).await;
            for size in [MIB, 2 * MIB, 3 * MIB] {
                admission.grow(size).await;
                tokio::time::sleep(SECOND / 10).await;
            }
            admission.settle(2 * MIB + 1);
            tokio::time::sleep(SECOND).await;
            admission
        };
        let growing = async {
            let all = (0..5).map(|_| tokio::spawn(grow(Arc::clone(&budget))));
            for one in all.collect::<Vec<_>>() {
                drop(one.await.unwrap());
            }
        };
        let known = async {
            for _ in 0..5 {
                drop(budget.admit(4 * MIB).await);
                tokio::time::sleep(SECOND / 10).await;
            }
        };
        let both = async { tokio::join!(growing, known) };
        timeout(60 * SECOND, both).await.unwrap();
        assert_eq!(budget.units.available_permits(), 4 * 1024);
    }

    /// A call that is given up in the middle of its body.
    #[tokio::test(start_paused = true)]
    async fn who_is_given_up_while_it_grows_holds_nothing() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let mut growing = budget.admit(0).await;
        growing.grow(MIB).await;
        assert!(admitted(&budget, MIB).await.is_none());
        drop(growing);
        assert!(admitted(&budget, 4 * MIB).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_grew_too_large_is_given_back() {
        let budget = Arc::new(ByteBudget::new(4 * MIB));
        let mut grown = budget.admit(0).await;
        grown.grow(4 * MIB).await;
        grown.settle(MIB);
        assert!(admitted(&budget, 3 * MIB).await.is_some());
        assert!(admitted(&budget, 3 * MIB + 1).await.is_none());
    }
}
