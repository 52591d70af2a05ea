//! How far UpdateDroneState has come, for whoever compares what it wrote with the clock.
//!
//! A drone whose events wait in the hub looks like one that has fallen silent. Only UpdateDroneState knows
//! the difference, and only for its own partitions; so it leaves a note where a partition is behind:
//! - before a batch whose first event is old, unless the call is a repetition;
//! - after a call that failed for a trouble that passes, such as an outage of Cosmos DB.
//!
//! The batch with which it has caught up takes the note away. While all is well nothing is written, and who
//! looks reads an empty list.
//!
//! A note is good for three minutes and then counts no more: a partition that is never read again, an
//! instance that died, or a batch that fails for ever for another reason do not hold anybody up for longer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::{Duration, UtcDateTime};
use tracing::warn;

use super::StoreError;
use crate::domain::alerts::Rules;
use crate::domain::alerts::rules::telemetry_lost;
use crate::domain::timestamp::rfc3339;

/// Longer than it takes until a failed call is made again and fails again: the host waits up to a minute
/// before it, and the call may take another.
const GOOD_FOR: Duration = Duration::minutes(3);

/// Drones report every 5 seconds: whatever the limit of silence, a partition is not behind before that.
const LEAST_BEHIND: Duration = Duration::seconds(5);

/// What a partition that is behind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Every event that the hub took earlier has been applied.
    #[serde(with = "rfc3339")]
    pub reached: UtcDateTime,
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub noted_at: UtcDateTime,
}

/// Notes, one a partition.
///
/// Contract, held by one test suite for every implementation: a note that was put is among
/// [`all`](Self::all), with its name and field by field, until another replaces it or it is removed;
/// removing what is not there is no error.
#[async_trait]
pub trait NoteStore: Send + Sync + 'static {
    /// Writes the note of this name, or replaces it.
    async fn put(&self, name: &str, note: Note) -> Result<(), StoreError>;

    /// Removes the note of this name, if there is one.
    async fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Reads all notes. One request where there are none.
    async fn all(&self) -> Result<Vec<(String, Note)>, StoreError>;
}

/// See the [module](self).
pub struct Backlog {
    notes: Arc<dyn NoteStore>,
    /// How old events are at least when their partition is behind; `None` where nobody wants to know.
    behind: Option<Duration>,
    /// The notes that this instance has left.
    left: Mutex<HashSet<String>>,
}

/// Which events a call is about.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// The hub.
    pub hub: &'a str,
    /// Its partition.
    pub partition_id: &'a str,
    /// When the hub took the first of them.
    pub oldest: UtcDateTime,
    /// When the hub took the last of them.
    pub newest: UtcDateTime,
}

impl Span<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.hub, self.partition_id)
    }
}

impl Backlog {
    /// A partition is behind that is so by half the silence that makes an alert.
    pub fn new(notes: Arc<dyn NoteStore>, rules: &Rules) -> Self {
        let behind = rules.get(telemetry_lost::NAME).map(|rule| {
            let half = Duration::seconds_f64(rule.limit.raise() / 2.0);
            half.max(LEAST_BEHIND)
        });
        Self {
            notes,
            behind,
            left: Mutex::default(),
        }
    }

    /// A call begins. Only at the first attempt: what fails for ever must not be told for ever.
    pub async fn begun(&self, events: &Span<'_>, now: UtcDateTime) {
        if self.is_old(events.oldest, now) {
            self.leave(events, now).await;
        }
    }

    /// A call failed, for a trouble that passes.
    pub async fn failed(&self, events: &Span<'_>, now: UtcDateTime) {
        if self.behind.is_some() {
            self.leave(events, now).await;
        }
    }

    /// Every event of a call has been applied.
    pub async fn applied(&self, events: &Span<'_>, now: UtcDateTime) {
        let name = events.name();
        if self.is_old(events.newest, now) || !self.left().contains(&name) {
            return;
        }
        match self.notes.remove(&name).await {
            Ok(()) => _ = self.left().remove(&name),
            // The next batch tries again, and the note expires anyway.
            Err(error) => warn!(%error, "a note of a backlog that is gone stays"),
        }
    }

    /// The time up to which every partition's events have been applied, as far as anybody has told; `now`
    /// where none is behind. To be asked before the drones are: they only get newer.
    ///
    /// # Errors
    /// What the store says.
    pub async fn reached(&self, now: UtcDateTime) -> Result<UtcDateTime, StoreError> {
        if self.behind.is_none() {
            return Ok(now);
        }
        let mut reached = now;
        for (name, note) in self.notes.all().await? {
            if note.noted_at >= now.saturating_sub(GOOD_FOR) {
                reached = reached.min(note.reached);
            } else if let Err(error) = self.notes.remove(&name).await {
                warn!(%error, "a note that has expired stays");
            }
        }
        Ok(reached)
    }

