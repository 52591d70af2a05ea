//! What [`LatestState`] does with a store in memory.

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use time::UtcDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::memory_stores::MemoryDrones;
use crate::stores::{BatchError, DroneWrite, MOST_WRITES, OPERATION_TIMEOUT, StoredDrone};

pub(super) fn state(device: &str, second: i64) -> DroneState {
    DroneState {
        device_id: device.parse().unwrap(),
        last_seen_at: UtcDateTime::from_unix_timestamp(second).unwrap(),
        flight: None,
        operating: None,
    }
}

/// Drones of one bucket.
fn together(drones: usize) -> Vec<DroneState> {
    let bucket = Bucket::of(&"drone-1".parse().unwrap());
    (1..)
        .map(|number| state(&format!("drone-{number}"), 1))
        .filter(|state| Bucket::of(&state.device_id) == bucket)
        .take(drones)
        .collect()
}

/// What comes before the store's own answer to a write.
type Script = Box<dyn FnMut(usize) -> Option<BatchError> + Send>;

/// A store that does as it is told before it does its work.
#[derive(Default)]
struct Scripted {
    stored: MemoryDrones,
    script: Mutex<Option<Script>>,
    loads: AtomicUsize,
    writes: AtomicUsize,
    delay: Duration,
    sizes: Mutex<Vec<usize>>,
}

impl Scripted {
    /// The script is given the number of the write, from 1.
    fn before_writes(&self, script: impl FnMut(usize) -> Option<BatchError> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }
}

#[async_trait]
impl DroneStore for Scripted {
    async fn load(
        &self,
        bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        assert!(drones.len() <= MOST_WRITES);
        self.stored.load(bucket, drones).await
    }

