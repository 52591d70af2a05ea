//! Units over stores in memory: in any order, twice, two at a time, and ended at each write.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use time::macros::utc_datetime;
use time::{Duration, UtcDateTime};

use super::plan::as_of;
use super::roll_up::Memory;
use super::schedule::Schedule;
use super::unit::{Made, Unit};
use super::*;
use crate::capture::{self, CapturedEvent};
use crate::domain::insights::figures::FleetDay;
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::timestamp::Rfc3339Nanos;
use crate::memory_stores::MemoryFiles;
use crate::stores::files::{FileEntry, StoredFile};
use crate::tables::flight::FLIGHT;
use crate::tables::operating::OPERATING;
use crate::tables::{TableReader, deliveries, drone_hours};

/// Two hours before midnight, so that deliveries go over it.
const START: UtcDateTime = utc_datetime!(2026-11-29 22:00:00);
const LONG_AFTER: UtcDateTime = utc_datetime!(2026-11-30 12:00:00);
const HUB: &str = "telemetry";

/// An event that somebody sent.
#[derive(Debug, Clone)]
struct Sent {
    sequence_number: i64,
    enqueued_at: UtcDateTime,
    first_enqueued_at: Option<UtcDateTime>,
    body: String,
}

impl Sent {
    fn hour(&self) -> Hour {
        Hour::of(self.enqueued_at)
    }
}

fn body(drone: u8, delivery: u8, occurred_at: UtcDateTime, value: u8, flight: bool) -> String {
    let reading = if flight {
        let latitude = 47.0 + f64::from(value) * 1e-4;
        let status = value % 5;
        format!(
            r#""sensorType":"drone-event-sensor;v1","velocity":"1","acceleration":"1","position":"{latitude}|8.5|30","flightStatus":"{status}""#
        )
    } else {
        let level = f64::from(value) / 100.0;
        format!(
            r#""sensorType":"drone-state-sensor;v1","temperature":{value},"batteryStatus":"low","batteryLevel":{level}"#
        )
    };
    // One that no drone can have flown, which is a reject.
    let delivery = if value == 99 {
        String::new()
    } else {
        format!("delivery-{delivery}")
    };
    let time = Rfc3339Nanos(occurred_at);
    format!(
        r#"{{"deviceId":"drone-{drone}","deliveryId":"{delivery}","occurrenceUtcTime":"{time}",{reading}}}"#
    )
}

/// Events of a partition over four hours: on time, late, too late, and sent again.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let event = (
        0..3_u8,
        0..6_u8,
        0..4 * 720_i64,
        prop_oneof![6 => 0..20_i64, 2 => 20..7_000_i64, 1 => 260_000..270_000_i64],
        0..100_u8,
        any::<bool>(),
        prop::option::weighted(0.2, any::<Index>()),
    );
    prop::collection::vec(event, 1..60).prop_map(|events| {
        let mut sent: Vec<Sent> = Vec::new();
        let mut events = events;
        events.sort_by_key(|event| event.2);
        for (number, (drone, delivery, at, late, value, flight, again)) in (0..).zip(events) {
            let enqueued_at = START + Duration::seconds(at * 5) + Duration::milliseconds(number);
            let replayed = again
                .filter(|_| !sent.is_empty())
                .map(|index| index.get(&sent).clone());
            sent.push(match replayed {
                Some(first) => Sent {
                    sequence_number: number,
                    enqueued_at,
                    first_enqueued_at: Some(first.first_enqueued_at.unwrap_or(first.enqueued_at)),
                    body: first.body,
                },
                None => Sent {
                    sequence_number: number,
                    enqueued_at,
                    first_enqueued_at: None,
                    body: body(
                        drone,
                        delivery,
                        enqueued_at - Duration::seconds(late),
                        value,
                        flight,
                    ),
                },
            });
        }
        sent
    })
}

