//! How many batches are under way at once: as many as the store answers well.
//!
//! Additive increase, multiplicative decrease, as networks share a line. Each round of good answers allows one
//! batch more; an answer that says "too much", or none at all, halves what is allowed. So a store that is out
//! of order is asked little, one that has just come back is not asked for everything at once, and a far one
//! is asked for more at a time than a near one, without a number that somebody has to know beforehand.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// What a process begins with. More only queues up in front of a store that is near.
const FIRST: usize = 4;

/// What is always allowed: something has to ask whether the store is back.
const FEWEST: usize = 1;

/// At 100 ms a batch this is 8,000 drones a second, far beyond what one instance is for; each batch under way holds
/// half a megabyte, most of it in the SDK.
const MOST: usize = 8;

/// A limit of batches under way that follows the answers.
pub(super) struct Limit {
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    allowed: usize,
    /// Permits that are still out and will not be handed out again.
    owed: usize,
    /// Good answers since the last change.
    good: usize,
    /// How often it was halved. Batches of one time fail together, and count once.
    halved: u64,
}

/// Leave for one batch to be under way.
pub(super) struct Turn<'a> {
    limit: &'a Limit,
    permit: Option<SemaphorePermit<'a>>,
    halved: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(FIRST),
            state: Mutex::new(State {
                allowed: FIRST,
                owed: 0,
                good: 0,
                halved: 0,
            }),
        }
    }
}

impl Limit {
    /// Waits for a turn, first come, first served; `None` where none came within `most`.
    pub(super) async fn turn(&self, most: Duration) -> Option<Turn<'_>> {
        let permit = tokio::time::timeout(most, self.permits.acquire()).await;
        // It is never closed.
        let permit = permit.ok()?.ok()?;
        Some(Turn {
            limit: self,
            permit: Some(permit),
            halved: self.state().halved,
        })
    }

    /// How many batches may be under way.
    #[cfg(test)]
    pub(super) fn allowed(&self) -> usize {
        self.state().allowed
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The store has answered well.
    pub(super) fn good(self) {
        let mut state = self.limit.state();
        // Where nobody waits, more would be of no use, and nothing says that it would be answered as well.
        if self.limit.permits.available_permits() > 0 {
            return;
        }
        state.good += 1;
        if state.good >= state.allowed && state.allowed < MOST {
            state.allowed += 1;
            state.good = 0;
            if state.owed > 0 {
                state.owed -= 1;
            } else {
                self.limit.permits.add_permits(1);
            }
        }
    }

    /// The store is overloaded, out of reach or out of order. Whoever waits before it asks again keeps its turn:
    /// otherwise every other batch would be refused meanwhile, too.
    pub(super) fn too_much(&mut self) {
        let mut state = self.limit.state();
        if state.halved != self.halved {
            self.halved = state.halved;
            return;
        }
        let allowed = (state.allowed / 2).max(FEWEST);
        // Those that are free go at once; the others when they come back.
        let fewer = state.owed + state.allowed - allowed;
        state.owed = fewer - self.limit.permits.forget_permits(fewer);
        state.allowed = allowed;
        state.good = 0;
        state.halved += 1;
        self.halved = state.halved;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    async fn take(limit: &Limit) -> Vec<Turn<'_>> {
        let mut turns = Vec::new();
        while let Some(turn) = limit.turn(SOON).await {
            turns.push(turn);
        }
        turns
    }

    fn refuse(mut turns: Vec<Turn<'_>>) {
        turns.iter_mut().for_each(Turn::too_much);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_of_good_answers_allows_one_more_up_to_the_most() {
        let limit = Limit::default();
        for expected in FIRST..MOST {
            let turns = take(&limit).await;
            assert_eq!(turns.len(), expected);
            // While the others are still out, nothing is free.
            for turn in turns {
                let _rest = take(&limit).await;
                turn.good();
            }
            assert_eq!(limit.allowed(), expected + 1);
        }
        let turns = take(&limit).await;
        assert_eq!(turns.len(), MOST);
        turns.into_iter().for_each(Turn::good);
        assert_eq!(take(&limit).await.len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_not_reached_stays() {
        let limit = Limit::default();
        for _ in 0..100 {
            limit.turn(SOON).await.unwrap().good();
        }
        assert_eq!(limit.allowed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_that_fail_together_halve_it_once_and_one_is_always_allowed() {
        let limit = Limit::default();
        refuse(take(&limit).await);
        assert_eq!(limit.allowed(), FIRST / 2);
        for _ in 0..10 {
            let turns = take(&limit).await;
            assert_eq!(turns.len(), limit.allowed());
            refuse(turns);
        }
        assert_eq!(take(&limit).await.len(), FEWEST);
    }

    #[tokio::test(start_paused = true)]
    async fn permits_that_are_free_when_it_is_halved_are_not_handed_out() {
        let limit = Limit::default();
        let mut turn = limit.turn(SOON).await.unwrap();
        turn.too_much();
        assert_eq!(
            take(&limit).await.len(),
            FIRST / 2 - 1,
            "beside the one that is out"
        );
        drop(turn);
        assert_eq!(take(&limit).await.len(), FIRST / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_dropped_is_free_again() {
        let limit = Limit::default();
        drop(take(&limit).await);
        assert_eq!(take(&limit).await.len(), FIRST);
    }
}
