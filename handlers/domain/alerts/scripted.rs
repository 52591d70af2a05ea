//! A scripted flight of two drones, and what the rules must say of it however it is delivered.
//!
//! In `tests/fixtures/alerts/scripted_flight.jsonl`, `scripted-1` breaks each limit with one reading at a
//! time, so that order cannot matter; `scripted-2` has runs of such readings, values between the limit
//! and its hysteresis, reminders, and a change of delivery in mid-window.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use super::*;
use crate::domain::batch::ReceivedEvent;
use crate::domain::timestamp;

const FLIGHT: &str = include_str!("../../../tests/fixtures/alerts/scripted_flight.jsonl");
const MESSAGES: &str =
    include_str!("../../../tests/fixtures/alerts/scripted_flight.messages.jsonl");
const SNAPSHOT: &[u8] = include_bytes!("../../../tests/fixtures/alerts/snapshot-v2.bin");
const SNAPSHOT_V1: &[u8] = include_bytes!("../../../tests/fixtures/alerts/snapshot-v1.bin");

const FENCE: &str =
    r#"{"type":"Polygon","coordinates":[[[10,50],[11,50],[11,51],[10,51],[10,50]]]}"#;

/// An event as the hub has it.
#[derive(Debug, Clone)]
struct Stored {
    body: &'static str,
    occurred_at: UtcDateTime,
    enqueued_at: UtcDateTime,
    sequence_number: i64,
}

impl Stored {
    fn received(&self) -> ReceivedEvent<'static> {
        ReceivedEvent {
            body: self.body.as_bytes(),
            sequence_number: self.sequence_number,
            offset: "0",
            enqueued_at: self.enqueued_at,
            first_enqueued_at: None,
            authenticated_device: None,
            marked_as_tick: false,
            partition_key: None,
        }
    }
}

fn rules() -> Rules {
    let fence = ("Alerts__Geofence".to_owned(), FENCE.to_owned());
    Rules::new(&AlertSettings::from_all([fence])).unwrap()
}

fn flight() -> Vec<Stored> {
    let events = FLIGHT.lines().map(|body| {
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = value["occurrenceUtcTime"].as_str().unwrap();
        (timestamp::parse(text).unwrap(), body)
    });
    arriving(events.map(|(at, body)| (at, at, body)))
}

/// Numbers events in the order of their arrival, which the second time is.
fn arriving(events: impl Iterator<Item = (UtcDateTime, UtcDateTime, &'static str)>) -> Vec<Stored> {
    let mut events: Vec<_> = events.collect();
    events.sort_by_key(|event| event.1);
    let number = |(sequence_number, (occurred_at, arrived_at, body))| Stored {
        body,
        occurred_at,
        enqueued_at: arrived_at + Duration::milliseconds(300),
        sequence_number,
    };
    (100..).zip(events).map(number).collect()
}

fn observe(state: &mut PartitionAlerts, events: &[Stored]) -> Vec<Transition> {
    state.observe(&rules(), events.iter().map(Stored::received))
}

fn ids(told: &[Transition]) -> BTreeSet<String> {
    told.iter().map(Transition::message_id).collect()
}

fn all_at_once(events: &[Stored]) -> Vec<Transition> {
    observe(&mut PartitionAlerts::default(), events)
}

/// Through bytes and back, as a restart does.
fn restarted(state: &PartitionAlerts) -> PartitionAlerts {
    PartitionAlerts::decode(&state.encode(&rules()).unwrap(), &rules()).unwrap()
}

fn open_alerts(state: &PartitionAlerts) -> BTreeSet<(String, String)> {
    let drones = state.drones.values();
    drones
        .flat_map(|drone| drone.registers.iter())
        .filter_map(|register| register.open.as_ref())
        .map(|open| {
            (
                open.alert.device_id.to_string(),
                open.alert.rule.to_string(),
            )
        })
        .collect()
}

/// Writes what this version makes, for somebody to look through: `WRITE_FIXTURES=1 cargo test scripted`, twice.
fn write_fixture(name: &str, bytes: &[u8]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");
    std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
}

fn lines(messages: &[String]) -> String {
    messages
        .iter()
        .map(|message| format!("{message}\n"))
        .collect()
}

#[test]
fn a_flight_gives_exactly_the_messages_that_it_should() {
    let told: Vec<String> = all_at_once(&flight())
        .iter()
        .map(Transition::message)
        .collect();
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        write_fixture("scripted_flight.messages.jsonl", lines(&told).as_bytes());
    }
    let expected: Vec<&str> = MESSAGES.lines().collect();
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len());
}

