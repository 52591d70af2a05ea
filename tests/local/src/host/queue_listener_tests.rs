//! The trigger against a fake handler and queues in memory; what Azurite does of it is in `tests.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::host::fake_handler::{FakeHandler, envelope, function};
use crate::host::function_json::Trigger;

const PATIENCE: Duration = Duration::from_secs(10);
const ALERT: &str = r#"{"id":"1"}"#;

/// One queue, one function, one fake handler.
struct Rig {
    fake: FakeHandler,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn options() -> QueuesOptions {
    QueuesOptions {
        batch_size: 4,
        new_batch_threshold: 2,
        max_dequeue_count: 3,
        visibility_timeout: Duration::ZERO,
        max_polling_interval: Duration::from_millis(5),
    }
}

async fn rig<F>(
    options: QueuesOptions,
    times: Times,
    messages: &[&str],
    reply: impl Fn(usize, Value) -> F + Send + Sync + 'static,
) -> Rig
where
    F: Future<Output = Response> + Send + 'static,
{
    let text = r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","queueName":"%Queue%","connection":"Store"}]}"#;
    let function = function("Notify", text, &[("Store", "secret"), ("Queue", "alerts")]);
    let fake = FakeHandler::start("Notify", None, reply).await;
    for message in messages {
        fake.queues.put("alerts", message);
    }
    let Trigger::Queue(trigger) = &function.trigger else {
        panic!("the trigger is a queue");
    };
    let mut listener = QueueListener::new(&function, trigger, options, &fake.invoker).unwrap();
    Arc::get_mut(&mut listener.source).unwrap().times = times;
    Rig {
        listener: tokio::spawn(listener.run()),
        fake,
    }
}

fn hidden(millis: u64) -> Times {
    Times {
        hidden: Duration::from_millis(millis),
        ..TIMES
    }
}

impl Rig {
    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect(what);
    }

    async fn empty(&self) {
        self.until("the queue is empty", || {
            self.fake.queues.texts("alerts").is_empty()
        })
        .await;
    }
}

fn succeed() -> Response {
    envelope(&json!({}))
}

