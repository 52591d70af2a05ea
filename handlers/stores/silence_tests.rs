//! Looks at drones in memory, with crashes between any two steps.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::AtomicIsize;

use time::macros::utc_datetime;

use super::*;
use crate::domain::alerts::AlertSettings;
use crate::domain::drone::Stamped;
use crate::domain::telemetry::{Flight, FlightStatus, Position};
use crate::stores::backlog::Span;
use crate::stores::memory::{MemoryDrones, MemoryEpisodes, MemoryNotes, MemoryQueue};

const START: UtcDateTime = utc_datetime!(2024-05-01 12:00);

fn at(seconds: i64) -> UtcDateTime {
    START + Duration::seconds(seconds)
}

/// A store that works so many times, fails once, and works again.
struct Shaky<T> {
    inner: T,
    left: AtomicIsize,
}

impl<T: Default> Default for Shaky<T> {
    fn default() -> Self {
        Self {
            inner: T::default(),
            left: AtomicIsize::new(isize::MAX),
        }
    }
}

impl<T> Shaky<T> {
    fn fail_after(&self, calls: isize) {
        self.left.store(calls, Ordering::SeqCst);
    }

    fn call(&self) -> Result<(), StoreError> {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(StoreError {
                operation: "work",
                message: "out of order".to_owned(),
                transient: true,
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl EpisodeStore for Shaky<MemoryEpisodes> {
    async fn unfinished(&self, rule: &str) -> Result<Vec<VersionedEpisode>, StoreError> {
        self.inner.unfinished(rule).await
    }

    async fn put(
        &self,
        episode: &Episode,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        self.call()?;
        self.inner.put(episode, expected).await
    }
}

#[async_trait]
impl MessageQueue for Shaky<MemoryQueue> {
    async fn send(&self, message: &str) -> Result<(), StoreError> {
        self.call()?;
        self.inner.send(message).await
    }
}

/// Drones that count what they are asked.
#[derive(Default)]
struct Counted {
    inner: MemoryDrones,
    queries: AtomicUsize,
    reads: AtomicUsize,
}

#[async_trait]
impl SilentDrones for Counted {
    async fn silent(&self, before: UtcDateTime) -> Result<Vec<DroneState>, StoreError> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        self.inner.silent(before).await
    }

    async fn last_seen_at(&self, drone: &DeviceId) -> Result<Option<UtcDateTime>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.last_seen_at(drone).await
    }
}

struct Rig {
    drones: Arc<Counted>,
    episodes: Arc<Shaky<MemoryEpisodes>>,
    queue: Arc<Shaky<MemoryQueue>>,
    backlog: Arc<Backlog>,
    watch: SilenceWatch,
}

impl Rig {
    fn new(settings: &[(&str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let rules = Rules::new(&AlertSettings::from_all(settings)).unwrap();
        Self::with(rules, Arc::default(), Arc::default(), Arc::default())
    }

    fn with(
        rules: Rules,
        drones: Arc<Counted>,
        episodes: Arc<Shaky<MemoryEpisodes>>,
        queue: Arc<Shaky<MemoryQueue>>,
    ) -> Self {
        let backlog = Arc::new(Backlog::new(Arc::new(MemoryNotes::default()), &rules));
        let watch = SilenceWatch::new(
            Arc::new(rules),
            Arc::clone(&drones) as _,
            Arc::clone(&episodes) as _,
            Arc::clone(&queue) as _,
            Arc::clone(&backlog),
        );
        Self {
            drones,
            episodes,
            queue,
            backlog,
            watch,
        }
    }

    /// A drone is heard of.
    async fn hear(&self, drone: &str, seconds: i64, status: FlightStatus) {
        let state = DroneState {
            device_id: drone.parse().unwrap(),
            last_seen_at: at(seconds),
            flight: Some(Stamped {
                occurred_at: at(seconds),
                delivery_id: "d-1".parse().unwrap(),
                value: Flight {
                    position: Position {
                        latitude: 47.5,
                        longitude: -122.2,
                        altitude: 120.5,
                    },
                    velocity: 20.0,
                    acceleration: 1.0,
                    status,
                },
            }),
            operating: None,
        };
        self.drones.inner.insert(state);
    }

    async fn fly(&self, drone: &str, seconds: i64) {
        self.hear(drone, seconds, FlightStatus::InFlight).await;
    }

    async fn look(&self, seconds: i64) -> Found {
        self.watch.look(at(seconds)).await.unwrap()
    }

    /// The ids of the messages, in order, without rule and time: `drone-1/raised`.
    fn told(&self) -> Vec<String> {
        let id = |message: &String| {
            let message: serde_json::Value = serde_json::from_str(message).unwrap();
            let id = message["id"].as_str().unwrap();
            let kind = id.rsplit('/').next().unwrap();
            format!("{}/{kind}", message["subject"].as_str().unwrap())
        };
        self.queue.inner.messages().iter().map(id).collect()
    }

    fn nothing_is_untold(&self) {
        for episode in self.episodes.inner.all() {
            assert_eq!(episode.untold, None, "{episode:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_drone_is_told_once() {
    let rig = Rig::new(&[]);
    rig.fly("lost", 0).await;
    rig.fly("there", 100).await;
    rig.hear("landed", 0, FlightStatus::ArrivedAtStation).await;
    assert_eq!(rig.look(119).await, Found::default());
    let found = rig.look(130).await;
    assert_eq!((found.silent, found.raised), (1, 1));
    let again = rig.look(160).await;
    assert_eq!((again.silent, again.raised), (1, 0));
    assert_eq!(rig.told(), ["lost/raised"]);
    rig.nothing_is_untold();
}

#[tokio::test]
async fn a_fleet_that_is_heard_of_costs_two_queries_and_no_read_or_write() {
    let rig = Rig::new(&[]);
    rig.episodes.fail_after(0);
    for number in 0..500 {
        rig.fly(&format!("drone-{number}"), 100).await;
    }
    assert_eq!(rig.look(130).await, Found::default());
    assert_eq!(rig.drones.queries.load(Ordering::SeqCst), 1);
    assert_eq!(rig.drones.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_drone_that_is_back_is_cleared_in_the_air_or_on_the_ground() {
    let rig = Rig::new(&[]);
    rig.fly("flying", 0).await;
    rig.fly("landed", 0).await;
    rig.look(130).await;
    rig.fly("flying", 140).await;
    rig.hear("landed", 141, FlightStatus::ArrivedAtStation)
        .await;
    assert_eq!(rig.look(150).await.cleared, 2);
    assert_eq!(rig.look(160).await, Found::default());
    let mut told = rig.told();
    told.sort();
    assert_eq!(
        told,
        [
            "flying/cleared",
            "flying/raised",
            "landed/cleared",
            "landed/raised"
        ]
    );
    let cleared = rig.episodes.inner.all()[0].alert.cleared.unwrap();
    assert_eq!((cleared.at, cleared.value), (at(140), 10.0));
}

#[tokio::test]
async fn a_drone_that_is_lost_again_is_another_alert() {
    let rig = Rig::new(&[]);
    rig.fly("lost", 0).await;
    rig.look(130).await;
    // Heard of once between two looks that are far apart.
    rig.fly("lost", 150).await;
    let found = rig.look(300).await;
    assert_eq!((found.raised, found.cleared), (1, 1));
    assert_eq!(rig.episodes.inner.all().len(), 2);
    let mut told = rig.told();
    told.sort();
    assert_eq!(told, ["lost/cleared", "lost/raised", "lost/raised"]);
}

#[tokio::test]
async fn what_was_written_and_not_told_is_told_by_the_next_look() {
    let rig = Rig::new(&[]);
    rig.fly("lost", 0).await;
    rig.queue.fail_after(0);
    rig.watch.look(at(130)).await.unwrap_err();
    assert_eq!(rig.told(), Vec::<String>::new());
    assert_eq!(rig.episodes.inner.all().len(), 1, "it is written down");
    // It may be back by then: nothing of it is left out.
    rig.fly("lost", 140).await;
    rig.look(150).await;
    assert_eq!(rig.told(), ["lost/raised", "lost/cleared"]);
    rig.nothing_is_untold();
}

#[tokio::test]
async fn what_was_told_and_not_written_is_told_again_under_its_id() {
    let rig = Rig::new(&[]);
    rig.fly("lost", 0).await;
    // The first write is the episode, the second that it has been told.
    rig.episodes.fail_after(1);
    rig.watch.look(at(130)).await.unwrap_err();
    rig.look(160).await;
    assert_eq!(rig.told(), ["lost/raised", "lost/raised"]);
    let messages = rig.queue.inner.messages();
    assert_eq!(messages[0], messages[1], "the very same message");
    rig.nothing_is_untold();
}

#[tokio::test]
async fn what_was_not_even_written_is_found_again() {
    let rig = Rig::new(&[]);
    rig.fly("lost", 0).await;
    rig.episodes.fail_after(0);
    rig.watch.look(at(130)).await.unwrap_err();
    assert_eq!(rig.told(), Vec::<String>::new());
    rig.look(160).await;
    assert_eq!(rig.told(), ["lost/raised"]);
}

#[tokio::test]
async fn whatever_fails_every_episode_that_was_begun_is_told_to_its_end() {
    for (writes, sends) in (0..12).flat_map(|writes| (0..6).map(move |sends| (writes, sends))) {
        let rig = Rig::new(&[]);
        for drone in ["a", "b"] {
            rig.fly(drone, 0).await;
        }
        rig.episodes.fail_after(writes);
        rig.queue.fail_after(sends);
        for seconds in [130, 160] {
            _ = rig.watch.look(at(seconds)).await;
        }
        for drone in ["a", "b"] {
            rig.fly(drone, 170).await;
        }
        for seconds in [180, 200, 220, 240] {
            _ = rig.watch.look(at(seconds)).await;
        }
        let mut told = rig.told();
        told.sort();
        told.dedup();
        let episodes = rig.episodes.inner.all();
        let ends = ["cleared", "raised"];
        let expected: Vec<_> = episodes
            .iter()
            .flat_map(|episode| ends.map(|end| format!("{}/{end}", episode.alert.device_id)))
            .collect();
        let case = format!("write {writes} and message {sends} fail");
        assert!(!episodes.is_empty(), "{case}");
        assert_eq!(told, expected, "{case}");
        rig.nothing_is_untold();
    }
}

#[tokio::test]
async fn reminders_come_at_the_interval_or_never() {
    let rig = Rig::new(&[("Alerts__ReminderMinutes", "2")]);
    rig.fly("lost", 0).await;
    for look in 0..20 {
        rig.look(130 + 30 * look).await;
    }
    assert_eq!(
        rig.told(),
        [
            "lost/raised",
            "lost/reminded-1",
            "lost/reminded-2",
            "lost/reminded-3",
            "lost/reminded-4"
        ]
    );
    let rig = Rig::new(&[("Alerts__ReminderMinutes", "0")]);
    rig.fly("lost", 0).await;
    for look in 0..100 {
        rig.look(130 + 30 * look).await;
    }
    assert_eq!(rig.told(), ["lost/raised"]);
}

#[tokio::test]
async fn two_looks_at_a_time_tell_once() {
    let rig = Rig::new(&[]);
    for number in 0..20 {
        rig.fly(&format!("drone-{number}"), 0).await;
    }
    let (one, other) = tokio::join!(rig.watch.look(at(130)), rig.watch.look(at(130)));
    assert_eq!(one.unwrap().raised + other.unwrap().raised, 20);
    assert_eq!(rig.told().len(), 20);
}

#[tokio::test]
async fn switched_off_it_raises_nothing_and_still_clears_what_it_raised() {
    let on = Rig::new(&[]);
    on.fly("lost", 0).await;
    on.look(130).await;
    let off = Rules::new(&AlertSettings::from_all([(
        "Alerts__SilenceSeconds".to_owned(),
        "0".to_owned(),
    )]));
    let off = Rig::with(
        off.unwrap(),
        Arc::clone(&on.drones),
        Arc::clone(&on.episodes),
        Arc::clone(&on.queue),
    );
    off.fly("other", 0).await;
    off.look(9_999).await;
    off.fly("lost", 10_000).await;
    off.look(10_010).await;
    assert!(off.told().contains(&"lost/cleared".to_owned()));
    assert!(!off.told().contains(&"other/raised".to_owned()));
}

#[tokio::test]
async fn while_events_wait_in_the_hub_only_those_are_silent_that_were_so_before() {
    let rig = Rig::new(&[("Alerts__ReminderMinutes", "0")]);
    let waiting = Span {
        hub: "telemetry",
        partition_id: "0",
        oldest: at(300),
        newest: at(301),
    };
    rig.fly("lost", 100).await;
    rig.fly("back", 100).await;
    rig.look(230).await;
    rig.fly("back", 290).await;
    rig.fly("waiting", 290).await;
    rig.backlog.failed(&waiting, at(310)).await;
    rig.fly("late", 170).await;
    let found = rig.look(480).await;
    assert_eq!((found.raised, found.cleared), (1, 1));
    rig.backlog.applied(&waiting, at(310)).await;
    assert_eq!(rig.look(481).await.raised, 2);
    let mut told = rig.told();
    told.sort();
    assert_eq!(
        told,
        [
            "back/cleared",
            "back/raised",
            "back/raised",
            "late/raised",
            "lost/raised",
            "waiting/raised"
        ]
    );
}
