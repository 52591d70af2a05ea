//! Consumer groups: how far each has come in every partition.

use std::collections::BTreeMap;

/// Where a group's reader stands in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// The sequence number of the first event that is not checkpointed.
    pub next: i64,
    /// Grows whenever the partition is lost. A checkpoint from an older epoch does not count.
    pub epoch: u64,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    cursors: BTreeMap<String, Vec<Cursor>>,
}

impl Groups {
    pub(super) fn join(&mut self, group: &str, partitions: usize) {
        if !self.cursors.contains_key(group) {
            self.cursors
                .insert(group.to_owned(), vec![Cursor::default(); partitions]);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cursors.is_empty()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.cursors.keys().cloned().collect()
    }

    pub(super) fn cursor(&self, group: &str, partition: u16) -> Option<Cursor> {
        self.cursors
            .get(group)?
            .get(usize::from(partition))
            .copied()
    }

    /// Whether the checkpoint was written.
    pub(super) fn commit(&mut self, group: &str, partition: u16, epoch: u64, next: i64) -> bool {
        let Some(cursor) = self.cursor_mut(group, partition) else {
            return false;
        };
        let own = cursor.epoch == epoch;
        if own {
            cursor.next = next;
        }
        own
    }

    /// How many events come again.
    pub(super) fn rewind(&mut self, group: &str, partition: u16, events: u64, oldest: i64) -> u64 {
        let Some(cursor) = self.cursor_mut(group, partition) else {
            return 0;
        };
        let before = cursor.next;
        let wanted = before.saturating_sub(i64::try_from(events).unwrap_or(i64::MAX));
        cursor.next = wanted.max(oldest).clamp(0, before);
        cursor.epoch += 1;
        u64::try_from(before - cursor.next).unwrap_or_default()
    }

    /// What every group has checkpointed in a partition; `None` while there is no group.
    pub(super) fn done_by_all(&self, partition: u16) -> Option<i64> {
        self.cursors
            .values()
            .filter_map(|cursors| cursors.get(usize::from(partition)))
            .map(|cursor| cursor.next)
            .min()
    }

    fn cursor_mut(&mut self, group: &str, partition: u16) -> Option<&mut Cursor> {
        self.cursors.get_mut(group)?.get_mut(usize::from(partition))
    }
}
