//! NotifyAlert: posts each alert of the queue `drone-alerts` to a webhook.
//!
//! A post that fails, for whatever reason, fails the call, and the host shows the message again after `visibilityTimeout`
//! (in host.json). What has failed [three times](ATTEMPTS) so is put back to wait, longer each time, for a day: see
//! [`postponed`]. Then the host's `maxDequeueCount` moves it to `drone-alerts-poison`, from where `cargo local replay
//! --alerts-poison` puts it back. A receiver may see an alert more than once, always under the same CloudEvents `id`.
//!
//! Without `AlertWebhookUrl` the function is switched off, with the app setting
//! `AzureWebJobs.NotifyAlert.Disabled`, so that messages stay in the queue for whoever reads it.

pub mod postponed;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use azure_functions_sdk::{CallError, FunctionDefinition, Outputs, QueueMessage, telemetry};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use time::UtcDateTime;
use tracing::{info, warn};

use self::postponed::Postponed;
use super::AppState;
use crate::stores::queue::StorageQueue;
use crate::telemetry::counts;
use crate::webhook::Webhook;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("NotifyAlert", "queueTrigger", include_str!("function.json"))
        .with_deadline(LONGEST_POST.saturating_add(AROUND_A_POST))
        .with_concurrent_calls(AT_ONCE);

/// The longest time for a post that the settings allow.
pub const LONGEST_POST: Duration = Duration::from_secs(120);

/// Of a call, what is not the post: a message may have to be put back.
const AROUND_A_POST: Duration = Duration::from_secs(30);

/// Calls of a message until it is put back. Fewer than `maxDequeueCount` in host.json: where putting it back fails, the host
/// has some left.
pub const ATTEMPTS: u32 = 3;

/// As many as the host may start, by `batchSize` and `newBatchThreshold` in host.json: a call that waits for its turn would have less
/// time for its post. They hold a message each, and wait for somebody else.
const AT_ONCE: usize = 24;

/// The version of CloudEvents that is passed on.
const SPEC_VERSION: &str = "1.0";

/// Where alerts are posted, and where they wait meanwhile.
pub struct Notifier {
    /// The receiver.
    pub webhook: Webhook,
    /// The queue `drone-alerts` itself.
    pub queue: StorageQueue,
}

/// Posts one alert.
///
/// # Errors
/// Where there is no webhook, the message is not a CloudEvent, or the webhook did not take it, for the first times or for a
/// day. The message stays, and is posted again or put aside by the host.
pub async fn handle(
    State(state): State<AppState>,
    // Anything is read here, so that what is wrong with it is said below.
    message: QueueMessage<IgnoredAny>,
) -> Result<Outputs, CallError> {
    let Some(notifier) = &state.notifier else {
        return Err(CallError::new(
            "there is no webhook to post to: set AlertWebhookUrl, or switch this function off with \
             AzureWebJobs.NotifyAlert.Disabled=true",
        ));
    };
    let Postponed { alert, waits_since } = Postponed::read(&message.text);
    let event = CloudEvent::parse(&alert)?;
    if let Some(traceparent) = event.traceparent.as_str() {
        telemetry::link(traceparent);
    }
    let posted = notifier.webhook.post(alert.clone()).await;
    counts::post(&posted);
    let Err(error) = posted else {
        info!(event.id = %event.id, event.r#type = %event.kind, "alert posted");
        return Ok(Outputs::new());
    };
    if message.dequeue_count < ATTEMPTS {
        return Err(CallError::from_error(error));
    }
    let now = UtcDateTime::now();
    let postponed = Postponed {
        alert,
        waits_since: Some(waits_since.unwrap_or(now)),
    };
    let Some(hidden) = postponed.hidden_for(now) else {
        return Err(CallError::new(format!("{error}, for a day now")));
    };
    // Where this process ends between this and the host's deletion, the alert is posted twice.
    if let Err(store) = put_back(notifier, &postponed, hidden).await {
        return Err(CallError::new(format!(
            "{error}, and it cannot be put back: {store}"
        )));
    }
    warn!(
        event.id = %event.id,
        %error,
        retry.seconds = hidden.as_secs(),
        "alert not posted; it is put back"
    );
    Ok(Outputs::new())
}

async fn put_back(
    notifier: &Arc<Notifier>,
    postponed: &Postponed,
    hidden: Duration,
) -> Result<(), CallError> {
    let text = postponed.message().map_err(CallError::from_error)?;
    let put = notifier.queue.put(&text, hidden).await;
    put.map_err(CallError::from_error)
}

/// The attributes that every CloudEvent has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    /// The trace of the batch that told it, where it is a text.
    traceparent: Value,
}

impl CloudEvent {
    /// The message is passed on as it is; this only keeps what no receiver could read from going out.
    fn parse(text: &str) -> Result<Self, CallError> {
        let wrong = |what: &str| CallError::new(format!("the message is not a CloudEvent: {what}"));
        // The parser's own words may quote the message.
        let event: Self = serde_json::from_str(text)
            .map_err(|_| wrong("not a JSON object with the attributes of CloudEvents"))?;
        if event.specversion != SPEC_VERSION {
            return Err(wrong("its specversion is not 1.0"));
        }
        for (name, value) in [
            ("id", &event.id),
            ("source", &event.source),
            ("type", &event.kind),
        ] {
            if value.is_empty() {
                return Err(wrong(&format!("it has no {name}")));
            }
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_lacks_an_attribute_is_no_cloud_event() {
        let whole = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"x":1}}"#;
        CloudEvent::parse(whole).unwrap();
        for (from, to, reason) in [
            ("{", "", "not a JSON object"),
            ("\"1.0\"", "\"0.3\"", "specversion"),
            ("\"specversion\":\"1.0\",", "", "specversion"),
            ("\"id\":\"1\",", "", "no id"),
            ("\"1\"", "\"\"", "no id"),
            ("\"id\":\"1\"", "\"id\":1", "not a JSON object"),
            ("source", "from", "no source"),
            ("type", "kind", "no type"),
        ] {
            let error = CloudEvent::parse(&whole.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(reason), "{from}: {error}");
        }
    }
}
