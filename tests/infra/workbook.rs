//! The workbook's queries: that each is shown, understood, and asks for what the handler sends.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::alert_cases::{failed, well};
use crate::kql::{Answers, Queries, Tables, run};
use crate::rows::{TRACE, dependency, durations, line, metric};
use crate::sources;

/// Rows of everything that a query of the workbook is about: lines, metrics, and the spans of one trace.
fn an_hour() -> Tables {
    let mut tables = well();
    let lines = [
        failed("11:58", 1),
        line(
            "11:58",
            "UpdateDroneState",
            1,
            "WARN",
            &json!({"message": "events dead-lettered", "events": 2, "reason": "out-of-range",
                    "event.sequence_number": 4_711}),
        ),
        line(
            "11:58",
            "SummarizeHour",
            None,
            "INFO",
            &json!({"message": "insight unit made", "unit.events": 280_800, "unit.missing": 3, "unit.skipped": 0}),
        ),
        line(
            "11:58",
            "NotifyAlert",
            None,
            "INFO",
            &json!({"message": "alert posted", "event.id": "engine-critical~drone-1~20261128T115600.000000000Z"}),
        ),
    ];
    tables.get_mut("AppTraces").unwrap().extend(lines);
    let charged = json!({"db.collection.name": "drones", "db.operation.name": "read"});
    let metrics = [
        metric(
            "11:58",
            "drone_delivery.dead_letters",
            2.0,
            &json!({"reason": "out-of-range"}),
        ),
        metric(
            "11:58",
            "drone_delivery.drones",
            60.0,
            &json!({"outcome": "written"}),
        ),
        metric(
            "11:58",
            "drone_delivery.alerts",
            1.0,
            &json!({"alert.rule": "engine-critical", "alert.state": "raised"}),
        ),
        metric(
            "11:58",
            "drone_delivery.insights.units",
            2.0,
            &json!({"outcome": "summarized"}),
        ),
        durations(
            "11:58",
            "azure.cosmosdb.client.operation.request_charge",
            40,
            &charged,
        ),
        durations("11:58", "db.client.operation.duration", 40, &charged),
        durations(
            "11:58",
            "http.client.request.duration",
            2,
            &json!({"server.service": "blob", "error.type": "503"}),
        ),
    ];
    tables.get_mut("AppMetrics").unwrap().extend(metrics);
    let spans = vec![
        dependency(
            "11:58",
            "UpdateDroneState",
            "InProc",
            &json!({"faas.name": "UpdateDroneState"}),
        ),
        dependency("11:58", "batch drones", "azure.cosmosdb", &charged),
        dependency("11:58", "POST webhook", "HTTP", &json!({})),
    ];
    tables.insert("AppDependencies", spans);
    tables
}

/// Every query, with what the workbook's reader asks for.
fn queries_about(asked: &str) -> Queries {
    sources::files("infra/queries")
        .into_iter()
        .map(|(path, text)| (path, (text.replace("{About}", asked), 60)))
        .collect()
}

