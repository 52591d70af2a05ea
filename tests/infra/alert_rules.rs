//! Whether the alert rules fire when they should, and stay silent when they should: their queries over rows as Application
//! Insights, the queues' log and the hub's metrics have them.

use std::collections::{BTreeMap, BTreeSet};

use drone_delivery::FUNCTIONS;
use serde_json::{Value, json};

use crate::bicep::Value as Bicep;
use crate::kql::{Queries, Tables, run};
use crate::sources;

/// A rule over logs, as it is in Bicep.
struct Rule {
    name: String,
    minutes: u32,
    above: f64,
    file: String,
}

fn rules() -> Vec<Rule> {
    let template = sources::template();
    let rules = &template.variables[&("alert-rules".to_owned(), "queries".to_owned())];
    let of = |rule: &Bicep| {
        let text = |key: &str| {
            let value = rule.get(key).unwrap();
            value.text().or_else(|| value.code()).unwrap().to_owned()
        };
        let query = text("query");
        let file = query.split('\'').nth(1).unwrap();
        Rule {
            name: text("name"),
            minutes: text("window")
                .trim_matches(|letter: char| !letter.is_ascii_digit())
                .parse()
                .unwrap(),
            above: text("above").parse().unwrap(),
            file: file.rsplit('/').next().unwrap().to_owned(),
        }
    };
    rules.list().iter().map(of).collect()
}

/// `11:58` of the day; rules are run at 12:00.
fn at(time: &str) -> String {
    format!("2026-11-28T{time}:00Z")
}

/// One line of the handler, as it reaches `AppTraces`.
fn line(time: &str, function: &str, partition: u32, level: &str, fields: Value) -> Value {
    let mut log = json!({"timestamp": at(time), "level": level});
    log.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    log["span"] = json!({
        "invocation.id": "24ad4c06-24ad-4e5b-8294-3da9714877e9",
        "function": function,
        "partition.id": partition.to_string(),
        "name": "call"
    });
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
    line(time, function, partition, "INFO", fields)
}

fn failed(time: &str, partition: u32) -> Value {
    let fields =
        json!({"message": "call failed: the handler did not answer with a 2xx", "status": 500});
    line(time, "UpdateDroneState", partition, "ERROR", fields)
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

/// Half an hour in which all is well: 100 events a minute in each of two partitions, applied, archived and judged.
fn well() -> Tables {
    let mut traces = Vec::new();
    let mut requests = Vec::new();
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

/// What each case is made of, and the rules that have to fire, with their subjects.
fn cases() -> BTreeMap<&'static str, (Tables, &'static [(&'static str, &'static str)])> {
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
    traces.clear();
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

#[test]
fn rules_fire_when_they_should_and_only_then() {
    let rules = rules();
    let queries: Queries = rules
        .iter()
        .map(|rule| {
            let text = sources::read(&format!("infra/queries/{}", rule.file));
            (rule.name.clone(), (text, rule.minutes))
        })
        .collect();
    let cases = cases();
    let tables = cases
        .iter()
        .map(|(name, (tables, _))| (*name, tables.clone()))
        .collect();
    let answers = run(&queries, &tables).unwrap();
    let mut fired_ever = BTreeSet::new();
    for (case, (_, expected)) in &cases {
        let mut fired = BTreeSet::new();
        for rule in &rules {
            for row in &answers[*case][&rule.name] {
                if row["value"]
                    .as_f64()
                    .is_some_and(|value| value > rule.above)
                {
                    fired.insert((rule.name.as_str(), row["subject"].as_str().unwrap()));
                }
            }
        }
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        assert_eq!(fired, expected, "{case}");
        fired_ever.extend(expected.into_iter().map(|(rule, _)| rule));
    }
    let all: BTreeSet<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(fired_ever, all, "a rule that no case makes fire");
}

/// The workbook's queries are understood, and answer something.
#[test]
fn every_query_is_understood_and_answers() {
    let queries: Queries = sources::files("infra/queries")
        .into_iter()
        .map(|(path, text)| (path, (text, 60)))
        .collect();
    let mut tables = well();
    let traces = tables.get_mut("AppTraces").unwrap();
    traces.push(failed("11:58", 1));
    let letters = json!({"message": "events dead-lettered", "events": 2, "reason": "out-of-range"});
    traces.push(line("11:58", "UpdateDroneState", 1, "WARN", letters));
    let answers = run(&queries, &BTreeMap::from([("an hour", tables)])).unwrap();
    for (path, rows) in &answers["an hour"] {
        let is_rule = path.contains("/alert-");
        assert!(is_rule || !rows.is_empty(), "{path} answers nothing");
    }
}

/// A reader that a query does not name could stand still unnoticed.
#[test]
fn queries_name_every_function_that_reads_the_hub() {
    for file in ["alert-behind.kql", "alert-restarts.kql"] {
        let text = sources::read(&format!("infra/queries/{file}"));
        for function in FUNCTIONS {
            let reads = function.trigger == "eventHubTrigger";
            let named = text.contains(&format!("\"{}\"", function.name));
            assert_eq!(reads, named, "{file}: {}", function.name);
        }
    }
}

/// Whether a metric that is absent counts as zero for `LessThan` is not documented.
#[test]
fn no_rule_rests_on_a_metric_being_less_than_something() {
    for (path, text) in sources::files("infra/modules") {
        assert!(!text.contains("'LessThan'"), "{path}");
    }
}

/// What has to be there however little of it there is must not be sampled away.
#[test]
fn nothing_that_a_rule_counts_one_by_one_is_sampled() {
    let host: Value = serde_json::from_str(drone_delivery::HOST_JSON).unwrap();
    let exempt = host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"]
        .as_str()
        .unwrap();
    assert!(exempt.split(';').any(|kind| kind == "Request"), "{exempt}");
    for rule in rules() {
        let text = sources::read(&format!("infra/queries/{}", rule.file));
        if rule.name == "dead-letters" || rule.name == "poison-queue" {
            assert!(!text.contains("AppTraces"), "{}", rule.file);
        }
    }
}

/// The Azure SDKs write 150 records a minute and idle instance at Information, which Application Insights keeps and which
/// crowd the handler's own lines out; so do the three lines that the host writes of every call.
#[test]
fn the_host_logs_little_beside_the_handlers_own_lines() {
    let host: Value = serde_json::from_str(drone_delivery::HOST_JSON).unwrap();
    let levels = host["logging"]["logLevel"].as_object().unwrap();
    let level = |category: &str| {
        let longest = levels
            .iter()
            .filter(|(prefix, _)| category.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len());
        longest.map_or(&levels["default"], |(_, level)| level)
    };
    for category in ["Azure.Core", "Azure.Messaging.EventHubs", "Azure.Identity"] {
        assert_eq!(level(category), "Warning", "{category}");
    }
    for kept in ["Host.Function.Console", "Host.Startup", "Host.Results"] {
        assert_eq!(level(kept), "Information", "{kept}");
    }
    for function in FUNCTIONS {
        let (calls, own) = (
            level(&format!("Function.{}", function.name)),
            level(&format!("Function.{}.User", function.name)),
        );
        assert_eq!(own, "Information", "{}", function.name);
        if function.trigger == "eventHubTrigger" {
            assert_eq!(calls, "Warning", "{}", function.name);
        }
    }
}
