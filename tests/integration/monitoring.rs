//! The queries of the workbook and of the alert rules read what the handler really logs: messages and fields are
//! looked up in the lines of a run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use local::insights::let_functions_finish;
use serde_json::Value;

use crate::support::{Fleet, PATIENCE, flight, repository};

/// A KQL file, as far as it asks for the handler's log.
struct Query {
    file: String,
    text: String,
    /// The messages that it is about; empty for all.
    messages: BTreeSet<String>,
    /// A path in the line, and whether it must be a number.
    fields: BTreeSet<(Vec<String>, bool)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_ask_for_what_the_handler_logs() {
    let lines = lines_of_a_run().await;
    let queries = queries();
    let about_the_log = queries
        .iter()
        .filter(|query| query.text.contains("parse_json(Message)"));
    let mut checked = 0;
    for Query {
        file,
        messages,
        fields,
        ..
    } in about_the_log
    {
        for message in messages {
            let mut same = lines
                .iter()
                .filter(|line| line["message"] == message.as_str())
                .peekable();
            assert!(same.peek().is_some(), "{file}: nothing logs {message:?}");
            for line in same {
                for (path, is_number) in fields {
                    let value = path.iter().fold(line, |value, key| &value[key.as_str()]);
                    let fits = if *is_number {
                        value.is_i64()
                    } else {
                        // Only where traces are made.
                        value.is_string() || path.ends_with(&["trace_id".to_owned()])
                    };
                    assert!(fits, "{file}: {} of {message:?} is {value}", path.join("."));
                    checked += 1;
                }
            }
        }
    }
    assert!(
        checked > 20,
        "the queries are no longer read: {checked} fields"
    );
}

/// A function whose batches are in no line is in nobody's traces either: a trace is found by its lines.
#[tokio::test(flavor = "multi_thread")]
async fn every_function_that_reads_the_hub_logs_its_batches() {
    let lines = lines_of_a_run().await;
    let batches = lines.iter().filter(|line| line["batch.events"].is_number());
    let logging: BTreeSet<_> = batches
        .map(|line| line["span"]["function"].as_str().unwrap())
        .collect();
    let reading: BTreeSet<_> = drone_delivery::FUNCTIONS
        .iter()
        .filter(|function| function.trigger == "eventHubTrigger")
        .map(|function| function.name)
        .collect();
    assert_eq!(logging, reading);
}

#[test]
fn fields_and_messages_are_read_from_a_query() {
    let query = Query::read(
        "sample",
        r#"| where tostring(log.message) in ("a b", "c")
           | extend lag = tolong(log["batch.lag_ms"]) / 1000.0
           | summarize max(lag) by tostring(log.span.function), tostring(log.span["partition.id"])"#,
    );
    assert_eq!(query.messages, ["a b", "c"].map(str::to_owned).into());
    let field =
        |path: &[&str], number| (path.iter().map(|key| (*key).to_owned()).collect(), number);
    let expected = [
        field(&["batch.lag_ms"], true),
        field(&["message"], false),
        field(&["span", "function"], false),
        field(&["span", "partition.id"], false),
    ];
    assert_eq!(query.fields, expected.into());
}

/// What the handler's console says while good and bad events go through every function.
async fn lines_of_a_run() -> Vec<Value> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let fleet = Fleet::logging(&[], &lines).await;
    for second in 0..3 {
        fleet.send("drone-1", flight("drone-1", second, 10.0));
    }
    fleet.send("drone-2", "{");
    fleet.settled().await;
    let timer = fleet.system.host.run_timer("AdvanceWatermarks");
    timer.await.unwrap();
    let_functions_finish(&fleet.system, PATIENCE).await.unwrap();
    drop(fleet);
    let lines = lines.lock().unwrap();
    lines
        .iter()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("[handler] ")?).ok())
        .collect()
}

fn queries() -> Vec<Query> {
    let folder = repository().join("infra/queries");
    let queries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            Query::read(path.file_name().unwrap().to_str().unwrap(), &text)
        })
        .collect();
    assert!(queries.len() > 5);
    queries
}

impl Query {
    fn read(file: &str, text: &str) -> Self {
        let mut messages = BTreeSet::new();
        let mut fields = BTreeSet::new();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            if let Some((_, wanted)) = line.split_once("tostring(log.message)")
                && line.trim_start().starts_with("| where")
            {
                messages.extend(wanted.split('"').skip(1).step_by(2).map(str::to_owned));
            }
            for (at, _) in line.match_indices("(log") {
                let rest = &line[at + 4..];
                let path = path(&rest[..rest.find(')').unwrap()]);
                fields.insert((path, line[..at].ends_with("tolong")));
            }
        }
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            messages,
            fields,
        }
    }
}

/// The keys of `.span["partition.id"]`.
fn path(mut rest: &str) -> Vec<String> {
    let mut keys = Vec::new();
    while !rest.is_empty() {
        let (key, after) = match rest.strip_prefix("[\"") {
            Some(quoted) => quoted.split_once("\"]").unwrap(),
            None => {
                let plain = rest.strip_prefix('.').unwrap();
                plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))
            }
        };
        keys.push(key.to_owned());
        rest = after;
    }
    keys
}
