//! What becomes of the system, in rows, and which alert rules have to fire.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::insight_cases::{insights, looks, usual};
use crate::kql::Tables;
use crate::loss_cases::{losing, others, own_telemetry, silence};
use crate::rows::{arrived, at, calls, events, lag, late, line, metric, put, request};

/// Who reads the hub, and of how many of a minute's 200 events it tells which outcome.
pub const READERS: [(&str, &[(&str, f64)]); 3] = [
    (
        "UpdateDroneState",
        &[("applied", 181.0), ("dead_lettered", 19.0)],
    ),
    ("ArchiveTelemetry", &[("archived", 200.0)]),
    ("RaiseAlerts", &[("judged", 199.0), ("tick", 1.0)]),
];

/// The minutes from 11:30 to 11:59.
pub fn minutes() -> impl Iterator<Item = String> {
    (30..60).map(|minute| format!("11:{minute}"))
}

pub fn without(mut tables: Tables, table: &str, keep: impl Fn(&Value) -> bool) -> Tables {
    tables.get_mut(table).unwrap().retain(keep);
    tables
}

pub fn with(
    mut tables: Tables,
    table: &'static str,
    rows: impl IntoIterator<Item = Value>,
) -> Tables {
    tables.entry(table).or_default().extend(rows);
    tables
}

pub fn is_of(row: &Value, function: &str) -> bool {
    row["Properties"]["faas.name"] == function
}

pub fn is_before(row: &Value, time: &str) -> bool {
    row["TimeGenerated"].as_str().unwrap() < at(time).as_str()
}

/// Half an hour in which all is well: 200 events a minute from two partitions, stored, archived and judged, a few of them late;
/// and of the hours before it, that events came and were archived, and what has been summarised.
pub fn well() -> Tables {
    let traces = looks(usual);
    let mut requests = Vec::new();
    let mut hub = Vec::new();
    let mut metrics = vec![events("09:10", "ArchiveTelemetry", "archived", 200.0)];
    for hour in 9..12 {
        for minute in (0..60).step_by(5) {
            let time = format!("{hour:02}:{minute:02}");
            metrics.push(calls(&time, "SummarizeDeliveries", 1, None));
        }
    }
    for minute in minutes() {
        for (function, outcomes) in READERS {
            metrics.push(calls(&minute, function, 2, None));
            metrics.extend(
                outcomes
                    .iter()
                    .map(|(outcome, count)| events(&minute, function, outcome, *count)),
            );
            for partition in 0..2 {
                metrics.push(lag(&minute, function, partition, 3.0));
                requests.push(request(&minute, function, true, "0"));
            }
        }
        metrics.push(late(&minute, 1.0));
        metrics.push(cosmos(&minute, "200", 40.0));
        metrics.push(cosmos(&minute, "429", 1.0));
        metrics.push(posts(&minute, "delivered", 2.0));
        requests.push(request(&minute, "Health", true, "200"));
        requests.push(request(&minute, "GetDrone", true, "404"));
        hub.push(arrived(&minute, 200.0));
    }
    metrics.push(posts("11:40", "timed_out", 3.0));
    metrics.push(spans("11:40", None, 400.0));
    Tables::from([
        ("AppTraces", traces),
        ("AppRequests", requests),
        ("AppMetrics", metrics),
        ("AzureMetrics", hub),
    ])
}

pub fn cosmos(time: &str, status: &str, count: f64) -> Value {
    let attributes = json!({"db.response.status_code": status});
    metric(time, "drone_delivery.cosmos.requests", count, &attributes)
}

pub fn posts(time: &str, outcome: &str, count: f64) -> Value {
    let attributes = json!({"outcome": outcome});
    metric(time, "drone_delivery.webhook.posts", count, &attributes)
}

pub fn spans(time: &str, error: Option<&str>, count: f64) -> Value {
    let attributes = error.map_or_else(|| json!({}), |error| json!({"error.type": error}));
    metric(
        time,
        "otel.sdk.processor.span.processed",
        count,
        &attributes,
    )
}

