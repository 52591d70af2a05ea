#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use azure_core::credentials::{AccessToken, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use time::macros::utc_datetime;
use tokio::net::TcpListener;

use super::*;

/// What a hub was sent.
#[derive(Debug)]
struct Sent {
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Answering {
    status: u16,
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// A hub that answers everything with one status; its endpoint, and what it was sent.
async fn hub(status: u16) -> (String, Arc<Mutex<Vec<Sent>>>) {
    async fn take(
        State(Answering { status, sent }): State<Answering>,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, HeaderMap, &'static str) {
        sent.lock().unwrap().push(Sent {
            uri: uri.to_string(),
            headers,
            body,
        });
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("/elsewhere"));
        let status = StatusCode::from_u16(status).unwrap();
        (status, headers, "what the service says: secret")
    }
    let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
    let router = Router::new().fallback(take).with_state(Answering {
        status,
        sent: Arc::clone(&sent),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, sent)
}

fn by_string(text: &str) -> Result<Option<EventHubsNamespace>, EventHubsConnectionError> {
    let text = ConnectionString::parse("TelemetryHub", text).unwrap();
    EventHubsNamespace::connect(&Connection::ConnectionString(text))
}

fn by_identity(namespace: &str) -> Result<Option<EventHubsNamespace>, EventHubsConnectionError> {
    let lookup = |name: &str| match name {
        "TelemetryHub__fullyQualifiedNamespace" => Some(namespace.to_owned()),
        "TelemetryHub__credential" => Some("managedidentity".to_owned()),
        _ => None,
    };
    EventHubsNamespace::connect(&Connection::resolve("TelemetryHub", lookup).unwrap())
}

#[derive(Debug)]
struct Credential;

#[async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://eventhubs.azure.net/.default"]);
        let until = OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
        Ok(AccessToken::new("secret", until))
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

const NOW: UtcDateTime = utc_datetime!(2024-05-01 12:00:00);
const KEY: &str =
    "Endpoint=sb://fleet.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=secret";

#[tokio::test]
async fn a_tick_is_one_small_event_for_one_partition() {
    let (endpoint, sent) = hub(201).await;
    let namespace = by_string(&format!("Endpoint={endpoint}")).unwrap().unwrap();
    namespace.tick("telemetry", "3").await.unwrap();
    let sent = sent.lock().unwrap();
    let [tick] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(
        tick.uri,
        "/telemetry/partitions/3/messages?api-version=2014-01"
    );
    assert_eq!(tick.body, "{}");
    // As the simulator writes properties, and as the local hub reads them.
    let property = tick.headers[WATERMARK_TICK].to_str().unwrap();
    assert_eq!(property, serde_json::json!("1").to_string());
    assert!(!tick.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_token_is_sent_over_https_and_nowhere_else() {
    let to = url("https://fleet.servicebus.windows.net");
    let namespace = EventHubsNamespace::new(to, Access::Token(Arc::new(Credential))).unwrap();
    let request = namespace.request("telemetry", "3", NOW).await.unwrap();
    assert_eq!(
        request.url().as_str(),
        "https://fleet.servicebus.windows.net/telemetry/partitions/3/messages?api-version=2014-01"
    );
    let authorization = &request.headers()[AUTHORIZATION];
    assert_eq!(authorization, "Bearer secret");
    assert!(authorization.is_sensitive());
    let shown = format!("{namespace:?} {request:?}");
    assert!(!shown.contains("secret"), "{shown}");

    let (endpoint, sent) = hub(201).await;
    for access in [
        Access::Token(Arc::new(Credential)),
        Access::Signature("secret".into()),
        Access::Key {
            key: SharedAccessKey::text("secret"),
            policy: "send".to_owned(),
        },
    ] {
        EventHubsNamespace::new(url(&endpoint), access).unwrap_err();
    }
    by_identity(&endpoint).unwrap_err();
    by_string("Endpoint=http://fleet.servicebus.windows.net").unwrap_err();
    by_string("Endpoint=ftp://127.0.0.1;SharedAccessSignature=secret").unwrap_err();
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_namespace_is_found_however_it_is_written() {
    for namespace in [
        "fleet.servicebus.windows.net",
        "fleet.servicebus.windows.net/",
        "sb://fleet.servicebus.windows.net:5671/",
        "https://fleet.servicebus.windows.net",
    ] {
        let found = by_identity(namespace).unwrap().unwrap();
        assert_eq!(
            found.endpoint.as_str(),
            "https://fleet.servicebus.windows.net/",
            "{namespace}"
        );
    }
    for namespace in ["a b", "https://", "://"] {
        by_identity(namespace).unwrap_err();
    }
}

#[tokio::test]
async fn a_key_signs_for_the_hub_and_is_not_sent() {
    let namespace = by_string(KEY).unwrap().unwrap();
    let request = namespace.request("telemetry", "3", NOW).await.unwrap();
    let sent = request.headers()[AUTHORIZATION].to_str().unwrap();
    let expected = SharedAccessKey::text("secret").token(
        "https://fleet.servicebus.windows.net/telemetry",
        Some("send"),
        utc_datetime!(2024-05-01 12:15:00),
    );
    assert_eq!(sent, expected);
    assert!(!sent.contains("secret"), "{sent}");
    let shown = format!("{namespace:?}");
    assert!(!shown.contains("secret"), "{shown}");

    let signed = KEY.replace("SharedAccessKey=secret", "SharedAccessSignature=signed");
    let namespace = by_string(&signed).unwrap().unwrap();
    let request = namespace.request("telemetry", "3", NOW).await.unwrap();
    assert_eq!(request.headers()[AUTHORIZATION], "signed");
}

#[test]
fn nobody_sends_to_microsofts_emulator_over_https() {
    let emulator = "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=True;";
    assert!(by_string(emulator).unwrap().is_none());
}

#[test]
fn what_a_connection_string_lacks_is_named_and_nothing_of_it_shown() {
    for (text, lacks) in [
        ("SharedAccessKeyName=a;SharedAccessKey=secret", "Endpoint"),
        (
            "Endpoint=sb://fleet;SharedAccessKey=secret",
            "SharedAccessKeyName",
        ),
        (
            "Endpoint=sb:// secret;SharedAccessSignature=secret",
            "sb://namespace",
        ),
    ] {
        let error = by_string(text).unwrap_err().to_string();
        assert!(
            error.contains(lacks) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_answer_says_whether_somebody_has_to_act() {
    for (status, transient, says) in [
        (401, false, "Azure Event Hubs Data Sender"),
        (403, false, "Azure Event Hubs Data Sender"),
        (404, false, "partition 3 of a hub telemetry"),
        (410, false, "partition 3 of a hub telemetry"),
        (400, false, "answered 400"),
        (307, false, "answered 307"),
        (408, true, "answered 408"),
        (429, true, "answered 429"),
        (500, true, "answered 500"),
        (503, true, "answered 503"),
    ] {
        let (endpoint, sent) = hub(status).await;
        let namespace = by_string(&format!("Endpoint={endpoint}")).unwrap().unwrap();
        let error = namespace.tick("telemetry", "3").await.unwrap_err();
        assert_eq!(error.transient, transient, "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(!error.message.contains("secret"), "{error}");
        assert_eq!(sent.lock().unwrap().len(), 1, "{status}: sent once");
    }
}

#[tokio::test]
async fn a_hub_out_of_reach_is_transient() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("Endpoint=http://{}", listener.local_addr().unwrap());
    drop(listener);
    let namespace = by_string(&endpoint).unwrap().unwrap();
    let error = namespace.tick("telemetry", "3").await.unwrap_err();
    assert!(error.transient, "{error}");
    assert!(error.message.contains("cannot be reached"), "{error}");
}

/// Connections are accepted, and nothing is ever answered.
#[tokio::test(start_paused = true)]
async fn a_tick_that_is_never_answered_is_given_up_for_the_time_being() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("Endpoint=http://{}", listener.local_addr().unwrap());
    let namespace = by_string(&endpoint).unwrap().unwrap();
    let error = namespace.tick("telemetry", "3").await.unwrap_err();
    assert!(error.transient, "{error}");
    assert_eq!(error.message, "no answer within 10 s");
}
