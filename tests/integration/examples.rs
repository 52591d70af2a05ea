//! The SDK's examples, each an app of its own: what `cargo local up --app DIR` and `cargo stage --app DIR` make of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use local::app::{AppFolder, AppOptions, RunningApp};
use local::azurite::StorageAccount;
use local::build;
use local::host::LogSink;
use local::stage::{package, stage_app};
use serde_json::Value;

use crate::support::{PATIENCE, repository, storage};

const EXAMPLES: &str = "handlers/sdk/examples";

/// The executable of an example. Cargo builds them all with the tests of the workspace; here it says where they are, and
/// builds them where only these tests are run.
fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let output = build::cargo()
            .args(["build", "--locked", "--examples"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(repository())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the examples do not compile");
        let messages = String::from_utf8(output.stdout).unwrap();
        let artifacts = messages
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        artifacts
            .filter(|message| message["target"]["kind"][0] == "example")
            .filter_map(|message| {
                let name = message["target"]["name"].as_str()?.to_owned();
                Some((name, message["executable"].as_str()?.into()))
            })
            .collect()
    });
    let found = built.iter().find(|(example, _)| example == name);
    found.expect("an example").1.clone()
}

struct Example {
    running: RunningApp,
    storage: StorageAccount,
}

impl Example {
    async fn start(name: &str) -> Self {
        let app = AppFolder::read(&repository().join(EXAMPLES).join(name)).unwrap();
        let storage = storage();
        let options = AppOptions {
            http_port: 0,
            hub_port: 0,
            partitions: 2,
            settings: Vec::new(),
        };
        let log = LogSink::new(|line| eprintln!("{line}"));
        let binary = tokio::task::spawn_blocking({
            let name = name.to_owned();
            move || binary(&name)
        });
        let binary = binary.await.unwrap();
        let running = RunningApp::start(&app, &binary, &storage, &options, log);
        Self {
            running: running.await.unwrap(),
            storage,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.running.host.http_address())
    }

    /// Waits until nothing is left to do, and takes what is in a queue.
    async fn taken(&self, queue: &str) -> Vec<String> {
        self.running.host.settled(PATIENCE).await.unwrap();
        let mut messages = self.storage.take_queue_messages(queue).await.unwrap();
        messages.sort();
        messages
    }
}

async fn post(url: &str, body: &str) -> u16 {
    let request = reqwest::Client::new().post(url).body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queues_function_takes_messages_and_puts_out_others() {
    let example = Example::start("queue").await;
    let by_hand = example.url("admin/functions/Greet");
    for name in ["Ada", "Grace", " "] {
        let body = serde_json::json!({ "input": name }).to_string();
        assert_eq!(post(&by_hand, &body).await, 202);
    }
    assert_eq!(
        example.taken("greetings").await,
        ["Hello, Ada!", "Hello, Grace!"]
    );
    assert_eq!(example.taken("names-poison").await, [" "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_answered_by_axum_or_by_an_output() {
    let example = Example::start("http").await;
    let hello = reqwest::get(example.url("api/hello/Ada")).await.unwrap();
    assert_eq!(hello.text().await.unwrap(), "Hello, Ada!\n");
    let orders = example.url("api/orders");
    assert_eq!(post(&orders, "").await, 400);
    assert_eq!(post(&orders, "a propeller").await, 202);
    assert_eq!(example.taken("orders").await, ["a propeller"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timers_calls_share_state() {
    let example = Example::start("timer").await;
    for _ in 0..2 {
        example
            .running
            .host
            .run_timer("CountMinutes")
            .await
            .unwrap();
    }
    let minutes = example.taken("minutes").await;
    // The minute may turn meanwhile.
    assert_eq!(minutes[..2], ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_events_are_worked_off_and_what_is_wrong_is_put_aside() {
    let example = Example::start("event_hubs").await;
    let (_, address) = example.running.hub.as_ref().expect("a hub");
    let hub = format!("http://{address}/readings/messages");
    for reading in ["1.5", "a lot", "2"] {
        assert_eq!(post(&hub, reading).await, 201);
    }
    let rejected = example.taken("rejected").await;
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert!(
        rejected[0].ends_with("invalid float literal"),
        "{rejected:?}"
    );
    assert_eq!(example.running.host.stats()["CountReadings"].events, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_laid_out_and_packed() {
    let folder = tempfile::tempdir().unwrap();
    let app = AppFolder::read(&repository().join(EXAMPLES).join("http")).unwrap();
    let binary = tokio::task::spawn_blocking(|| binary("http"))
        .await
        .unwrap();
    let staged = stage_app(&app, &binary, &folder.path().join("app"), true).unwrap();
    assert_eq!(staged.functions, ["Hello", "TakeOrder"]);
    let same = |file: &Path, source: &Path| {
        assert_eq!(std::fs::read(file).unwrap(), std::fs::read(source).unwrap());
    };
    let examples = repository().join(EXAMPLES);
    for name in ["host.json", "TakeOrder/function.json"] {
        same(&staged.root.join(name), &examples.join("http").join(name));
    }
    same(&staged.root.join("handler"), &binary);
    assert!(package(&staged).unwrap().bytes > 100_000);
}
