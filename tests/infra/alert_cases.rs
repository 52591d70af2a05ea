//! What becomes of the system, in rows as Application Insights, the queues' log and the hub's metrics have them, and which
//! alert rules have to fire.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::insight_cases::{insights, is_look, looks, usual};
use crate::kql::Tables;

/// `11:58` of the day; rules are run at 12:00.
pub fn at(time: &str) -> String {
    format!("2026-11-28T{time}:00Z")
}

/// One line of the handler, as it reaches `AppTraces`; with a partition where the hub is read.
pub fn line(
    time: &str,
    function: &str,
    partition: impl Into<Option<u32>>,
    level: &str,
    fields: &Value,
) -> Value {
    let mut log = json!({"timestamp": at(time), "level": level});
    log.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    log["span"] = json!({
        "invocation.id": "24ad4c06-24ad-4e5b-8294-3da9714877e9",
        "function": function,
        "name": "call"
    });
    if let Some(partition) = partition.into() {
        log["span"]["partition.id"] = partition.to_string().into();
    }
    // The timestamp is the first field, as the handler writes it.
    let text = log.to_string();
    let rest = text.replacen(&format!("\"timestamp\":\"{}\",", at(time)), "", 1);
    let rest = rest.trim_start_matches('{');
    let message = format!("{{\"timestamp\":\"{}\",{rest}", at(time));
    json!({"TimeGenerated": at(time), "Message": message, "ItemCount": 1})
}

const DONE: [(&str, &str); 3] = [
    ("UpdateDroneState", "batch applied"),
    ("ArchiveTelemetry", "batch archived"),
    ("RaiseAlerts", "batch held against the rules"),
];

fn done(time: &str, reader: usize, partition: u32, events: u32, lag_ms: u32) -> Value {
    let (function, message) = DONE[reader];
    let fields = json!({"message": message, "batch.events": events, "batch.lag_ms": lag_ms});
    line(time, function, partition, "INFO", &fields)
}

pub fn failed(time: &str, partition: u32) -> Value {
    let fields =
        json!({"message": "call failed: the handler did not answer with a 2xx", "status": 500});
    line(time, "UpdateDroneState", partition, "ERROR", &fields)
}

fn request(time: &str, name: &str, success: bool, code: &str) -> Value {
    json!({"TimeGenerated": at(time), "OperationName": name, "Success": success, "ResultCode": code,
           "DurationMs": 12.5, "ItemCount": 1})
}

fn arrived(time: &str, total: f64) -> Value {
    json!({"TimeGenerated": at(time), "ResourceProvider": "MICROSOFT.EVENTHUB", "MetricName": "IncomingMessages",
           "Total": total})
}

fn put(time: &str, queue: &str) -> Value {
    let uri =
        format!("https://stdatadrones.queue.core.windows.net:443/{queue}/messages?timeout=30");
    json!({"TimeGenerated": at(time), "OperationName": "PutMessage", "StatusText": "Success", "Uri": uri})
}

fn host_start(time: &str) -> Value {
    let message =
        "Starting Host (HostId=func-drones, InstanceId=5f1c, Version=4.1037.0, ProcessId=18)";
    json!({"TimeGenerated": at(time), "Message": message, "ItemCount": 1})
}

/// The minutes from 11:30 to 11:59.
fn minutes() -> impl Iterator<Item = String> {
    (30..60).map(|minute| format!("11:{minute}"))
}

/// Half an hour in which all is well: 100 events a minute in each of two partitions, applied, archived and judged; and of the
/// hours before it, that events were archived, and what has been summarised.
pub fn well() -> Tables {
    let mut traces = looks(usual);
    let mut requests = vec![request("09:10", "ArchiveTelemetry", true, "0")];
    let mut metrics = Vec::new();
    for minute in minutes() {
        for (reader, (function, _)) in DONE.iter().enumerate() {
            for partition in 0..2 {
                traces.push(done(&minute, reader, partition, 100, 3_000));
                requests.push(request(&minute, function, true, "0"));
            }
        }
        requests.push(request(&minute, "Health", true, "200"));
        requests.push(request(&minute, "GetDrone", true, "404"));
        metrics.push(arrived(&minute, 200.0));
    }
    Tables::from([
        ("AppTraces", traces),
        ("AppRequests", requests),
        ("AzureMetrics", metrics),
    ])
}

/// A rule and the subject that it is about.
pub type Fired = (&'static str, &'static str);

