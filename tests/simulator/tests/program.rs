//! The program `drones` as a script sees it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn drones(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drones"))
        .args(arguments)
        .env_remove("EVENT_HUBS_CONNECTION_STRING")
        .env_remove("EVENT_HUBS_NAMESPACE")
        .env_remove("IOT_HUB_CONNECTION_STRING")
        .output()
        .unwrap()
}

#[test]
fn to_stdout_every_line_is_an_event_with_its_device() {
    let output = drones(&[
        "--to", "stdout", "--drones", "5", "--rate", "200", "--for", "1s",
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() >= 5, "{text}");
    for line in &lines[..5] {
        // A drone's first report is good in every scenario.
        assert_eq!(line["body"]["deviceId"], line["deviceId"]);
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("events sent"), "{said}");
}

#[test]
fn the_record_has_a_line_for_each_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.jsonl");
    let arguments = ["--to", "stdout", "--drones", "5", "--for", "1s", "--record"];
    let output = drones(&[&arguments[..], &[record.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<Value> = std::fs::read_to_string(&record)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5, "each drone is on a delivery");
    let time = |at: &str| lines[0].pointer(at).unwrap().as_str().unwrap().to_owned();
    assert!(time("/departed/from") < time("/pickedUp/from"));
    assert!(time("/droppedOff/until") < time("/arrived/from"));
    assert_eq!(lines[0]["deviceId"], "Simulated.drone-00001");
    let nowhere = folder.path().join("absent").join("record.jsonl");
    let output = drones(&[&arguments[..], &[nowhere.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("record.jsonl"), "{said}");
}

#[test]
fn quiet_says_nothing() {
    let output = drones(&["--to", "stdout", "--drones", "1", "--for", "1s", "--quiet"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[test]
fn what_is_missing_is_named_and_what_is_wrong_is_another_code() {
    for (to, variable) in [
        ("event-hubs", "EVENT_HUBS_CONNECTION_STRING"),
        ("iot-hub", "IOT_HUB_CONNECTION_STRING"),
    ] {
        let output = drones(&["--to", to]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("error: {variable} is not set\n"));
    }
    let output = drones(&["--scenario", "wild"]);
    assert_eq!(output.status.code(), Some(2));
}
