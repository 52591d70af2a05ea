//! [`LatestState`] in front of a simulated Cosmos DB: at a distance, with a ceiling, and out of order for a
//! while. Time is paused, so that a minute takes no time and nothing depends on the machine.

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::tests::state;
use super::*;
use crate::domain::partition_key;
use crate::memory_stores::MemoryDrones;
use crate::stores::{BatchError, DroneWrite, OPERATION_TIMEOUT, StoredDrone};

const PARTITIONS: u16 = 32;
/// Each bucket has fewer than the 100 of a batch: half of the article's fleet.
const FLEET: usize = 5_400;
const SECOND: Duration = Duration::from_secs(1);

struct Service {
    stored: MemoryDrones,
    round_trip: Duration,
    /// Drones that it writes in a second; what is beyond gets a 429 until the next begins.
    ceiling: usize,
    /// The second that counts, and what it has written in it.
    used: Mutex<(u64, usize)>,
    began: Instant,
    hangs: AtomicBool,
    asked: AtomicUsize,
    throttled: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    written: AtomicUsize,
}

impl Service {
    fn new(round_trip: u64, ceiling: usize) -> Arc<Self> {
        Arc::new(Self {
            stored: MemoryDrones::default(),
            round_trip: Duration::from_millis(round_trip),
            ceiling,
            used: Mutex::default(),
            began: Instant::now(),
            hangs: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            throttled: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        })
    }

    async fn travel(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        let hangs = self.hangs.load(Ordering::Relaxed);
        sleep(if hangs {
            OPERATION_TIMEOUT
        } else {
            self.round_trip
        })
        .await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if hangs {
            return Err(failure("no answer".to_owned()));
        }
        Ok(())
    }

    /// `Err` with the time until the next second where this one is used up.
    fn charge(&self, drones: usize) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let mut used = self.used.lock().unwrap();
        if used.0 != now.as_secs() {
            *used = (now.as_secs(), 0);
        }
        if used.1 + drones > self.ceiling {
            self.throttled.fetch_add(1, Ordering::Relaxed);
            return Err(SECOND - Duration::from_nanos(now.subsec_nanos().into()));
        }
        used.1 += drones;
        Ok(())
    }

    fn count(&self, counter: impl Fn(&Self) -> &AtomicUsize) -> usize {
        counter(self).swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl DroneStore for Service {
    async fn load(
        &self,
        bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError> {
        self.travel().await?;
        self.stored.load(bucket, drones).await
    }

    async fn write(
        &self,
        bucket: Bucket,
        drones: &[DroneWrite<'_>],
    ) -> Result<Vec<Version>, BatchError> {
        self.travel().await?;
        self.charge(drones.len())
            .map_err(|retry_after| BatchError::Throttled {
                retry_after: Some(retry_after),
            })?;
        let versions = self.stored.write(bucket, drones).await?;
        self.written.fetch_add(drones.len(), Ordering::Relaxed);
        Ok(versions)
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The drones of each partition of a hub, as Event Hubs places them.
fn partitions() -> Vec<Vec<String>> {
    let mut partitions = vec![Vec::new(); usize::from(PARTITIONS)];
    for number in 0..FLEET {
        let drone = format!("drone-{number:05}");
        let partition = partition_key::partition(drone.as_bytes(), PARTITIONS);
        partitions[usize::from(partition)].push(drone);
    }
    partitions
}

/// Each partition has a batch of all its drones under way, one after the other, as the host sends them; one
/// that failed comes again after the host's back-off. Until it is cut off.
async fn fly(states: &LatestState, first_second: i64) {
    let partition = async |drones: Vec<String>| {
        for second in first_second.. {
            let mut back_off = SECOND;
            loop {
                let changes = drones.iter().map(|drone| state(drone, second));
                if states.apply(changes).await.is_ok() {
                    break;
                }
                sleep(back_off).await;
                back_off = (back_off * 2).min(60 * SECOND);
            }
        }
    };
    join_all(partitions().into_iter().map(partition)).await;
}

/// Drones written a second, once it has found its pace, and the share of requests that were throttled.
async fn pace(round_trip: u64, ceiling: usize) -> (usize, f64) {
    let service = Service::new(round_trip, ceiling);
    let states = LatestState::new(Arc::clone(&service) as _);
    let flight = fly(&states, 1);
    let measured = async {
        sleep(5 * SECOND).await;
        service.count(|it| &it.written);
        service.count(|it| &it.asked);
        service.count(|it| &it.throttled);
        sleep(5 * SECOND).await;
        let throttled = service.count(|it| &it.throttled) as f64;
        (
            service.count(|it| &it.written) / 5,
            throttled / service.count(|it| &it.asked) as f64,
        )
    };
    tokio::select! {
        () = flight => unreachable!("it has no end"),
        measured = measured => measured,
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_ceiling_as_many_are_under_way_as_may_be() {
    // 8 batches of some 84 drones a round trip.
    for (round_trip, expected) in [(10, 67_000), (100, 6_700)] {
        let (written, throttled) = pace(round_trip, usize::MAX).await;
        assert!(
            written > expected * 8 / 10 && throttled == 0.0,
            "{round_trip} ms: {written} drones a second, {throttled} throttled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn below_a_ceiling_it_finds_what_the_service_gives_and_little_is_refused() {
    for (round_trip, ceiling) in [(10, 750), (100, 750), (10, 7_500), (100, 7_500)] {
        let (written, throttled) = pace(round_trip, ceiling).await;
        assert!(
            written > ceiling * 8 / 10 && throttled < 0.35,
            "{round_trip} ms, {ceiling} a second: {written} drones a second, {throttled} throttled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_little_is_asked_and_after_it_there_is_no_storm() {
    let service = Service::new(100, usize::MAX);
    let states = LatestState::new(Arc::clone(&service) as _);
    let flight = fly(&states, 1);
    let checked = async {
        sleep(5 * SECOND).await;
        service.hangs.store(true, Ordering::Relaxed);
        // What was under way when it began hears of it first.
        sleep(OPERATION_TIMEOUT + SECOND).await;
        service.count(|it| &it.asked);
        sleep(60 * SECOND).await;
        let asked = service.count(|it| &it.asked);
        assert!(asked <= 60, "{asked} requests in a minute of silence");

        service.hangs.store(false, Ordering::Relaxed);
        sleep(OPERATION_TIMEOUT).await;
        service.count(|it| &it.most_under_way);
        sleep(Duration::from_millis(50)).await;
        let most = service.count(|it| &it.most_under_way);
        assert!(most <= 4, "{most} at once as soon as it is back");
        sleep(70 * SECOND).await;
        let most = service.count(|it| &it.most_under_way);
        assert_eq!(most, 8, "in the end it is asked for all that it gives");
    };
    tokio::select! {
        () = flight => unreachable!("it has no end"),
        () = checked => {}
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_every_call_hears_of_it_in_time() {
    let service = Service::new(10, usize::MAX);
    let states = LatestState::new(Arc::clone(&service) as _);
    service.hangs.store(true, Ordering::Relaxed);
    let calls = partitions().into_iter().map(|drones| {
        let changes: Vec<DroneState> = drones.iter().map(|drone| state(drone, 1)).collect();
        states.apply(changes)
    });
    let outcomes = timeout(2 * OPERATION_TIMEOUT + SECOND, join_all(calls)).await;
    assert!(outcomes.unwrap().iter().all(Result::is_err));
}
