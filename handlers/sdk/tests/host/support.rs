//! What the tests share: payloads as the host sends them, and a router to send them to.

use std::sync::Once;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use azure_functions_sdk::{CallLogLayer, FunctionApp, FunctionDefinition, HostConfig};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;

pub const INVOCATION: &str = "b87a2c4e-6a02-4c44-a9b6-f1d6e4a7a7a5";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/host/fixtures/",
            $name,
            ".json"
        ))
    };
}
pub(crate) use fixture;

macro_rules! event_hub {
    ($name:literal, $cardinality:literal, $data_type:literal) => {
        azure_functions_sdk::FunctionDefinition::new(
            $name,
            "eventHubTrigger",
            concat!(
                r#"{"bindings":[{"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub",
                "eventHubName":"telemetry","consumerGroup":"g","cardinality":""#,
                $cardinality,
                r#"""#,
                $data_type,
                r#"},{"type":"queue","direction":"out","name":"deadLetters","connection":"S","queueName":"q"}]}"#
            ),
        )
    };
}

pub const BINARY: FunctionDefinition = event_hub!("Events", "many", r#","dataType":"binary""#);
pub const STRING: FunctionDefinition = event_hub!("Events", "many", r#","dataType":"string""#);
pub const UNTYPED: FunctionDefinition = event_hub!("Events", "many", "");
pub const ONE_BINARY: FunctionDefinition = event_hub!("Events", "one", r#","dataType":"binary""#);
pub const ONE_STRING: FunctionDefinition = event_hub!("Events", "one", r#","dataType":"string""#);
pub const ONE_UNTYPED: FunctionDefinition = event_hub!("Events", "one", "");

pub const TIMER: FunctionDefinition = FunctionDefinition::new(
    "Tick",
    "timerTrigger",
    r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 * * * * *"},
    {"type":"queue","direction":"out","name":"alerts","connection":"S","queueName":"alerts"},
    {"type":"cosmosDB","direction":"out","name":"documents"}]}"#,
);

/// Of an app whose HTTP functions get their requests as they are.
pub fn forwarding() -> HostConfig {
    let mut host = HostConfig::default();
    host.enable_forwarding_http_request = true;
    host
}

pub fn app() -> FunctionApp<()> {
    app_with((), HostConfig::default())
}

/// Every test makes its app here, so that nothing is called before [`collect_call_logs`].
pub fn app_with<S: Clone + Send + Sync + 'static>(state: S, host: HostConfig) -> FunctionApp<S> {
    collect_call_logs();
    FunctionApp::new(state, host)
}

/// One subscriber for every thread, and before the first call: `tracing` asks once whether anybody
/// wants a call's span, and a test without a subscriber would answer no for all the others.
fn collect_call_logs() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(CallLogLayer);
        tracing::subscriber::set_global_default(subscriber).expect("set nowhere else");
    });
}

pub fn call(function: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("/{function}"))
        .header("content-type", "application/json; charset=utf-8")
        .header("x-azure-functions-invocationid", INVOCATION)
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .body(body.into())
        .unwrap()
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response: Response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let content_type = parts.headers.get("content-type");
    Answer {
        status: parts.status,
        content_type: content_type.map(|value| value.to_str().unwrap().to_owned()),
        text: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub text: String,
}

impl Answer {
    /// The envelope, which must be one: anything else hangs or fails at the host.
    pub fn envelope(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(self.content_type.as_deref(), Some("application/json"));
        let envelope: Value = serde_json::from_str(&self.text).expect("an envelope");
        assert!(envelope.is_object(), "{envelope}");
        envelope
    }

    /// What the answer gives as the reason of the failure.
    pub fn error(&self) -> String {
        assert!(!self.status.is_success(), "{}", self.text);
        let body: Value = serde_json::from_str(&self.text).expect("a JSON error");
        body["error"].as_str().expect("a reason").to_owned()
    }
}
