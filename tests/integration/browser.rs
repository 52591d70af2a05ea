//! The map in a real browser, against the real system.

use std::path::Path;

use local::browser::{self, Script};

use crate::support::{Fleet, repository};

/// Set where a missing browser must not be overlooked, as in `.ci/run`.
const REQUIRED: &str = "REQUIRE_BROWSER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_can_watch_the_fleet() {
    if browser::chromium().is_none() {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set and there is no Chromium"
        );
        eprintln!("SKIPPED: there is no Chromium to look at the map with");
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
