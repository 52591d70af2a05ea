//! The official clients, as applications use them. Node's is installed as its lock file pins it; Python's is used where it is there.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::*;
use crate::hub::{AmqpListener, NewEvent};
use crate::npm::{NODE, Packages};

/// The client, with what it needs.
pub(crate) const PACKAGES: Packages = Packages {
    name: "event-hubs",
    title: "the client of Event Hubs (first use, some seconds)",
    package: include_str!("../../../../event-hubs/package.json"),
    lock: include_str!("../../../../event-hubs/package-lock.json"),
    proof: "node_modules/@azure/event-hubs/package.json",
};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("event-hubs")
        .join(name)
}

fn command(program: &str, name: &str, listener: &AmqpListener) -> Command {
    let mut command = Command::new(program);
    command
        .arg(script(name))
        .env("EVENT_HUBS", listener.connection_string())
        .env("HUB", "telemetry")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn node(listener: &AmqpListener, task: &str) -> Command {
    let packages = PACKAGES.installed().await.unwrap();
    let mut command = command(NODE, "client.mjs", listener);
    command.arg(task).env("PACKAGES", packages);
    command
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("all right"), "{said}\n{errors}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_client_writes_and_reads() {
    let hub = Hub::new("telemetry", 4);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    let output = node(&listener, "check").await.output().await.unwrap();
    let said = succeeded(&output);
    let keys = said
        .lines()
        .find_map(|line| line.strip_prefix("keys "))
        .unwrap();
    let keys: std::collections::BTreeMap<String, String> = serde_json::from_str(keys).unwrap();
    assert_eq!(keys.len(), 12);
    for (key, partition) in keys {
        assert_eq!(hub.partition_for_key(&key).to_string(), partition, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_killed_is_replaced_where_it_stood() {
    let hub = Hub::new("telemetry", 2);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    for number in 0..200 {
        hub.append(in_first(number));
    }
    let (mut first, mut lines) = reader(&listener, None).await;
    let mut seen = Vec::new();
    let mut offset = None;
    while seen.len() < 100 {
        let (at, body) = next(&mut lines).await;
        seen.push(body);
        offset = Some(at);
    }
    first.kill().await.unwrap();
    for number in 200..300 {
        hub.append(in_first(number));
    }
    // The one before may not have been missed yet; the same owner level takes its place.
    let (_second, mut lines) = reader(&listener, offset).await;
    while seen.len() < 300 {
        seen.push(next(&mut lines).await.1);
    }
    let expected: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
}

fn in_first(number: u32) -> NewEvent {
    let mut event = NewEvent::new(number.to_string());
    event.partition = Some(0);
    event
}

async fn reader(
    listener: &AmqpListener,
    offset: Option<String>,
) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = node(listener, "read").await;
    command
        .env("PARTITION", "0")
        .env("OFFSET", offset.unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> (String, String) {
    let line = lines
        .next_line()
        .await
        .unwrap()
        .expect("the reader goes on");
    let (offset, body) = line.split_once(' ').unwrap();
    (offset.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_client_writes_and_reads() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_client = Command::new(&python)
        .args(["-c", "import azure.eventhub"])
        .stdin(Stdio::null())
        .output()
        .await
        .is_ok_and(|output| output.status.success());
    if !has_client {
        return;
    }
    let hub = Hub::new("telemetry", 4);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    let output = command(&python, "client.py", &listener)
        .output()
        .await
        .unwrap();
    succeeded(&output);
}
