//! The host with a real process as its handler: this test binary, started again to run [`acts_as_a_handler`].

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Mutex;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::memory_queues::MemoryQueues;
use super::*;
use crate::hub::NewEvent;

const PATIENCE: Duration = Duration::from_secs(20);
const EVENTS: &str = r#"{"retry":{"strategy":"fixedDelay","maxRetryCount":-1,"delayInterval":"00:00:00.010"},
    "bindings":[{"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub","eventHubName":"telemetry",
    "consumerGroup":"g","cardinality":"many","dataType":"binary"}]}"#;
const HTTP: &str = r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","methods":["get","post"],"route":"things/{id}"},
    {"type":"http","direction":"out","name":"res"}]}"#;
/// Not forwarded, because there is a second output.
const HTTP_AND_QUEUE: &str = r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},
    {"type":"http","direction":"out","name":"res"},
    {"type":"queue","direction":"out","name":"q","connection":"Store","queueName":"orders"}]}"#;

/// Due once a year.
const TIMER: &str = r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 0 1 1 *"}]}"#;
const QUEUE: &str = r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"q","connection":"Store","queueName":"orders"}]}"#;

/// The handler. Its first calls do what the file `misdeeds` in the app's root says, one line each: `exit N` or `hang`.
#[test]
#[ignore = "this is the handler that the other tests start"]
fn acts_as_a_handler() {
    let Ok(port) = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap()))
            .await
            .unwrap();
        let router = Router::new()
            .route(
                "/Fly",
                post(async || misdeed().unwrap_or_else(|| envelope(&json!({})))),
            )
            .route("/Order", post(order))
            .route("/Sweep", post(async || envelope(&json!({}))))
            .route(
                "/Take",
                post(async || misdeed().unwrap_or_else(|| envelope(&json!({})))),
            )
            .route("/api/{*path}", any(echo));
        axum::serve(listener, router).await.unwrap();
    });
}

fn misdeed() -> Option<Response> {
    let file = Path::new(&std::env::var("FUNCTIONS_APP_ROOT_PATH").unwrap()).join("misdeeds");
    let text = std::fs::read_to_string(&file).ok()?;
    let (first, rest) = text.split_once('\n')?;
    std::fs::write(&file, rest).unwrap();
    if let Some(code) = first.strip_prefix("exit ") {
        std::process::exit(code.parse().unwrap());
    }
    Some(StatusCode::NO_CONTENT.into_response())
}

async fn order(body: Bytes) -> Response {
    let call: Value = serde_json::from_slice(&body).unwrap();
    let request = &call["Data"]["req"];
    envelope(&json!({"Outputs": {
        "res": {"statusCode": 202, "status": 500, "body": request["Body"], "headers": {"x-method": request["Method"]}},
        "q": [request["Query"]["what"]],
    }}))
}

async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let text = json!({
        "uri": parts.uri.to_string(),
        "method": parts.method.to_string(),
        "custom": header("x-custom"),
        "invocation": header("x-azure-functions-invocationid").is_some(),
        "body": String::from_utf8_lossy(&body),
    });
    (
        StatusCode::IM_A_TEAPOT,
        [("x-answer", "whole")],
        text.to_string(),
    )
        .into_response()
}

fn envelope(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

struct Rig {
    root: TempDir,
    hub: Hub,
    queues: Arc<MemoryQueues>,
    log: Arc<Mutex<Vec<String>>>,
    host_json: Value,
    unlimited_restarts: bool,
}

impl Rig {
    fn new(functions: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in functions {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("function.json"), text).unwrap();
        }
        let test = module_path!().split_once("::").unwrap().1.to_owned() + "::acts_as_a_handler";
        Self {
            root,
            hub: Hub::new("telemetry", 2),
            queues: Arc::default(),
            log: Arc::default(),
            host_json: json!({"version": "2.0", "functionTimeout": "00:01:00", "customHandler": {
                "description": {
                    "defaultExecutablePath": std::env::current_exe().unwrap(),
                    "arguments": ["--ignored", "--exact", "%Test%", "--nocapture"],
                },
                "enableForwardingHttpRequest": true,
            }, "test": test}),
            unlimited_restarts: false,
        }
    }

    fn misdeeds(&self, lines: &str) {
        std::fs::write(self.root.path().join("misdeeds"), lines).unwrap();
    }

    async fn start(&self) -> Result<Host, HostError> {
        std::fs::write(
            self.root.path().join("host.json"),
            self.host_json.to_string(),
        )
        .unwrap();
        let log = Arc::clone(&self.log);
        let settings = [
            ("Hub", "Endpoint=sb://localhost"),
            ("Store", "secret"),
            ("Test", self.host_json["test"].as_str().unwrap()),
        ];
        let options = HostOptions {
            app_root: self.root.path().to_owned(),
            settings: settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            http_port: 0,
            hub: self.hub.clone(),
            log: LogSink::new(move |line| log.lock().unwrap().push(line)),
            ledger: Arc::default(),
            unlimited_restarts: self.unlimited_restarts,
        };
        Host::start_with(options, self.queues.accounts()).await
    }

    fn send(&self, events: usize) {
        for _ in 0..events {
            self.hub.append(NewEvent::new("{}"));
        }
    }
}

