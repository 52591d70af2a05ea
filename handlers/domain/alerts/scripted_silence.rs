//! A scripted partition in which most happens without an event, and what must be said of it.
//!
//! In `tests/fixtures/alerts/quiet_partition.jsonl`, `scripted-3` overheats, falls silent and comes back after two hours;
//! `scripted-4` flies with a clock that is two hours behind, and has it set right; `scripted-5` is never heard of again. Where
//! nobody sends, there are ticks, as AdvanceWatermarks sends them.

#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::value::RawValue;
use time::{Duration, UtcDateTime};

use super::*;
use crate::domain::batch::{ReceivedEvent, TICK_BODY};
use crate::domain::timestamp::rfc3339;

const EVENTS: &str = include_str!("../../../tests/fixtures/alerts/quiet_partition.jsonl");
const MESSAGES: &str =
    include_str!("../../../tests/fixtures/alerts/quiet_partition.messages.jsonl");

/// A line of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    #[serde(with = "rfc3339")]
    enqueued_at: UtcDateTime,
    /// Absent for a tick.
    body: Option<Box<RawValue>>,
}

fn log() -> Vec<Logged> {
    let lines = EVENTS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn rules() -> Rules {
    Rules::new(&AlertSettings::default()).unwrap()
}

fn received(sequence_number: i64, logged: &Logged) -> ReceivedEvent<'_> {
    let body = logged.body.as_ref();
    ReceivedEvent {
        body: body.map_or(TICK_BODY, |body| body.get().as_bytes()),
        sequence_number,
        offset: "0",
        enqueued_at: logged.enqueued_at,
        first_enqueued_at: None,
        authenticated_device: None,
        marked_as_tick: body.is_none(),
        partition_key: None,
    }
}

fn messages(log: &[Logged], batch: usize) -> Vec<String> {
    let mut state = PartitionAlerts::default();
    let mut told = Vec::new();
    let events: Vec<_> = (100..).zip(log).collect();
    for batch in events.chunks(batch) {
        let events = batch
            .iter()
            .map(|(number, logged)| received(*number, logged));
        told.extend(state.observe(&rules(), events));
        state = PartitionAlerts::decode(&state.encode(&rules()).unwrap(), &rules()).unwrap();
    }
    assert_eq!(
        state.next_deadline(&rules()),
        None,
        "nothing is left to wait for"
    );
    told.iter().map(Transition::message).collect()
}

/// To write what this version makes, for somebody to look through: `WRITE_FIXTURES=1 cargo test scripted`, twice.
#[test]
fn a_quiet_partition_gives_exactly_the_messages_that_it_should() {
    let log = log();
    let told = messages(&log, log.len());
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");
        let lines: String = told.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(format!("{folder}/quiet_partition.messages.jsonl"), lines).unwrap();
    }
    assert_eq!(told, MESSAGES.lines().collect::<Vec<_>>());
}

#[test]
fn neither_batches_nor_restarts_nor_more_ticks_change_what_is_said() {
    let log = log();
    assert_eq!(messages(&log, 1), MESSAGES.lines().collect::<Vec<_>>());
    assert_eq!(messages(&log, 7), MESSAGES.lines().collect::<Vec<_>>());

    let mut with_ticks: Vec<Logged> = Vec::new();
    for logged in log {
        let mut now = with_ticks
            .last()
            .map_or(logged.enqueued_at, |last| last.enqueued_at);
        while now + Duration::seconds(30) < logged.enqueued_at {
            now += Duration::seconds(30);
            with_ticks.push(Logged {
                enqueued_at: now,
                body: None,
            });
        }
        with_ticks.push(logged);
    }
    assert!(with_ticks.len() > 1_000);
    let told = messages(&with_ticks, 100);
    assert_eq!(told, MESSAGES.lines().collect::<Vec<_>>());
}