    fn is_old(&self, enqueued_at: UtcDateTime, now: UtcDateTime) -> bool {
        self.behind.is_some_and(|limit| now - enqueued_at >= limit)
    }

    /// A note that cannot be written must not keep events from being applied, which is what it waits for.
    async fn leave(&self, events: &Span<'_>, now: UtcDateTime) {
        let name = events.name();
        let note = Note {
            reached: events.oldest,
            noted_at: now,
        };
        match self.notes.put(&name, note).await {
            Ok(()) => _ = self.left().insert(name),
            Err(error) => {
                warn!(%error, "cannot note a backlog: drones may look silent that are not");
            }
        }
    }

    /// Whole even where a thread panicked while it held the lock.
    fn left(&self) -> MutexGuard<'_, HashSet<String>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use time::macros::utc_datetime;

    use super::super::memory::MemoryNotes;
    use super::*;
    use crate::domain::alerts::AlertSettings;

    fn at(seconds: i64) -> UtcDateTime {
        utc_datetime!(2024-05-01 12:00) + Duration::seconds(seconds)
    }

    fn events(partition_id: &str, oldest: i64, newest: i64) -> Span<'_> {
        Span {
            hub: "telemetry",
            partition_id,
            oldest: at(oldest),
            newest: at(newest),
        }
    }

    fn instance(notes: &Arc<MemoryNotes>) -> Backlog {
        let rules = Rules::new(&AlertSettings::default()).unwrap();
        Backlog::new(Arc::clone(notes) as _, &rules)
    }

    #[tokio::test]
    async fn while_all_is_well_nothing_is_written() {
        let notes = Arc::default();
        let backlog = instance(&notes);
        let batch = events("0", 0, 55);
        backlog.begun(&batch, at(59)).await;
        backlog.applied(&batch, at(60)).await;
        assert_eq!(notes.all().await.unwrap(), []);
        assert_eq!(backlog.reached(at(60)).await.unwrap(), at(60));
    }

    #[tokio::test]
    async fn the_slowest_partition_counts_until_it_has_caught_up() {
        let notes = Arc::default();
        let (backlog, watcher) = (instance(&notes), instance(&notes));
        let reached = async |now| watcher.reached(at(now)).await.unwrap();
        backlog.begun(&events("0", 0, 10), at(100)).await;
        backlog.begun(&events("1", 30, 40), at(100)).await;
        assert_eq!(reached(101).await, at(0));
        // Ten seconds of the hub are applied, and those that follow are as old.
        backlog.applied(&events("0", 0, 10), at(102)).await;
        assert_eq!(reached(102).await, at(0));
        backlog.begun(&events("0", 10, 60), at(103)).await;
        assert_eq!(reached(103).await, at(10));
        backlog.applied(&events("0", 10, 60), at(104)).await;
        assert_eq!(reached(104).await, at(30), "the other is behind still");
        backlog.applied(&events("1", 30, 100), at(105)).await;
        assert_eq!(reached(105).await, at(105));
        assert_eq!(notes.all().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_failed_call_is_noted_before_it_is_old() {
        let notes = Arc::default();
        let backlog = instance(&notes);
        let batch = events("0", 0, 1);
        backlog.begun(&batch, at(2)).await;
        backlog.failed(&batch, at(12)).await;
        assert_eq!(backlog.reached(at(13)).await.unwrap(), at(0));
        backlog.applied(&batch, at(14)).await;
        assert_eq!(backlog.reached(at(15)).await.unwrap(), at(15));
    }

    #[tokio::test]
    async fn what_nobody_renews_holds_up_for_three_minutes_and_is_cleared_away() {
        let notes = Arc::default();
        instance(&notes).failed(&events("0", 0, 1), at(2)).await;
        // Another instance has the partition now, and no such note.
        let backlog = instance(&notes);
        backlog.applied(&events("0", 0, 1), at(3)).await;
        assert_eq!(backlog.reached(at(182)).await.unwrap(), at(0));
        assert_eq!(backlog.reached(at(183)).await.unwrap(), at(183));
        assert_eq!(notes.all().await.unwrap(), []);
    }

    #[tokio::test]
    async fn without_the_rule_nobody_is_told() {
        let notes = Arc::new(MemoryNotes::default());
        let off = [("Alerts__SilenceSeconds".to_owned(), "0".to_owned())];
        let rules = Rules::new(&AlertSettings::from_all(off)).unwrap();
        let backlog = Backlog::new(Arc::clone(&notes) as _, &rules);
        backlog.begun(&events("0", 0, 1), at(900)).await;
        backlog.failed(&events("0", 0, 1), at(900)).await;
        assert_eq!(notes.all().await.unwrap(), []);
    }
}
