//! NotifyAlert: alerts reach a real HTTP receiver, or the poison queue; nothing else.

use std::future::{pending, ready};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drone_delivery::functions::notify_alert::postponed::Postponed;
use local::replay::Summary;
use local::system::{ALERT_POISON, ALERT_QUEUE};
use serde_json::json;
use time::UtcDateTime;

use crate::replay::{connections, run};
use crate::support::{Fleet, until};

/// In the address that the tests configure; it must show nowhere.
const SECRET: &str = "c2VjcmV0";

/// An HTTP server on a free port, and what it was sent.
pub struct Receiver {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
pub struct Seen {
    method: String,
    uri: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Receiver {
    /// `answer` is given the number of the request, from 1.
    async fn start<F>(answer: impl Fn(usize) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let router = {
            let seen = Arc::clone(&seen);
            Router::new().fallback(move |request: Request| {
                let (seen, answer) = (Arc::clone(&seen), answer.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                    let count = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(Seen {
                            method: parts.method.to_string(),
                            uri: parts.uri.to_string(),
                            headers: parts.headers,
                            body,
                        });
                        seen.len()
                    };
                    answer(count).await
                }
            })
        };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            seen,
            server: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }),
        }
    }

    pub async fn answering(status: StatusCode) -> Self {
        Self::start(move |_| ready(status.into_response())).await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A fleet whose alerts go to this port. A failed message comes again at once, three times in all.
async fn fleet(port: u16, lines: &Arc<Mutex<Vec<String>>>) -> Fleet {
    let url = format!("http://user:{SECRET}@127.0.0.1:{port}/hook?code={SECRET}");
    Fleet::logging(
        &[
            ("AlertWebhookUrl", &url),
            ("AlertWebhookTimeoutSeconds", "1"),
            (
                "AzureFunctionsJobHost__extensions__queues__visibilityTimeout",
                "00:00:00",
            ),
            (
                "AzureFunctionsJobHost__extensions__queues__maxDequeueCount",
                "3",
            ),
            (
                "AzureFunctionsJobHost__extensions__queues__maxPollingInterval",
                "00:00:00.100",
            ),
        ],
        lines,
    )
    .await
}

fn alert(id: &str) -> String {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/drone-delivery/alerts",
        "type": "com.fabrikam.drone.alert.raised",
        "subject": "drone-1",
        "time": "2024-05-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"rule": "engine-critical", "value": 101.2, "note": "é \u{1f681}"},
    })
    .to_string()
}

/// The message of an alert that has waited for so long.
fn waiting_for(alert: &str, waited: Duration) -> String {
    let postponed = Postponed {
        alert: alert.to_owned(),
        waits_since: Some(UtcDateTime::now() - waited),
    };
    postponed.message().unwrap()
}

/// One that is given up when nobody takes it now.
fn waiting_for_a_day(alert: &str) -> String {
    waiting_for(alert, Duration::from_secs(24 * 60 * 60))
}

async fn send(fleet: &Fleet, text: &str) {
    let storage = &fleet.system.storage;
    storage.send_queue_message(ALERT_QUEUE, text).await.unwrap();
}

async fn poison(fleet: &Fleet) -> Vec<String> {
    let storage = &fleet.system.storage;
    // The host makes the queue when it needs it.
    match storage.queue_length(ALERT_POISON).await {
        Ok(_) => storage.take_queue_messages(ALERT_POISON).await.unwrap(),
        Err(_) => Vec::new(),
    }
}

/// Nothing that was logged holds the secret of the address, or the body of an answer.
fn is_discreet(lines: &Mutex<Vec<String>>) {
    for line in lines.lock().unwrap().iter() {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.contains("secret body"), "{line}");
    }
}

