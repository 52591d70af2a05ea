//! A cache of things that are stored elsewhere: by name, used by one call at a time, with a bound on all of it
//! together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Values by name, up to a weight. Letting one go must cost no more than loading it again.
pub(super) struct BoundedCache<T> {
    slots: Mutex<HashMap<String, Arc<Slot<T>>>>,
    most: usize,
    /// Counts uses, to tell which was last.
    uses: AtomicU64,
}

/// One value, or room for it. Whoever holds the lock has its turn.
pub(super) struct Slot<T> {
    pub(super) value: Arc<tokio::sync::Mutex<Option<T>>>,
    /// The value's, for those who have not the lock.
    weight: AtomicUsize,
    used: AtomicU64,
}

impl<T> BoundedCache<T> {
    /// `most` is what all values may weigh together.
    pub(super) fn new(most: usize) -> Self {
        Self {
            slots: Mutex::default(),
            most,
            uses: AtomicU64::new(0),
        }
    }

    /// The slot of this name. Slots stay, however many values go: there are few names.
    pub(super) fn slot(&self, name: &str) -> Arc<Slot<T>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(name) {
            Some(slot) => Arc::clone(slot),
            None => {
                let slot = Arc::new(Slot {
                    value: Arc::default(),
                    weight: AtomicUsize::new(0),
                    used: AtomicU64::new(0),
                });
                slots.insert(name.to_owned(), Arc::clone(&slot));
                slot
            }
        }
    }

    /// Says what a slot's value weighs now, while its lock is held, and lets go of others for it: the longest
    /// unused first. Values in use are passed over, this one among them.
    pub(super) fn weigh(&self, slot: &Slot<T>, weight: usize) {
        slot.weight.store(weight, Ordering::Relaxed);
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        slot.used.store(use_number, Ordering::Relaxed);

        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let weights = slots
            .values()
            .map(|slot| slot.weight.load(Ordering::Relaxed));
        let mut total: usize = weights.sum();
        if total <= self.most {
            return;
        }
        let mut oldest_first: Vec<_> = slots.values().collect();
        oldest_first.sort_by_cached_key(|slot| slot.used.load(Ordering::Relaxed));
        for slot in oldest_first {
            if total <= self.most {
                return;
            }
            if let Ok(mut value) = slot.value.try_lock() {
                *value = None;
                total -= slot.weight.swap(0, Ordering::Relaxed);
            }
        }
    }

    /// The weight of each value, by name.
    #[cfg(test)]
    pub(super) fn weights(&self) -> std::collections::BTreeMap<String, usize> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = |slot: &Slot<T>| slot.weight.load(Ordering::Relaxed);
        slots
            .iter()
            .map(|(name, slot)| (name.clone(), weight(slot)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keep(cache: &BoundedCache<&'static str>, name: &'static str, weight: usize) {
        let slot = cache.slot(name);
        *slot.value.lock().await = Some(name);
        cache.weigh(&slot, weight);
    }

    async fn kept(cache: &BoundedCache<&'static str>) -> Vec<&'static str> {
        let mut kept = Vec::new();
        for name in cache.weights().into_keys() {
            kept.extend(*cache.slot(&name).value.lock().await);
        }
        kept
    }

    #[tokio::test]
    async fn the_longest_unused_goes_first() {
        let cache = BoundedCache::new(10);
        for name in ["a", "b", "c"] {
            keep(&cache, name, 3).await;
        }
        keep(&cache, "a", 3).await;
        assert_eq!(kept(&cache).await, ["a", "b", "c"]);
        keep(&cache, "d", 3).await;
        assert_eq!(kept(&cache).await, ["a", "c", "d"]);
        keep(&cache, "c", 8).await;
        assert_eq!(kept(&cache).await, ["c"]);
    }

    #[tokio::test]
    async fn what_is_in_use_stays() {
        let cache = BoundedCache::new(10);
        keep(&cache, "a", 6).await;
        let in_use = cache.slot("a");
        let turn = in_use.value.lock().await;
        keep(&cache, "b", 6).await;
        keep(&cache, "c", 6).await;
        drop(turn);
        // Of those that were not in use none could stay beside it.
        assert_eq!(kept(&cache).await, ["a"]);
    }
}
