//! A collector for the tests of telemetry, and what stands for Application Insights, on free ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value as Json;
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, pki_types::PrivateKeyDer};

/// What a test's server was sent.
#[derive(Default)]
pub struct Received {
    pub spans: Vec<(BTreeMap<String, String>, Span)>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// As it came.
    pub bodies: Vec<Bytes>,
    /// Of Application Insights: the header with the token, and the items.
    pub tracks: Vec<(String, Vec<Json>)>,
}

pub type Shared = Arc<Mutex<Received>>;

async fn traces(State(received): State<Shared>, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut received = received.lock().unwrap();
    received.bodies.push(body);
    for resource in request.resource_spans {
        let of_resource = words(&resource.resource.unwrap().attributes);
        for span in resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            received.spans.push((of_resource.clone(), span));
        }
    }
    StatusCode::OK
}

async fn metrics(State(received): State<Shared>, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
    let mut received = received.lock().unwrap();
    received.bodies.push(body);
    received.metrics.push(request);
    StatusCode::OK
}

async fn track(State(received): State<Shared>, headers: HeaderMap, body: Bytes) -> String {
    let mut text = String::new();
    let mut gzip = flate2::read::GzDecoder::new(&body[..]);
    std::io::Read::read_to_string(&mut gzip, &mut text).unwrap();
    let items: Vec<Json> = serde_json::from_str(&text).unwrap();
    let answer = json!({"itemsReceived": items.len(), "itemsAccepted": items.len(), "errors": []});
    let token = headers["authorization"].to_str().unwrap().to_owned();
    received.lock().unwrap().tracks.push((token, items));
    answer.to_string()
}

/// A server of https on a free port with a certificate of its own, in PEM, and what it gets.
pub async fn https_server() -> (SocketAddr, String, Shared) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let received = Shared::default();
    let router = Router::new()
        .route("/v2/track", post(track))
        .with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                _ = http1::Builder::new()
                    .serve_connection(stream, service)
                    .await;
            });
        }
    });
    (address, certified.cert.pem(), received)
}

/// A server on a free port, and what it gets.
pub async fn server() -> (SocketAddr, Shared) {
    let received = Shared::default();
    let router = Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, received)
}

pub fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let word = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes
        .iter()
        .filter_map(|attribute| Some((attribute.key.clone(), word(attribute)?)))
        .collect()
}

/// The value of a metric with these attributes: a counter's sum, a gauge's last, a histogram's count.
pub fn value(received: &Received, name: &str, of: &[(&str, &str)]) -> f64 {
    let number = |value: Option<number_data_point::Value>| match value.unwrap() {
        number_data_point::Value::AsInt(whole) => whole as f64,
        number_data_point::Value::AsDouble(number) => number,
    };
    let is_meant = |attributes: &[KeyValue]| {
        let words = words(attributes);
        words.len() == of.len()
            && of
                .iter()
                .all(|(key, value)| words.get(*key).is_some_and(|word| word == value))
    };
    let last = received.metrics.last().unwrap();
    let scopes = last
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes
        .flat_map(|scope| &scope.metrics)
        .filter(|metric| metric.name == name);
    let mut found = Vec::new();
    for metric in metrics {
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => found.extend(
                sum.data_points
                    .iter()
                    .filter(|point| is_meant(&point.attributes))
                    .map(|point| number(point.value)),
            ),
            Data::Gauge(gauge) => found.extend(
                gauge
                    .data_points
                    .iter()
                    .filter(|point| is_meant(&point.attributes))
                    .map(|point| number(point.value)),
            ),
            Data::Histogram(histogram) => found.extend(
                histogram
                    .data_points
                    .iter()
                    .filter(|point| is_meant(&point.attributes))
                    .map(|point| point.count as f64),
            ),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found.len(), 1, "{name} {of:?}");
    found[0]
}
