//! The pages in a real browser, against the real system.

use std::path::Path;

use axum::http::StatusCode;
use local::browser::{self, Script};
use local::fault::Fault;
use local::otlp::Telemetry;

use crate::insights::{fleet_json, put, put_day};
use crate::notify::Receiver;
use crate::support::{Fleet, repository};

/// Set where a missing browser must not be overlooked, as in `.ci/run`.
const REQUIRED: &str = "REQUIRE_BROWSER";

fn there_is_a_browser() -> bool {
    let found = browser::chromium().is_some();
    if !found {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set and there is no Chromium"
        );
        eprintln!("SKIPPED: there is no Chromium to look at the page with");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_can_watch_the_fleet() {
    if !there_is_a_browser() {
        return;
    }
    let fleet = Fleet::start().await;
    let settings = [
        ("MAP", format!("{}/map", fleet.system.api_url())),
        ("HUB", fleet.system.hub_url()),
    ];
    let mut running = Some(fleet);
    browser::run(Script::Watch, &settings, |line| {
        eprintln!("browser: {line}");
        if line == "stop the host" {
            running = None;
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(running.is_none(), "the script has come to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_can_read_what_the_fleet_did() {
    if !there_is_a_browser() {
        return;
    }
    let fleet = Fleet::start().await;
    for (date, hours, open) in [("2024-05-01", 24, 24), ("2024-05-02", 15, 14)] {
        put_day(&fleet, date, &fleet_json(date, 0..hours, open)).await;
    }
    let damaged = "fleet_hours/date=2024-04-30/fleet.json";
    put(&fleet, damaged, "not what it should be").await;
    let settings = [
        ("PAGE", format!("{}/fleet/insights", fleet.system.api_url())),
        // To the page it is this time, in the middle of the last hour.
        ("NOW", "2024-05-02T14:37:00Z".to_owned()),
    ];
    let mut running = Some(fleet);
    browser::run(Script::Insights, &settings, |line| {
        eprintln!("browser: {line}");
        if line == "stop the host" {
            running = None;
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(running.is_none(), "the script has come to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_can_see_what_happens() {
    if !there_is_a_browser() {
        return;
    }
    let telemetry = Telemetry::start(Some(0), None).await.unwrap();
    let collector = telemetry.url();
    let webhook = Receiver::answering(StatusCode::OK).await;
    let webhook_url = format!("http://127.0.0.1:{}/", webhook.port);
    let fleet = Fleet::with_settings(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("AlertWebhookUrl", &webhook_url),
    ])
    .await;
    let settings = [
        ("PAGE", telemetry.url()),
        ("HUB", fleet.system.hub_url()),
        ("API", fleet.system.api_url()),
    ];
    let mut collecting = Some(telemetry);
    browser::run(Script::WhatHappens, &settings, |line| {
        eprintln!("browser: {line}");
        match line {
            "break Cosmos DB" => fleet
                .system
                .cosmos
                .set_fault_plan(Some(Fault::Status(503).into())),
            "mend Cosmos DB" => fleet.system.cosmos.set_fault_plan(None),
            "stop the collector" => collecting = None,
            _ => {}
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(collecting.is_none(), "the script has come to its end");
}

/// What the page of the insights works out needs no browser.
#[test]
fn the_sums_of_the_insights_are_right() {
    let output = std::process::Command::new("node")
        .arg(repository().join("tests/browser/figures.mjs"))
        .env(
            "PAGE",
            repository().join("handlers/functions/fleet_insights/page"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What the map works out needs no browser.
#[test]
fn the_maps_sums_are_right() {
    let output = std::process::Command::new("node")
        .arg(repository().join("tests/browser/geo.mjs"))
        .env(
            "GEO",
            repository().join("handlers/functions/fleet_map/page/geo.js"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The lock file holds the packages' hashes: what is vendored is what they say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_map_is_made_of_is_what_npm_has() {
    let installed = browser::PACKAGES
        .installed()
        .await
        .unwrap_or_else(|error| panic!("{error}"))
        .join("node_modules");
    let vendored = repository().join("handlers/functions/fleet_map/vendor");
    for (ours, theirs) in [
        ("leaflet/leaflet.js", "leaflet/dist/leaflet.js"),
        ("leaflet/leaflet.css", "leaflet/dist/leaflet.css"),
        ("leaflet/LICENSE", "leaflet/LICENSE"),
        ("world-atlas/land-50m.json", "world-atlas/land-50m.json"),
        ("world-atlas/LICENSE", "world-atlas/LICENSE"),
    ] {
        let read = |path: &Path| std::fs::read(path).unwrap();
        assert_eq!(
            read(&vendored.join(ours)),
            read(&installed.join(theirs)),
            "{ours}"
        );
    }
}