fn said(lines: &Mutex<Vec<String>>, text: &str) -> bool {
    let lines = lines.lock().unwrap();
    lines.iter().any(|line| line.contains(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_posted_once_as_a_structured_cloud_event() {
    let receiver = Receiver::start(|_| ready("secret body".into_response())).await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    let text = alert("engine-critical~drone-1~x/raised");
    send(&fleet, &text).await;
    fleet.settled().await;

    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    let Seen {
        method,
        uri,
        headers,
        body,
    } = &seen[0];
    assert_eq!((&**method, &**uri), ("POST", "/hook?code=c2VjcmV0"));
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "application/cloudevents+json; charset=utf-8"
    );
    assert!(headers.contains_key(header::AUTHORIZATION), "the user's");
    assert_eq!(*body, text, "byte for byte");
    assert!(poison(&fleet).await.is_empty());
    assert!(said(&lines, "alert posted"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_once_gets_the_alert_again() {
    let receiver = Receiver::start(|count| {
        ready(match count {
            1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => StatusCode::ACCEPTED.into_response(),
        })
    })
    .await;
    let fleet = fleet(receiver.port, &Arc::default()).await;
    send(&fleet, &alert("1")).await;
    fleet.settled().await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
    assert!(poison(&fleet).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_has_refused_for_a_day_is_put_aside() {
    let receiver = Receiver::start(|_| {
        ready((StatusCode::INTERNAL_SERVER_ERROR, "secret body").into_response())
    })
    .await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    let text = waiting_for_a_day(&alert("1"));
    send(&fleet, &text).await;
    fleet.settled().await;
    assert_eq!(receiver.seen().len(), 3);
    assert_eq!(poison(&fleet).await, [text]);
    assert!(said(&lines, "the webhook answered 500"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_is_given_up() {
    let receiver = Receiver::start(|_| pending()).await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    let text = waiting_for_a_day(&alert("1"));
    send(&fleet, &text).await;
    fleet.settled().await;
    assert_eq!(receiver.seen().len(), 3);
    assert_eq!(poison(&fleet).await, [text]);
    assert!(said(&lines, "did not answer within 1 s"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure_and_not_followed() {
    let other = Receiver::answering(StatusCode::OK).await;
    let location = format!("http://127.0.0.1:{}/elsewhere", other.port);
    let receiver = Receiver::start(move |_| {
        let location = [(header::LOCATION, location.clone())];
        ready((StatusCode::TEMPORARY_REDIRECT, location).into_response())
    })
    .await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    let text = waiting_for_a_day(&alert("1"));
    send(&fleet, &text).await;
    fleet.settled().await;
    assert_eq!(receiver.seen().len(), 3);
    assert_eq!(other.seen().len(), 0);
    assert_eq!(poison(&fleet).await, [text]);
    assert!(said(&lines, "answered 307: redirects are not followed"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_not_there_is_told_without_its_address() {
    // A port that nobody listens on: it was free a moment ago.
    let port = Receiver::answering(StatusCode::OK).await.port;
    let lines = Arc::default();
    let fleet = fleet(port, &lines).await;
    let text = waiting_for_a_day(&alert("1"));
    send(&fleet, &text).await;
    fleet.settled().await;
    assert_eq!(poison(&fleet).await, [text]);
    assert!(said(&lines, "the webhook cannot be reached"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_refuses_waits_in_the_queue() {
    let receiver = Receiver::answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    send(&fleet, &alert("1")).await;
    until("it is put back", async || said(&lines, "it is put back")).await;
    assert_eq!(receiver.seen().len(), 3);
    let storage = &fleet.system.storage;
    // The new message, which is hidden for a minute; the old one goes with its call.
    until("the message that failed is gone", async || {
        storage.queue_length(ALERT_QUEUE).await.unwrap() == 1
    })
    .await;
    assert!(
        storage
            .take_queue_messages(ALERT_QUEUE)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(poison(&fleet).await.is_empty());
    assert!(said(&lines, "\"retry.seconds\":60"));
    is_discreet(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_is_posted_as_it_was() {
    let receiver = Receiver::answering(StatusCode::OK).await;
    let fleet = fleet(receiver.port, &Arc::default()).await;
    let alert = alert("1");
    send(&fleet, &waiting_for(&alert, Duration::from_secs(5_000))).await;
    fleet.settled().await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, alert);
    assert!(poison(&fleet).await.is_empty());
}

async fn put_back(fleet: &Fleet, arguments: &[&str]) -> Summary {
    let arguments = [&["--alerts-poison"], arguments].concat();
    let summary = run(&connections(fleet), &arguments, &Default::default()).await;
    summary.unwrap_or_else(|(error, _)| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_put_back_once_the_receiver_is_well() {
    let receiver = Receiver::start(|count| {
        ready(match count {
            ..=6 => StatusCode::BAD_GATEWAY.into_response(),
            _ => StatusCode::OK.into_response(),
        })
    })
    .await;
    let fleet = fleet(receiver.port, &Arc::default()).await;
    let nothing = put_back(&fleet, &[]).await;
    assert_eq!((nothing.read, nothing.is_complete()), (0, true), "no queue");

    let other = alert("2").replace("drone-1", "drone-2");
    for alert in [&alert("1"), &other] {
        send(&fleet, &waiting_for_a_day(alert)).await;
    }
    send(&fleet, "text").await;
    fleet.settled().await;
    assert_eq!(receiver.seen().len(), 6);

    let dry = put_back(&fleet, &["--dry-run"]).await;
    assert_eq!((dry.read, dry.sent, dry.taken_off), (3, 2, 0));
    let some = put_back(&fleet, &["--device", "drone-2"]).await;
    assert_eq!((some.chosen, some.sent, some.taken_off), (1, 1, 1));
    fleet.settled().await;
    let seen = receiver.seen();
    assert_eq!((seen.len(), &*seen[6].body), (7, other.as_bytes()));

    let rest = put_back(&fleet, &[]).await;
    assert_eq!((rest.chosen, rest.sent, rest.taken_off), (2, 1, 1));
    assert!(!rest.is_complete(), "what is no alert stays");
    fleet.settled().await;
    let seen = receiver.seen();
    assert_eq!((seen.len(), &*seen[7].body), (8, alert("1").as_bytes()));
    assert_eq!(poison(&fleet).await, ["text"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_cloud_event_is_never_posted() {
    let receiver = Receiver::answering(StatusCode::OK).await;
    let lines = Arc::default();
    let fleet = fleet(receiver.port, &lines).await;
    let messages = ["text", "[]", r#"{"specversion":"1.0","id":"1","type":"t"}"#];
    for text in messages {
        send(&fleet, text).await;
    }
    fleet.settled().await;
    assert_eq!(receiver.seen().len(), 0);
    let mut aside = poison(&fleet).await;
    aside.sort();
    let mut expected = messages.to_vec();
    expected.sort_unstable();
    assert_eq!(aside, expected);
    assert!(said(&lines, "it has no source"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_webhook_the_messages_stay() {
    let fleet = Fleet::start().await;
    assert!(!fleet.system.host.stats().contains_key("NotifyAlert"));
    send(&fleet, &alert("1")).await;
    fleet.settled().await;
    let storage = &fleet.system.storage;
    assert_eq!(storage.queue_length(ALERT_QUEUE).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_on_without_a_webhook_it_says_so_and_loses_nothing() {
    let lines = Arc::default();
    let fleet = Fleet::logging(
        &[
            ("AzureWebJobs.NotifyAlert.Disabled", "false"),
            (
                "AzureFunctionsJobHost__extensions__queues__maxDequeueCount",
                "1",
            ),
        ],
        &lines,
    )
    .await;
    send(&fleet, &alert("1")).await;
    until("it is put aside", async || {
        fleet.system.host.stats()["NotifyAlert"].failures > 0
    })
    .await;
    fleet.settled().await;
    assert_eq!(poison(&fleet).await, [alert("1")]);
    assert!(said(&lines, "set AlertWebhookUrl"));
}