#[test]
fn a_message_is_a_cloud_event() {
    for line in MESSAGES.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        // Required by CloudEvents 1.0, all of them strings that are not empty.
        for attribute in ["specversion", "id", "source", "type"] {
            assert!(
                event[attribute]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
        assert_eq!(event["specversion"], "1.0");
        assert!(timestamp::parse(event["time"].as_str().unwrap()).is_ok());
        assert!(line.len() < 2048);
    }
}

/// The first 250 events, as each version has kept them. What the version before did not know comes with the next
/// events, so it is the rest of the flight that must be the same.
#[test]
fn snapshots_of_this_version_and_the_one_before_stay_readable() {
    let events = flight();
    let mut state = PartitionAlerts::default();
    observe(&mut state, &events[..250]);
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/alerts/snapshot-v2.bin"
        );
        std::fs::write(path, state.encode(&rules()).unwrap()).unwrap();
    }
    let mut kept = PartitionAlerts::decode(SNAPSHOT, &rules()).unwrap();
    assert_eq!(kept, state);
    assert!(kept.outbox.len() > 3 && !open_alerts(&kept).is_empty());
    let mut before = PartitionAlerts::decode(SNAPSHOT_V1, &rules()).unwrap();
    assert_eq!(open_alerts(&before), open_alerts(&kept));
    // The host takes the last batch again, as it may.
    let rest = &events[240..];
    assert_eq!(
        ids(&observe(&mut before, rest)),
        ids(&observe(&mut kept, rest))
    );
    assert_eq!(open_alerts(&before), open_alerts(&kept));
}

#[test]
fn a_snapshot_is_read_by_a_version_with_other_rules() {
    let events = flight();
    let mut state = PartitionAlerts::default();
    observe(&mut state, &events[..250]);
    let bytes = state.encode(&rules()).unwrap();
    let open = open_alerts(&state);
    let off = (
        "Alerts__EngineOverheatingRaise".to_owned(),
        "off".to_owned(),
    );
    let fewer = Rules::new(&AlertSettings::from_all([off])).unwrap();
    let mut state = PartitionAlerts::decode(&bytes, &fewer).unwrap();
    let told = state.observe(&fewer, events[250..].iter().map(Stored::received));
    let expected = all_at_once(&events);
    let still = |told: &[Transition]| {
        let rest = told.iter().filter(|told| {
            !["engine-overheating", "geofence-breached"].contains(&&*told.alert.rule)
        });
        rest.map(Transition::message_id).collect::<BTreeSet<_>>()
    };
    let off = Some(ClosedBecause::RuleOff);
    let (closed, told): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| {
        told.alert
            .cleared
            .is_some_and(|cleared| cleared.reason == off)
    });
    assert!(ids(&told).is_subset(&still(&expected)));
    assert!(!told.is_empty());
    // What is open of rules that are off is closed, and says why.
    let gone = |alert: &(String, String)| fewer.get(&alert.1).is_none();
    let closed: BTreeSet<_> = closed
        .iter()
        .map(|told| {
            (
                told.alert.device_id.to_string(),
                told.alert.rule.to_string(),
            )
        })
        .collect();
    assert_eq!(closed, open.into_iter().filter(gone).collect());
    assert!(!closed.is_empty());
}

#[test]
fn what_is_no_snapshot_is_refused() {
    for bytes in [
        &b""[..],
        &[0],
        &[3, 0, 0, 0],
        &SNAPSHOT[..SNAPSHOT.len() / 2],
        &[1, 255, 255],
        &[2, 255, 255],
    ] {
        assert!(PartitionAlerts::decode(bytes, &rules()).is_err());
    }
}

#[test]
fn poison_and_drones_that_are_long_gone_are_let_go() {
    let mut state = PartitionAlerts::default();
    let mut events = flight();
    events[0].body = "{";
    observe(&mut state, &events);
    assert_eq!(state.drones(), 2);
    let mut much_later = events[1].clone();
    much_later.body = "{";
    much_later.sequence_number = 10_000;
    much_later.enqueued_at += Duration::hours(26);
    let told = observe(&mut state, &[much_later]);
    // Both were in flight, so their silence was said, and after a day that they are gone.
    let lost = told
        .iter()
        .filter(|told| told.alert.rule == "telemetry-lost");
    let ends: Vec<_> = lost.filter(|told| told.kind == Kind::Cleared).collect();
    assert_eq!(ends.len(), 2);
    for end in ends {
        let reason = end.alert.cleared.and_then(|cleared| cleared.reason);
        assert_eq!(reason, Some(ClosedBecause::DroneGone));
    }
    assert_eq!(state.drones(), 0);
    assert_eq!(state.next_deadline(&rules()), None);
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The host has the messages, and a checkpoint.
    Delivered,
    /// The handler died before the snapshot.
    DiedBeforeSnapshot,
    /// The snapshot is there, but the host never saw the answer.
    DiedAfterSnapshot,
}