pub fn failed(time: &str, partition: u32) -> Value {
    let fields =
        json!({"message": "call failed: the handler did not answer with a 2xx", "status": 500});
    line(time, "UpdateDroneState", partition, "ERROR", &fields)
}

/// A rule and the subject that it is about.
pub type Fired = (&'static str, &'static str);

/// A case: its rows, and the rules that have to fire, with their subjects.
pub type Case = (&'static str, (Tables, &'static [Fired]));

/// What each case is made of, and the rules that have to fire, with their subjects.
pub fn cases() -> BTreeMap<&'static str, (Tables, &'static [Fired])> {
    let mut cases = BTreeMap::from([("all is well", (well(), &[][..]))]);
    cases.extend(queues());
    cases.extend(freshness());
    cases.extend(standing_still());
    cases.extend(failing());
    cases.extend(losing());
    cases.extend(others());
    cases.extend(insights());
    cases.extend(own_telemetry());
    cases.extend(silence());
    cases
}

fn queues() -> [Case; 3] {
    let letter = metric(
        "11:50",
        "drone_delivery.dead_letters",
        1.0,
        &json!({"reason": "out-of-range"}),
    );
    let rows = [
        put("11:50", "insight-units"),
        put("11:55", "insight-units-poison"),
    ];
    [
        (
            "a dead letter",
            (
                with(well(), "AppMetrics", [letter]),
                &[("dead-letters", "out-of-range")],
            ),
        ),
        (
            "a poison message",
            (
                with(
                    well(),
                    "StorageQueueLogs",
                    [
                        put("11:50", "drone-alerts"),
                        put("11:50", "drone-alerts-poison"),
                    ],
                ),
                &[("poison-queue", "drone-alerts-poison")],
            ),
        ),
        (
            "an hour that cannot be summarised",
            (
                with(well(), "StorageQueueLogs", rows),
                &[("poison-queue", "insight-units-poison")],
            ),
        ),
    ]
}

/// Of 199 events a minute so many were late, in each minute from one on.
fn lates(from: u32, to: u32, count: f64) -> Tables {
    let times = (from..to).map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60));
    let before =
        (6 * 60..11 * 60 + 30).map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60));
    let tables = with(
        well(),
        "AppMetrics",
        before.map(|time| events(&time, "UpdateDroneState", "applied", 199.0)),
    );
    with(tables, "AppMetrics", times.map(|time| late(&time, count)))
}

fn freshness() -> [Case; 5] {
    const MORNING: u32 = 6 * 60;
    const NOON: u32 = 12 * 60;
    [
        // One in five of the last hour: both windows of the fast rule, and of six hours too few for the slow one.
        (
            "late for the last hour",
            (
                lates(NOON - 60, NOON, 39.0),
                &[("freshness-fast", "latest state")],
            ),
        ),
        // One in eight since morning: below the fast rate, above the slow one.
        (
            "late since morning",
            (
                lates(MORNING, NOON, 24.0),
                &[("freshness-slow", "latest state")],
            ),
        ),
        // A blip: soon over, it has cost little.
        ("late for ten minutes", (lates(NOON - 10, NOON, 60.0), &[])),
        // The budget is used, and it is over: nobody has to get up.
        (
            "late, and no longer",
            (lates(MORNING, NOON - 40, 100.0), &[]),
        ),
        // Where little comes, one late event is a large share.
        (
            "few events, and some of them late",
            (
                with(
                    Tables::new(),
                    "AppMetrics",
                    [
                        events("11:57", "UpdateDroneState", "applied", 9.0),
                        late("11:57", 9.0),
                    ],
                )
                .into_iter()
                .chain([("AzureMetrics", vec![arrived("11:57", 9.0)])])
                .collect(),
                &[],
            ),
        ),
    ]
}

