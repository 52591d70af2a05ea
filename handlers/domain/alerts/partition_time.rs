//! The partition's time: whatever becomes of batches, instances and calls, and however long events wait, a log gives
//! what one reader of it all says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use super::drone::{Arrival, judged_at};
use super::*;
use crate::domain::batch::{ReceivedEvent, TICK_BODY};
use crate::domain::telemetry::{EventContext, Intake, parse};
use crate::domain::timestamp::Rfc3339;

/// An event in the log.
#[derive(Debug, Clone)]
struct Logged {
    body: Vec<u8>,
    drone: u8,
    what: What,
    enqueued_at: UtcDateTime,
    sequence_number: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// A flight message, in flight or at the station.
    Flight(bool),
    /// A temperature.
    Operating(u16),
    Tick,
    Poison,
}

impl Logged {
    fn received(&self) -> ReceivedEvent<'_> {
        ReceivedEvent {
            body: &self.body,
            sequence_number: self.sequence_number,
            offset: "0",
            enqueued_at: self.enqueued_at,
            first_enqueued_at: None,
            authenticated_device: None,
            marked_as_tick: self.what == What::Tick,
            partition_key: None,
        }
    }
}

fn rules() -> Rules {
    Rules::new(&AlertSettings::default()).unwrap()
}

fn start() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_714_564_800).unwrap()
}

fn body(drone: u8, what: What, occurred_at: UtcDateTime) -> Vec<u8> {
    let at = Rfc3339(occurred_at);
    let head = format!(
        r#""deviceId":"drone-{drone}","deliveryId":"delivery-{drone}","occurrenceUtcTime":"{at}""#
    );
    let text = match what {
        What::Flight(in_flight) => format!(
            r#"{{{head},"sensorType":"drone-event-sensor;v1","velocity":"10","acceleration":"1","position":"50|10|100","flightStatus":"{}"}}"#,
            if in_flight { 1 } else { 4 }
        ),
        What::Operating(temperature) => format!(
            r#"{{{head},"sensorType":"drone-state-sensor;v1","temperature":{temperature},"batteryStatus":"high","batteryLevel":0.9}}"#
        ),
        What::Tick => return TICK_BODY.to_vec(),
        What::Poison => return b"{\"deviceId\":1}".to_vec(),
    };
    text.into_bytes()
}

/// How far a drone's clock is behind, in seconds: right, late, skewed, never set.
fn behind() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0), 2 => 1..50_i64, 1 => Just(7_200), 1 => Just(1_700_000_000)]
}

/// Seconds to the next event; a broker's clock may step back a little.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 0..25_i64,
        4 => 60..400_i64,
        1 => 3_000..8_000_i64,
        1 => 80_000..200_000_i64,
        1 => -3..0_i64,
    ]
}

fn log() -> impl Strategy<Value = Vec<Logged>> {
    let what = prop_oneof![
        4 => Just(What::Flight(true)),
        1 => Just(What::Flight(false)),
        2 => prop_oneof![Just(60), Just(80), Just(110)].prop_map(What::Operating),
        2 => Just(What::Tick),
        1 => Just(What::Poison),
    ];
    prop::collection::vec((gap(), 0..3_u8, what, behind()), 1..80).prop_map(|steps| {
        let mut now = start();
        (1_000..)
            .zip(steps)
            .map(|(sequence_number, (gap, drone, what, behind))| {
                now += Duration::seconds(gap);
                Logged {
                    body: body(drone, what, now - Duration::seconds(behind)),
                    drone,
                    what,
                    enqueued_at: now,
                    sequence_number,
                }
            })
            .collect()
    })
}

fn observe(state: &mut PartitionAlerts, events: &[Logged]) -> Vec<Transition> {
    state.observe(&rules(), events.iter().map(Logged::received))
}

/// What each drone's messages are, in their order, each once.
fn by_drone(told: &[Transition]) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut drones: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for told in told {
        if seen.insert(told.message_id()) {
            let messages = drones.entry(told.alert.device_id.to_string()).or_default();
            messages.push(told.message());
        }
    }
    drones
}

fn restarted(state: &PartitionAlerts) -> PartitionAlerts {
    PartitionAlerts::decode(&state.encode(&rules()).unwrap(), &rules()).unwrap()
}

