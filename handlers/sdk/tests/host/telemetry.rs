//! What a collector gets of an app's calls, by the official protobuf types, and Application Insights by its own.
//!
//! Each test runs the app in a process of its own, since providers are one a process: it makes calls as a host would, and sends
//! what there is to tell to a server of the test.

use std::net::Ipv4Addr;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use azure_functions_sdk::telemetry::{self, TokenSource};
use azure_functions_sdk::{
    CallError, EventHubBatch, FunctionApp, FunctionDefinition, TimerInfo, observability,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value as Json;
use tower::ServiceExt;

use crate::collector::{https_server, server, value, words};
use crate::support::{BINARY, INVOCATION, TIMER, call, forwarding};

const CHILD: &str = "SDK_TEST_CHILD";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EVENTS_TRACE: &str = "11111111111111111111111111111111";
const SECRET: &str = "c2VjcmV0LWZ1bmN0aW9uLWtleQ";

const HELLO: FunctionDefinition = FunctionDefinition::new(
    "Hello",
    "httpTrigger",
    r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","methods":["get"],"route":"hello/{name}"},
    {"type":"http","direction":"out","name":"res"}]}"#,
);

#[derive(Debug)]
struct Tokens;

#[async_trait::async_trait]
impl TokenSource for Tokens {
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok("a-token".to_owned())
    }
}

