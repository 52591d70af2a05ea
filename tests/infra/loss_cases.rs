//! What is lost, turned away or not told of, and which alert rules have to fire.

use serde_json::json;

use crate::alert_cases::{
    Case, READERS, cosmos, is_before, is_of, minutes, posts, spans, well, with, without,
};
use crate::kql::Tables;
use crate::rows::{arrived, at, events};

pub fn losing() -> [Case; 4] {
    // Of the last half hour a function finishes fewer than came.
    let most = |function: &'static str, lost: f64| {
        let mut tables = well();
        for row in tables.get_mut("AppMetrics").unwrap() {
            if row["Name"] == "drone_delivery.events" && is_of(row, function) {
                let count = row["Sum"].as_f64().unwrap();
                row["Sum"] = (count * (1.0 - lost)).into();
            }
        }
        tables
    };
    let hour = (0..60).flat_map(|minute| {
        let time = format!("08:{minute:02}");
        READERS
            .iter()
            .flat_map(|(function, outcomes)| {
                outcomes
                    .iter()
                    .map(|(outcome, count)| events(&time, function, outcome, *count))
            })
            .chain([arrived(&time, 200.0)])
            .collect::<Vec<_>>()
    });
    let (hub, metrics): (Vec<_>, Vec<_>) = hour.partition(|row| row.get("Total").is_some());
    let longer = |tables: Tables| {
        let tables = with(tables, "AppMetrics", metrics.clone());
        with(tables, "AzureMetrics", hub.clone())
    };
    let tick = |function| events("10:00", function, "tick", 3_000.0);
    let ticked = || with(longer(well()), "AzureMetrics", [arrived("10:00", 3_000.0)]);
    [
        // More is late than is missed: of half an hour the last ten minutes are not looked at.
        (
            "a tenth is not archived for half an hour",
            (most("ArchiveTelemetry", 0.1), &[]),
        ),
        (
            "nearly half is not archived for half an hour, of a longer time",
            (
                longer(most("ArchiveTelemetry", 0.45)),
                &[("loss", "ArchiveTelemetry")],
            ),
        ),
        (
            "many ticks",
            (
                with(ticked(), "AppMetrics", READERS.map(|(name, _)| tick(name))),
                &[],
            ),
        ),
        (
            "ticks that a function lacks",
            (
                with(
                    ticked(),
                    "AppMetrics",
                    [tick("UpdateDroneState"), tick("RaiseAlerts")],
                ),
                &[("loss", "ArchiveTelemetry")],
            ),
        ),
    ]
}

pub fn others() -> [Case; 4] {
    let refused = minutes().skip(15);
    let refused = refused.map(|minute| posts(&minute, "refused", 5.0));
    let throttled = minutes().skip(20);
    let throttled = throttled.map(|minute| cosmos(&minute, "429", 20.0));
    [
        (
            "the webhook refuses alerts",
            (
                with(well(), "AppMetrics", refused),
                &[("webhook", "refused")],
            ),
        ),
        // A receiver that was restarted: as many, and it is over.
        (
            "the webhook was away for a minute",
            (
                with(well(), "AppMetrics", [posts("11:44", "unreachable", 90.0)]),
                &[],
            ),
        ),
        (
            "Cosmos DB turns requests away",
            (
                with(well(), "AppMetrics", throttled),
                &[("cosmos-429", "Cosmos DB")],
            ),
        ),
        // Nothing runs: there is no metric, no request and no failure.
        (
            "the app does not run",
            (
                without(
                    without(
                        without(well(), "AppMetrics", |row| {
                            is_before(row, "11:00") || is_of(row, "SummarizeDeliveries")
                        }),
                        "AppRequests",
                        |_| false,
                    ),
                    "AppTraces",
                    |row| row["Message"].as_str().unwrap().contains("looked at"),
                ),
                &[
                    ("behind", "UpdateDroneState"),
                    ("behind", "ArchiveTelemetry"),
                    ("behind", "RaiseAlerts"),
                    ("loss", "UpdateDroneState"),
                    ("loss", "ArchiveTelemetry"),
                    ("loss", "RaiseAlerts"),
                ],
            ),
        ),
    ]
}

pub fn own_telemetry() -> [Case; 4] {
    let detail = "OverQuota: daily quota reached, collection stops until the next reset";
    let capped = [
        json!({"TimeGenerated": at("11:50"), "Category": "Ingestion", "Operation": "Data collection stopped",
               "Detail": detail}),
        json!({"TimeGenerated": at("11:51"), "Category": "Workspace", "Operation": "Data collection",
               "Detail": "resumed"}),
    ];
    [
        (
            "the cap of the logs is reached",
            (
                with(well(), "_LogOperation", capped),
                &[("own-telemetry", "Data collection stopped")],
            ),
        ),
        (
            "spans are lost",
            (
                with(
                    well(),
                    "AppMetrics",
                    [spans("11:50", Some("queue_full"), 250.0)],
                ),
                &[("own-telemetry", "spans: queue_full")],
            ),
        ),
        (
            "a few spans are lost",
            (
                with(
                    well(),
                    "AppMetrics",
                    [spans("11:50", Some("export_failed"), 25.0)],
                ),
                &[],
            ),
        ),
        // Whoever looks at metrics alone believes that nothing runs.
        (
            "metrics do not arrive",
            (
                without(well(), "AppMetrics", |row| is_before(row, "11:20")),
                &[
                    ("own-telemetry", "metrics"),
                    ("behind", "UpdateDroneState"),
                    ("behind", "ArchiveTelemetry"),
                    ("behind", "RaiseAlerts"),
                    ("loss", "UpdateDroneState"),
                    ("loss", "ArchiveTelemetry"),
                    ("loss", "RaiseAlerts"),
                ],
            ),
        ),
    ]
}

pub fn silence() -> [Case; 2] {
    let quiet = minutes().map(|minute| arrived(&minute, 0.0)).collect();
    [
        (
            "no metric has a row",
            (Tables::new(), &[("silence", "telemetry")]),
        ),
        (
            "the metric says zero",
            (
                Tables::from([("AzureMetrics", quiet)]),
                &[("silence", "telemetry")],
            ),
        ),
    ]
}