/// One partition of two falls behind from 11:41 on, a minute each minute: tried again and again, by calls that fail.
fn stands_still() -> Tables {
    let is_it = |row: &Value| {
        row["Name"] == "azure_functions.lag"
            && is_of(row, "UpdateDroneState")
            && row["Properties"]["messaging.destination.partition.id"] == "1"
    };
    let mut tables = without(well(), "AppMetrics", |row| {
        !is_it(row) || is_before(row, "11:41")
    });
    for (i, minute) in (0_u32..).zip(minutes().skip(11)) {
        let behind = lag(&minute, "UpdateDroneState", 1, 60.0 * f64::from(i + 1));
        let call = calls(&minute, "UpdateDroneState", 1, Some("failed"));
        tables = with(tables, "AppMetrics", [behind, call]);
        tables = with(tables, "AppTraces", [failed(&minute, 1)]);
        let request = request(&minute, "UpdateDroneState", false, "0");
        tables = with(tables, "AppRequests", [request]);
    }
    tables
}

fn standing_still() -> [Case; 5] {
    let slow = minutes().skip(25);
    let slow = slow.map(|minute| lag(&minute, "RaiseAlerts", 7, 400.0));
    let lost = minutes().skip(25);
    let lost = lost.map(|minute| lag(&minute, "ArchiveTelemetry", 7, 18.5 * 3_600.0));
    // After a stall of an hour, catching up: no function was heard of before, and the lag falls.
    let mut catching_up = without(well(), "AppMetrics", |row| {
        row["Name"] != "azure_functions.lag"
    });
    for (i, minute) in (0_u32..).zip(minutes().skip(26)) {
        for (function, _) in READERS {
            let behind = lag(&minute, function, 0, f64::from(3_600 - 600 * i));
            catching_up = with(catching_up, "AppMetrics", [behind]);
        }
    }
    [
        (
            "a partition stands still",
            (
                stands_still(),
                &[
                    ("lag", "UpdateDroneState"),
                    ("failures", "UpdateDroneState"),
                ],
            ),
        ),
        (
            "catching up after a stall",
            (
                catching_up,
                &[
                    ("lag", "UpdateDroneState"),
                    ("lag", "ArchiveTelemetry"),
                    ("lag", "RaiseAlerts"),
                ],
            ),
        ),
        // One partition of many is slow, and never fails.
        (
            "one partition lags",
            (with(well(), "AppMetrics", slow), &[("lag", "RaiseAlerts")]),
        ),
        // What the hub keeps for a day is gone in a few hours.
        (
            "a partition is about to lose events",
            (
                with(well(), "AppMetrics", lost),
                &[
                    ("lag", "ArchiveTelemetry"),
                    ("retention", "ArchiveTelemetry"),
                ],
            ),
        ),
        // Hosts die of a batch before they can checkpoint it: nothing is said, and nothing finished.
        (
            "a function finishes nothing",
            (
                without(well(), "AppMetrics", |row| {
                    !is_of(row, "ArchiveTelemetry") || is_before(row, "11:00")
                }),
                &[("behind", "ArchiveTelemetry"), ("loss", "ArchiveTelemetry")],
            ),
        ),
    ]
}

fn failing() -> [Case; 5] {
    let failures = |function, success, code| {
        let minutes = minutes().skip(11);
        let requests = minutes.map(move |minute| request(&minute, function, success, code));
        with(well(), "AppRequests", requests)
    };
    let burst = (0..30).map(|_| request("11:51", "UpdateDroneState", false, "0"));
    [
        // An event whose body the host cannot bind: the handler is never called, and says nothing.
        (
            "calls fail before they reach the handler",
            (
                failures("ArchiveTelemetry", false, "0"),
                &[("failures", "ArchiveTelemetry")],
            ),
        ),
        // A burst of failures that is over: the weather.
        (
            "a burst of failures",
            (with(well(), "AppRequests", burst), &[]),
        ),
        // To the host an answer of 503 is a success.
        (
            "an HTTP function answers 503",
            (
                failures("ListDrones", true, "503"),
                &[("failures", "ListDrones")],
            ),
        ),
        // By OpenTelemetry a host calls what was not found a failure; it is an answer like any other.
        (
            "drones are asked for that are not there, by OpenTelemetry",
            (failures("GET drones/{deviceId}", false, "404"), &[]),
        ),
        (
            "an HTTP function answers 503, by OpenTelemetry",
            (
                failures("GET drones", false, "503"),
                &[("failures", "GET drones")],
            ),
        ),
    ]
}
