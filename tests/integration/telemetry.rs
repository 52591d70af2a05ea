//! What the real handler says of itself by OpenTelemetry: one report is followed through all of it, and no collector stands in its way.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use local::hub::NewEvent;
use local::load::LoadOptions;
use local::otlp::{self, Span, Telemetry, Trace};
use local::report::latency_histogram;
use serde_json::{Value, json};

use crate::notify::Receiver;
use crate::support::{Fleet, PATIENCE, binary, fixture, flight, status, until};

/// The trace in which a device has sent its report, and the span.
const DEVICES_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const DEVICES_SPAN: &str = "b7ad6b7169203331";

/// A function key, as a query and as a header.
const SECRET: &str = "c2VjcmV0LWtleQ";

/// What the handler is told of a collector, so that tests need not wait.
fn settings(collector: &str) -> Vec<(&str, &str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ]
}

/// Passes on to a collector what comes, and keeps it as it came.
struct Tap {
    url: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Tap {
    async fn before(collector: &Telemetry) -> Self {
        drone_delivery::tls::choose();
        let (url, client) = (collector.url(), reqwest::Client::new());
        let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        Self::start(bodies, move |request| {
            let (url, client, kept) = (url.clone(), client.clone(), Arc::clone(&kept));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
                kept.lock().unwrap().push(body.clone());
                let answer = client
                    .post(format!("{url}{}", parts.uri.path()))
                    .header("content-type", &parts.headers["content-type"])
                    .body(body)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(
                    answer.status(),
                    StatusCode::OK,
                    "what the handler sends can be read"
                );
                answer.bytes().await.unwrap().into_response()
            }
        })
        .await
    }

