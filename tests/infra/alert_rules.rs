//! Whether the alert rules fire when they should, and stay silent when they should: their queries over rows as Application
//! Insights, the queues' log and the hub's metrics have them.

use std::collections::{BTreeMap, BTreeSet};

use drone_delivery::FUNCTIONS;
use serde_json::{Value, json};

use crate::alert_cases::{cases, failed, well};
use crate::bicep::Value as Bicep;
use crate::kql::{Answers, Queries, Tables, run};
use crate::rows::{TRACE, dependency, durations, line, metric};
use crate::sources;

/// A rule over logs, as it is in Bicep.
struct Rule {
    name: String,
    minutes: u32,
    above: f64,
    file: String,
}

/// Of `PT15M`, `PT3H` or `P1D`.
fn minutes(window: &str) -> u32 {
    let time = window.trim_start_matches(['P', 'T']);
    let (number, unit) = time.split_at(time.len() - 1);
    let number: u32 = number.parse().unwrap();
    match unit {
        "M" => number,
        "H" => number * 60,
        "D" => number * 1_440,
        other => panic!("{window}: {other}"),
    }
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
            minutes: minutes(&text("window")),
            above: threshold(&text("above")),
            file: file.rsplit('/').next().unwrap().to_owned(),
        }
    };
    rules.list().iter().map(of).collect()
}

/// Of a number, or so much for each hour that the hub keeps events, by default a day.
fn threshold(above: &str) -> f64 {
    match above.strip_prefix("retentionHours * ") {
        Some(each) => 24.0 * each.parse::<f64>().unwrap(),
        None => above.parse().unwrap(),
    }
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
            "UpdateDroneState",
            1,
            "INFO",
            &json!({"message": "batch applied", "batch.events": 100, "drones.written": 60, "drones.unchanged": 2}),
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
    let of = |attributes: Value| attributes.as_object().unwrap().clone();
    let spans = vec![
        dependency(
            "11:58",
            "UpdateDroneState",
            "InProc",
            of(json!({"faas.name": "UpdateDroneState"})),
        ),
        dependency("11:58", "batch drones", "azure.cosmosdb", of(charged)),
        dependency("11:58", "POST webhook", "HTTP", of(json!({}))),
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

/// Who is woken by a rule that no page explains begins with nothing.
#[test]
fn every_rule_is_in_the_runbook() {
    let page = sources::read("infra/runbook.md");
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split_once(" |").unwrap().0)
        .collect();
    let has = |name: &str| {
        rows.iter()
            .any(|row| format!("`{row}").contains(&format!("`{name}`")))
    };
    let mut names: Vec<String> = rules().into_iter().map(|rule| rule.name).collect();
    for module in ["alert-rules", "availability"] {
        let text = sources::read(&format!("infra/modules/{module}.bicep"));
        let named = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("name: '${name}-"));
        let named = named.filter(|name| !name.contains("${"));
        names.extend(named.map(|name| name.trim_end_matches('\'').to_owned()));
    }
    let template = sources::template();
    let of_the_hub = &template.variables[&("alert-rules".to_owned(), "iotHubRules".to_owned())];
    let of_the_hub = of_the_hub.list().iter();
    names.extend(
        of_the_hub.map(|rule| format!("iot-hub-{}", rule.get("name").unwrap().text().unwrap())),
    );
    let missing: Vec<_> = names.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "infra/runbook.md lacks {missing:?}");
    assert!(names.len() > 18, "{names:?}");
    // A rule that is gone.
    let told = rows.iter().flat_map(|row| row.split('`').step_by(2));
    let told = told.filter(|name| {
        name.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '-')
    });
    for name in told.filter(|name| !name.is_empty()) {
        assert!(names.iter().any(|rule| rule == name), "no rule {name}");
    }
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

/// A reader that a query does not name could stand still unnoticed.
#[test]
fn queries_name_every_function_that_reads_the_hub() {
    for file in ["alert-behind.kql", "alert-loss.kql"] {
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
        // No metric says how many units wait, and of the lines that say it any one will do.
        if rule.name != "insights" {
            assert!(!text.contains("AppTraces"), "{}", rule.file);
        }
        assert!(!text.contains("AppDependencies"), "{}", rule.file);
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
        // Called for each batch, or for each partition's hour, and where the hour under way counts at each look.
        if function.trigger == "eventHubTrigger" || function.name == "SummarizeHour" {
            assert_eq!(calls, "Warning", "{}", function.name);
        }
    }
}