fn calls() -> impl Strategy<Value = Vec<(usize, End, bool)>> {
    let end = prop_oneof![
        3 => Just(End::Delivered),
        1 => Just(End::DiedBeforeSnapshot),
        1 => Just(End::DiedAfterSnapshot),
    ];
    prop::collection::vec((1..120_usize, end, any::<bool>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batch_boundaries_give_the_same_messages(cuts in prop::collection::vec(1..80_usize, 1..60)) {
        let events = flight();
        let mut state = PartitionAlerts::default();
        let mut told = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([events.len()]) {
            let to = (from + cut).min(events.len());
            told.extend(observe(&mut state, &events[from..to]));
            state = restarted(&state);
            from = to;
        }
        prop_assert_eq!(told, all_at_once(&events));
    }

    #[test]
    fn every_event_sent_twice_gives_the_same_messages(gaps in prop::collection::vec(0..50_000_i64, 700)) {
        let events = flight();
        let again = events.iter().zip(gaps).map(|(event, gap)| {
            (event.occurred_at, event.enqueued_at + Duration::milliseconds(gap), event.body)
        });
        let once = events.iter().map(|event| (event.occurred_at, event.occurred_at, event.body));
        let told = all_at_once(&arriving(once.chain(again)));
        prop_assert_eq!(told.iter().map(Transition::message).collect::<Vec<_>>(), MESSAGES.lines().collect::<Vec<_>>());
    }

    #[test]
    fn no_crash_loses_a_message_or_makes_another(calls in calls()) {
        let events = flight();
        let mut saved = PartitionAlerts::default();
        let mut memory = saved.clone();
        let mut checkpoint = 0;
        let mut delivered = BTreeSet::new();
        for (length, end, loses_memory) in calls.into_iter().chain([(events.len(), End::Delivered, true)]) {
            let to = (checkpoint + length).min(events.len());
            if loses_memory {
                memory = restarted(&saved);
            }
            let told = observe(&mut memory, &events[checkpoint..to]);
            match end {
                End::Delivered => {
                    saved = memory.clone();
                    delivered.extend(ids(&told));
                    checkpoint = to;
                }
                End::DiedBeforeSnapshot => memory = restarted(&saved),
                End::DiedAfterSnapshot => {
                    saved = memory.clone();
                    memory = restarted(&saved);
                }
            }
        }
        prop_assert_eq!(delivered, ids(&all_at_once(&events)));
    }

    #[test]
    fn events_shuffled_within_60_s_give_the_alerts_that_they_must(delays in prop::collection::vec(0..60_000_i64, 700)) {
        let events = flight();
        let late = events.iter().zip(delays).map(|(event, delay)| {
            (event.occurred_at, event.occurred_at + Duration::milliseconds(delay), event.body)
        });
        let mut state = PartitionAlerts::default();
        let told = observe(&mut state, &arriving(late));
        let expected = all_at_once(&events);

        // Where order does not matter, the messages are the same.
        let exact = |told: &[Transition]| {
            let of_order_independent = told.iter().filter(|told| {
                told.alert.rule == "engine-overheating" || told.alert.device_id.as_str() == "scripted-1"
            });
            of_order_independent.map(Transition::message_id).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(exact(&told), exact(&expected));

        // Where it does, what is open in the end is, and every episode has its counterpart.
        let mut in_order = PartitionAlerts::default();
        observe(&mut in_order, &events);
        prop_assert_eq!(open_alerts(&state), open_alerts(&in_order));
        let near = Duration::seconds(60);
        let episodes = |told: &[Transition]| {
            let mut episodes: BTreeMap<String, (Alert, UtcDateTime)> = BTreeMap::new();
            for told in told {
                episodes.insert(told.alert.id.clone(), (told.alert.clone(), told.at));
            }
            episodes.into_values().collect::<Vec<_>>()
        };
        for (alert, end) in episodes(&expected) {
            prop_assert!(episodes(&told).iter().any(|(other, other_end)| {
                other.rule == alert.rule
                    && other.device_id == alert.device_id
                    && other.raised_at <= end + near
                    && *other_end >= alert.raised_at - near
            }), "{}", alert.id);
        }
    }
}