/// The app of a child: it makes one call of each kind and ends.
async fn make_calls() {
    observability::init("info");
    let sent = telemetry::start("fleet", "1.2.3", |client_id| {
        assert_eq!(client_id.as_deref(), Some("who"));
        Some(Arc::new(Tokens))
    });
    let router = FunctionApp::new((), forwarding())
        .function(BINARY, async |_: EventHubBatch| {
            let traceparent = telemetry::traceparent().unwrap();
            assert_eq!(&traceparent[3..35], TRACE);
            tracing::info!("in the call");
        })
        .function(TIMER, async |_: TimerInfo| {
            Err::<(), _>(CallError::new("on purpose"))
        })
        .http(HELLO, async || "hello")
        .into_router()
        .unwrap();
    let enqueued = time::UtcDateTime::now() - Duration::from_secs(7);
    let enqueued = enqueued
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let batch = serde_json::json!({
        "Data": {"events": "[\"eA==\",\"eA==\"]"},
        "Metadata": {"PartitionContext": {"PartitionId": "3"}, "SequenceNumberArray": "[41,42]",
            "EnqueuedTimeUtcArray": serde_json::to_string(&[&enqueued, &enqueued]).unwrap(),
            "PropertiesArray": serde_json::json!([{}, {"traceparent": format!("00-{EVENTS_TRACE}-2222222222222222-01")}]).to_string()},
    });
    let send =
        async |request: Request<Body>| router.clone().oneshot(request).await.unwrap().status();
    assert_eq!(
        send(call("Events", batch.to_string())).await,
        StatusCode::OK
    );
    let timer = r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#;
    assert_eq!(
        send(call("Tick", timer)).await,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let hello =
        Request::get(format!("/api/hello/you?code={SECRET}")).header("x-functions-key", SECRET);
    assert_eq!(
        send(hello.body(Body::empty()).unwrap()).await,
        StatusCode::OK
    );
    if let Some(calls) = std::env::var("MANY_CALLS")
        .ok()
        .and_then(|text| text.parse::<usize>().ok())
    {
        for _ in 0..calls {
            let hello = Request::get("/api/hello/you").body(Body::empty()).unwrap();
            assert_eq!(send(hello).await, StatusCode::OK);
        }
    }
    sent.shutdown().await;
}

/// Runs a test of this file again as the app.
async fn run(test: &str, environment: &[(&str, String)]) -> Output {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    for name in [
        "RUST_LOG",
        "WEBSITE_SITE_NAME",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
    ] {
        child.env_remove(name);
    }
    child
        .args(["--exact", &format!("telemetry::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .kill_on_drop(true);
    let output = child.output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_span_of_each_call_and_its_metrics() {
    if is_child() {
        return make_calls().await;
    }
    let (address, received) = server().await;
    let test = "a_collector_gets_a_span_of_each_call_and_its_metrics";
    let endpoint = format!("http://{address}");
    let output = run(test, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await;
    let received = received.lock().unwrap();

    let span = |name: &str| {
        let mut spans = received.spans.iter().filter(|(_, span)| span.name == name);
        let (resource, span) = spans.next().unwrap();
        assert!(spans.next().is_none());
        assert_eq!(resource["service.name"], "fleet");
        assert_eq!(resource["service.version"], "1.2.3");
        span
    };
    let events = span("Events");
    assert_eq!(hex(&events.trace_id), TRACE, "the host's");
    assert_eq!(hex(&events.parent_span_id), "b7ad6b7169203331");
    assert_eq!(events.kind(), SpanKind::Internal);
    assert_eq!(hex(&events.links[0].trace_id), EVENTS_TRACE);
    let of_span = words(&events.attributes);
    for (name, value) in [
        ("faas.name", "Events"),
        ("faas.trigger", "pubsub"),
        ("faas.invocation_id", INVOCATION),
        ("messaging.destination.partition.id", "3"),
        ("messaging.batch.message_count", "2"),
        ("messaging.eventhubs.message.first_sequence_number", "41"),
        ("messaging.eventhubs.message.last_sequence_number", "42"),
    ] {
        assert_eq!(of_span[name], value, "{name}");
    }
    assert_eq!(words(&span("Tick").attributes)["error.type"], "failed");
    let hello = span("Hello");
    assert_eq!(hello.kind(), SpanKind::Server, "nobody has a span for it");
    let of_span = words(&hello.attributes);
    assert_eq!(of_span["http.route"], "hello/{name}");
    assert_eq!(of_span["http.response.status_code"], "200");

    let events = [("faas.name", "Events"), ("faas.trigger", "pubsub")];
    assert_eq!(value(&received, "faas.invoke_duration", &events), 1.0);
    let tick = [
        ("faas.name", "Tick"),
        ("faas.trigger", "timer"),
        ("error.type", "failed"),
    ];
    assert_eq!(value(&received, "faas.invoke_duration", &tick), 1.0);
    let partition = ("messaging.destination.partition.id", "3");
    let messages = [events[0], ("messaging.system", "eventhubs"), partition];
    assert_eq!(
        value(&received, "messaging.client.consumed.messages", &messages),
        2.0
    );
    assert_eq!(
        value(&received, "azure_functions.batch.size", &events[..1]),
        1.0
    );
    assert!(value(&received, "azure_functions.lag", &[events[0], partition]) >= 7.0);

    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = line
        .lines()
        .find(|line| line.contains("in the call"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["trace_id"], TRACE);
    assert_eq!(line["span"]["span_id"], hex(&span("Events").span_id));

    let told = received
        .bodies
        .iter()
        .map(|body| String::from_utf8_lossy(body));
    let logged = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    for text in told.chain(logged) {
        assert!(!text.contains(SECRET));
    }
}

/// As the host says it with Application Insights. Its own rule drops nothing of that, and keeps few.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_a_few_traces_are_kept_and_all_are_counted() {
    if is_child() {
        return make_calls().await;
    }
    let (address, received) = server().await;
    let test = "of_many_calls_a_few_traces_are_kept_and_all_are_counted";
    let endpoint = format!("http://{address}");
    let calls = ("MANY_CALLS", "300".to_owned());
    let begun = Instant::now();
    run(test, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), calls]).await;
    let most = 5.0 * (1.0 + begun.elapsed().as_secs_f64());
    let received = received.lock().unwrap();
    let hellos = received
        .spans
        .iter()
        .filter(|(_, span)| span.name == "Hello");
    let kept = hellos.count() as f64;
    assert!(
        (1.0..=most).contains(&kept),
        "{kept} of 301, at most {most}"
    );
    let hello = [("faas.name", "Hello"), ("faas.trigger", "http")];
    assert_eq!(value(&received, "faas.invoke_duration", &hello), 301.0);
    let processed = [("otel.component.name", "otlp")];
    // Those of events and of the timer are sampled by their host.
    assert_eq!(
        value(&received, "otel.sdk.processor.span.processed", &processed),
        kept + 2.0
    );
}

/// One that takes a connection and never answers, one that refuses connections, and one that answers 503.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_of_no_use_changes_nothing() {
    if is_child() {
        return make_calls().await;
    }
    let test = "a_collector_that_is_of_no_use_changes_nothing";
    let bind = async || {
        tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap()
    };
    let hangs = bind().await;
    let refuses = bind().await.local_addr().unwrap();
    let broken = bind().await;
    let answers = broken.local_addr().unwrap();
    let router = Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE);
    tokio::spawn(async move { axum::serve(broken, router).await.unwrap() });
    for address in [hangs.local_addr().unwrap(), refuses, answers] {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
            ("OTEL_TRACES_SAMPLER", "always_on".to_owned()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10".to_owned()),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10".to_owned()),
            ("MANY_CALLS", "300".to_owned()),
        ];
        // Every call is answered as without, and the end does not wait for long: the child would hang here otherwise.
        run(test, &environment).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_counted() {
    if is_child() {
        return make_calls().await;
    }
    let test = "what_there_is_no_room_for_is_counted";
    let hangs = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let (address, received) = server().await;
    let traces = format!("http://{}/v1/traces", hangs.local_addr().unwrap());
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            format!("http://{address}/v1/metrics"),
        ),
        ("OTEL_TRACES_SAMPLER", "always_on".to_owned()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10".to_owned()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10".to_owned()),
        ("MANY_CALLS", "300".to_owned()),
    ];
    run(test, &environment).await;
    let received = received.lock().unwrap();
    let name = "otel.sdk.processor.span.processed";
    let taken = value(&received, name, &[("otel.component.name", "otlp")]);
    let lost = [
        ("otel.component.name", "otlp"),
        ("error.type", "queue_full"),
    ];
    assert_eq!(taken + value(&received, name, &lost), 303.0);
    assert!(
        (10.0..=20.0).contains(&taken),
        "{taken}: one batch under way, and the next"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_said_and_left_out() {
    if is_child() {
        return make_calls().await;
    }
    let test = "what_cannot_be_used_is_said_and_left_out";
    for (name, value, said) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "not a URL",
            "no spans are sent",
        ),
        (
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            "nothing",
            "cannot be read",
        ),
    ] {
        let output = run(test, &[(name, value.to_owned())]).await;
        let lines = String::from_utf8_lossy(&output.stdout);
        assert!(
            lines
                .lines()
                .any(|line| line.contains("WARN") && line.contains(said)),
            "{lines}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn application_insights_gets_the_same_by_the_apps_identity() {
    if is_child() {
        return make_calls().await;
    }
    let (address, certificate, received) = https_server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, certificate).unwrap();
    let test = "application_insights_gets_the_same_by_the_apps_identity";
    let key = "11112222-3333-4444-5555-666677778888";
    let endpoint = format!("https://localhost:{}", address.port());
    let environment = [
        (
            "APPLICATIONINSIGHTS_CONNECTION_STRING",
            format!("InstrumentationKey={key};IngestionEndpoint={endpoint}"),
        ),
        (
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
            "ClientId=who;Authorization=AAD".to_owned(),
        ),
        ("SSL_CERT_FILE", file.display().to_string()),
    ];
    run(test, &environment).await;

    let received = received.lock().unwrap();
    let mut items = Vec::new();
    for (token, sent) in &received.tracks {
        assert_eq!(token, "Bearer a-token");
        items.extend(sent);
    }
    let of = |kind: &str| -> Vec<&Json> {
        let data = items.iter().map(|item| &item["data"]);
        let same = data.filter(|data| data["baseType"] == kind);
        same.map(|data| &data["baseData"]).collect()
    };
    let requests = of("RequestData");
    assert_eq!(
        requests.len(),
        1,
        "the call that no host has one for: {items:#?}"
    );
    assert_eq!(requests[0]["responseCode"], "200");
    let calls = of("RemoteDependencyData");
    assert!(
        calls.iter().any(|call| call["name"] == "Events"),
        "{items:#?}"
    );
    let metrics = of("MetricData");
    let consumed = metrics
        .iter()
        .find(|metric| metric["metrics"][0]["name"] == "messaging.client.consumed.messages")
        .unwrap();
    assert_eq!(consumed["metrics"][0]["value"], 2.0);
    assert_eq!(
        consumed["properties"]["messaging.destination.partition.id"],
        "3"
    );
    assert!(!format!("{items:?}").contains(SECRET));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