/// The next event of the host that is of interest.
async fn news(
    events: &mut broadcast::Receiver<HostEvent>,
    wanted: impl Fn(&HostEvent) -> bool,
) -> HostEvent {
    let wait = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the host says so")
}

fn is_ready(event: &HostEvent) -> bool {
    matches!(event, HostEvent::HandlerReady { .. })
}

/// One request on a connection of its own, written by hand so that nothing is added to it.
async fn http(host: &Host, request: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(host.http_address())
        .await
        .unwrap();
    stream
        .write_all(request.replace('\n', "\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

fn echoed(body: &str) -> Value {
    serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap()
}

#[tokio::test]
async fn events_reach_the_process_and_its_usage_is_known() {
    let rig = Rig::new(&[("Fly", EVENTS)]);
    let host = rig.start().await.unwrap();
    rig.send(10);
    host.settled(PATIENCE).await.unwrap();
    assert_eq!(host.stats()["Fly"].events, 10);
    let handler = host.handler();
    assert!(
        handler.pid.is_some() && handler.ready > Duration::ZERO,
        "{handler:?}"
    );
    assert!(
        handler.peak_rss_bytes >= handler.rss_bytes && handler.rss_bytes > 0,
        "{handler:?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_handler_that_ends_at_once_is_quoted() {
    let mut rig = Rig::new(&[]);
    rig.host_json["customHandler"]["description"]["arguments"] = json!(["--no-such-option"]);
    let Err(error) = rig.start().await else {
        panic!("the handler does not start");
    };
    assert!(matches!(error, HostError::EndedEarly { .. }), "{error}");
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[tokio::test]
async fn a_handler_that_does_not_exist_is_named() {
    let mut rig = Rig::new(&[]);
    rig.host_json["customHandler"]["description"]["defaultExecutablePath"] =
        json!("no-such-handler");
    let Err(error) = rig.start().await else {
        panic!("the handler does not start");
    };
    assert!(matches!(error, HostError::Spawn { .. }), "{error}");
    assert!(error.to_string().contains("no-such-handler"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let rig = Rig::new(&[("Fly", EVENTS)]);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(rig.root.path().join("host.json"), rig.host_json.to_string()).unwrap();
    let options = HostOptions {
        app_root: rig.root.path().to_owned(),
        settings: BTreeMap::from([
            ("Hub".to_owned(), "Endpoint=sb://localhost".to_owned()),
            ("Test".to_owned(), String::new()),
        ]),
        http_port: port,
        hub: rig.hub.clone(),
        log: LogSink::discard(),
        ledger: Arc::default(),
        unlimited_restarts: false,
    };
    let Err(error) = Host::start(options).await else {
        panic!("the port is taken");
    };
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_crash_in_mid_call_is_followed_by_a_restart_and_the_same_events() {
    let rig = Rig::new(&[("Fly", EVENTS)]);
    rig.misdeeds("exit 3\n");
    let host = rig.start().await.unwrap();
    rig.send(1);
    host.settled(PATIENCE).await.unwrap();
    let stats = host.stats().remove("Fly").unwrap();
    assert_eq!((stats.calls, stats.failures, stats.events), (2, 1, 1));
    assert_eq!(host.handler().restarts, 1);
}

#[tokio::test]
async fn a_killed_handler_comes_back() {
    let rig = Rig::new(&[("Fly", EVENTS)]);
    let host = rig.start().await.unwrap();
    let mut events = host.events();
    let before = host.handler().pid;
    host.kill_handler();
    news(&mut events, is_ready).await;
    assert_ne!(host.handler().pid, before);
    rig.send(3);
    host.settled(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn the_third_crash_stops_the_host_and_a_new_one_goes_on_from_the_checkpoint() {
    let rig = Rig::new(&[("Fly", EVENTS)]);
    rig.misdeeds("exit 1\nexit 1\nexit 1\n");
    let host = rig.start().await.unwrap();
    let mut events = host.events();
    rig.send(1);
    news(&mut events, |event| matches!(event, HostEvent::HostStopped)).await;
    assert_eq!(rig.hub.lag("g"), 1);
    host.settled(PATIENCE).await.unwrap();
    assert_eq!(host.stats()["Fly"].events, 1);
}

#[tokio::test]
async fn exit_code_200_and_unlimited_restarts_never_stop_the_host() {
    for (unlimited, code) in [(false, 200), (true, 1)] {
        let mut rig = Rig::new(&[("Fly", EVENTS)]);
        rig.unlimited_restarts = unlimited;
        rig.misdeeds(&format!("exit {code}\n").repeat(4));
        let host = rig.start().await.unwrap();
        let mut events = host.events();
        rig.send(1);
        host.settled(PATIENCE).await.unwrap();
        assert_eq!(host.handler().restarts, 4);
        while let Ok(event) = events.try_recv() {
            assert!(!matches!(event, HostEvent::HostStopped), "exit code {code}");
        }
    }
}

#[tokio::test]
async fn after_exit_code_0_every_call_is_refused() {
    let rig = Rig::new(&[("Fly", EVENTS), ("Things", HTTP)]);
    rig.misdeeds("exit 0\n");
    let host = rig.start().await.unwrap();
    let mut events = host.events();
    rig.send(1);
    news(&mut events, |event| {
        matches!(event, HostEvent::CallFailed(failed) if failed.failure == CallFailure::Refused)
    })
    .await;
    assert_eq!(host.handler().restarts, 0);
    let (head, body) = http(
        &host,
        "GET /api/things/1 HTTP/1.1\nhost: x\nconnection: close\n\n",
    )
    .await;
    assert!(
        head.starts_with("http/1.1 503") && body.contains("exit code 0"),
        "{head}\n{body}"
    );
    let unsettled = host.settled(Duration::from_millis(50)).await.unwrap_err();
    assert!(unsettled.to_string().contains("g 1"), "{unsettled}");
}

#[tokio::test]
async fn function_timeout_kills_the_handler_and_is_no_crash() {
    let mut rig = Rig::new(&[("Fly", EVENTS)]);
    rig.host_json["functionTimeout"] = json!("00:00:00.200");
    rig.misdeeds(&"hang\n".repeat(4));
    let host = rig.start().await.unwrap();
    let mut events = host.events();
    rig.send(1);
    host.settled(PATIENCE).await.unwrap();
    assert_eq!(host.handler().restarts, 4);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, HostEvent::HostStopped));
    }
}

#[tokio::test]
async fn a_forwarded_request_and_its_answer_pass_unchanged() {
    let rig = Rig::new(&[("Things", HTTP)]);
    let host = rig.start().await.unwrap();
    let (head, body) = http(
        &host,
        "POST /api/Things/a%2Fb?code=1&x=%20 HTTP/1.1\nhost: x\nx-custom: c\ncontent-length: 4\nconnection: close\n\nbody",
    )
    .await;
    assert!(
        head.starts_with("http/1.1 418") && head.contains("x-answer: whole"),
        "{head}"
    );
    assert_eq!(
        echoed(&body),
        json!({"uri": "/api/Things/a%2Fb?code=1&x=%20", "method": "POST", "custom": "c", "invocation": true, "body": "body"})
    );
    assert_eq!(host.stats()["Things"].calls, 1);
}

#[tokio::test]
async fn a_body_without_a_content_length_is_not_forwarded() {
    let rig = Rig::new(&[("Things", HTTP)]);
    let host = rig.start().await.unwrap();
    let (_, body) = http(
        &host,
        "POST /api/things/1 HTTP/1.1\nhost: x\ntransfer-encoding: chunked\nconnection: close\n\n4\nbody\n0\n\n",
    )
    .await;
    assert_eq!(echoed(&body)["body"], "");
}

#[tokio::test]
async fn a_function_with_another_output_gets_the_envelope() {
    let rig = Rig::new(&[("Order", HTTP_AND_QUEUE)]);
    let host = rig.start().await.unwrap();
    let (head, body) = http(
        &host,
        "POST /api/order?what=parts HTTP/1.1\nhost: x\ncontent-length: 4\nconnection: close\n\nbody",
    )
    .await;
    assert!(
        head.starts_with("http/1.1 202") && head.contains("x-method: post"),
        "{head}"
    );
    assert!(body.contains("body"), "{body}");
    assert_eq!(rig.queues.texts("orders"), ["parts"]);
}

#[tokio::test]
async fn what_is_no_function_is_not_found() {
    let rig = Rig::new(&[("Things", HTTP)]);
    let host = rig.start().await.unwrap();
    for request in ["GET /api/nothing", "DELETE /api/things/1", "GET /things/1"] {
        let (head, _) = http(
            &host,
            &format!("{request} HTTP/1.1\nhost: x\nconnection: close\n\n"),
        )
        .await;
        assert!(head.starts_with("http/1.1 404"), "{request}: {head}");
    }
    let (head, body) = http(&host, "GET / HTTP/1.1\nhost: x\nconnection: close\n\n").await;
    assert!(
        head.starts_with("http/1.1 200") && body.contains("host"),
        "{head}\n{body}"
    );
}

#[tokio::test]
async fn a_timer_is_run_by_hand_and_over_http() {
    let rig = Rig::new(&[("Sweep", TIMER), ("Things", HTTP)]);
    let host = rig.start().await.unwrap();
    host.run_timer("Sweep").await.unwrap();
    assert_eq!(host.stats()["Sweep"].calls, 1);
    assert_eq!(
        host.run_timer("Things").await,
        Err(RunTimerError::NoTimer("Things".to_owned()))
    );

    let mut in_flight = host.journal.watch_in_flight();
    for (request, status) in [
        ("POST /admin/functions/sweep", "202"),
        ("GET /admin/functions/Sweep", "405"),
        ("POST /admin/functions/Things", "404"),
        ("POST /admin/functions/Nothing", "404"),
    ] {
        let text = format!("{request} HTTP/1.1\nhost: x\ncontent-length: 0\nconnection: close\n\n");
        let (head, _) = http(&host, &text).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
    }
    let called = async {
        while host.stats()["Sweep"].calls < 2 {
            in_flight.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, called).await.unwrap();
}

#[tokio::test]
async fn a_message_is_given_to_a_queues_function_by_hand() {
    let rig = Rig::new(&[("Take", QUEUE)]);
    let host = rig.start().await.unwrap();
    for (method, body, status) in [
        ("GET", "", "405"),
        ("POST", "", "400"),
        ("POST", r#"{"input":7}"#, "400"),
        ("POST", r#"{"input":"parts"}"#, "202"),
    ] {
        let length = body.len();
        let text = format!(
            "{method} /admin/functions/take HTTP/1.1\nhost: x\ncontent-length: {length}\nconnection: close\n\n{body}"
        );
        let (head, _) = http(&host, &text).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
    }
    host.settled(PATIENCE).await.unwrap();
    assert_eq!(host.stats()["Take"].calls, 1);
}

#[tokio::test]
async fn a_queue_that_triggers_a_function_is_part_of_being_settled() {
    let rig = Rig::new(&[("Order", HTTP_AND_QUEUE), ("Take", QUEUE)]);
    // The handler dies of the first message and is started again.
    rig.misdeeds("exit 3\n");
    let host = rig.start().await.unwrap();
    let (head, _) = http(
        &host,
        "POST /api/order?what=parts HTTP/1.1\nhost: x\ncontent-length: 4\nconnection: close\n\nbody",
    )
    .await;
    assert!(head.starts_with("http/1.1 202"), "{head}");
    host.settled(PATIENCE).await.unwrap();
    assert!(rig.queues.texts("orders").is_empty());
    let stats = host.stats().remove("Take").unwrap();
    assert_eq!((stats.calls, stats.failures), (2, 1));
}

#[tokio::test]
async fn what_a_queue_still_holds_is_told() {
    let rig = Rig::new(&[("Take", QUEUE)]);
    rig.misdeeds(&"hang\n".repeat(3));
    rig.queues.put("orders", "parts");
    let host = rig.start().await.unwrap();
    let unsettled = host.settled(Duration::from_millis(300)).await.unwrap_err();
    assert!(unsettled.to_string().contains("orders 1"), "{unsettled}");
}

#[tokio::test]
async fn dropping_the_host_ends_the_handler() {
    let rig = Rig::new(&[]);
    let host = rig.start().await.unwrap();
    let pid = host.handler().pid.unwrap();
    host.stop().await;
    let gone = async {
        while std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the process ends");
}
