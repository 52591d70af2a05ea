//! The trigger against a fake handler: an axum server in this process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::host::fake_handler::{FakeHandler, Seen, envelope, function};
use crate::host::function_json::{Connection, Trigger};
use crate::host::link::{HandlerState, Kill};
use crate::hub::NewEvent;

const PATIENCE: Duration = Duration::from_secs(10);

/// One function, one partition, one fake handler.
struct Rig {
    hub: Hub,
    fake: FakeHandler,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

const MANY: &str = r#""cardinality":"many","dataType":"binary""#;
const RETRY: &str =
    r#""retry":{"strategy":"fixedDelay","maxRetryCount":2,"delayInterval":"00:00:00.001"},"#;

async fn rig(
    binding: &str,
    retry: &str,
    timeout: Option<Duration>,
    reply: impl Fn(usize, &Value) -> Response + Send + Sync + 'static,
) -> Rig {
    let text = format!(
        r#"{{{retry}"bindings":[
            {{"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub","eventHubName":"telemetry","consumerGroup":"g",{binding}}},
            {{"type":"queue","direction":"out","name":"deadLetters","connection":"Store","queueName":"%Queue%"}}]}}"#
    );
    let settings = [
        ("Hub", "Endpoint=sb://localhost"),
        ("Store", "secret"),
        ("Queue", "dead"),
    ];
    let function = function("Fly", &text, &settings);
    let fake = FakeHandler::start("Fly", timeout, move |count, body| {
        std::future::ready(reply(count, &body))
    })
    .await;
    let hub = Hub::new("telemetry", 1);
    let Trigger::EventHub(trigger) = &function.trigger else {
        panic!("the trigger is of Event Hubs");
    };
    let options = EventHubsOptions {
        max_batch: 10,
        min_batch: 1,
        max_wait: PATIENCE,
        checkpoint_every: 1,
    };
    let listener =
        EventHubListener::new(&function, trigger, 0, &hub, options, &fake.invoker).unwrap();
    Rig {
        listener: tokio::spawn(listener.run()),
        hub,
        fake,
    }
}

impl Rig {
    fn send(&self, bodies: &[&str]) {
        for body in bodies {
            self.hub.append(NewEvent::new((*body).to_owned()));
        }
    }

