//! Whether the alert rules fire when they should, and stay silent when they should: their queries over rows as Application
//! Insights, the queues' log and the hub's metrics have them.

use std::collections::BTreeSet;

use drone_delivery::FUNCTIONS;
use serde_json::Value;

use crate::alert_cases::cases;
use crate::bicep::Value as Bicep;
use crate::kql::{Queries, run};
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
    // By OpenTelemetry the host has other rules for what it keeps, and these are of no effect: see infra/OPERATIONS.md.
    assert_eq!(host["telemetryMode"], Value::Null);
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

/// A query over a table that nothing is sent to is silent for ever.
#[test]
fn what_rules_read_is_sent_to_the_workspace() {
    let template = sources::template();
    let sent = |scope: &str, list: &str, category: &str| {
        template
            .of("Microsoft.Insights/diagnosticSettings")
            .filter(|setting| {
                setting
                    .body
                    .get("scope")
                    .and_then(Bicep::code)
                    .and_then(|symbol| template.resource_of(&setting.module, symbol))
                    .is_some_and(|resource| resource.is(scope))
            })
            .filter_map(|setting| setting.body.at(&format!("properties.{list}")))
            .flat_map(Bicep::list)
            .any(|log| {
                log.get("category").and_then(Bicep::text) == Some(category)
                    && log.get("enabled").and_then(Bicep::code) == Some("true")
            })
    };
    let queries: String = rules()
        .iter()
        .map(|rule| sources::read(&format!("infra/queries/{}", rule.file)))
        .collect();
    for (table, scope, list, category) in [
        (
            "StorageQueueLogs",
            "Microsoft.Storage/storageAccounts/queueServices",
            "logs",
            "StorageWrite",
        ),
        (
            "AzureMetrics",
            "Microsoft.EventHub/namespaces",
            "metrics",
            "AllMetrics",
        ),
    ] {
        assert!(queries.contains(table), "no rule reads {table} any more");
        assert!(
            sent(scope, list, category),
            "{table}: {category} of {scope}"
        );
    }
}

/// Each of these is an event that a drone sent and no hub got. The names are those of Azure Monitor, where a metric that is
/// not there is only silent.
#[test]
fn the_iot_hub_is_watched_for_what_it_does_not_pass_on() {
    let template = sources::template();
    let rules = &template.variables[&("alert-rules".to_owned(), "iotHubRules".to_owned())];
    let metrics: Vec<_> = rules
        .list()
        .iter()
        .map(|rule| rule.get("metric").unwrap().text().unwrap())
        .collect();
    assert_eq!(
        metrics,
        [
            "d2c.telemetry.egress.dropped",
            "d2c.telemetry.egress.orphaned",
            "d2c.telemetry.ingress.sendThrottle",
            "dailyMessageQuotaUsed",
        ]
    );
    let quota = rules.list()[3].get("above").unwrap();
    assert_eq!(quota.code(), Some("iotHubDailyMessages / 10 * 9"));
}
