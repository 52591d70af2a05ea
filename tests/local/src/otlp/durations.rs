//! How long things took in the last minute, from the buckets of histograms.

use std::collections::{BTreeMap, VecDeque};

/// What is looked back at, in seconds.
pub(super) const WINDOW: u64 = 60;

/// Further groups are left out.
const MOST_GROUPS: usize = 256;

/// Whose durations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// A function's calls.
    Function(String),
    /// An operation of a store, such as `read drones`, and the store.
    Store { store: String, operation: String },
}

/// What came to a group in one second.
#[derive(Debug)]
struct Slot {
    second: u64,
    counts: Vec<u64>,
    failed: u64,
}

#[derive(Debug, Default)]
struct Recent {
    bounds: Vec<f64>,
    slots: VecDeque<Slot>,
}

/// The last minute of all groups.
#[derive(Debug, Default)]
pub(super) struct Durations {
    groups: BTreeMap<Group, Recent>,
}

/// A group's last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) count: u64,
    pub(super) failed: u64,
    /// In the histogram's unit; `None` where there was nothing.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl Durations {
    /// Adds what has come to a histogram since it was last reported.
    pub(super) fn add(
        &mut self,
        group: Group,
        second: u64,
        bounds: &[f64],
        counts: Vec<u64>,
        failed: bool,
    ) {
        if !self.groups.contains_key(&group) && self.groups.len() >= MOST_GROUPS {
            return;
        }
        let total: u64 = counts.iter().sum();
        let recent = self.groups.entry(group).or_default();
        if recent.bounds != bounds {
            // Another program's, or another version's: what was counted before cannot be added to it.
            recent.bounds = bounds.to_vec();
            recent.slots.clear();
        }
        if total == 0 {
            return;
        }
        recent.drop_before(second.saturating_sub(WINDOW));
        let failed = if failed { total } else { 0 };
        match recent.slots.back_mut() {
            Some(slot) if slot.second == second && slot.counts.len() == counts.len() => {
                for (sum, count) in slot.counts.iter_mut().zip(&counts) {
                    *sum += count;
                }
                slot.failed += failed;
            }
            _ => recent.slots.push_back(Slot {
                second,
                counts,
                failed,
            }),
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.keys()
    }

    /// The minute before `now`, a Unix time in seconds.
    pub(super) fn spread(&self, group: &Group, now: u64) -> Spread {
        let nothing = Recent::default();
        let recent = self.groups.get(group).unwrap_or(&nothing);
        let mut counts = vec![0_u64; recent.bounds.len() + 1];
        let mut failed = 0;
        let since = now.saturating_sub(WINDOW);
        for slot in recent.slots.iter().filter(|slot| slot.second >= since) {
            for (sum, count) in counts.iter_mut().zip(&slot.counts) {
                *sum += count;
            }
            failed += slot.failed;
        }
        Spread {
            count: counts.iter().sum(),
            failed,
            p50: quantile(&recent.bounds, &counts, 0.5),
            p99: quantile(&recent.bounds, &counts, 0.99),
        }
    }
}

impl Recent {
    fn drop_before(&mut self, second: u64) {
        while self.slots.front().is_some_and(|slot| slot.second < second) {
            self.slots.pop_front();
        }
    }
}

/// Within its bucket a value is taken to be anywhere with the same likelihood. What is above the last bound is
/// at least that.
fn quantile(bounds: &[f64], counts: &[u64], quantile: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = quantile * total as f64;
    let mut below = 0.0;
    for (index, count) in counts.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let from = match index {
                0 => 0.0,
                _ => *bounds.get(index - 1)?,
            };
            let Some(to) = bounds.get(index) else {
                return Some(from);
            };
            return Some(from + (to - from) * (wanted - below) / count);
        }
        below += count;
    }
    bounds.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group::Function("Fly".to_owned())
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let bounds = [0.01, 0.1, 1.0];
        assert_eq!(quantile(&bounds, &[0, 0, 0, 0], 0.5), None);
        assert_eq!(quantile(&bounds, &[10, 0, 0, 0], 0.5), Some(0.005));
        assert_eq!(quantile(&bounds, &[0, 0, 0, 3], 0.5), Some(1.0));
        let p99 = quantile(&bounds, &[98, 0, 2, 0], 0.99).unwrap_or_default();
        assert!((0.1..=1.0).contains(&p99), "{p99}");
        // No buckets at all: it is known how many there were and no more.
        assert_eq!(quantile(&[], &[7], 0.5), Some(0.0));
    }

    #[test]
    fn only_the_last_minute_counts() {
        let mut durations = Durations::default();
        let bounds = [1.0];
        durations.add(group(), 1_000, &bounds, vec![1, 0], true);
        durations.add(group(), 1_030, &bounds, vec![2, 0], false);
        durations.add(group(), 1_030, &bounds, vec![0, 1], false);
        let spread = durations.spread(&group(), 1_031);
        assert_eq!((spread.count, spread.failed), (4, 1));
        let spread = durations.spread(&group(), 1_061);
        assert_eq!((spread.count, spread.failed), (3, 0));
        assert_eq!(durations.spread(&group(), 2_000).p50, None);
    }

    #[test]
    fn other_buckets_begin_anew() {
        let mut durations = Durations::default();
        durations.add(group(), 1_000, &[1.0], vec![1, 0], false);
        durations.add(group(), 1_001, &[1.0, 2.0], vec![0, 5, 0], false);
        assert_eq!(durations.spread(&group(), 1_002).count, 5);
    }
}
