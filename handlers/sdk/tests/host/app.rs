//! The app: health, unknown functions, limits, deadlines, panics, forwarded HTTP functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::support::{TIMER, app, app_with, call, fixture, forwarding, send};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use azure_functions_sdk::{
    ClientPrincipal, EventHubBatch, FunctionDefinition, HostConfig, Outputs, SentUri, StartError,
    TimerInfo,
};
use base64::Engine;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Notify;

const GET_DRONE: FunctionDefinition = FunctionDefinition::new(
    "GetDrone",
    "httpTrigger",
    r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","methods":["get"],"route":"drones/{id:alpha?}"},
    {"type":"http","direction":"out","name":"res"}]}"#,
);
const PUT_DRONE: FunctionDefinition = FunctionDefinition::new(
    "PutDrone",
    "httpTrigger",
    r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","methods":["put"],"route":"drones/{id}"},
    {"type":"http","direction":"out","name":"res"}]}"#,
);

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_hosts_ping_is_answered() {
    let router = app().into_router().unwrap();
    let answer = send(&router, get("/")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.text.is_empty());
}

#[tokio::test]
async fn a_call_of_an_unknown_function_fails_by_name() {
    let router = app().function(TIMER, async || {}).into_router().unwrap();
    let answer = send(&router, call("Tock", "{}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.error().contains("`Tock`"), "{answer:?}");
    // Case as the folder.
    assert_eq!(
        send(&router, call("tick", "{}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn every_wrong_definition_is_reported_at_the_start() {
    let wrong = FunctionDefinition::new("1st", "timerTrigger", TIMER.json);
    let error = app()
        .function(wrong, async || {})
        .function(TIMER, async || {})
        .function(TIMER, async || {})
        .function(TIMER.with_outputs(&["nowhere"]), async || {})
        .http(GET_DRONE, async || {})
        .into_router()
        .unwrap_err();
    let StartError::Definitions(errors) = &error else {
        panic!("{error}")
    };
    let functions: Vec<_> = errors.iter().map(|error| error.function.as_str()).collect();
    assert_eq!(functions, ["1st", "Tick", "Tick", "GetDrone"]);
    assert!(
        error.to_string().contains("enableForwardingHttpRequest"),
        "{error}"
    );
}

#[tokio::test]
async fn an_http_function_that_the_host_forwards_cannot_wait_for_envelopes() {
    let error = app_with((), forwarding())
        .function(GET_DRONE, async || {})
        .into_router()
        .unwrap_err();
    assert!(
        error.to_string().contains("Register it with `http`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_panic_fails_the_call_and_nothing_else() {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = async |State(calls): State<Arc<AtomicUsize>>| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) > 0, "the first call");
    };
    let router = app_with(calls, HostConfig::default())
        .max_concurrent_calls(1)
        .function(TIMER, handler)
        .into_router()
        .unwrap();
    let answer = send(&router, call("Tick", fixture!("timer"))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.error(), "the function panicked: the first call");
    // Its turn has been given back as well.
    send(&router, call("Tick", fixture!("timer")))
        .await
        .envelope();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_fails_at_its_deadline() {
    let handler = async || std::future::pending::<()>().await;
    let router = app()
        .deadline(Duration::from_secs(3))
        .function(TIMER, handler)
        .into_router()
        .unwrap();
    let started = tokio::time::Instant::now();
    let answer = send(&router, call("Tick", fixture!("timer"))).await;
    assert_eq!(answer.error(), "the function did not finish within 3 s");
    assert_eq!(started.elapsed().as_secs(), 3);
}

const EVENTS: FunctionDefinition = FunctionDefinition::new(
    "Collect",
    "eventHubTrigger",
    r#"{"bindings":[{"type":"eventHubTrigger","direction":"in","name":"events","eventHubName":"hub","connection":"Hub",
        "consumerGroup":"g",        "cardinality":"many","dataType":"binary"}]}"#,
);

const QUEUE: FunctionDefinition = FunctionDefinition::new(
    "Notify",
    "queueTrigger",
    r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","connection":"S","queueName":"q"}]}"#,
);

#[tokio::test(start_paused = true)]
async fn a_function_has_the_deadline_that_it_declares() {
    let never = async || std::future::pending::<()>().await;
    let router = app()
        .function(TIMER.with_deadline(Duration::from_secs(120)), never)
        .function(QUEUE, never)
        .into_router()
        .unwrap();
    for (name, seconds) in [("Tick", 120), ("Notify", 60)] {
        let started = tokio::time::Instant::now();
        send(&router, call(name, "{}")).await.error();
        assert_eq!(started.elapsed().as_secs(), seconds, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_run_as_a_function_declares() {
    let slow = async || tokio::time::sleep(Duration::from_secs(50)).await;
    let router = app()
        .function(QUEUE.with_concurrent_calls(24), slow)
        .into_router()
        .unwrap();
    // What the host may have started: with 8 at a time the third wave would be cut.
    let calls = (0..24).map(|_| send(&router, call("Notify", "{}")));
    for answer in futures_util::future::join_all(calls).await {
        answer.envelope();
    }
}

#[test]
fn what_is_declared_is_held_against_host_json() {
    let start = |definition: FunctionDefinition, host: &str| {
        let host = HostConfig::parse(host).unwrap();
        let app = app_with((), host).function(definition, async || {});
        app.into_router()
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let minute = Duration::from_secs(60);
    assert_eq!(start(QUEUE.with_deadline(minute), "{}"), Ok(()));
    assert_eq!(
        start(QUEUE.with_deadline(minute), r#"{"functionTimeout":"-1"}"#),
        Ok(())
    );
    for (definition, host, reason) in [
        (
            QUEUE.with_deadline(minute),
            r#"{"functionTimeout":"00:01:00"}"#,
            "a call may take 60 s, and functionTimeout",
        ),
        (
            QUEUE.with_concurrent_calls(23),
            "{}",
            "23 calls run at a time, and host.json lets 24 be started",
        ),
        (
            QUEUE.with_concurrent_calls(24),
            r#"{"extensions":{"queues":{"batchSize":32,"newBatchThreshold":4}}}"#,
            "host.json lets 36 be started",
        ),
        (
            EVENTS.with_most_events(99),
            "{}",
            "a call is made for 99 events, and host.json lets it bring 100",
        ),
    ] {
        let error = start(definition, host).unwrap_err();
        assert!(
            error.contains(definition.name) && error.contains(reason),
            "{error}"
        );
    }
    let few = r#"{"extensions":{"queues":{"batchSize":4,"newBatchThreshold":0}}}"#;
    assert_eq!(start(QUEUE.with_concurrent_calls(4), few), Ok(()));
    assert_eq!(start(EVENTS.with_most_events(100), "{}"), Ok(()));
    assert_eq!(
        start(QUEUE.with_most_events(1), "{}"),
        Ok(()),
        "it has no batches"
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_the_wait_for_a_turn() {
    let handler = async || tokio::time::sleep(Duration::from_secs(2)).await;
    let router = app()
        .deadline(Duration::from_secs(3))
        .max_concurrent_calls(1)
        .function(TIMER, handler)
        .into_router()
        .unwrap();
    let (first, second) = tokio::join!(
        send(&router, call("Tick", fixture!("timer"))),
        send(&router, call("Tick", fixture!("timer"))),
    );
    first.envelope();
    second.error();
}

/// A body that tells when somebody begins to read it.
fn watched(body: &'static str, read: Arc<AtomicUsize>) -> Body {
    let mut rest = Some(Bytes::from_static(body.as_bytes()));
    Body::from_stream(stream::poll_fn(move |_| {
        read.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(rest.take().map(Ok::<_, std::io::Error>))
    }))
}

#[tokio::test]
async fn a_call_above_the_limit_waits_with_its_body_unread() {
    #[derive(Clone, Default)]
    struct Gate {
        entered: Arc<Notify>,
        open: Arc<Notify>,
    }
    let gate = Gate::default();
    let handler = async |State(gate): State<Gate>, _: TimerInfo| {
        gate.entered.notify_one();
        gate.open.notified().await;
    };
    let router = app_with(gate.clone(), HostConfig::default())
        .max_concurrent_calls(1)
        .function(TIMER, handler)
        .into_router()
        .unwrap();
    let spawn = |read: &Arc<AtomicUsize>| {
        let (router, body) = (router.clone(), watched(fixture!("timer"), Arc::clone(read)));
        tokio::spawn(async move { send(&router, call("Tick", body)).await })
    };
    let (read_first, read_second) = (Arc::default(), Arc::default());
    let first = spawn(&read_first);
    gate.entered.notified().await;
    let second = spawn(&read_second);
    // One thread: after this the second call has gone as far as it can.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        read_second.load(Ordering::SeqCst),
        0,
        "read before its turn"
    );
    gate.open.notify_one();
    first.await.unwrap().envelope();
    gate.entered.notified().await;
    gate.open.notify_one();
    second.await.unwrap().envelope();
    assert!(read_second.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_the_limit_in_the_reason() {
    let router = app()
        .function(TIMER, async |_: TimerInfo| {})
        .into_router()
        .unwrap();
    let limit = 16 * 1024 * 1024;
    let long = Bytes::from(vec![b' '; limit + 1]);
    // With and without Content-Length.
    let chunked = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(long.clone())]));
    let announced = Request::post("/Tick").header("content-length", limit + 1);
    for request in [
        call("Tick", chunked),
        announced.body(Body::from(long)).unwrap(),
    ] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.error().contains("16777216 bytes"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_larger_than_axums_default_limit_is_read() {
    let router = app()
        .function(crate::support::BINARY, async |batch: EventHubBatch| {
            Outputs::new().return_value(&batch.events[0].body.len())
        })
        .into_router()
        .unwrap();
    let body = vec![7; 6 * 1024 * 1024];
    let call_body = serde_json::json!({
        "Data": {"events": [base64::engine::general_purpose::STANDARD.encode(&body)]},
        "Metadata": {"PartitionContext": {}, "SequenceNumberArray": [1], "EnqueuedTimeUtcArray": ["2024-05-01T12:00:00"]},
    });
    let answer = send(&router, call("Events", call_body.to_string())).await;
    assert_eq!(answer.envelope()["ReturnValue"], body.len());
}

#[tokio::test]
async fn a_forwarded_function_answers_at_its_route_and_methods_only() {
    let get_drone = async |id: Option<Path<String>>| id.map_or("all".to_owned(), |Path(id)| id);
    let put_drone =
        async |Path(id): Path<String>, body: String| (StatusCode::CREATED, format!("{id}={body}"));
    let router = app_with((), forwarding())
        .http(GET_DRONE, get_drone)
        .http(PUT_DRONE, put_drone)
        .into_router()
        .unwrap();
    assert_eq!(
        send(&router, get("/api/drones/d-1?code=key")).await.text,
        "d-1"
    );
    assert_eq!(send(&router, get("/api/drones")).await.text, "all");
    let put = Request::put("/api/drones/d-1")
        .body(Body::from("x"))
        .unwrap();
    let answer = send(&router, put).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::CREATED, "d-1=x")
    );
    let delete = Request::delete("/api/drones/d-1")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        send(&router, delete).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        send(&router, get("/drones/d-1")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_forwarded_path_is_matched_as_the_host_matches_it() {
    let get_drone = async |id: Option<Path<String>>, sent: Option<Extension<SentUri>>| {
        let id = id.map_or("all".to_owned(), |Path(id)| id);
        sent.map_or(id.clone(), |Extension(SentUri(uri))| format!("{id} {uri}"))
    };
    let router = app_with((), forwarding())
        .http(GET_DRONE, get_drone)
        .function(TIMER, async || {})
        .into_router()
        .unwrap();
    for (path, answer) in [
        ("/api/drones/D-1", "D-1"),
        ("/API/Drones/D-1?code=a", "D-1 /API/Drones/D-1?code=a"),
        ("/api/drones/", "all /api/drones/"),
        ("/Api/DRONES", "all /Api/DRONES"),
    ] {
        assert_eq!(send(&router, get(path)).await.text, answer, "{path}");
    }
    let head = Request::head("/API/drones/").body(Body::empty()).unwrap();
    assert_eq!(send(&router, head).await.status, StatusCode::OK);
    // A call's path is the function's name to the letter, as the host writes it.
    assert_eq!(
        send(&router, call("tick", "{}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn who_asks_for_nothing_gets_a_problem_and_the_log_no_error() {
    let router = app_with((), forwarding())
        .http(GET_DRONE, async || {})
        .into_router()
        .unwrap();
    let post = Request::post("/api/nothing").body(Body::empty()).unwrap();
    for request in [get("/api/nothing"), get("/favicon.ico"), get("/a/b"), post] {
        let answer = send(&router, request).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(problem["status"], 404, "{answer:?}");
        assert!(!answer.text.contains("function"), "{answer:?}");
    }
}

#[tokio::test]
async fn two_functions_cannot_have_one_path() {
    let other = FunctionDefinition::new("Other", "httpTrigger", PUT_DRONE.json);
    let error = app_with((), forwarding())
        .http(PUT_DRONE, async || {})
        .http(other, async || {})
        .into_router()
        .unwrap_err();
    assert!(
        matches!(&error, StartError::PathTaken { function, .. } if function == "Other"),
        "{error}"
    );
}

#[tokio::test]
async fn a_forwarded_function_tells_a_stranger_nothing_of_its_failure() {
    let panics = async || -> &'static str { panic!("secret") };
    let router = app_with((), forwarding())
        .http(PUT_DRONE, panics)
        .into_router()
        .unwrap();
    let put = Request::put("/api/drones/d").body(Body::empty()).unwrap();
    let answer = send(&router, put).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.text, r#"{"error":"Internal Server Error"}"#);
}

#[tokio::test]
async fn a_forwarded_function_can_ask_who_calls() {
    let optional = async |caller: Option<ClientPrincipal>| match caller {
        None => "nobody",
        Some(caller) if caller.has_role("GetStatus") => "allowed",
        Some(_) => "known",
    };
    let required = async |_: ClientPrincipal| "known";
    let router = app_with((), forwarding())
        .http(GET_DRONE, optional)
        .http(PUT_DRONE, required)
        .into_router()
        .unwrap();
    let principal = base64::engine::general_purpose::STANDARD
        .encode(r#"{"role_typ":"r","claims":[{"typ":"r","val":"GetStatus"}]}"#);
    let with = |method: &str, header: Option<&str>| {
        let mut request = Request::builder().method(method).uri("/api/drones/d");
        if let Some(header) = header {
            request = request.header("X-MS-CLIENT-PRINCIPAL", header);
        }
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(send(&router, with("GET", None)).await.text, "nobody");
    assert_eq!(
        send(&router, with("GET", Some(&principal))).await.text,
        "allowed"
    );
    for request in [
        with("PUT", None),
        with("PUT", Some("garbage")),
        with("GET", Some("garbage")),
    ] {
        assert_eq!(
            send(&router, request).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        send(&router, with("PUT", Some(&principal))).await.text,
        "known"
    );
}