/// The silences of one drone, by hand: when each was found to be too long, and whether it ended.
fn silences(log: &[Logged], drone: u8) -> Vec<(UtcDateTime, bool)> {
    let limit = Duration::seconds(120);
    let mut found: Vec<(UtcDateTime, bool)> = Vec::new();
    let (mut flight, mut due) = (None, None);
    let (mut watermark, mut heard_at) = (UtcDateTime::MIN, UtcDateTime::MAX);
    for event in log {
        let now = event.enqueued_at;
        if now > watermark {
            let passed = due.take_if(|due| *due < now);
            // Where a clock that stepped back has the drone heard before it was lost, it is lost still, and not again.
            if found.last().is_none_or(|last| last.1) {
                found.extend(passed.map(|due| (due, false)));
            }
            watermark = now;
        }
        let (What::Flight(_) | What::Operating(_), true) = (event.what, event.drone == drone)
        else {
            continue;
        };
        // After a day a drone is a new one.
        if now > heard_at.saturating_add(Duration::DAY) {
            flight = None;
        }
        heard_at = now;
        if let What::Flight(in_flight) = event.what {
            let telemetry = parse(
                &event.body,
                &EventContext {
                    authenticated_device: None,
                    enqueued_at: now,
                    intake: Intake::default(),
                },
            )
            .unwrap();
            let arrival = Arrival {
                enqueued_at: now,
                taken_at: now,
            };
            let at = judged_at(&rules(), &telemetry, arrival);
            if flight.is_none_or(|(newest, _)| at >= newest) {
                flight = Some((at, in_flight));
            }
        }
        if let Some(last) = found.last_mut()
            && now > last.0
        {
            last.1 = true;
        }
        due = match flight {
            Some((_, true)) => due.max(Some(now + limit)),
            _ => None,
        };
    }
    found
}

#[derive(Debug, Clone, Copy)]
enum End {
    Delivered,
    DiedBeforeSnapshot,
    DiedAfterSnapshot,
}

