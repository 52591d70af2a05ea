//! What becomes of the hours that are to be summarised, in the lines of SummarizeDeliveries and the metrics of units, and whether
//! the alert rule on them has to fire.

use serde_json::{Value, json};

use crate::alert_cases::{Case, Fired, well};
use crate::kql::Tables;
use crate::rows::{at, line, metric};

/// What SummarizeDeliveries says when it has looked.
fn look(time: &str, outstanding: u32, failed: u32) -> Value {
    let fields = json!({"message": "insights looked at", "units.due": outstanding, "units.queued": outstanding,
                        "units.outstanding": outstanding, "days.failed": failed});
    line(time, "SummarizeDeliveries", None, "INFO", &fields)
}

/// Each look of three hours; `found` says how many units wait at `9` hours and `35` minutes.
pub fn looks(found: impl Fn(u32, u32) -> u32) -> Vec<Value> {
    looks_at_days(|hour, minute| (found(hour, minute), 0))
}

/// The same, and how many days' figures cannot be made.
fn looks_at_days(found: impl Fn(u32, u32) -> (u32, u32)) -> Vec<Value> {
    let times = (9..12).flat_map(|hour| (0..60).step_by(5).map(move |minute| (hour, minute)));
    times
        .map(|(hour, minute)| {
            let (outstanding, failed) = found(hour, minute);
            look(&format!("{hour:02}:{minute:02}"), outstanding, failed)
        })
        .collect()
}

/// The two partitions of an hour that is over, from its end until they are summarised.
pub fn usual(_: u32, minute: u32) -> u32 {
    if (5..15).contains(&minute) { 2 } else { 0 }
}

/// The same rows with other looks.
fn looked(mut tables: Tables, looks: Vec<Value>) -> Tables {
    let traces = tables.get_mut("AppTraces").unwrap();
    traces.retain(|row| !is_look(row));
    traces.extend(looks);
    tables
}

fn is_look(row: &Value) -> bool {
    let message = row["Message"].as_str().unwrap();
    message.contains("insights looked at")
}

/// Calls of SummarizeDeliveries that did not fail, from one time on, are gone.
fn blind(mut tables: Tables, from: &str) -> Tables {
    let metrics = tables.get_mut("AppMetrics").unwrap();
    metrics.retain(|row| {
        let is_look = row["Properties"]["faas.name"] == "SummarizeDeliveries";
        !is_look || row["TimeGenerated"].as_str().unwrap() < at(from).as_str()
    });
    tables
}

/// What became of units in the half hours of two hours.
fn units(outcomes: &[(&str, &[&str])]) -> Tables {
    let mut tables = well();
    for (outcome, times) in outcomes {
        let attributes = json!({"outcome": outcome});
        let rows = times
            .iter()
            .map(|time| metric(time, "drone_delivery.insights.units", 2.0, &attributes));
        tables.get_mut("AppMetrics").unwrap().extend(rows);
    }
    tables
}

/// What becomes of the hours that are to be summarised.
pub fn insights() -> [Case; 11] {
    const FIRED: &[Fired] = &[("insights", "SummarizeDeliveries")];
    let with = |outstanding: fn(u32, u32) -> u32| looked(well(), looks(outstanding));
    // Nothing was archived until half an hour ago.
    let mut idle = looked(well(), Vec::new());
    let metrics = idle.get_mut("AppMetrics").unwrap();
    metrics.retain(|row| row["TimeGenerated"].as_str().unwrap() > at("11:00").as_str());
    let recent = looks(|_, _| 2).split_off(30);
    [
        // One partition's hour fails again and again: the others are done.
        (
            "a unit that stays",
            (
                with(|hour, minute| u32::from(hour > 9 || minute > 40)),
                FIRED,
            ),
        ),
        (
            "the figures of a day that cannot be made",
            (
                looked(
                    well(),
                    looks_at_days(|hour, minute| (usual(hour, minute), 1)),
                ),
                FIRED,
            ),
        ),
        // Something waits at every look, and less than two hours ago nothing did.
        (
            "much to summarise for an hour and a half",
            (
                with(|hour, minute| 3 * u32::from((hour, minute) > (10, 25))),
                &[],
            ),
        ),
        // Each look fails, and writes no line.
        (
            "nobody looks",
            (blind(looked(well(), Vec::new()), "09:00"), FIRED),
        ),
        (
            "nobody has looked for two hours",
            (
                blind(looked(well(), looks(usual)[..10].to_vec()), "09:50"),
                FIRED,
            ),
        ),
        // The lines of a busy system are sampled; that somebody looked is in a metric.
        (
            "no line of a look is kept",
            (looked(well(), Vec::new()), &[]),
        ),
        // Half an hour after the first deployment nobody can have waited for two.
        (
            "before the first look",
            (blind(looked(idle.clone(), Vec::new()), "09:00"), &[]),
        ),
        ("the first half hour", (looked(idle, recent.clone()), &[])),
        (
            "looking begins in a system that has run before",
            (looked(well(), recent), &[]),
        ),
        (
            "units keep failing",
            (
                units(&[
                    ("failed", &["10:10", "10:40", "11:10", "11:40"]),
                    ("summarized", &["10:10"]),
                ]),
                &[("insights", "SummarizeHour")],
            ),
        ),
        // Tried again, and made.
        (
            "units fail once",
            (
                units(&[("failed", &["10:10", "10:12"]), ("summarized", &["10:15"])]),
                &[],
            ),
        ),
    ]
}