    async fn write(
        &self,
        bucket: Bucket,
        drones: &[DroneWrite<'_>],
    ) -> Result<Vec<Version>, BatchError> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(drones.len() <= MOST_WRITES);
        assert!(
            drones
                .iter()
                .all(|write| Bucket::of(&write.state.device_id) == bucket)
        );
        self.sizes.lock().unwrap().push(drones.len());
        sleep(self.delay).await;
        let told = self
            .script
            .lock()
            .unwrap()
            .as_mut()
            .and_then(|script| script(number));
        match told {
            Some(error) => Err(error),
            None => self.stored.write(bucket, drones).await,
        }
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn written(written: usize, unchanged: usize) -> Applied {
    Applied { written, unchanged }
}

fn started(store: Scripted) -> (Arc<Scripted>, LatestState) {
    let store = Arc::new(store);
    (Arc::clone(&store), LatestState::new(store as _))
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_while_others_come_but_not_for_long() {
    let (store, states) = started(Scripted::default());
    let began = Instant::now();
    let mut drones = together(41).into_iter();
    assert_eq!(states.apply(drones.next()).await.unwrap(), written(1, 0));
    assert!(began.elapsed() < Duration::from_millis(20), "alone");
    let calls = drones.zip(0..).map(async |(drone, number)| {
        sleep(Duration::from_millis(5 * number)).await;
        states.apply([drone]).await
    });
    for applied in join_all(calls).await {
        assert_eq!(applied.unwrap(), written(1, 0));
    }
    let sizes = store.sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), 41);
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(began.elapsed() < Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn drones_of_a_bucket_travel_together_at_most_a_hundred_at_a_time() {
    let (store, states) = started(Scripted::default());
    let drones = together(250);
    let applied = states.apply(drones.clone()).await.unwrap();
    assert_eq!(applied, written(250, 0));
    assert_eq!(*store.sizes.lock().unwrap(), [100, 100, 50]);
    assert_eq!(store.loads.load(Ordering::Relaxed), 3);

    // Now they are known, and nothing is read.
    let later = drones
        .iter()
        .map(|drone| state(drone.device_id.as_str(), 2));
    assert_eq!(states.apply(later).await.unwrap(), written(250, 0));
    assert_eq!(store.loads.load(Ordering::Relaxed), 3);
    // And what changes nothing is not even written.
    assert_eq!(states.apply(drones).await.unwrap(), written(0, 250));
    assert_eq!(store.writes.load(Ordering::Relaxed), 6);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_batch_is_under_way_travels_with_the_next() {
    let (store, states) = started(Scripted {
        delay: Duration::from_millis(10),
        ..Scripted::default()
    });
    let drones = together(60);
    // One after the other, as from several partitions.
    let calls = drones.chunks(10).map(|some| states.apply(some.to_vec()));
    for applied in join_all(calls).await {
        assert_eq!(applied.unwrap(), written(10, 0));
    }
    assert_eq!(
        *store.sizes.lock().unwrap(),
        [60],
        "before the first turn came"
    );
    let calls = drones.iter().enumerate().map(|(number, drone)| {
        let states = &states;
        async move {
            sleep(Duration::from_millis(number as u64)).await;
            states.apply([state(drone.device_id.as_str(), 2)]).await
        }
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let sizes = store.sizes.lock().unwrap();
    assert!(sizes.len() <= 8, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn two_calls_for_one_drone_are_one_write_and_both_hear_of_it() {
    let (store, states) = started(Scripted::default());
    let calls = [3, 1, 2].map(|second| states.apply([state("drone-1", second)]));
    for applied in join_all(calls).await {
        assert_eq!(applied.unwrap(), written(1, 0));
    }
    assert_eq!(store.writes.load(Ordering::Relaxed), 1);
    let found = states.apply([state("drone-1", 3)]).await.unwrap();
    assert_eq!(found, written(0, 1), "the newest of them counts");
}

#[tokio::test(start_paused = true)]
async fn a_stale_version_in_the_middle_of_a_batch_is_read_merged_and_sent_again() {
    let (store, states) = started(Scripted::default());
    let drones = together(100);
    states.apply(drones.clone()).await.unwrap();
    // Another instance writes one that is newer, and one that is older than what comes now.
    let other = LatestState::new(Arc::clone(&store) as _);
    let id = |place: usize| drones[place].device_id.as_str();
    other
        .apply([state(id(50), 9), state(id(51), 3)])
        .await
        .unwrap();
    let writes = store.writes.load(Ordering::Relaxed);

    let later = drones
        .iter()
        .map(|drone| state(drone.device_id.as_str(), 5));
    assert_eq!(states.apply(later).await.unwrap(), written(99, 1));
    assert_eq!(store.writes.load(Ordering::Relaxed), writes + 2);
    let ids: Vec<&DeviceId> = drones.iter().map(|drone| &drone.device_id).collect();
    let stored = store.stored.load(Bucket::of(ids[0]), &ids).await.unwrap();
    for (place, stored) in stored.into_iter().enumerate() {
        let second = if place == 50 { 9 } else { 5 };
        assert_eq!(stored.unwrap().state, Some(state(id(place), second)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_always_stale_fails_after_some_rounds() {
    let (store, states) = started(Scripted::default());
    store.before_writes(|_| Some(BatchError::Stale));
    let error = states.apply(together(3)).await.unwrap_err();
    assert!(
        error.transient && error.message.contains("5 times"),
        "{error}"
    );
    assert_eq!(store.writes.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_throttled_three_times_waits_as_it_is_told_and_comes_through() {
    let (store, states) = started(Scripted::default());
    let waits = [Some(Duration::from_millis(700)), None, None];
    store.before_writes(move |number| {
        let retry_after = *waits.get(number - 1)?;
        Some(BatchError::Throttled { retry_after })
    });
    let start = Instant::now();
    assert_eq!(states.apply(together(100)).await.unwrap(), written(100, 0));
    assert_eq!(*store.sizes.lock().unwrap(), [100; 4]);
    assert_eq!(store.loads.load(Ordering::Relaxed), 1);
    let took = start.elapsed();
    // 700 ms, then 200 to 400 and 400 to 800.
    assert!((1_300..1_900).contains(&took.as_millis()), "{took:?}");
    // Of four that it began with one was left, and that one was answered well in the end.
    assert_eq!(states.writer.limit.allowed(), 2, "it asks for less now");
}

/// Some services say 0, and mean no time to wait.
#[tokio::test(start_paused = true)]
async fn a_store_that_says_at_once_is_not_asked_at_once() {
    let (store, states) = started(Scripted::default());
    store.before_writes(|_| {
        Some(BatchError::Throttled {
            retry_after: Some(Duration::ZERO),
        })
    });
    let error = states.apply(together(3)).await.unwrap_err();
    assert!(error.message.contains("429"), "{error}");
    let asked = store.writes.load(Ordering::Relaxed);
    assert!(
        (100..=1_000).contains(&asked),
        "{asked} times in ten seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_throttled_for_long_fails_in_time() {
    let (store, states) = started(Scripted::default());
    store.before_writes(|_| Some(BatchError::Throttled { retry_after: None }));
    let start = Instant::now();
    let error = states.apply(together(3)).await.unwrap_err();
    assert!(error.transient && error.message.contains("429"), "{error}");
    assert!(
        start.elapsed() <= OPERATION_TIMEOUT,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_after_a_whole_batch_was_written_ends_in_the_same_state() {
    let (store, states) = started(Scripted::default());
    let drones = together(100);
    let inner = Arc::clone(&store);
    let lost = drones.clone();
    store.before_writes(move |number| {
        (number == 1).then(|| {
            lost.iter()
                .cloned()
                .for_each(|drone| inner.stored.insert(drone));
            BatchError::Store(failure("no answer".to_owned()))
        })
    });
    assert!(states.apply(drones.clone()).await.is_err());
    // The host calls again.
    assert_eq!(states.apply(drones).await.unwrap(), written(0, 100));
    assert_eq!(store.writes.load(Ordering::Relaxed), 1);
    assert_eq!(store.stored.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_drone_that_the_store_refuses_keeps_no_other_back() {
    let (store, states) = started(Scripted::default());
    let drones = together(3);
    store.before_writes(|number| {
        let error = StoreError {
            transient: false,
            ..failure("too large".to_owned())
        };
        (number == 1).then_some(BatchError::Refused { index: 1, error })
    });
    let calls = drones.iter().map(|drone| states.apply([drone.clone()]));
    let outcomes = join_all(calls).await;
    let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(store.stored.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_takes_its_changes_along_and_no_others() {
    let (store, states) = started(Scripted {
        delay: Duration::from_secs(5),
        ..Scripted::default()
    });
    let drones = together(220);
    let (mine, others) = drones.split_at(110);
    let given_up = timeout(Duration::from_secs(1), states.apply(mine.to_vec()));
    let (given_up, other) = tokio::join!(given_up, states.apply(others.to_vec()));
    assert!(given_up.is_err());
    assert_eq!(other.unwrap(), written(110, 0));
    // What was under way is finished; the ten that waited are dropped.
    assert_eq!(*store.sizes.lock().unwrap(), [100, 100, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_store_fails_its_calls_and_the_bucket_goes_on() {
    let (store, states) = started(Scripted::default());
    store.before_writes(|number| {
        assert_ne!(number, 1, "on purpose");
        None
    });
    let error = states.apply(together(2)).await.unwrap_err();
    assert!(error.transient, "{error}");
    *store
        .script
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    store.script.clear_poison();
    assert_eq!(states.apply(together(2)).await.unwrap(), written(2, 0));
}