    async fn start<F>(
        bodies: Arc<Mutex<Vec<Bytes>>>,
        answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            bodies,
            server,
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The trace of a call that is linked to a span.
async fn call(telemetry: &Telemetry, function: &str, follows: (&str, &str)) -> (Trace, Span) {
    let find = || {
        telemetry.traces().into_iter().find_map(|trace| {
            let root = trace.root()?.clone();
            let link = (follows.0.to_owned(), follows.1.to_owned());
            (root.name == function && root.links.contains(&link)).then_some((trace, root))
        })
    };
    let what = format!("a call of {function} follows from {}", follows.0);
    until(&what, async || find().is_some()).await;
    find().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_followed_from_the_hub_to_the_database_and_from_its_alert_to_the_webhook() {
    let telemetry = Telemetry::start(Some(0), None).await.unwrap();
    let tap = Tap::before(&telemetry).await;
    let webhook = Receiver::answering(StatusCode::OK).await;
    let url = format!("http://127.0.0.1:{}/hook?code={SECRET}", webhook.port);
    let mut given = settings(&tap.url);
    given.push(("AlertWebhookUrl", &url));
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let fleet = Fleet::logging(&given, &lines).await;

    let parent = format!("00-{DEVICES_TRACE}-{DEVICES_SPAN}-01");
    let mut event = NewEvent::new(status("drone-1", 20, 101.5)).with_key("drone-1");
    event
        .properties
        .insert("traceparent".to_owned(), parent.into());
    fleet.system.hub.append(event);
    fleet.settled().await;

    let (state, of_state) = call(
        &telemetry,
        "UpdateDroneState",
        (DEVICES_TRACE, DEVICES_SPAN),
    )
    .await;
    assert_eq!(of_state.attributes.get("faas.trigger"), Some("pubsub"));
    assert_eq!(
        of_state.attributes.get("messaging.batch.message_count"),
        Some("1")
    );
    let operations = || -> Vec<Span> {
        let state = telemetry.traces().into_iter().find(|it| it.id == state.id);
        let spans = state.unwrap().spans.into_iter();
        spans
            .filter(|span| span.attributes.is("db.collection.name", "drones"))
            .collect()
    };
    // What is sent together need not come together.
    until("an operation on drones", async || !operations().is_empty()).await;
    let writes = operations();
    for write in &writes {
        assert_eq!(write.parent_id, of_state.span_id, "{write:?}");
        assert_eq!(write.kind, "client");
        assert!(
            write
                .attributes
                .has("azure.cosmosdb.operation.request_charge")
        );
    }
    let wrote = |span: &Span| {
        let status = span.attributes.get("db.response.status_code");
        matches!(status, Some("200" | "201"))
    };
    assert!(writes.iter().any(wrote), "{writes:?}");

    let (alerting, raised) = call(&telemetry, "RaiseAlerts", (DEVICES_TRACE, DEVICES_SPAN)).await;
    let (notified, notify) = call(&telemetry, "NotifyAlert", (&alerting.id, &raised.span_id)).await;
    let post = notified
        .spans
        .iter()
        .find(|span| span.name == "POST webhook");
    let post = post.unwrap_or_else(|| panic!("{:?}", notified.spans));
    assert_eq!(post.parent_id, notify.span_id);
    assert_eq!(
        post.attributes.get("http.response.status_code"),
        Some("200")
    );
    let parent = format!("00-{}-{}-01", notified.id, post.span_id);
    let seen = webhook.seen();
    let posted = seen
        .iter()
        .find(|seen| seen.headers["traceparent"] == parent.as_str());
    let sent: Value = serde_json::from_slice(&posted.unwrap().body).unwrap();
    assert_eq!(
        sent["traceparent"],
        format!("00-{}-{}-01", alerting.id, raised.span_id)
    );

    let logged: Vec<Value> = lines
        .lock()
        .unwrap()
        .iter()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("[handler] ")?).ok())
        .collect();
    for (function, trace, span) in [
        ("UpdateDroneState", &state, &of_state),
        ("RaiseAlerts", &alerting, &raised),
        ("NotifyAlert", &notified, &notify),
    ] {
        let line = logged
            .iter()
            .find(|line| line["span"]["trace_id"] == trace.id.as_str());
        let line = line.unwrap_or_else(|| panic!("no line of {function} has its trace"));
        assert_eq!(line["span"]["function"], function);
        assert_eq!(line["span"]["span_id"], span.span_id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_neither_sent_nor_logged() {
    let telemetry = Telemetry::start(Some(0), None).await.unwrap();
    let tap = Tap::before(&telemetry).await;
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let fleet = Fleet::logging(&settings(&tap.url), &lines).await;
    let client = reqwest::Client::new();
    for path in [
        "drones/drone-1",
        "drones?limit=0",
        "alerts?since=never",
        "no/such/thing",
    ] {
        let sign = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}/{path}{sign}code={SECRET}", fleet.system.api_url());
        client
            .get(url)
            .header("x-functions-key", SECRET)
            .header("authorization", format!("Bearer {SECRET}"))
            .send()
            .await
            .unwrap();
    }
    for name in ["GetDrone", "ListDrones", "ListAlerts"] {
        until(name, async || {
            let traces = telemetry.traces();
            traces
                .iter()
                .any(|trace| trace.root().is_some_and(|root| root.name == name))
        })
        .await;
    }
    let is_measured = |telemetry: &Telemetry| {
        telemetry
            .sum("faas.invoke_duration", |it| it.is("faas.trigger", "http"))
            .count
            >= 3
    };
    assert!(telemetry.until(PATIENCE, is_measured).await);
    for body in tap.bodies.lock().unwrap().iter() {
        assert!(!contains(body, SECRET), "{}", String::from_utf8_lossy(body));
    }
    for line in lines.lock().unwrap().iter() {
        assert!(!line.contains(SECRET), "{line}");
    }
}

/// Good and bad events, an alert that is raised and cleared, and all of it counted twice: at the stores, and by the handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_what_is_counted_at_the_stores() {
    let telemetry = Telemetry::start(Some(0), None).await.unwrap();
    let url = telemetry.url();
    let fleet = Fleet::with_settings(&settings(&url)).await;
    for second in 0..30 {
        for drone in 0..10 {
            let device = format!("drone-{drone}");
            fleet.send(&device, flight(&device, second, 10.0));
        }
    }
    fleet.send("drone-1", status("drone-1", 40, 101.5));
    fleet.send("drone-1", status("drone-1", 60, 60.0));
    for broken in ["{", "", "[]"] {
        fleet.send("drone-2", broken);
    }
    fleet.send("drone-3", fixture("telemetry/flight.json"));
    fleet.settled().await;
    let (report, agreement) = otlp::count(&telemetry, &fleet.system, &latency_histogram())
        .await
        .unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!(agreement.differences, Vec::<String>::new());
    assert_eq!((agreement.repeated, agreement.unreported), (0, 0));
    assert_eq!(report.sent, 306);
    assert!(report.dead_lettered >= 3 && report.alerts.raised >= 1);
    // The three functions, their ends, two turns of alerts, and a reason at least.
    assert!(agreement.figures >= 10, "{agreement}");
    for (metric, attributes) in telemetry.metrics() {
        let documented = documented(&metric);
        let more: Vec<_> = attributes.difference(&documented).collect();
        assert!(
            more.is_empty(),
            "{metric} has attributes that handlers/TELEMETRY.md does not tell of: {more:?}"
        );
    }
    let late = telemetry.sum("azure_functions.lag", |it| {
        it.is("faas.name", "RaiseAlerts")
    });
    assert!(late.value > 0.0);
    let charge = telemetry.sum("azure.cosmosdb.client.operation.request_charge", |_| true);
    assert!(charge.value > 0.0 && charge.count > 0);
}

/// The command itself, for a moment.
#[test]
fn a_load_holds_the_metrics_against_what_it_has_counted() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadOptions,
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let binary = binary();
    let arguments = [
        "load",
        "--quiet",
        "--drones",
        "200",
        "--rate",
        "150",
        "--ramp-up",
        "1s",
        "--for",
        "3s",
        "--partitions",
        "4",
        "--binary",
        binary.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
    ];
    let load = <Cli as clap::Parser>::try_parse_from(arguments)
        .unwrap()
        .load;
    // A loaded machine may not hold the rate, which is not what this is about.
    if let Err(error) = local::load::run(&load) {
        assert_eq!(error.to_string(), "the rate was not held");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let metrics = &report["metrics"];
    assert!(metrics["figures"].as_u64() >= Some(8), "{metrics}");
    assert_eq!(metrics["differences"], json!([]));
    assert_eq!(
        (&metrics["repeated"], &metrics["unreported"]),
        (&json!(0), &json!(0))
    );
    assert!(report["count"]["applied"].as_u64() > Some(200));
}

/// What the row of a metric in handlers/TELEMETRY.md has in code quotes: its attributes, and some of their values.
fn documented(metric: &str) -> BTreeSet<String> {
    let page = include_str!("../../handlers/TELEMETRY.md");
    let row = page
        .lines()
        .find(|line| line.starts_with(&format!("| `{metric}` |")))
        .unwrap_or_else(|| panic!("handlers/TELEMETRY.md has no metric {metric}"));
    row.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What became of some events: documents, archived events, and dead letters by their reasons.
async fn outcome(collector: &str) -> (BTreeSet<String>, usize, Vec<Value>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut given = settings(collector);
    given.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "300"));
    // Room for a few spans, so that it is soon full.
    given.push(("OTEL_BSP_MAX_QUEUE_SIZE", "8"));
    given.push(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"));
    let fleet = Fleet::logging(&given, &lines).await;
    for second in 0..40 {
        for drone in 0..5 {
            let device = format!("drone-{drone}");
            fleet.send(&device, flight(&device, second, 10.0));
        }
        if second % 10 == 0 {
            fleet.send("drone-1", "{");
            fleet.settled().await;
        }
    }
    fleet.settled().await;
    for (name, stats) in fleet.system.host.stats() {
        assert_eq!(stats.failures, 0, "{name}: {:?}", stats.last_failure);
    }
    assert_eq!(fleet.system.host.handler().restarts, 0);
    let (status, ..) = fleet.get("/health").await;
    assert_eq!(status, 200);
    let complaints = lines
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.starts_with("[handler") && line.contains("telemetry does not get"))
        .count();
    assert!(
        complaints <= 2,
        "spans and metrics, each once: {complaints}"
    );
    let documents = fleet
        .system
        .cosmos
        .items(local::system::DATABASE, local::system::DRONES)
        .await;
    let documents = documents.into_iter().map(|mut document| {
        let fields = document.as_object_mut().unwrap();
        fields.retain(|name, _| !name.starts_with('_') && name != "lastSeenAt");
        document.to_string()
    });
    let letters = fleet.take_dead_letters().await;
    let letters = letters.iter().map(|letter| {
        json!([
            letter["reason"],
            letter["partitionId"],
            letter["sequenceNumber"]
        ])
    });
    let mut letters: Vec<Value> = letters.collect();
    letters.sort_by_key(Value::to_string);
    (documents.collect(), fleet.archive().await.0.len(), letters)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_collector_changes_what_becomes_of_events() {
    let taps = [
        Tap::start(Arc::default(), |_| pending::<Response>()).await,
        Tap::start(Arc::default(), |_| async {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
        .await,
    ];
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let expected = outcome("").await;
    assert_eq!(
        (expected.0.len(), expected.1, expected.2.len()),
        (5, 204, 4)
    );
    for (what, url) in [
        ("hangs", &taps[0].url),
        ("answers 500", &taps[1].url),
        ("is gone", &gone),
    ] {
        let outcome = tokio::time::timeout(Duration::from_secs(300), outcome(url)).await;
        assert_eq!(outcome.unwrap(), expected, "the collector {what}");
    }
}
