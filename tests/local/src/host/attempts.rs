//! A call made again and again, until it succeeds or the retry policy gives up.

use time::UtcDateTime;
use uuid::Uuid;

use super::envelope::{CallContext, RetryContext};
use super::error::CallFailure;
use super::function_json::Function;
use super::invoker::Invoker;
use super::journal::CallFailed;

/// The attempts at one call.
pub(crate) struct Attempts<'a> {
    function: &'a Function,
    partition: Option<u16>,
    invoker: &'a Invoker,
    /// The current attempt, from 1.
    pub number: u32,
    /// The same at each attempt: it is one call to the host.
    pub invocation_id: Uuid,
    last_failure: Option<String>,
}

impl<'a> Attempts<'a> {
    /// `partition` is that of an Event Hubs trigger.
    pub(crate) fn new(
        function: &'a Function,
        partition: Option<u16>,
        invoker: &'a Invoker,
    ) -> Self {
        Self {
            function,
            partition,
            invoker,
            number: 1,
            invocation_id: Uuid::new_v4(),
            last_failure: None,
        }
    }

    /// What the envelope says of the current attempt.
    pub(crate) fn context(&self) -> CallContext<'_> {
        CallContext {
            function: &self.function.name,
            now: UtcDateTime::now(),
            retry: self.function.retry.as_ref().map(|policy| RetryContext {
                retry_count: self.number - 1,
                max_retry_count: policy.max_retry_count(),
                last_failure: self.last_failure.as_deref(),
            }),
        }
    }

    /// Writes the failure down, and waits for as long as the policy says. False when there is no attempt left.
    pub(crate) async fn again_after(&mut self, failure: CallFailure) -> bool {
        self.last_failure = Some(failure.to_string());
        let journal = self.invoker.journal();
        journal.failed(CallFailed {
            function: self.function.name.as_str().into(),
            invocation_id: self.invocation_id,
            partition: self.partition,
            attempt: self.number,
            failure,
        });
        let policy = self.function.retry.as_ref();
        let jitter = rand::random_range(0.0..1.0);
        let Some(delay) = policy.and_then(|policy| policy.delay(self.number, jitter)) else {
            return false;
        };
        tokio::time::sleep(delay).await;
        self.number += 1;
        journal.update(&self.function.name, |stats| stats.retries += 1);
        true
    }
}
