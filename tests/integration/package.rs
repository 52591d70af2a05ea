//! The package and the list of functions agree, and production code stays free of test code.

use std::collections::BTreeSet;
use std::process::Command;

use drone_delivery::FUNCTIONS;
use local::stage::{StageOptions, stage};

use crate::support::{binary, repository};

#[test]
fn every_event_hubs_function_reads_binary_batches_and_is_retried_for_ever() {
    let mut groups = BTreeSet::new();
    for function in FUNCTIONS
        .iter()
        .filter(|function| function.trigger == "eventHubTrigger")
    {
        let json: serde_json::Value = serde_json::from_str(function.json).unwrap();
        let trigger = &json["bindings"][0];
        assert_eq!(trigger["dataType"], "binary", "{}", function.name);
        assert_eq!(trigger["cardinality"], "many", "{}", function.name);
        assert_eq!(json["retry"]["maxRetryCount"], -1, "{}", function.name);
        let group = trigger["consumerGroup"].as_str().unwrap().to_owned();
        assert!(
            groups.insert(group),
            "{} shares its consumer group",
            function.name
        );
    }
    assert_eq!(groups.len(), 3);
}

#[test]
fn the_staged_app_holds_what_the_host_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("app");
    stage(&StageOptions {
        binary: binary(),
        source: repository(),
        out: out.clone(),
        local_settings: false,
    })
    .unwrap();
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(&out).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            for inner in std::fs::read_dir(entry.path()).unwrap() {
                files.insert(format!(
                    "{name}/{}",
                    inner.unwrap().file_name().into_string().unwrap()
                ));
            }
        } else {
            files.insert(name);
        }
    }
    let mut expected = BTreeSet::from(["host.json".to_owned(), "drone-delivery".to_owned()]);
    expected.extend(
        FUNCTIONS
            .iter()
            .map(|function| format!("{}/function.json", function.name)),
    );
    assert_eq!(files, expected);
}

/// The test build of the binary shares features with the tests; what is shipped is built alone.
#[test]
fn the_production_binary_is_built_without_the_emulator() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            "drone-delivery",
        ])
        .args(["--edges", "normal,build,features"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("azure_data_cosmos_driver"), "{tree}");
    for forbidden in [
        "emulator",
        "fault_injection",
        " local v",
        " simulator v",
        "control_plane",
    ] {
        assert!(
            !tree.contains(forbidden),
            "{forbidden} is part of the production build"
        );
    }
}

/// Settings are read before anything is opened, and the message names the one that is wrong.
#[test]
fn a_missing_setting_stops_the_start_and_is_named() {
    let complete = [
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "1"),
        (
            "TelemetryHub",
            "Endpoint=sb://fleet.servicebus.windows.net/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0",
        ),
        ("TelemetryHubName", "telemetry"),
        (
            "CosmosDb",
            "AccountEndpoint=http://127.0.0.1:1/;AccountKey=c2VjcmV0;",
        ),
        ("CosmosDbDatabase", "drone-delivery"),
        ("FleetStorage", "UseDevelopmentStorage=true"),
        (
            "AlertWebhookUrl",
            "https://alerts.example.com/?code=c2VjcmV0",
        ),
        ("AlertWebhookTimeoutSeconds", "10"),
    ];
    for (name, bad) in [
        ("TelemetryHub", ""),
        (
            "TelemetryHub",
            "Endpoint=sb://fleet.servicebus.windows.net/;SharedAccessKey=c2VjcmV0",
        ),
        ("TelemetryHub", "Endpoint=http://fleet.example.com/c2VjcmV0"),
        ("TelemetryHubName", ""),
        ("CosmosDb", ""),
        ("CosmosDb", "AccountKey=c2VjcmV0"),
        ("CosmosDbDatabase", ""),
        ("FleetStorage", ""),
        ("FleetStorage", "AccountName=fleet"),
        ("AlertWebhookUrl", "http://alerts.example.com/c2VjcmV0"),
        ("AlertWebhookUrl", "c2VjcmV0"),
        ("AlertWebhookTimeoutSeconds", "0"),
        ("AlertWebhookTimeoutSeconds", "soon"),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", ""),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "many"),
    ] {
        let settings = complete.iter().map(|(key, value)| {
            if *key == name {
                (*key, bad)
            } else {
                (*key, *value)
            }
        });
        let output = Command::new(binary())
            .env_clear()
            .envs(settings.filter(|(_, value)| !value.is_empty()))
            .output()
            .unwrap();
        assert!(!output.status.success(), "{name}={bad}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(name), "{name}={bad}: {said}");
        assert!(!said.contains("c2VjcmV0"), "a key was printed");
        assert_eq!(said.trim().lines().count(), 1, "one message: {said}");
    }
}
