//! Timers against a fake handler. Schedules are time spans here, which may be shorter than a second.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::host::fake_handler::{FakeHandler, envelope, function};
use crate::host::function_json::Trigger;

const PATIENCE: Duration = Duration::from_secs(10);

/// One timer and one fake handler.
struct Rig {
    fake: FakeHandler,
    timer: Arc<Timer>,
    listener: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn rig<F>(
    binding: &str,
    retry: &str,
    reply: impl Fn(usize, Value) -> F + Send + Sync + 'static,
) -> Rig
where
    F: Future<Output = Response> + Send + 'static,
{
    let text = format!(
        r#"{{{retry}"bindings":[{{"type":"timerTrigger","direction":"in","name":"timer",{binding}}}]}}"#
    );
    let function = function("Sweep", &text, &[("Soon", "00:00:00.020")]);
    let fake = FakeHandler::start("Sweep", None, reply).await;
    let Trigger::Timer(trigger) = &function.trigger else {
        panic!("the trigger is a timer");
    };
    Rig {
        timer: Arc::new(Timer::new(&function, trigger, &fake.invoker)),
        fake,
        listener: None,
    }
}

impl Rig {
    fn listen(&mut self) {
        self.listener = Some(tokio::spawn(Arc::clone(&self.timer).listen()));
    }

    async fn calls(&self, count: usize) -> Vec<Value> {
        let wait = async {
            while self.fake.calls().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it is called");
        let bodies = self.fake.calls().into_iter().map(|call| call.body);
        bodies.take(count).collect()
    }
}

fn succeed() -> Response {
    envelope(&json!({}))
}

#[tokio::test]
async fn a_timer_comes_again_and_again_whether_it_fails_or_not() {
    let mut rig = rig(r#""schedule":"%Soon%""#, "", async |count, _| {
        if count == 2 {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        } else {
            succeed()
        }
    })
    .await;
    rig.listen();
    let calls = rig.calls(4).await;
    for call in calls {
        assert_eq!(call["Data"]["timer"]["IsPastDue"], false);
        // A schedule this close is not monitored.
        assert_eq!(call["Data"]["timer"]["ScheduleStatus"], Value::Null);
        assert!(call["Metadata"].get("RetryContext").is_none());
    }
    assert_eq!(rig.fake.journal.stats()["Sweep"].failures, 1);
}

#[tokio::test]
async fn calls_never_overlap_even_when_run_by_hand() {
    static BUSY: AtomicBool = AtomicBool::new(false);
    let mut rig = rig(r#""schedule":"00:00:00.001""#, "", async |_, _| {
        assert!(!BUSY.swap(true, Ordering::SeqCst), "two calls at a time");
        tokio::time::sleep(Duration::from_millis(10)).await;
        BUSY.store(false, Ordering::SeqCst);
        succeed()
    })
    .await;
    rig.listen();
    let by_hand = (0..3).map(|_| rig.timer.run(false));
    for outcome in futures_util::future::join_all(by_hand).await {
        outcome.unwrap();
    }
    rig.calls(8).await;
    assert_eq!(rig.fake.journal.stats()["Sweep"].failures, 0);
}

#[tokio::test]
async fn a_retry_policy_is_followed_and_its_end_is_the_outcome() {
    let retry =
        r#""retry":{"strategy":"fixedDelay","maxRetryCount":2,"delayInterval":"00:00:00.001"},"#;
    let rig = rig(r#""schedule":"0 0 0 1 1 *""#, retry, async |_, _| {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
    .await;
    let failure = rig.timer.run(false).await.unwrap_err();
    assert_eq!(failure.status(), Some(500));
    let calls = rig.calls(3).await;
    let retries: Vec<_> = calls
        .iter()
        .map(|call| call["Metadata"]["RetryContext"]["RetryCount"].clone())
        .collect();
    assert_eq!(retries, [0, 1, 2]);
    assert_eq!(rig.fake.calls().len(), 3);
}

#[tokio::test]
async fn a_monitored_timer_that_was_missed_runs_at_once_and_says_so() {
    let mut rig = rig(r#""schedule":"00:01:00""#, "", async |_, _| succeed()).await;
    // As a host leaves it that ran two minutes ago.
    let then = UtcDateTime::now() - Duration::from_secs(120);
    rig.timer.plan(Some(then), then);
    rig.listen();
    let timer = &rig.calls(1).await[0]["Data"]["timer"];
    assert_eq!(timer["IsPastDue"], true);
    assert!(timer["ScheduleStatus"]["Last"].is_string(), "{timer}");
}

#[tokio::test]
async fn run_on_startup_is_a_run_that_is_not_past_due() {
    let mut rig = rig(
        r#""schedule":"0 0 0 1 1 *","runOnStartup":true"#,
        "",
        async |_, _| succeed(),
    )
    .await;
    rig.listen();
    let timer = &rig.calls(1).await[0]["Data"]["timer"];
    assert_eq!(timer["IsPastDue"], false);
    assert_eq!(timer["ScheduleStatus"]["Last"], "0001-01-01T00:00:00");
}

#[tokio::test]
async fn a_timer_does_not_run_before_its_time() {
    static ANSWERS: Semaphore = Semaphore::const_new(1);
    let mut rig = rig(r#""schedule":"0 0 0 1 1 *""#, "", async |_, _| {
        ANSWERS.acquire().await.unwrap().forget();
        succeed()
    })
    .await;
    rig.listen();
    // The run by hand would wait for ever behind one that came by itself.
    tokio::time::timeout(PATIENCE, rig.timer.run(false))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.fake.calls().len(), 1);
}