    async fn settled(&self) {
        let mut progress = self.hub.watch_progress();
        let wait = async {
            while self.hub.lag("g") > 0 {
                progress.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the events are checkpointed");
    }

    fn calls(&self) -> Vec<Seen> {
        self.fake.calls()
    }
}

fn bodies(call: &Seen) -> Vec<String> {
    let items: Vec<String> =
        serde_json::from_str(call.body["Data"]["events"].as_str().unwrap()).unwrap();
    items
        .iter()
        .map(|item| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(item)
                .unwrap();
            String::from_utf8(bytes).unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_call_has_the_hosts_headers_and_its_outputs_and_logs_arrive() {
    let rig = rig(MANY, "", None, |_, _| {
        envelope(&json!({"Outputs": {"deadLetters": ["one", "two"], "other": 1}, "Logs": ["said"]}))
    })
    .await;
    let mut news = rig.fake.journal.subscribe();
    rig.send(&["a"]);
    rig.settled().await;
    let calls = rig.calls();
    let header = |name: &str| calls[0].headers[name].to_str().unwrap().to_owned();
    assert!(Uuid::parse_str(&header("x-azure-functions-invocationid")).is_ok());
    assert!(header("user-agent").starts_with("Azure-Functions-Host/"));
    assert!(!header("x-azure-functions-hostversion").is_empty());
    assert_eq!(
        header("traceparent")
            .split('-')
            .map(str::len)
            .collect::<Vec<_>>(),
        [2, 32, 16, 2]
    );
    assert_eq!(bodies(&calls[0]), ["a"]);
    assert!(
        calls[0].body["Metadata"].get("RetryContext").is_none(),
        "there is no policy"
    );
    assert_eq!(rig.fake.queues.texts("dead"), ["one", "two"]);
    let log = rig.fake.log.lock().unwrap().clone();
    assert!(log.contains(&"[Fly] said".to_owned()), "{log:?}");
    assert!(log.iter().any(|line| line.contains("'other'")), "{log:?}");
    let HostEvent::QueueOutput { queue, value, .. } = news.try_recv().unwrap() else {
        panic!("messages were put on a queue");
    };
    assert_eq!((&*queue, &*value), ("dead", r#"["one","two"]"#));
    let HostEvent::BatchDone(done) = news.try_recv().unwrap() else {
        panic!("the batch succeeded");
    };
    assert_eq!(
        (done.first, done.last, done.count(), done.attempts),
        (0, 0, 1, 1)
    );
}

#[tokio::test]
async fn without_a_policy_a_failed_batch_is_checkpointed_and_lost() {
    let rig = rig(MANY, "", None, |count, _| match count {
        1 => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        _ => envelope(&json!({})),
    })
    .await;
    rig.send(&["a"]);
    rig.settled().await;
    rig.send(&["b"]);
    rig.settled().await;
    assert_eq!(
        rig.calls().iter().map(bodies).collect::<Vec<_>>(),
        [["a"], ["b"]]
    );
    let stats = rig.fake.journal.stats().remove("Fly").unwrap();
    assert_eq!(
        (stats.calls, stats.failures, stats.events, stats.lost_events),
        (2, 1, 1, 1)
    );
    assert!(stats.last_failure.unwrap().contains("out of order"));
}

#[tokio::test]
async fn a_policy_repeats_the_same_batch_under_the_same_invocation_id() {
    let rig = rig(MANY, RETRY, None, |count, _| match count {
        1 | 2 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => envelope(&json!({})),
    })
    .await;
    rig.send(&["a", "b"]);
    rig.settled().await;
    let calls = rig.calls();
    let batches: Vec<_> = calls.iter().map(bodies).collect();
    assert!(
        batches[..3].iter().all(|batch| *batch == batches[0]),
        "{batches:?}"
    );
    let ids: std::collections::BTreeSet<_> = calls
        .iter()
        .map(|call| {
            call.headers["x-azure-functions-invocationid"]
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    // The three tries of the batch are one call to the host.
    assert_eq!(ids.len(), calls.len() - 2);
    let context = |call: usize| calls[call].body["Metadata"]["RetryContext"].clone();
    assert_eq!(
        context(0),
        json!({"RetryCount": 0, "MaxRetryCount": 2, "Exception": null, "Instance": null, "State": {}})
    );
    assert_eq!(context(2)["RetryCount"], 2);
    assert!(context(2)["Exception"].to_string().contains("503"));
    assert_eq!(rig.fake.journal.stats()["Fly"].lost_events, 0);
}

/// As in the real host: nothing of ours is called, and with retries without end the partition stands still.
#[tokio::test]
async fn an_amqp_value_fails_the_binding_of_its_whole_batch() {
    let rig = rig(MANY, RETRY, None, |_, _| envelope(&json!({}))).await;
    rig.hub.append(NewEvent::new("good"));
    rig.hub.append(NewEvent {
        amqp_value: true,
        ..NewEvent::new("a text")
    });
    rig.settled().await;
    let stats = rig.fake.journal.stats().remove("Fly").unwrap();
    assert!(rig.calls().is_empty());
    assert_eq!((stats.calls, stats.retries, stats.lost_events), (0, 2, 2));
    let said = stats.last_failure.unwrap();
    assert!(said.contains("Exception binding parameter"), "{said}");
}

#[tokio::test]
async fn exhausted_retries_lose_the_batch() {
    let rig = rig(MANY, RETRY, None, |_, _| {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    })
    .await;
    rig.send(&["a"]);
    rig.settled().await;
    let stats = rig.fake.journal.stats().remove("Fly").unwrap();
    assert_eq!((stats.calls, stats.retries, stats.lost_events), (3, 2, 1));
}

#[tokio::test]
async fn an_output_that_cannot_be_delivered_fails_the_call_and_is_sent_again() {
    let rig = rig(MANY, RETRY, None, |_, _| {
        envelope(&json!({"Outputs": {"deadLetters": ["x"]}}))
    })
    .await;
    rig.fake
        .queues
        .failing
        .store(1, std::sync::atomic::Ordering::SeqCst);
    rig.send(&["a"]);
    rig.settled().await;
    assert_eq!(rig.calls().len(), 2);
    assert_eq!(rig.fake.queues.texts("dead"), ["x"]);
}

#[tokio::test]
async fn an_answer_without_an_envelope_hangs_until_function_timeout_and_the_handler_is_killed() {
    let timeout = Duration::from_millis(300);
    let mut rig = rig(MANY, "", Some(timeout), |_, _| {
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let started = std::time::Instant::now();
    rig.send(&["a"]);
    rig.settled().await;
    assert!(started.elapsed() >= timeout, "{:?}", started.elapsed());
    assert_eq!(
        rig.fake.kills.try_recv(),
        Ok(Kill::Timeout { generation: 1 })
    );
    let log = rig.fake.log.lock().unwrap().clone();
    assert!(
        log.iter()
            .any(|line| line.contains("hangs until functionTimeout")),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_hanging_call_fails_when_the_handler_dies_before() {
    let rig = rig(MANY, "", None, |_, _| {
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let mut news = rig.fake.journal.subscribe();
    rig.send(&["a"]);
    while rig.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.fake.state.send_replace(HandlerState::Starting);
    let HostEvent::CallFailed(failed) = news.recv().await.unwrap() else {
        panic!("the call failed");
    };
    assert!(
        matches!(failed.failure, CallFailure::HandlerGone(_)),
        "{}",
        failed.failure
    );
}

#[tokio::test]
async fn calls_wait_for_a_handler_that_is_being_restarted_and_fail_when_it_refuses() {
    let rig = rig(MANY, "", None, |_, _| envelope(&json!({}))).await;
    rig.fake.state.send_replace(HandlerState::Starting);
    rig.send(&["a"]);
    tokio::task::yield_now().await;
    assert_eq!(rig.hub.lag("g"), 1);
    rig.fake
        .state
        .send_replace(HandlerState::Ready(rig.fake.reached));
    rig.settled().await;
    rig.fake.state.send_replace(HandlerState::Refusing);
    rig.send(&["b"]);
    rig.settled().await;
    let stats = rig.fake.journal.stats().remove("Fly").unwrap();
    assert_eq!((stats.calls, stats.failures, stats.lost_events), (1, 1, 1));
}

#[tokio::test]
async fn untyped_events_that_are_not_json_fail_the_batch_before_the_handler_sees_it() {
    let rig = rig(r#""cardinality":"many""#, "", None, |_, _| {
        envelope(&json!({}))
    })
    .await;
    rig.send(&["{}", "not json"]);
    rig.settled().await;
    assert!(rig.calls().is_empty());
    assert_eq!(rig.fake.journal.stats()["Fly"].lost_events, 2);
}

#[tokio::test]
async fn cardinality_one_calls_for_each_event_in_order() {
    let rig = rig(r#""dataType":"string""#, "", None, |_, _| {
        envelope(&json!({}))
    })
    .await;
    rig.send(&["a", "b"]);
    rig.settled().await;
    let data: Vec<_> = rig
        .calls()
        .iter()
        .map(|call| call.body["Data"]["events"].clone())
        .collect();
    assert_eq!(data, ["\"a\"", "\"b\""]);
}

#[tokio::test]
async fn an_aborted_listener_leaves_its_batch_without_a_checkpoint() {
    let rig = rig(MANY, "", None, |_, _| {
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    rig.send(&["a"]);
    while rig.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.listener.abort();
    let mut in_flight = rig.fake.journal.watch_in_flight();
    tokio::time::timeout(PATIENCE, in_flight.wait_for(|calls| *calls == 0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.hub.lag("g"), 1);
}

#[test]
fn a_connection_string_is_not_shown() {
    assert!(!format!("{:?}", Connection("secret".to_owned())).contains("secret"));
}
