//! How many events were in calls, and which process of the handler has answered them when: what its own count of them is held
//! against, although a process that is killed takes the last of its count along.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Of each process so many nanoseconds before its last answer are known call by call. Nothing reports less often.
const KEPT: u64 = 60 * 1_000_000_000;

/// The Event Hubs calls of hosts that share it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<String, Calls>>);

/// The calls of a function.
#[derive(Debug, Default)]
struct Calls {
    called: u64,
    answered: BTreeMap<Uuid, Answers>,
}

/// The answers of a process.
#[derive(Debug, Default)]
struct Answers {
    earlier: u64,
    /// When, in nanoseconds of Unix time, and to how many events.
    last: VecDeque<(u64, u64)>,
}

impl Ledger {
    /// A call with so many events goes to the handler.
    pub(crate) fn called(&self, function: &str, events: u64) {
        self.with(function, |calls| calls.called += events);
    }

    /// A process has answered a call well. Its outputs may fail to be delivered all the same.
    pub(crate) fn answered(&self, worker: Uuid, function: &str, events: u64, at: u64) {
        self.with(function, |calls| {
            let answers = calls.answered.entry(worker).or_default();
            answers.last.push_back((at, events));
            while let Some((first, events)) = answers.last.front()
                && first + KEPT < at
            {
                answers.earlier += events;
                answers.last.pop_front();
            }
        });
    }

    /// Events in all calls of a function, however these ended, repeated ones included.
    #[must_use]
    pub fn events_called(&self, function: &str) -> u64 {
        lock(&self.0).get(function).map_or(0, |calls| calls.called)
    }

    /// Events in calls of a function that were answered well.
    #[must_use]
    pub fn events_answered(&self, function: &str) -> u64 {
        self.events_answered_until(function, |_| u64::MAX)
    }

    /// The same of calls that a process, called by its worker id, has answered until a time of its own, in nanoseconds of Unix time.
    pub fn events_answered_until(&self, function: &str, until: impl Fn(&str) -> u64) -> u64 {
        let calls = lock(&self.0);
        let Some(calls) = calls.get(function) else {
            return 0;
        };
        let of_process = calls.answered.iter().map(|(worker, answers)| {
            let until = until(&worker.to_string());
            let last = answers.last.iter().filter(|(at, _)| *at <= until);
            let earlier = if until > 0 { answers.earlier } else { 0 };
            earlier + last.map(|(_, events)| events).sum::<u64>()
        });
        of_process.sum()
    }

    fn with(&self, function: &str, change: impl FnOnce(&mut Calls)) {
        let mut calls = lock(&self.0);
        match calls.get_mut(function) {
            Some(calls) => change(calls),
            None => change(calls.entry(function.to_owned()).or_default()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn answers_are_known_by_process_and_time() {
        let ledger = Ledger::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for events in [10, 20, 30] {
            ledger.called("Fly", events);
        }
        ledger.answered(one, "Fly", 10, 5 * SECOND);
        ledger.answered(other, "Fly", 20, 6 * SECOND);
        ledger.answered(one, "Fly", 40, 7 * SECOND);
        assert_eq!(ledger.events_called("Fly"), 60);
        assert_eq!(ledger.events_answered("Fly"), 70);
        let until = |worker: &str| match worker == one.to_string() {
            true => 6 * SECOND,
            false => 0,
        };
        assert_eq!(ledger.events_answered_until("Fly", until), 10);
        assert_eq!(ledger.events_called("Walk"), 0);
        assert_eq!(ledger.events_answered("Walk"), 0);
    }

    #[test]
    fn what_is_long_ago_is_one_number() {
        let ledger = Ledger::default();
        let worker = Uuid::from_u128(1);
        for second in 0..200 {
            ledger.answered(worker, "Fly", 1, second * SECOND);
        }
        let calls = lock(&ledger.0);
        assert_eq!(calls["Fly"].answered[&worker].last.len(), 61);
        drop(calls);
        assert_eq!(ledger.events_answered("Fly"), 200);
        // As if it had last been heard of in the 190th second.
        assert_eq!(ledger.events_answered_until("Fly", |_| 190 * SECOND), 191);
    }
}