fn file(events: &[Sent]) -> (String, Bytes) {
    let (first, last) = (&events[0], events.last().unwrap());
    let name = capture::file_name(
        HUB,
        "0",
        first.enqueued_at,
        first.sequence_number,
        last.sequence_number,
    );
    let properties = |event: &Sent| match event.first_enqueued_at {
        Some(first) => format!(r#"{{"first-enqueued-at":"{}"}}"#, Rfc3339Nanos(first)),
        None => "{}".to_owned(),
    };
    let captured = events.iter().map(|event| CapturedEvent {
        sequence_number: event.sequence_number,
        offset: "0",
        enqueued_at: event.enqueued_at,
        system_properties: "{}".into(),
        properties: properties(event).into(),
        body: event.body.as_bytes(),
    });
    (name, capture::encode(captured).unwrap().into())
}

/// Files as ArchiveTelemetry makes them: cut at hours, and at `cuts`.
fn files(sent: &[Sent], cuts: &[usize]) -> BTreeMap<String, Bytes> {
    let mut files = BTreeMap::new();
    let mut begin = 0;
    for end in 1..=sent.len() {
        let is_end =
            end == sent.len() || cuts.contains(&end) || sent[end].hour() != sent[begin].hour();
        if is_end {
            let (name, body) = file(&sent[begin..end]);
            files.insert(name, body);
            begin = end;
        }
    }
    files
}

async fn put(store: &dyn FileStore, files: &BTreeMap<String, Bytes>) {
    for (name, body) in files {
        if store.read(name).await.unwrap().is_none() {
            store.replace(name, body.clone(), None).await.unwrap();
        }
    }
}

fn units(sent: &[Sent]) -> Vec<Unit> {
    let mut hours: Vec<Hour> = sent.iter().map(Sent::hour).collect();
    hours.dedup();
    let unit = |hour| Unit {
        hub: HUB.to_owned(),
        partition: "0".to_owned(),
        hour,
    };
    hours.into_iter().map(unit).collect()
}

fn insights(archive: &Arc<MemoryFiles>, tables: &Arc<impl FileStore>) -> Insights {
    Insights::new(
        Arc::clone(archive) as _,
        Arc::clone(tables) as _,
        Intake::default(),
        true,
    )
}

/// Every file of the tables but the manifests, which tell how often something was archived, and files of which no row is left.
async fn tables_of(store: &dyn FileStore) -> BTreeMap<String, Bytes> {
    let mut tables = BTreeMap::new();
    for FileEntry { name, .. } in store.list("").await.unwrap() {
        let body = store.read(&name).await.unwrap().unwrap().body;
        let table = [deliveries::DELIVERIES, drone_hours::DRONE_HOURS]
            .into_iter()
            .find(|table| name.split('/').next() == Some(table.name));
        let rows = table.map(|table| TableReader::open(table, body.clone()).unwrap().rows());
        if !name.starts_with("_units/") && rows != Some(0) {
            tables.insert(name, body);
        }
    }
    tables
}

async fn make_all(insights: &Insights, units: &[Unit]) {
    for unit in units {
        insights.summarize(unit, LONG_AFTER).await.unwrap();
    }
}

async fn in_order(sent: &[Sent]) -> BTreeMap<String, Bytes> {
    let (archive, tables) = (
        Arc::new(MemoryFiles::default()),
        Arc::new(MemoryFiles::default()),
    );
    put(&*archive, &files(sent, &[])).await;
    make_all(&insights(&archive, &tables), &units(sent)).await;
    tables_of(&*tables).await
}

fn differing(one: &BTreeMap<String, Bytes>, other: &BTreeMap<String, Bytes>) -> Vec<String> {
    let names = one.keys().chain(other.keys());
    let mut names: Vec<_> = names
        .filter(|name| one.get(*name) != other.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Whatever the batches were, whatever was archived twice, and in which order the units were made, some of them several times and some
/// before all of their files were there: the tables are equal to the byte.
#[test]
fn tables_are_functions_of_the_set_of_events() {
    let runtime = runtime();
    let how = (
        sent(),
        prop::collection::vec(any::<Index>(), 0..8),
        prop::collection::vec(any::<Index>(), 0..8),
        prop::collection::vec(any::<Index>(), 0..8),
    );
    runner(48)
        .run(&how, |(sent, cuts, other_cuts, order)| {
            let cuts_of = |cuts: &[Index]| -> Vec<usize> {
                cuts.iter().map(|cut| cut.index(sent.len()) + 1).collect()
            };
            runtime.block_on(async {
                let expected = in_order(&sent).await;
                let (archive, tables) = (
                    Arc::new(MemoryFiles::default()),
                    Arc::new(MemoryFiles::default()),
                );
                let insights = insights(&archive, &tables);
                let first = files(&sent, &cuts_of(&cuts));
                let units = units(&sent);
                // A part of the files is late.
                let (early, late): (BTreeMap<_, _>, BTreeMap<_, _>) = first
                    .into_iter()
                    .enumerate()
                    .partition(|(number, _)| number % 3 != 1);
                put(&*archive, &early.into_values().collect()).await;
                for index in &order {
                    insights
                        .summarize(index.get(&units), LONG_AFTER)
                        .await
                        .unwrap();
                }
                put(&*archive, &late.into_values().collect()).await;
                // The same events, in other batches.
                put(&*archive, &files(&sent, &cuts_of(&other_cuts))).await;
                let mut units = units.clone();
                units.reverse();
                make_all(&insights, &units).await;
                let tables = tables_of(&*tables).await;
                prop_assert_eq!(differing(&expected, &tables), Vec::<String>::new());
                for unit in &units {
                    prop_assert_eq!(
                        insights.summarize(unit, LONG_AFTER).await.unwrap(),
                        Made::Unchanged
                    );
                }
                Ok(())
            })
        })
        .unwrap();
}

/// A store that fails at one of its writes, before or after it is done.
struct Faulty {
    files: MemoryFiles,
    /// Writes until the one that fails; below 0 none does.
    left: AtomicIsize,
    before: AtomicBool,
}

impl Faulty {
    fn never() -> Self {
        Self {
            files: MemoryFiles::default(),
            left: AtomicIsize::new(-1),
            before: AtomicBool::new(false),
        }
    }

    fn fail(&self, at: usize, before: bool) {
        self.left
            .store(isize::try_from(at).unwrap_or(-1), Ordering::Relaxed);
        self.before.store(before, Ordering::Relaxed);
    }

    async fn write<T>(
        &self,
        write: impl Future<Output = Result<T, PutError>>,
    ) -> Result<T, PutError> {
        let fails = self.left.fetch_sub(1, Ordering::Relaxed) == 0;
        if !(fails && self.before.load(Ordering::Relaxed)) {
            let written = write.await?;
            if !fails {
                return Ok(written);
            }
        }
        Err(PutError::Store(StoreError {
            operation: "write",
            message: "the process has ended".to_owned(),
            transient: true,
        }))
    }
}

#[async_trait]
impl FileStore for Faulty {
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError> {
        self.files.list(prefix).await
    }

    async fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        self.files.any(prefix).await
    }

    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError> {
        self.files.read(name).await
    }

    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        self.write(self.files.replace(name, body, expected)).await
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), PutError> {
        self.write(self.files.delete(name, expected)).await
    }
}

/// Deliveries over several hours, enough that each unit writes every kind of file.
fn some_events() -> Vec<Sent> {
    let mut runner = TestRunner::deterministic();
    let strategy = sent();
    loop {
        let events = strategy.new_tree(&mut runner).unwrap().current();
        if events.len() >= 50 {
            return events;
        }
    }
}

#[test]
fn a_unit_that_ends_at_any_write_is_made_by_the_next_one() {
    runtime().block_on(async {
        let sent = some_events();
        let expected = in_order(&sent).await;
        let archive = Arc::new(MemoryFiles::default());
        put(&*archive, &files(&sent, &[])).await;
        let mut ended = 0;
        for (fails_at, before) in (0..).flat_map(|at| [(at, true), (at, false)]) {
            let tables = Arc::new(Faulty::never());
            tables.fail(fails_at, before);
            let insights = insights(&archive, &tables);
            let mut failed = 0;
            for unit in units(&sent) {
                while insights.summarize(&unit, LONG_AFTER).await.is_err() {
                    failed += 1;
                }
            }
            let differing = differing(&expected, &tables_of(&*tables).await);
            assert_eq!(differing, Vec::<String>::new(), "write {fails_at}");
            if failed == 0 {
                break;
            }
            ended += failed;
        }
        // Seven files each, at least: four of the unit, deliveries, drones' hours, the manifest.
        assert!(ended >= 2 * 7 * units(&sent).len(), "{ended}");
    });
}

/// A store that lets another task go first, now and then.
struct Interleaved {
    files: MemoryFiles,
    seed: AtomicUsize,
}

impl Interleaved {
    async fn others(&self) {
        // A linear congruence: any order will do, and the same each time.
        let next = |seed: usize| {
            Some(
                seed.wrapping_mul(0x5851_F42D_4C95_7F2D)
                    .wrapping_add(0x1405_7B7E_F767_814F),
            )
        };
        let update = self
            .seed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        for _ in 0..update.unwrap_or(0) >> 33 & 3 {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl FileStore for Interleaved {
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError> {
        self.others().await;
        self.files.list(prefix).await
    }

    async fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        self.others().await;
        self.files.any(prefix).await
    }

    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError> {
        self.others().await;
        self.files.read(name).await
    }

    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        self.others().await;
        self.files.replace(name, body, expected).await
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), PutError> {
        self.others().await;
        self.files.delete(name, expected).await
    }
}

#[test]
fn two_workers_on_the_same_units_make_what_one_makes() {
    runtime().block_on(async {
        let sent = some_events();
        let expected = in_order(&sent).await;
        for seed in 0..60 {
            let archive = Arc::new(MemoryFiles::default());
            put(&*archive, &files(&sent, &[])).await;
            let tables = Arc::new(Interleaved {
                files: MemoryFiles::default(),
                seed: AtomicUsize::new(seed),
            });
            let workers = [insights(&archive, &tables), insights(&archive, &tables)];
            let (one, mut other) = (units(&sent), units(&sent));
            other.reverse();
            // One that finds the others always ahead leaves its unit to the queue, which brings it again.
            let work = async |worker: &Insights, units: &[Unit]| {
                for unit in units {
                    while worker.summarize(unit, LONG_AFTER).await.is_err() {}
                }
            };
            futures_util::join!(work(&workers[0], &one), work(&workers[1], &other));
            let differing = differing(&expected, &tables_of(&*tables).await);
            assert_eq!(differing, Vec::<String>::new(), "seed {seed}");
        }
    });
}

#[test]
fn a_damaged_file_is_skipped_and_named_and_what_is_made_without_it_says_so() {
    runtime().block_on(async {
        let sent = some_events();
        let (archive, tables) = (
            Arc::new(MemoryFiles::default()),
            Arc::new(MemoryFiles::default()),
        );
        let files = files(&sent, &(0..sent.len()).step_by(5).collect::<Vec<_>>());
        put(&*archive, &files).await;
        let (name, whole) = files.iter().next().unwrap();
        let replace = async |body: Bytes| {
            let version = archive.read(name).await.unwrap().unwrap().version;
            archive.replace(name, body, Some(&version)).await.unwrap();
        };
        replace(whole.slice(..whole.len() - 7)).await;
        let insights = insights(&archive, &tables);
        let units = units(&sent);
        let Made::Anew(manifest) = insights.summarize(&units[0], LONG_AFTER).await.unwrap() else {
            panic!("nothing was made");
        };
        assert!(manifest.sealed && !manifest.complete && manifest.quality.events > 0);
        assert_eq!(manifest.skipped[0].name, *name);
        assert!(
            manifest.skipped[0].reason.contains("damaged"),
            "{}",
            manifest.skipped[0].reason
        );
        make_all(&insights, &units).await;
        let today = Day(START.date());
        let hours = tables
            .read(&units[0].daily("drone_hours", today))
            .await
            .unwrap()
            .unwrap()
            .body;
        let mut complete = Vec::new();
        drone_hours::read(hours, |row| {
            complete.push(row.sources.contains(units[0].hour) && row.complete);
        })
        .unwrap();
        assert!(!complete.contains(&true));
        let figures = roll_up(&insights, today).await;
        assert!(!figures.complete && !figures.hours[0].complete);
        // Mended, it is as if nothing had been.
        replace(whole.clone()).await;
        make_all(&insights, &units).await;
        let differing = differing(
            &in_order(&sent).await,
            &without_figures(tables_of(&*tables).await),
        );
        assert_eq!(differing, Vec::<String>::new());
        assert!(roll_up(&insights, today).await.complete);
    });
}

fn without_figures(mut tables: BTreeMap<String, Bytes>) -> BTreeMap<String, Bytes> {
    tables.retain(|name, _| !name.starts_with("fleet_hours/"));
    tables
}

async fn roll_up(insights: &Insights, day: Day) -> FleetDay {
    let hours = Hour::of(START).plus(-2)..=Hour::of(LONG_AFTER);
    let plan = insights.plan(HUB, hours, LONG_AFTER).await.unwrap();
    assert_eq!(plan.partitions, ["0"]);
    let as_of = as_of(&plan, LONG_AFTER);
    let memory = Memory::default();
    let made = insights
        .roll_up(&memory, HUB, &plan.partitions, day, as_of, LONG_AFTER)
        .await;
    let made = made.unwrap().unwrap();
    let again = insights
        .roll_up(&memory, HUB, &plan.partitions, day, as_of, LONG_AFTER)
        .await;
    assert_eq!(again.unwrap(), None, "nothing has changed");
    made
}

/// A delivery over midnight is told of on the day on which it was first heard of, and counts on the day on which it ended.
#[test]
fn a_delivery_over_midnight_is_one() {
    runtime().block_on(async {
        let midnight = utc_datetime!(2026-11-30 00:00:00);
        let statuses = (0..).zip([0, 0, 1, 1, 2, 1, 1, 3, 1, 4]);
        let sent: Vec<Sent> = statuses
            .map(|(number, status)| {
                let occurred_at = midnight + Duration::seconds(5 * number - 24);
                Sent {
                    sequence_number: number,
                    enqueued_at: occurred_at + Duration::seconds(1),
                    first_enqueued_at: None,
                    body: body(1, 1, occurred_at, 5 * 5 + status, true),
                }
            })
            .collect();
        let (archive, tables) = (
            Arc::new(MemoryFiles::default()),
            Arc::new(MemoryFiles::default()),
        );
        put(&*archive, &files(&sent, &[])).await;
        let insights = insights(&archive, &tables);
        let units = units(&sent);
        make_all(&insights, &units).await;
        let day = |day: Day| units[0].daily("deliveries", day);
        let (today, tomorrow) = (Day(START.date()), Day(START.date()).plus(1));
        let file = tables.read(&day(today)).await.unwrap().unwrap();
        let rows = deliveries::read(file.body).unwrap();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert!(row.complete);
        assert_eq!(row.facts.delivery_s, Some(35.0));
        assert_eq!(
            (row.facts.loaded_s, row.facts.flight_readings),
            (Some(15.0), 10)
        );
        let sources: Vec<_> = row.sources.iter().map(|hour| hour.to_string()).collect();
        assert_eq!(sources, ["2026-11-29T23", "2026-11-30T00"]);
        assert_eq!(tables.read(&day(tomorrow)).await.unwrap(), None);
        let figures = [
            roll_up(&insights, today).await,
            roll_up(&insights, tomorrow).await,
        ];
        let counts = figures.each_ref().map(|day| {
            let deliveries = &day.day.figures.deliveries;
            (
                deliveries.started,
                deliveries.delivered,
                day.day.figures.phases.delivery.p50,
            )
        });
        assert_eq!(counts, [(1, 0, None), (0, 1, Some(35.0))]);
        let json = serde_json::to_string(&figures[1]).unwrap();
        assert_eq!(serde_json::from_str::<FleetDay>(&json).unwrap(), figures[1]);
    });
}

/// What is not sealed is made where that is wanted, and is made again when it is.
#[test]
fn the_hour_under_way_is_made_and_made_again() {
    runtime().block_on(async {
        let sent = some_events();
        let (archive, tables) = (
            Arc::new(MemoryFiles::default()),
            Arc::new(MemoryFiles::default()),
        );
        put(&*archive, &files(&sent, &[])).await;
        let live = insights(&archive, &tables);
        let last = units(&sent).pop().unwrap();
        let during = last.hour.begins() + Duration::minutes(59);
        let hours = Hour::of(START)..=last.hour;
        let due = async |insights: &Insights, now| {
            let plan = insights.plan(HUB, hours.clone(), now).await.unwrap();
            let units: Vec<Unit> = plan.units.into_iter().map(|due| due.unit).collect();
            (units, plan.first_outstanding)
        };
        let sealed = Insights::new(
            Arc::clone(&archive) as _,
            Arc::clone(&tables) as _,
            Intake::default(),
            false,
        );
        let (units, _) = due(&sealed, during).await;
        assert!(!units.contains(&last));
        let plan = live.plan(HUB, hours.clone(), during).await.unwrap();
        assert!(
            plan.units
                .iter()
                .all(|due| due.outstanding == (due.unit != last))
        );
        let (units, outstanding) = due(&live, during).await;
        assert_eq!(units[0], last);
        for unit in &units {
            let Made::Anew(manifest) = live.summarize(unit, during).await.unwrap() else {
                panic!("nothing was made");
            };
            assert_eq!(manifest.sealed, *unit != last);
        }
        assert_eq!(outstanding, Some(units.last().unwrap().hour));
        assert_eq!(due(&live, during).await, (Vec::new(), Some(last.hour)));
        assert_eq!(
            due(&live, LONG_AFTER).await,
            (vec![last.clone()], Some(last.hour))
        );
        make_all(&live, &units).await;
        assert_eq!(due(&live, LONG_AFTER).await, (Vec::new(), None));
        let differing = differing(&in_order(&sent).await, &tables_of(&*tables).await);
        assert_eq!(differing, Vec::<String>::new());
    });
}

/// After a day an hour's files are one, wherever that was ended; and the tables, and what is told of repeats, are as before.
#[test]
fn an_hours_files_become_one_and_nothing_else_changes() {
    runtime().block_on(async {
        let sent = some_events();
        let cuts: Vec<usize> = (0..sent.len()).step_by(2).collect();
        let files = files(&sent, &cuts);
        let long_after = LONG_AFTER + compact::AFTER;
        let mut ended = 0;
        for (fails_at, before) in (0..).flat_map(|at| [(at, true), (at, false)]) {
            let archive = Arc::new(Faulty::never());
            let tables = Arc::new(Faulty::never());
            put(&*archive, &files).await;
            let units = units(&sent);
            let insights = Insights::new(
                Arc::clone(&archive) as _,
                Arc::clone(&tables) as _,
                Intake::default(),
                false,
            );
            make_all(&insights, &units).await;
            let (expected, quality) = (tables_of(&*tables).await, quality_of(&*tables).await);
            // Writes of the archive and of the tables are one sequence.
            let (mut failed, mut gone) = (0, 0);
            archive.fail(fails_at, before);
            tables.fail(fails_at.wrapping_sub(3), before);
            for unit in &units {
                loop {
                    match insights.summarize(unit, long_after).await {
                        Ok(Made::Compacted(compacted)) => gone += compacted.gone,
                        Ok(Made::Unchanged) => break,
                        Ok(Made::Anew(_)) => {}
                        Ok(Made::Empty) => panic!("there are files"),
                        Err(_) => failed += 1,
                    }
                }
            }
            let left = archive.list("").await.unwrap();
            assert!(
                left.len() < files.len() && (gone > 0 || failed > 0),
                "{fails_at}"
            );
            let mut numbers = Vec::new();
            for file in &left {
                let body = archive.read(&file.name).await.unwrap().unwrap().body;
                numbers.extend(
                    capture::decode(&body)
                        .unwrap()
                        .iter()
                        .map(|event| event.sequence_number),
                );
            }
            numbers.sort_unstable();
            assert_eq!(
                numbers,
                (0..).take(sent.len()).collect::<Vec<i64>>(),
                "{fails_at}"
            );
            let mut after = tables_of(&*tables).await;
            let days: BTreeMap<_, _> = after
                .extract_if(.., |name, _| name.contains("_days/"))
                .collect();
            // The first day is long enough over, the second is not.
            assert_eq!(days.len(), 2, "{fails_at}");
            for (name, file) in days {
                let table = if name.starts_with("flight") {
                    FLIGHT
                } else {
                    OPERATING
                };
                let hours = expected.iter().filter(|(hour, _)| {
                    hour.starts_with(&format!("{}/date=2026-11-29/", table.name))
                });
                let rows = |file: &Bytes| TableReader::open(table, file.clone()).unwrap().rows();
                assert_eq!(
                    rows(&file),
                    hours.map(|(_, file)| rows(file)).sum::<u64>(),
                    "{name}"
                );
            }
            let differing = differing(&expected, &after);
            assert_eq!(differing, Vec::<String>::new(), "{fails_at}");
            assert_eq!(quality_of(&*tables).await, quality, "{fails_at}");
            if failed == 0 && fails_at > 3 {
                break;
            }
            ended += failed;
        }
        assert!(ended > 10, "{ended}");
    });
}

/// The archive is kept for a while, the tables for good.
#[test]
fn tables_outlive_the_archive_that_they_were_made_from() {
    runtime().block_on(async {
        let sent = some_events();
        let (archive, tables) = (
            Arc::new(MemoryFiles::default()),
            Arc::new(MemoryFiles::default()),
        );
        put(&*archive, &files(&sent, &[])).await;
        let insights = insights(&archive, &tables);
        make_all(&insights, &units(&sent)).await;
        let before = tables_of(&*tables).await;
        for file in archive.list("").await.unwrap() {
            archive.delete(&file.name, &file.version).await.unwrap();
        }
        for unit in units(&sent) {
            assert_eq!(
                insights.summarize(&unit, LONG_AFTER).await.unwrap(),
                Made::Empty
            );
        }
        assert_eq!(
            differing(&before, &tables_of(&*tables).await),
            Vec::<String>::new()
        );
    });
}

/// What a look has not put on the queue, or what was not made of it in time, is found by a later one.
#[test]
fn nothing_that_is_due_is_forgotten_however_long_nobody_made_it() {
    runtime().block_on(async {
        let sent = some_events();
        let (archive, tables) = (
            Arc::new(MemoryFiles::default()),
            Arc::new(MemoryFiles::default()),
        );
        put(&*archive, &files(&sent, &[])).await;
        let insights = Arc::new(Insights::new(
            Arc::clone(&archive) as _,
            Arc::clone(&tables) as _,
            Intake::default(),
            false,
        ));
        let schedule = Schedule::new(Arc::clone(&insights), HUB.to_owned());
        let of = |units: &[Unit]| units.iter().map(|unit| unit.hour).collect::<Vec<_>>();
        let mut all = of(&units(&sent));
        all.reverse();
        // Put on the queue once, and again where nobody made it.
        assert_eq!(of(&schedule.look(LONG_AFTER).await.unwrap().units), all);
        assert_eq!(of(&schedule.look(LONG_AFTER).await.unwrap().units), []);
        let later = LONG_AFTER + Duration::hours(8);
        let looked = schedule.look(later).await.unwrap();
        assert_eq!(
            (of(&looked.units), looked.outstanding),
            (all.clone(), all.len())
        );
        make_all(&insights, &units(&sent)).await;
        let looked = schedule.look(later).await.unwrap();
        assert_eq!(
            (looked.units.len(), looked.due, looked.days.is_empty()),
            (0, 0, false)
        );
        assert!(schedule.look(later).await.unwrap().days.is_empty());
    });
}

/// A day that was put together is put together again when one of its hours is restated, wherever that was ended.
#[test]
fn a_day_follows_its_hours() {
    runtime().block_on(async {
        let sent = some_events();
        let long_after = LONG_AFTER + compact::AFTER;
        let cuts: Vec<usize> = (0..sent.len()).step_by(2).collect();
        let (late, early): (BTreeMap<_, _>, BTreeMap<_, _>) = files(&sent, &cuts)
            .into_iter()
            .enumerate()
            .partition(|(number, _)| number % 3 == 1);
        let (early, late) = (early.into_values().collect(), late.into_values().collect());
        let units = units(&sent);
        let day = units[0].daily("flight_days", Day(START.date()));
        for (fails_at, before) in (0..).flat_map(|at| [(at, true), (at, false)]) {
            let (archive, tables) = (Arc::new(MemoryFiles::default()), Arc::new(Faulty::never()));
            put(&*archive, &early).await;
            let insights = insights(&archive, &tables);
            let rows_of = async || {
                let mut rows = 0;
                for unit in units.iter().filter(|unit| unit.hour.date() == START.date()) {
                    let file = tables.read(&unit.hourly("flight")).await.unwrap().unwrap();
                    rows += TableReader::open(FLIGHT, file.body).unwrap().rows();
                }
                let file = tables.read(&day).await.unwrap().unwrap();
                (TableReader::open(FLIGHT, file.body).unwrap().rows(), rows)
            };
            let mut failed = 0;
            let mut work = async || {
                for unit in &units {
                    loop {
                        match insights.summarize(unit, long_after).await {
                            Ok(Made::Unchanged) => break,
                            Ok(_) => {}
                            Err(_) => failed += 1,
                        }
                    }
                }
            };
            work().await;
            let (first, hours) = rows_of().await;
            assert_eq!(first, hours);
            put(&*archive, &late).await;
            tables.fail(fails_at, before);
            work().await;
            let (after, hours) = rows_of().await;
            assert_eq!(after, hours, "write {fails_at}");
            assert!(after > first);
            let all = Hour::of(START)..=Hour::of(long_after);
            assert_eq!(insights.plan(HUB, all, long_after).await.unwrap().units, []);
            if failed == 0 {
                assert!(fails_at > 20, "{fails_at}");
                break;
            }
        }
    });
}

/// What the manifests tell of events.
async fn quality_of(tables: &dyn FileStore) -> Vec<crate::domain::insights::quality::Quality> {
    let mut all = Vec::new();
    for file in tables.list("_units/").await.unwrap() {
        let body = tables.read(&file.name).await.unwrap().unwrap().body;
        all.push(manifest::Manifest::parse(&body).unwrap().quality);
    }
    all
}