fn calls() -> impl Strategy<Value = Vec<(usize, End, bool)>> {
    let end = prop_oneof![
        3 => Just(End::Delivered),
        1 => Just(End::DiedBeforeSnapshot),
        1 => Just(End::DiedAfterSnapshot),
    ];
    prop::collection::vec((1..30_usize, end, any::<bool>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_becomes_of_calls_each_drone_has_what_one_reader_of_the_log_says(log in log(), calls in calls()) {
        let mut saved = PartitionAlerts::default();
        let mut memory = saved.clone();
        let mut checkpoint = 0;
        let mut delivered = Vec::new();
        let rest = (log.len(), End::Delivered, true);
        for (length, end, loses_memory) in calls.into_iter().chain([rest]) {
            let to = (checkpoint + length).min(log.len());
            if loses_memory {
                memory = restarted(&saved);
            }
            let told = observe(&mut memory, &log[checkpoint..to]);
            match end {
                End::Delivered => {
                    saved = memory.clone();
                    delivered.extend(told);
                    checkpoint = to;
                }
                End::DiedBeforeSnapshot => memory = restarted(&saved),
                End::DiedAfterSnapshot => {
                    saved = memory.clone();
                    memory = restarted(&saved);
                }
            }
        }
        let mut reader = PartitionAlerts::default();
        let expected = observe(&mut reader, &log);
        prop_assert_eq!(by_drone(&delivered), by_drone(&expected));
        prop_assert_eq!(memory.next_deadline(&rules()), reader.next_deadline(&rules()));
        // What is told comes in the order of its time, as far as it happens by itself.
        let by_itself: Vec<_> = expected.iter().filter(|told| told.kind == Kind::Reminded).collect();
        prop_assert!(by_itself.is_sorted_by_key(|told| told.at));
    }

    #[test]
    fn a_hub_that_is_made_anew_goes_on_where_the_old_one_ended(log in log(), at in 0..80_usize, batch in 1..30_usize) {
        let (old, new) = log.split_at(at.min(log.len()));
        // Their numbers meet.
        let old: Vec<_> = (0..).zip(old).map(|(sequence_number, event)| Logged { sequence_number, ..event.clone() }).collect();
        let ended = old.iter().map(|event| event.enqueued_at).max().unwrap_or(start());
        let begins = new.first().map_or(ended, |event| event.enqueued_at);
        // The new one counts from 0 again, and its times are later.
        let later = (ended - begins).max(Duration::ZERO) + Duration::seconds(4);
        let moved = |first: i64| {
            let events = (first..).zip(new).map(move |(sequence_number, event)| Logged {
                sequence_number,
                enqueued_at: event.enqueued_at + later,
                ..event.clone()
            });
            events.collect::<Vec<_>>()
        };
        let whole: Vec<_> = old.iter().cloned().chain(moved(5_000)).collect();
        let expected = observe(&mut PartitionAlerts::default(), &whole);

        let mut state = PartitionAlerts::default();
        let before = observe(&mut state, &old);
        let mut after = Vec::new();
        for events in moved(0).chunks(batch) {
            state = restarted(&state);
            let told = observe(&mut state, events);
            prop_assert_eq!(&observe(&mut state, events), &told, "the same batch again");
            after.extend(told);
        }
        let ids = |told: &[Transition]| told.iter().map(Transition::message_id).collect::<Vec<_>>();
        let (old_ids, new_ids) = (ids(&before), ids(&after));
        prop_assert!(new_ids.iter().all(|id| !old_ids.contains(id)));
        let all: Vec<_> = before.into_iter().chain(after).collect();
        prop_assert_eq!(by_drone(&all), by_drone(&expected));
    }

    #[test]
    fn a_drone_is_lost_exactly_where_its_silence_in_flight_is_too_long(log in log()) {
        let told = observe(&mut PartitionAlerts::default(), &log);
        for drone in 0..3 {
            let id = format!("drone-{drone}");
            let of_drone = told.iter().filter(|told| {
                told.alert.rule == "telemetry-lost" && told.alert.device_id.as_str() == id
            });
            let mut lost: Vec<(UtcDateTime, bool)> = Vec::new();
            for told in of_drone {
                match told.kind {
                    Kind::Raised => lost.push((told.alert.raised_at, false)),
                    Kind::Cleared => {
                        let reason = told.alert.cleared.and_then(|cleared| cleared.reason);
                        lost.last_mut().unwrap().1 |= reason.is_none();
                    }
                    Kind::Reminded => {}
                }
            }
            // One that was closed because the drone was gone for a day is not ended by its return.
            let expected = silences(&log, drone);
            let raised = |of: &[(UtcDateTime, bool)]| of.iter().map(|lost| lost.0).collect::<Vec<_>>();
            prop_assert_eq!(raised(&lost), raised(&expected));
            for (lost, expected) in lost.iter().zip(&expected) {
                prop_assert!(!lost.1 || expected.1);
            }
        }
    }

    #[test]
    fn nothing_is_waited_for_a_day_after_the_last_event(log in log()) {
        let mut state = PartitionAlerts::default();
        observe(&mut state, &log);
        let last = log.iter().map(|event| event.enqueued_at).max().unwrap();
        let mut ticks = 0;
        // As AdvanceWatermarks does: a tick when something is due.
        while let Some(due) = state.next_deadline(&rules()) {
            ticks += 1;
            prop_assert!(due <= last + Duration::hours(24), "{due}");
            let tick = Logged {
                body: TICK_BODY.to_vec(),
                drone: 0,
                what: What::Tick,
                enqueued_at: due + Duration::SECOND,
                sequence_number: 10_000 + ticks,
            };
            observe(&mut state, &[tick]);
            prop_assert!(state.next_deadline(&rules()).is_none_or(|next| next > due));
        }
        prop_assert!(state.drones.values().all(|drone| !drone.has_open_alert()));
    }
}

/// A tick is what nobody but us has to send: with a device's identity, or with anything to say, it is like any event.
#[test]
fn a_tick_moves_time_and_nothing_else() {
    let flying = Logged {
        body: body(1, What::Flight(true), start()),
        drone: 1,
        what: What::Flight(true),
        enqueued_at: start(),
        sequence_number: 1,
    };
    let tick = Logged {
        body: TICK_BODY.to_vec(),
        drone: 1,
        what: What::Tick,
        enqueued_at: start() + Duration::seconds(121),
        sequence_number: 2,
    };
    let mut state = PartitionAlerts::default();
    assert_eq!(observe(&mut state, &[flying]), []);
    assert_eq!(
        state.next_deadline(&rules()),
        Some(start() + Duration::seconds(120))
    );
    let told = observe(&mut state, std::slice::from_ref(&tick));
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].message_id(),
        "telemetry-lost~drone-1~20240501T120200.000000000Z/raised"
    );
    assert_eq!(told[0].value, 120.0);

    assert!(tick.received().is_tick());
    let mut of_device = tick.received();
    of_device.authenticated_device = Some("drone-1".into());
    assert!(!of_device.is_tick());
    let mut with_body = tick.received();
    let telemetry = body(1, What::Flight(true), start());
    with_body.body = &telemetry;
    assert!(!with_body.is_tick());
}
