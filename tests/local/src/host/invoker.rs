//! One call of the handler, from the envelope to delivered outputs. Works against any address that speaks the protocol.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::{Answer, Verdict, judge};
use super::error::CallFailure;
use super::function_json::{Function, OutputKind};
use super::journal::{HostEvent, Journal};
use super::link::{HandlerLink, Kill, Reached};
use super::queue_output::QueueOutputs;
use crate::otlp::now;

/// The version that the protocol notes were read from.
pub(crate) const HOST_VERSION: &str = "4.1037.0.0";

/// The largest piece of a chunked body, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) type HttpClient = Client<HttpConnector, Body>;

/// A client for connections to the handler.
pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A call that is ready to go.
pub(crate) struct Call {
    pub invocation_id: Uuid,
    pub envelope: String,
    /// Of an Event Hubs trigger.
    pub events: usize,
}

/// Calls the handler.
pub(crate) struct Invoker {
    client: HttpClient,
    link: HandlerLink,
    timeout: Option<Duration>,
    journal: Arc<Journal>,
    queues: QueueOutputs,
}

impl Invoker {
    pub(crate) fn new(
        link: HandlerLink,
        timeout: Option<Duration>,
        journal: Arc<Journal>,
        queues: QueueOutputs,
    ) -> Self {
        Self {
            client: http_client(),
            link,
            timeout,
            journal,
            queues,
        }
    }

    pub(crate) fn link(&self) -> &HandlerLink {
        &self.link
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(crate) fn queues(&self) -> &QueueOutputs {
        &self.queues
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Calls a function once. The answer is returned for the sake of its `http` output; its queue outputs are delivered, and a call
    /// whose outputs cannot be delivered has failed.
    ///
    /// Waits for a handler that is being started. The time-out counts from when the handler is there.
    pub(crate) async fn invoke(
        &self,
        function: &Function,
        call: Call,
    ) -> Result<Answer, CallFailure> {
        let reached = self.link.ready().await.map_err(|_| CallFailure::Refused)?;
        let _in_flight = self.journal.begin(&function.name);
        let events = call.events as u64;
        if events > 0 {
            self.journal.ledger.called(&function.name, events);
        }
        self.in_time(reached, async {
            let answer = self.exchange(reached, function, call).await?;
            if events > 0 {
                let ledger = &self.journal.ledger;
                ledger.answered(reached.worker, &function.name, events, now());
            }
            self.deliver(function, &answer).await?;
            Ok(answer)
        })
        .await
    }

    /// Ends a call that takes longer than functionTimeout, and the handler with it.
    pub(crate) async fn in_time<T>(
        &self,
        reached: Reached,
        call: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        let Some(timeout) = self.timeout else {
            return call.await;
        };
        match tokio::time::timeout_at(Instant::now() + timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.link.kill(Kill::Timeout {
                    generation: reached.generation,
                });
                Err(CallFailure::TimedOut(timeout))
            }
        }
    }

    async fn exchange(
        &self,
        reached: Reached,
        function: &Function,
        call: Call,
    ) -> Result<Answer, CallFailure> {
        let gone = |error: &dyn std::error::Error| CallFailure::HandlerGone(with_sources(error));
        let request = request(reached, &function.name, call)?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| gone(&error))?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| gone(&error))?
            .to_bytes();
        match judge(parts.status, &parts.headers, &body)? {
            Verdict::Answer(answer) => {
                for line in &answer.logs {
                    self.journal.log.line(&function.name, line);
                }
                Ok(answer)
            }
            Verdict::Hangs => {
                self.journal.log.host(&format!(
                    "{} answered {} without an envelope: the call hangs until functionTimeout, then the handler is killed",
                    function.name, parts.status
                ));
                self.link.gone(reached).await;
                Err(CallFailure::HandlerGone(
                    "it ended before functionTimeout".to_owned(),
                ))
            }
        }
    }

    async fn deliver(&self, function: &Function, answer: &Answer) -> Result<(), CallFailure> {
        for name in answer.outputs.keys() {
            if !function
                .outputs
                .iter()
                .any(|output| output.binding == *name)
            {
                self.journal.log.host(&format!(
                    "{} answered the output '{name}', which its function.json does not have: ignored",
                    function.name
                ));
            }
        }
        for output in &function.outputs {
            let OutputKind::Queue { queue, connection } = &output.kind else {
                continue;
            };
            if let Some(value) = output_value(answer, &output.binding) {
                self.queues
                    .deliver(connection, queue, value)
                    .await
                    .map_err(|problem| CallFailure::Output {
                        binding: output.binding.clone(),
                        problem,
                    })?;
                self.journal.tell(HostEvent::QueueOutput {
                    function: function.name.as_str().into(),
                    queue: queue.as_str().into(),
                    value: value.get().into(),
                });
            }
        }
        Ok(())
    }
}

/// The value of an output binding; the one called `$return` is the return value.
pub(crate) fn output_value<'a>(answer: &'a Answer, binding: &str) -> Option<&'a RawValue> {
    match binding {
        "$return" => answer.return_value.as_deref(),
        _ => answer.outputs.get(binding).map(|value| &**value),
    }
}

fn request(reached: Reached, function: &str, call: Call) -> Result<Request<Body>, CallFailure> {
    let invocation_id = call.invocation_id.to_string();
    Request::builder()
        .method(Method::POST)
        .uri(uri(reached, &format!("/{function}"))?)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header(
            header::USER_AGENT,
            format!("Azure-Functions-Host/{HOST_VERSION}"),
        )
        .header("x-azure-functions-invocationid", invocation_id)
        .header(
            "x-azure-functions-hostversion",
            HeaderValue::from_static(HOST_VERSION),
        )
        .header("traceparent", traceparent())
        .body(chunked(call.envelope))
        .map_err(|error| CallFailure::Input(error.to_string()))
}

pub(crate) fn uri(reached: Reached, path_and_query: &str) -> Result<Uri, CallFailure> {
    format!("http://{}{path_and_query}", reached.address)
        .parse()
        .map_err(|_| CallFailure::Input(format!("'{path_and_query}' is no path")))
}

/// Without a content length, in pieces: .NET serializes the envelope into the request as it goes, and a handler that counts on a
/// content length must not pass here.
fn chunked(envelope: String) -> Body {
    let mut rest = Bytes::from(envelope);
    Body::from_stream(stream::iter(std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(CHUNK_BYTES));
        (!piece.is_empty()).then_some(Ok::<_, std::convert::Infallible>(piece))
    })))
}

/// A new trace for every call, sampled.
fn traceparent() -> String {
    let (trace, span) = (Uuid::new_v4(), Uuid::new_v4().as_u64_pair().0);
    format!("00-{}-{span:016x}-01", trace.simple())
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