/// The workbook's queries are understood, and answer something.
#[test]
fn every_query_is_understood_and_answers() {
    let cases = BTreeMap::from([("an hour", an_hour())]);
    let of_a_drone = run(&queries_about("drone-1"), &cases).unwrap();
    let of_a_trace = run(&queries_about(TRACE), &cases).unwrap();
    for (path, rows) in &of_a_drone["an hour"] {
        let is_rule = path.contains("/alert-");
        assert!(is_rule || !rows.is_empty(), "{path} answers nothing");
    }
    let count = |answers: &Answers, file: &str| {
        answers["an hour"][&format!("infra/queries/{file}.kql")].len()
    };
    // One line names the drone, all of them the trace.
    assert_eq!(count(&of_a_drone, "one-lines"), 1);
    assert!(count(&of_a_trace, "one-lines") > 4);
    assert_eq!(count(&of_a_drone, "one-alerts"), 1);
    for answers in [&of_a_drone, &of_a_trace] {
        let requests = an_hour()["AppRequests"].len();
        assert_eq!(count(answers, "one-traces"), requests + 3);
    }
    let nobody = run(&queries_about("drone-2"), &cases).unwrap();
    assert_eq!(count(&nobody, "one-lines"), 0);
    assert_eq!(count(&nobody, "one-traces"), 0);

    let map = &of_a_drone["an hour"]["infra/queries/map-traces.kql"];
    let calls: BTreeSet<_> = map
        .iter()
        .map(|row| {
            (
                row["caller"].as_str().unwrap(),
                row["called"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("UpdateDroneState", "Cosmos DB drones"),
        ("UpdateDroneState", "webhook"),
    ];
    assert_eq!(calls, BTreeSet::from(expected));
}

/// What a query asks for under another name than it is sent by is never there, and a rule over it never fires.
#[test]
fn queries_ask_for_metrics_that_are_sent_with_the_attributes_that_they_have() {
    let page = sources::read("handlers/TELEMETRY.md");
    let documented: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` |"))
        .map(|(name, rest)| {
            let attributes = rest.rsplit_once(" |").unwrap().0;
            let attributes = attributes.rsplit('|').next().unwrap();
            (name, attributes.split('`').skip(1).step_by(2).collect())
        })
        .collect();
    let mut asked = BTreeSet::new();
    for (path, text) in sources::files("infra/queries") {
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        // One `let`, or what comes after them, asks one table for a few metrics.
        for part in code.split(';').filter(|part| part.contains("AppMetrics\n")) {
            let names = metrics_of(part);
            assert!(!names.is_empty(), "{path} asks for every metric");
            for attribute in attributes_of(part) {
                let has = |name: &&str| documented[name].contains(&attribute);
                let some = names.iter().any(has);
                assert!(some, "{path}: {names:?} have no {attribute}");
            }
            asked.extend(names.into_iter().map(str::to_owned));
        }
    }
    for name in &asked {
        assert!(
            documented.contains_key(name.as_str()),
            "handlers/TELEMETRY.md lacks {name}"
        );
    }
    assert!(asked.len() > 12, "{asked:?}");
}

/// Of `Name == "…"` and `Name in ("…", "…")`, where that is the column of a metric.
fn metrics_of(part: &str) -> Vec<&str> {
    let of_all = part
        .match_indices("Name ")
        .filter(|(at, _)| !part[..*at].ends_with(|letter: char| letter.is_ascii_alphanumeric()));
    of_all
        .flat_map(|(at, name)| {
            let rest = &part[at + name.len()..];
            let end = match rest.starts_with("in (") {
                true => rest.find(')'),
                false => rest.match_indices('"').nth(1).map(|(at, _)| at),
            };
            rest[..end.unwrap()].split('"').skip(1).step_by(2)
        })
        .collect()
}

fn attributes_of(part: &str) -> Vec<&str> {
    let asked = part.split("Properties[\"").skip(1);
    asked.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// A query that nothing shows and no rule asks is forgotten.
#[test]
fn every_query_is_shown_or_watched() {
    let [rules, workbook] = ["alert-rules", "workbook"]
        .map(|module| sources::read(&format!("infra/modules/{module}.bicep")));
    for (path, text) in sources::files("infra/queries") {
        let file = path.rsplit('/').next().unwrap();
        let module = match file.starts_with("alert-") {
            true => &rules,
            false => &workbook,
        };
        let loaded = format!("loadTextContent('../queries/{file}')");
        assert!(module.contains(&loaded), "nothing loads {file}");
        // What the reader asks for is asked by the tab of one drone or trace, under this name.
        assert_eq!(
            text.contains("'{About}'"),
            file.starts_with("one-"),
            "{file}"
        );
    }
    assert!(workbook.contains("name: 'About'"));
}