/// What each case is made of, and the rules that have to fire, with their subjects.
pub fn cases() -> BTreeMap<&'static str, (Tables, &'static [Fired])> {
    let mut cases = BTreeMap::new();
    cases.insert("all is well", (well(), &[][..]));

    let mut tables = well();
    tables.entry("StorageQueueLogs").or_default().extend([
        put("11:50", "telemetry-dead-letters"),
        put("11:50", "drone-alerts"),
    ]);
    cases.insert(
        "a dead letter",
        (tables, &[("dead-letters", "telemetry-dead-letters")][..]),
    );

    let mut tables = well();
    tables
        .entry("StorageQueueLogs")
        .or_default()
        .push(put("11:50", "drone-alerts-poison"));
    cases.insert(
        "a poison message",
        (tables, &[("poison-queue", "drone-alerts-poison")][..]),
    );

    let mut tables = well();
    tables.entry("StorageQueueLogs").or_default().extend([
        put("11:50", "insight-units"),
        put("11:55", "insight-units-poison"),
    ]);
    cases.insert(
        "an hour that cannot be summarised",
        (tables, &[("poison-queue", "insight-units-poison")][..]),
    );

    // One partition of two stands still for 20 minutes: tried once a minute, it makes fewer than 20 failures in the window.
    let mut tables = well();
    tables.get_mut("AppTraces").unwrap().retain(|row| {
        let message = row["Message"].as_str().unwrap();
        let later = row["TimeGenerated"].as_str().unwrap() > at("11:40").as_str();
        !(later && message.contains("batch applied") && message.contains(r#""partition.id":"1""#))
    });
    for minute in minutes().skip(11) {
        tables
            .get_mut("AppTraces")
            .unwrap()
            .push(failed(&minute, 1));
        let request = request(&minute, "UpdateDroneState", false, "0");
        tables.get_mut("AppRequests").unwrap().push(request);
    }
    cases.insert(
        "a partition stands still",
        (
            tables,
            &[
                ("stuck", "UpdateDroneState, partition 1"),
                ("failures", "UpdateDroneState"),
            ][..],
        ),
    );

    // An event whose body the host cannot bind: the handler is never called, and says nothing.
    let mut tables = well();
    for minute in minutes().skip(11) {
        let request = request(&minute, "ArchiveTelemetry", false, "0");
        tables.get_mut("AppRequests").unwrap().push(request);
    }
    cases.insert(
        "calls fail before they reach the handler",
        (tables, &[("failures", "ArchiveTelemetry")][..]),
    );

    // A burst of failures that is over: the weather.
    let mut tables = well();
    for _ in 0..30 {
        let request = request("11:51", "UpdateDroneState", false, "0");
        tables.get_mut("AppRequests").unwrap().push(request);
        tables
            .get_mut("AppTraces")
            .unwrap()
            .push(failed("11:51", 1));
    }
    cases.insert("a burst of failures", (tables, &[][..]));

    // To the host an answer of 503 is a success.
    let mut tables = well();
    for minute in minutes().skip(11) {
        let request = request(&minute, "ListDrones", true, "503");
        tables.get_mut("AppRequests").unwrap().push(request);
    }
    cases.insert(
        "an HTTP function answers 503",
        (tables, &[("failures", "ListDrones")][..]),
    );

    // After a stall of an hour, catching up: no function was heard of before, and the lag falls.
    let mut tables = well();
    let traces = tables.get_mut("AppTraces").unwrap();
    traces.retain(is_look);
    for (i, minute) in minutes().skip(26).enumerate() {
        for reader in 0..3 {
            let lag = 3_600_000 - 600_000 * u32::try_from(i).unwrap();
            traces.push(done(&minute, reader, 0, 2_000, lag));
        }
    }
    cases.insert(
        "catching up after a stall",
        (
            tables,
            &[
                ("lag", "UpdateDroneState"),
                ("lag", "ArchiveTelemetry"),
                ("lag", "RaiseAlerts"),
            ][..],
        ),
    );

    // One partition of many is slow, and never fails.
    let mut tables = well();
    for minute in minutes().skip(25) {
        let slow = done(&minute, 2, 7, 10, 400_000);
        tables.get_mut("AppTraces").unwrap().push(slow);
    }
    cases.insert(
        "one partition lags",
        (tables, &[("lag", "RaiseAlerts")][..]),
    );

    // Nothing runs: there is no line, no request and no failure.
    let mut tables = well();
    tables.get_mut("AppTraces").unwrap().clear();
    tables.get_mut("AppRequests").unwrap().clear();
    cases.insert(
        "the app does not run",
        (
            tables,
            &[
                ("behind", "UpdateDroneState"),
                ("behind", "ArchiveTelemetry"),
                ("behind", "RaiseAlerts"),
            ][..],
        ),
    );

    cases.extend(insights());

    // Hosts die of a batch before they can checkpoint it, and start again.
    let mut tables = well();
    tables.get_mut("AppTraces").unwrap().retain(|row| {
        let message = row["Message"].as_str().unwrap();
        !message.contains("ArchiveTelemetry")
    });
    for time in ["11:46", "11:49", "11:52", "11:55"] {
        tables.get_mut("AppTraces").unwrap().push(host_start(time));
    }
    tables
        .get_mut("AppRequests")
        .unwrap()
        .retain(|row| row["OperationName"] != "ArchiveTelemetry");
    cases.insert(
        "hosts restart and nothing is checkpointed",
        (
            tables,
            &[
                ("restarts", "ArchiveTelemetry"),
                ("behind", "ArchiveTelemetry"),
            ][..],
        ),
    );

    // A system that scales out starts hosts, too.
    let mut tables = well();
    for time in ["11:46", "11:49", "11:52", "11:55"] {
        tables.get_mut("AppTraces").unwrap().push(host_start(time));
    }
    cases.insert("hosts start and work", (tables, &[][..]));

    let mut tables = well();
    let detail = "OverQuota: daily quota reached, collection stops until the next reset";
    tables.entry("_LogOperation").or_default().extend([
        json!({"TimeGenerated": at("11:50"), "Category": "Ingestion", "Operation": "Data collection stopped",
               "Detail": detail}),
        json!({"TimeGenerated": at("11:51"), "Category": "Workspace", "Operation": "Data collection",
               "Detail": "resumed"}),
    ]);
    cases.insert(
        "the cap of the logs is reached",
        (tables, &[("log-cap", "Data collection stopped")][..]),
    );

    cases.insert(
        "no metric has a row",
        (Tables::new(), &[("silence", "telemetry")][..]),
    );
    let mut tables = Tables::new();
    let quiet = minutes().map(|minute| arrived(&minute, 0.0)).collect();
    tables.insert("AzureMetrics", quiet);
    cases.insert(
        "the metric says zero",
        (tables, &[("silence", "telemetry")][..]),
    );
    cases
}
