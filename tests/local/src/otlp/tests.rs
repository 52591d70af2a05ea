#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::fake_sender::{
    SECOND, call, client, counter, failed, gauge, histogram, linked, metrics, span, spans,
};
use super::lines::{CALLS, CONSUMED, DEAD_LETTERS, LAG, PARTITION};
use super::receiver::{MAX_BODY_BYTES, RpcStatus};
use super::*;

const PROTOBUF: &str = "application/x-protobuf";

async fn collector() -> Telemetry {
    drone_delivery::tls::choose();
    Telemetry::start(Some(0), None).await.unwrap()
}

async fn post(url: &str, kind: &str, encoding: Option<&str>, body: Vec<u8>) -> Response {
    let mut request = reqwest::Client::new()
        .post(url)
        .header("content-type", kind)
        .body(body);
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    request.send().await.unwrap()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

async fn refusal(response: Response, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], PROTOBUF);
    let status = RpcStatus::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, 3);
    status.message
}

async fn json_of(url: &str) -> Value {
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn spans_and_metrics_are_taken_plain_and_compressed() {
    let collector = collector().await;
    let (traces, numbers) = (
        format!("{}/v1/traces", collector.url()),
        format!("{}/v1/metrics", collector.url()),
    );
    let time = (now() - SECOND, now());
    let sent = spans("a", vec![call(span(1, 1, 0, "Fly", time), "0")]).encode_to_vec();
    let answer = post(&traces, PROTOBUF, None, sent).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], PROTOBUF);
    let answer = ExportTraceServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer.partial_success, None);

    let one = counter(CONSUMED, &[("faas.name", "Fly")], 7.0, time);
    let broken = counter(CONSUMED, &[("faas.name", "Walk")], f64::INFINITY, time);
    let sent = packed(&metrics("a", vec![one, broken]).encode_to_vec());
    let kind = "Application/X-Protobuf; charset=utf-8";
    let answer = post(&numbers, kind, Some("gzip"), sent).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = ExportMetricsServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert_eq!(partial.error_message, "a value is no number");

    assert_eq!(collector.traces().len(), 1);
    assert_eq!(collector.sum(CONSUMED, |_| true).value, 7.0);
    let workers = ["worker-a".to_owned()];
    assert!(
        collector
            .heard_since(&workers, time.0, Duration::ZERO)
            .await
    );
    assert!(
        !collector
            .heard_since(&workers, time.1, Duration::ZERO)
            .await
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_the_specification_says() {
    let collector = collector().await;
    let url = format!("{}/v1/traces", collector.url());
    let body = b"\xff\xff no protobuf".to_vec();
    let problem = refusal(
        post(&url, PROTOBUF, None, body.clone()).await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    assert!(problem.contains("protobuf message"), "{problem}");
    // Cut off in the middle.
    let whole = spans("a", vec![span(1, 1, 0, "Fly", (1, 1))]).encode_to_vec();
    let cut = whole[..whole.len() - 3].to_vec();
    refusal(
        post(&url, PROTOBUF, None, cut).await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    let problem = refusal(
        post(&url, PROTOBUF, Some("gzip"), body.clone()).await,
        StatusCode::BAD_REQUEST,
    )
    .await;
    assert!(problem.contains("gzip"), "{problem}");
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let problem = refusal(
        post(&url, "application/json", None, b"{}".to_vec()).await,
        unsupported,
    )
    .await;
    assert!(problem.contains("http/protobuf"), "{problem}");
    refusal(post(&url, PROTOBUF, Some("br"), body).await, unsupported).await;
    let get = reqwest::get(&url).await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(collector.traces().len(), 0);
    let state = json_of(&format!("{}/state.json", collector.url())).await;
    assert_eq!(state["refused"], 5);
}

#[tokio::test]
async fn bodies_are_bounded_as_they_come_and_unpacked() {
    let collector = collector().await;
    let url = format!("{}/v1/metrics", collector.url());
    let large = vec![0; MAX_BODY_BYTES + 1];
    let bomb = packed(&large);
    assert!(bomb.len() < MAX_BODY_BYTES / 20);
    refusal(
        post(&url, PROTOBUF, Some("gzip"), bomb).await,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await;
    refusal(
        post(&url, PROTOBUF, None, large).await,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await;
    // And it goes on.
    let one = counter(CONSUMED, &[], 1.0, (1, 2));
    let sent = metrics("a", vec![one]).encode_to_vec();
    assert_eq!(
        post(&url, PROTOBUF, None, sent).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_page_is_told_of_what_came() {
    let collector = collector().await;
    let time = (now() - 20 * SECOND, now() - SECOND);
    let fly = [("faas.name", "Fly"), ("faas.trigger", "pubsub")];
    let broken = [
        ("faas.name", "Fly"),
        ("faas.trigger", "pubsub"),
        ("error.type", "panic"),
    ];
    let lag = |partition| [("faas.name", "Fly"), (PARTITION, partition)];
    let sent = metrics(
        "a",
        vec![
            histogram(CALLS, &fly, [9, 0, 0, 0], time),
            histogram(CALLS, &broken, [0, 0, 1, 0], time),
            counter(CONSUMED, &fly[..1], 190.0, time),
            gauge(LAG, &lag("10"), 3.5, time.1),
            gauge(LAG, &lag("9"), 0.25, time.1),
            counter(DEAD_LETTERS, &[("reason", "<b>x</b>")], 4.0, time),
        ],
    );
    collector.shared.with(|state| state.take_metrics(sent));
    collector.link_to("Map", "http://127.0.0.1:7071/api/map".to_owned());
    let write = client(span(1, 2, 1, "batch drones", (time.0, 5_000_000)));
    let call_1 = failed(call(span(1, 1, 0, "Fly", (time.0, 9_000_000)), "9"));
    let call_2 = linked(call(span(2, 1, 0, "Notify", time), "9"), 1, 1);
    let sent = spans("a", vec![write, call_1, call_2]);
    collector.shared.with(|state| state.take_spans(sent));

    let state = json_of(&format!("{}/state.json", collector.url())).await;
    let function = &state["functions"][0];
    assert_eq!(function["name"], "Fly");
    assert_eq!(
        (&function["calls"], &function["events"]),
        (&10.into(), &190.into())
    );
    assert_eq!(function["failures"]["panic"], 1);
    assert_eq!(function["eventsPerSecond"], 10.0);
    assert_eq!(function["recent"]["failed"], 1);
    assert_eq!(function["lag"], 3.5);
    assert_eq!(state["lag"]["partitions"][0]["partition"], "9");
    assert_eq!(state["lag"]["partitions"][1]["seconds"][0], 3.5);
    assert_eq!(state["deadLetters"]["reasons"]["<b>x</b>"], 4);
    assert_eq!(state["pages"][0][0], "Map");
    assert_eq!(state["slow"][0]["name"], "batch drones");
    assert_eq!(state["traces"].as_array().unwrap().len(), 2);
    let first = state["traces"][1].clone();
    assert_eq!(
        (&first["name"], &first["failed"]),
        (&"Fly".into(), &true.into())
    );

    let id = first["id"].as_str().unwrap();
    let trace = json_of(&format!("{}/traces/{id}", collector.url())).await;
    assert_eq!(trace["spans"].as_array().unwrap().len(), 2);
    assert_eq!(trace["later"][0]["name"], "Notify");
    let none = json_of(&format!("{}/traces/none", collector.url())).await;
    assert_eq!(none, Value::Null);
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let collector = collector().await;
    for path in ["", "app.js", "style.css", "state.json"] {
        let url = format!("{}/{path}", collector.url());
        let response = reqwest::get(&url).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    }
    let url = format!("{}/no.js", collector.url());
    let missing = reqwest::get(url).await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn where_the_usual_port_is_taken_any_other_will_do() {
    let first = Telemetry::start(None, None).await.unwrap();
    let second = Telemetry::start(None, None).await.unwrap();
    assert_ne!(first.url(), second.url());
    let port = second.address.port();
    assert!(Telemetry::start(Some(port), None).await.is_err());
}
