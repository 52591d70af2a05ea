//! Azure Functions custom handlers, for those who know axum.
//!
//! A *custom handler* is a web server that the Azure Functions host starts and calls: the host reads the
//! queues, hubs and timers, and posts what it reads. Its protocol is small and full of traps: an answer
//! that is empty hangs the call until the process is restarted, a text that happens to be base64 comes
//! out of a queue decoded, metadata can be overwritten by the message. This crate owns the protocol, so
//! that a function is an ordinary axum handler: **the trigger is an extractor, the output bindings are
//! the return value**, and shared state is [`State`](axum::extract::State).
//!
//! ```no_run
//! use axum::extract::State;
//! use axum::http::StatusCode;
//! use azure_functions_sdk::{
//!     CallError, EventHubBatch, FunctionApp, FunctionDefinition, HostConfig, Outputs, observability,
//! };
//!
//! // Usually include_str!("function.json"), beside the code.
//! const COUNT: FunctionDefinition = FunctionDefinition::new(
//!     "CountReadings",
//!     "eventHubTrigger",
//!     r#"{
//!       "bindings": [
//!         {"type": "eventHubTrigger", "direction": "in", "name": "events", "connection": "Hub",
//!          "eventHubName": "readings", "consumerGroup": "count", "cardinality": "many",
//!          "dataType": "binary"},
//!         {"type": "queue", "direction": "out", "name": "rejected", "connection": "Storage",
//!          "queueName": "rejected"}
//!       ],
//!       "retry": {"strategy": "exponentialBackoff", "maxRetryCount": -1,
//!                 "minimumInterval": "00:00:01", "maximumInterval": "00:01:00"}
//!     }"#,
//! )
//! .with_outputs(&["rejected"]);
//!
//! const HEALTH: FunctionDefinition = FunctionDefinition::new(
//!     "Health",
//!     "httpTrigger",
//!     r#"{"bindings": [
//!         {"type": "httpTrigger", "direction": "in", "name": "request", "methods": ["get"], "route": "health"},
//!         {"type": "http", "direction": "out", "name": "response"}
//!     ]}"#,
//! );
//!
//! #[derive(Clone)]
//! struct Limits {
//!     longest: usize,
//! }
//!
//! async fn count(State(limits): State<Limits>, batch: EventHubBatch) -> Result<Outputs, CallError> {
//!     let (good, bad): (Vec<_>, Vec<_>) =
//!         batch.events.iter().partition(|event| event.body.len() <= limits.longest);
//!     tracing::info!(partition.id = batch.partition.partition_id, good = good.len(), "counted");
//!     let rejected = bad.iter().map(|event| format!("{} is too long", event.sequence_number));
//!     Ok(Outputs::new().queue("rejected", rejected))
//! }
//!
//! async fn health() -> StatusCode {
//!     StatusCode::NO_CONTENT
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     observability::init("info");
//!     let host = r#"{"version": "2.0", "customHandler": {"enableForwardingHttpRequest": true}}"#;
//!     let host = HostConfig::parse(host)?.with_overrides(|name| std::env::var(name).ok())?;
//!     FunctionApp::new(Limits { longest: 1024 }, host)
//!         .function(COUNT, count)
//!         .http(HEALTH, health)
//!         .serve()
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! # Map
//!
//! | what | where |
//! |---|---|
//! | the app: functions by name, limits, the server | [`FunctionApp`] |
//! | a function and its function.json | [`FunctionDefinition`], [`FunctionConfig`] |
//! | host.json | [`HostConfig`] |
//! | triggers | [`EventHubBatch`], [`EventHubEvent`], [`QueueMessage`], [`TimerInfo`], [`BlobTrigger`], [`HttpTrigger`] |
//! | who calls, which call it is, and where it was sent | [`ClientPrincipal`], [`Invocation`], [`SentUri`] |
//! | output bindings | [`Outputs`], [`HttpOutput`] |
//! | failure | [`CallError`], [`StartError`] |
//! | the app settings that say how a service is reached | [`connection`] |
//! | logs | [`observability`], [`CallLogLayer`] |
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `event-hubs`, by default | [`EventHubBatch`], [`EventHubEvent`] and what they hold |
//! | `observability`, by default | [`observability`] and [`CallLogLayer`] |
//! | `connection` | [`connection`] |
//! | `telemetry` | [`telemetry`]: spans and metrics, by OpenTelemetry |
//!
//! Without any of them there are HTTP, queues, timers and blobs.
//!
//! # What it takes care of
//!
//! - Every call is answered with an envelope or with an error status. A handler that returns nothing, or
//!   204, is answered for with an empty envelope; one that panics, or misses its deadline, has failed.
//! - Queue outputs are arrays of strings, whatever the strings look like, and none is too long.
//! - Outputs that function.json does not declare fail the call; the host would drop them.
//! - Values that the host encodes twice, and the documentation once, are read either way.
//! - A body is never refused for a size that the host may send; see [`HostConfig::body_limit`].
//! - Calls above a limit wait with their bodies unread, by number ([`FunctionApp::max_concurrent_calls`]) and by
//!   size ([`FunctionApp::max_body_bytes`]).
//! - Where the host is killed, the program ends instead of holding its port as an orphan.
//! - Each call has a span with its invocation id, function, partition, trace and span; its warnings
//!   and errors also go into the `Logs` of its answer.
//!
//! # What it leaves to you
//!
//! The host checkpoints a batch of events whether its call succeeded or failed. Without a `retry` policy
//! in function.json a failed batch is lost; with `maxRetryCount` -1 a batch that can never succeed holds
//! its partition for ever. So put aside what can never succeed, and fail the call for the rest.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(feature = "event-hubs"),
    allow(dead_code, reason = "what only batches of events need of the rest")
)]

