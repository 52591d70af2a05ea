//! One call: a span, a turn, a deadline, and an answer whatever the handler does.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::{Instrument, error};

use crate::answer;
use crate::body::CallContext;
use crate::budget::ByteBudget;
use crate::call_log::CallLog;
use crate::error::{CallError, Reported};
use crate::function_json::FunctionConfig;
use crate::invocation::Invocation;
use crate::outputs::Outputs;
use crate::telemetry::FunctionTelemetry;

/// A handler with its state.
pub(crate) type Handler = BoxCloneSyncService<Request, Response, Infallible>;

/// A registered function, ready to be called.
pub(crate) struct Function {
    pub(crate) config: Arc<FunctionConfig>,
    pub(crate) handler: Handler,
    pub(crate) deadline: Duration,
    /// In bytes.
    pub(crate) body_limit: usize,
    pub(crate) budget: Arc<ByteBudget>,
    /// `None` for a forwarded HTTP function.
    pub(crate) turns: Option<Semaphore>,
    pub(crate) telemetry: Arc<FunctionTelemetry>,
}

impl Function {
    /// Answers a call that came as an envelope.
    pub(crate) async fn call(self: Arc<Self>, request: Request) -> Response {
        self.run(request, |function, outcome, log| match outcome {
            Outcome::Answered(response) => answer::answer(&function.config, response, log),
            Outcome::Panicked(message) => {
                CallError::new(format!("the function panicked: {message}")).into_response()
            }
            Outcome::Late => {
                let seconds = function.deadline.as_secs_f32();
                CallError::new(format!("the function did not finish within {seconds} s"))
                    .into_response()
            }
        })
        .await
    }

    /// Answers a forwarded HTTP request. The answer goes to a stranger: it says nothing of the inside.
    pub(crate) async fn forward(self: Arc<Self>, request: Request) -> Response {
        self.run(request, |_, outcome, _| match outcome {
            Outcome::Answered(response) if response.extensions().get::<Outputs>().is_some() => {
                error!("the handler of a forwarded HTTP function returned Outputs, which only an envelope can carry");
                plain_error(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Outcome::Answered(response) if response.extensions().get::<Reported>().is_some() => {
                plain_error(response.status())
            }
            Outcome::Answered(response) => response,
            Outcome::Panicked(message) => {
                error!(panic.message = message, "the function panicked");
                plain_error(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Outcome::Late => {
                error!("the deadline has passed");
                plain_error(StatusCode::GATEWAY_TIMEOUT)
            }
        })
        .await
    }

    async fn run(
        self: Arc<Self>,
        mut request: Request,
        conclude: impl FnOnce(&Self, Outcome, &CallLog) -> Response,
    ) -> Response {
        // From arrival, not from the call's turn: the host has been counting since then.
        let deadline = Instant::now() + self.deadline;
        let invocation = Invocation::new(&self.config.name, request.headers());
        let log = CallLog::default();
        let running = self.telemetry.begin(&request, &invocation);
        let span = log.span(&invocation, running.ids());
        request.extensions_mut().insert(invocation);
        request.extensions_mut().insert(CallContext {
            function: Arc::clone(&self.config),
            body_limit: self.body_limit,
            budget: Arc::clone(&self.budget),
            span: span.clone(),
            call: running.call(),
        });
        async move {
            let work = AssertUnwindSafe(running.scope(self.take_turn(request))).catch_unwind();
            let outcome = match timeout_at(deadline, work).await {
                Ok(Ok(response)) => Outcome::Answered(response),
                Ok(Err(panic)) => Outcome::Panicked(panic_message(&*panic).to_owned()),
                Err(_) => Outcome::Late,
            };
            let broken = outcome.error();
            let response = conclude(&self, outcome, &log);
            let error = broken.or_else(|| self.error(response.status()));
            let status = response.status().as_u16();
            running.end(self.is_forwarded().then_some(status), error);
            response
        }
        .instrument(span)
        .await
    }

    /// The body is still unread while a call waits: a backlog stays in the sockets, not in memory.
    async fn take_turn(&self, request: Request) -> Response {
        let _turn = match &self.turns {
            Some(turns) => turns.acquire().await.ok(),
            None => None,
        };
        match self.handler.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

impl Function {
    /// What kind of failure an answer is, if it is one: of a call with an envelope everything but a 2xx, of HTTP what
    /// is not the stranger's own mistake.
    fn error(&self, status: StatusCode) -> Option<String> {
        if self.is_forwarded() {
            status.is_server_error().then(|| status.as_str().to_owned())
        } else {
            (!status.is_success()).then(|| "failed".to_owned())
        }
    }

    fn is_forwarded(&self) -> bool {
        self.turns.is_none()
    }
}

enum Outcome {
    Answered(Response),
    Panicked(String),
    Late,
}

impl Outcome {
    fn error(&self) -> Option<String> {
        match self {
            Self::Answered(_) => None,
            Self::Panicked(_) => Some("panic".to_owned()),
            Self::Late => Some("timeout".to_owned()),
        }
    }
}

fn plain_error(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("error");
    (status, axum::Json(serde_json::json!({ "error": reason }))).into_response()
}

/// What a panic says, where it says it in text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