fn fail() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[tokio::test]
async fn a_message_whose_call_succeeds_is_deleted() {
    let rig = rig(options(), TIMES, &[ALERT, "text"], async |_, _| succeed()).await;
    rig.empty().await;
    let mut seen: Vec<String> = rig
        .fake
        .calls()
        .iter()
        .map(|call| serde_json::from_str(call.body["Data"]["alert"].as_str().unwrap()).unwrap())
        .collect();
    seen.sort();
    assert_eq!(seen, ["text", ALERT]);
    assert_eq!(rig.fake.queues.texts("alerts-poison"), Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_call_is_made_again_with_a_higher_dequeue_count() {
    let rig = rig(options(), TIMES, &["text"], async |count, _| {
        if count < 3 { fail() } else { succeed() }
    })
    .await;
    rig.empty().await;
    let counts: Vec<Value> = rig
        .fake
        .calls()
        .iter()
        .map(|call| call.body["Metadata"]["DequeueCount"].clone())
        .collect();
    assert_eq!(counts, ["1", "2", "3"]);
    assert!(rig.fake.queues.texts("alerts-poison").is_empty());
    assert_eq!(rig.fake.journal.stats()["Notify"].failures, 2);
}

#[tokio::test]
async fn after_max_dequeue_count_failures_a_message_is_poison() {
    let rig = rig(options(), TIMES, &[ALERT, "good"], async |_, body| {
        let text = body["Data"]["alert"].as_str().unwrap();
        if text.contains("good") {
            succeed()
        } else {
            fail()
        }
    })
    .await;
    rig.empty().await;
    assert_eq!(rig.fake.queues.texts("alerts-poison"), [ALERT]);
    assert_eq!(rig.fake.calls().len(), 4);
}

#[tokio::test]
async fn a_message_that_died_with_its_hosts_is_poison_without_another_call() {
    let rig = rig(options(), TIMES, &[], async |_, _| succeed()).await;
    // Handed out three times before, and never dealt with.
    let store = rig.fake.queues.accounts()(&rig_connection()).unwrap();
    rig.listener.abort();
    rig.fake.queues.put("alerts", ALERT);
    for _ in 0..3 {
        store.receive("alerts", 1, Duration::ZERO).await.unwrap();
    }
    let rig = restarted(rig).await;
    rig.empty().await;
    assert_eq!(rig.fake.queues.texts("alerts-poison"), [ALERT]);
    assert_eq!(rig.fake.calls().len(), 0);
}

fn rig_connection() -> crate::host::function_json::Connection {
    crate::host::function_json::Connection("secret".to_owned())
}

/// A new listener on the same queue.
async fn restarted(mut rig: Rig) -> Rig {
    let text = r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","queueName":"alerts","connection":"Store"}]}"#;
    let function = function("Notify", text, &[("Store", "secret")]);
    let Trigger::Queue(trigger) = &function.trigger else {
        panic!("the trigger is a queue");
    };
    let listener = QueueListener::new(&function, trigger, options(), &rig.fake.invoker).unwrap();
    rig.listener = tokio::spawn(listener.run());
    rig
}

#[tokio::test]
async fn what_is_not_base64_is_poison_as_it_is() {
    let rig = rig(options(), TIMES, &[], async |_, _| succeed()).await;
    rig.fake
        .queues
        .put_stored("alerts", "{no base64}".to_owned());
    let store = rig.fake.queues.accounts()(&rig_connection()).unwrap();
    let wait = async {
        while store.length("alerts-poison").await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    let poison = store
        .receive("alerts-poison", 1, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(poison[0].text, "{no base64}");
    assert_eq!(rig.fake.calls().len(), 0);
}

#[tokio::test]
async fn a_poison_queue_out_of_reach_keeps_the_message() {
    let rig = rig(options(), hidden(20), &[ALERT], async |_, _| fail()).await;
    rig.fake.queues.failing.store(2, Ordering::SeqCst);
    rig.empty().await;
    assert_eq!(rig.fake.queues.texts("alerts-poison"), [ALERT]);
    assert_eq!(
        rig.fake.calls().len(),
        3,
        "its last call was the third: moving it away is tried without another"
    );
}

#[tokio::test]
async fn calls_in_flight_are_bounded_by_batch_and_threshold() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let messages = ["m"; 20];
    let rig = rig(options(), TIMES, &messages, async |_, _| {
        let now = NOW.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        NOW.fetch_sub(1, Ordering::SeqCst);
        succeed()
    })
    .await;
    rig.empty().await;
    let most = MOST.load(Ordering::SeqCst);
    // A batch of 4 beside the 2 that may be left of the one before.
    assert!((2..=6).contains(&most), "{most} at a time");
    assert_eq!(rig.fake.calls().len(), 20);
}

#[tokio::test]
async fn a_long_call_keeps_its_message_hidden_and_can_still_delete_it() {
    // Hidden for 100 ms only, and the call goes on for longer: without renewal it would come a second time.
    let rig = rig(options(), hidden(100), &[ALERT], async |_, _| {
        tokio::time::sleep(Duration::from_millis(400)).await;
        succeed()
    })
    .await;
    rig.empty().await;
    assert_eq!(rig.fake.calls().len(), 1);
}

#[tokio::test]
async fn an_output_to_its_own_queue_wakes_the_listener_at_once() {
    // Without being woken it would look a second time long after this test has given up.
    let patient = QueuesOptions {
        max_polling_interval: PATIENCE * 10,
        ..options()
    };
    let times = Times {
        shortest_polling_interval: PATIENCE * 10,
        ..TIMES
    };
    let rig = rig(patient, times, &[], async |_, _| succeed()).await;
    let value = serde_json::value::RawValue::from_string(r#"["x"]"#.to_owned()).unwrap();
    for calls in 1..=3 {
        let queues = rig.fake.invoker.queues();
        queues
            .deliver(&rig_connection(), "alerts", &value)
            .await
            .unwrap();
        rig.empty().await;
        assert_eq!(rig.fake.calls().len(), calls);
    }
}