/// The snippets on its page compile, but for the one that is held against an example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod app;
mod blob;
mod body;
mod budget;
mod buffer;
mod call;
mod call_log;
#[cfg(feature = "connection")]
pub mod connection;
mod definition;
mod encoded;
mod envelope;
mod error;
#[cfg(feature = "event-hubs")]
mod event_hub;
mod forwarded;
mod function_json;
mod host_json;
mod http_output;
mod http_trigger;
mod invocation;
mod json;
#[cfg(not(feature = "telemetry"))]
mod no_telemetry;
#[cfg(not(feature = "telemetry"))]
use no_telemetry as telemetry;
#[cfg(feature = "observability")]
pub mod observability;
mod outputs;
mod parent;
mod principal;
mod queue;
mod route;
mod server;
mod signal;
#[cfg(feature = "telemetry")]
pub mod telemetry;
mod timer;
mod timespan;
mod timestamp;

pub use app::FunctionApp;
pub use blob::BlobTrigger;
#[cfg(feature = "observability")]
pub use call_log::CallLogLayer;
pub use definition::{DefinitionError, DefinitionProblem, FunctionDefinition};
pub use error::{CallError, StartError};
#[cfg(feature = "event-hubs")]
pub use event_hub::{
    Event, EventHubBatch, EventHubEvent, PartitionContext, Properties, RetryContext,
};
pub use forwarded::SentUri;
pub use function_json::{
    Binding, Cardinality, DataType, Direction, FunctionConfig, RetryPolicy, RetryStrategy,
};
pub use host_json::{HostConfig, HostConfigError};
pub use http_output::HttpOutput;
pub use http_trigger::HttpTrigger;
pub use invocation::Invocation;
pub use outputs::{MAX_QUEUE_MESSAGE_TEXT, Outputs};
pub use principal::{Claim, ClientPrincipal, NotSignedIn};
pub use queue::QueueMessage;
pub use timer::{ScheduleStatus, TimerInfo};
