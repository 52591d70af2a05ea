//! HTTP triggers: requests from outside, forwarded to the handler or put into an envelope. Also the host's own way to run a function
//! of a timer or a queue: `POST /admin/functions/{name}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::to_raw_value;
use time::UtcDateTime;
use uuid::Uuid;

use super::envelope::CallContext;
use super::envelope::http::{HttpRequest, envelope};
use super::error::CallFailure;
use super::function_json::{Function, HttpTrigger, QueueTrigger, Trigger};
use super::invoker::{Call, HOST_VERSION, Invoker, output_value, uri};
use super::journal::CallFailed;
use super::link::{HandlerState, Reached};
use super::routes::Routes;
use super::target;
use super::timer::Timer;

/// Below it are the functions' names.
const ADMIN: &str = "/admin/functions/";

/// The largest request that the host takes, in bytes: 100 MB as in Azure.
const MAX_REQUEST_BYTES: usize = 100 * 1000 * 1000;

/// More than a queue takes as one message.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// What `POST /admin/functions/{name}` is told.
#[derive(Deserialize)]
struct RunByHand {
    input: String,
}

/// Headers of one connection, which the next one has its own of.
const HOP_BY_HOP: &[HeaderName] = &[
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

pub(crate) struct HttpFront {
    pub routes: Routes,
    pub forward: bool,
    pub invoker: Arc<Invoker>,
    pub timers: Vec<Arc<Timer>>,
    /// All of them, for those that somebody runs by hand.
    pub functions: Vec<Arc<Function>>,
}

/// Answers any request.
pub(crate) async fn serve(State(front): State<Arc<HttpFront>>, request: Request) -> Response {
    if request.uri().path() == "/" {
        return "The local Functions host is running.\n".into_response();
    }
    if let Some(name) = request.uri().path().strip_prefix(ADMIN) {
        let name = name.to_owned();
        return front.run_function(&name, request).await;
    }
    let Ok(path) = target::routed_path(request.uri().path()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let found = front
        .routes
        .find(request.method().as_str(), &path)
        .map(|(function, params)| (Arc::clone(function), params));
    let Some((function, params)) = found else {
        return (
            StatusCode::NOT_FOUND,
            "No function has this route and method.\n",
        )
            .into_response();
    };
    let Trigger::Http(trigger) = &function.trigger else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let reached = match front.invoker.link().now() {
        HandlerState::Ready(reached) => reached,
        HandlerState::Starting => {
            return unavailable("The handler is being started again; try once more in a moment.\n");
        }
        HandlerState::Refusing => {
            return unavailable(
                "The handler has ended with exit code 0 and is not started again.\n",
            );
        }
    };
    // .NET writes a header in ASCII, and fails where it is none.
    let ascii = |value: &HeaderValue| value.as_bytes().is_ascii();
    if !request.headers().values().all(ascii) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let id = Uuid::new_v4();
    let outcome = if front.forward && function.forwardable {
        front.forward(reached, &function, id, &path, request).await
    } else {
        front.call(&function, trigger, id, params, request).await
    };
    outcome.unwrap_or_else(|failure| front.failed(&function, id, failure))
}

fn unavailable(text: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

impl HttpFront {
    /// 202 and no more: the call's outcome is in the log. The real host takes any function that is not of HTTP, and asks for a key.
    ///
    /// A message for a function of a queue goes through its queue, where the real host would call the function with it.
    async fn run_function(&self, name: &str, request: Request) -> Response {
        let named = |function: &&Arc<Function>| function.name.eq_ignore_ascii_case(name);
        let Some(function) = self.functions.iter().find(named) else {
            return (StatusCode::NOT_FOUND, "No function has this name.\n").into_response();
        };
        let timer = self
            .timers
            .iter()
            .find(|timer| timer.name() == function.name);
        match (&function.trigger, timer) {
            (Trigger::Timer(_) | Trigger::Queue(_), _) if request.method() != Method::POST => {
                (StatusCode::METHOD_NOT_ALLOWED, "Run it with POST.\n").into_response()
            }
            (Trigger::Timer(_), Some(timer)) => {
                let timer = Arc::clone(timer);
                tokio::spawn(async move { timer.run(false).await });
                StatusCode::ACCEPTED.into_response()
            }
            (Trigger::Queue(trigger), _) => match self.put(trigger, request).await {
                Ok(()) => StatusCode::ACCEPTED.into_response(),
                Err((status, problem)) => (status, format!("{problem}\n")).into_response(),
            },
            (Trigger::EventHub(_), _) => {
                let text = "Send its events to the hub instead.\n";
                (StatusCode::NOT_FOUND, text).into_response()
            }
            _ => {
                let text = "Send its requests to its own address instead.\n";
                (StatusCode::NOT_FOUND, text).into_response()
            }
        }
    }

    /// Puts the `input` of a request into a function's queue.
    async fn put(
        &self,
        trigger: &QueueTrigger,
        request: Request,
    ) -> Result<(), (StatusCode, String)> {
        let body = Limited::new(request.into_body(), MAX_MESSAGE_BYTES).collect();
        let body = body.await.map_err(|error| {
            let problem = format!("The request cannot be read: {error}");
            (StatusCode::BAD_REQUEST, problem)
        })?;
        let run: RunByHand = serde_json::from_slice(&body.to_bytes()).map_err(|_| {
            let problem = r#"The body must be JSON such as {"input":"a message"}."#.to_owned();
            (StatusCode::BAD_REQUEST, problem)
        })?;
        let failed = |problem: String| (StatusCode::INTERNAL_SERVER_ERROR, problem);
        let messages = to_raw_value(&[run.input]).map_err(|error| failed(error.to_string()))?;
        let queues = self.invoker.queues();
        let delivered = queues.deliver(&trigger.connection, &trigger.queue, &messages);
        delivered.await.map_err(failed)
    }

    /// Path and query as [`target::forwarded`] says, headers and body as they came; the answer as it comes, with any status.
    async fn forward(
        &self,
        reached: Reached,
        function: &Function,
        invocation_id: Uuid,
        path: &str,
        request: Request,
    ) -> Result<Response, CallFailure> {
        let _in_flight = self.invoker.journal().begin(&function.name);
        let (mut parts, body) = request.into_parts();
        parts.uri = uri(reached, &target::forwarded(path, parts.uri.query()))?;
        parts.version = http::Version::HTTP_11;
        let has_body = parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
            .is_some_and(|length| length > 0);
        remove_hop_by_hop(&mut parts.headers);
        parts.headers.insert(
            "x-azure-functions-hostversion",
            HeaderValue::from_static(HOST_VERSION),
        );
        if let Ok(id) = HeaderValue::from_str(&invocation_id.to_string()) {
            parts.headers.insert("x-azure-functions-invocationid", id);
        }
        // A body without a content length is not passed on. That is what the real host does.
        let body = if has_body { body } else { Body::empty() };
        let request = Request::from_parts(parts, body);

        let answer = self.invoker.in_time(reached, async {
            self.invoker
                .client()
                .request(request)
                .await
                .map_err(|error| CallFailure::HandlerGone(error.to_string()))
        });
        let (mut parts, body) = answer.await?.into_parts();
        remove_hop_by_hop(&mut parts.headers);
        Ok(Response::from_parts(parts, Body::new(body)))
    }

    async fn call(
        &self,
        function: &Function,
        trigger: &HttpTrigger,
        invocation_id: Uuid,
        params: BTreeMap<String, String>,
        request: Request,
    ) -> Result<Response, CallFailure> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST_BYTES)
            .collect()
            .await
            .map_err(|error| CallFailure::Input(error.to_string()))?
            .to_bytes();
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("localhost");
        let request = HttpRequest {
            url: format!("http://{host}{}", parts.uri),
            method: parts.method.to_string(),
            query: target::joined(parts.uri.query().unwrap_or_default())
                .into_iter()
                .collect(),
            headers: headers(&parts.headers),
            params,
            body: (!body.is_empty()).then(|| String::from_utf8_lossy(&body).into_owned()),
        };
        let context = CallContext {
            function: &function.name,
            now: UtcDateTime::now(),
            retry: None,
        };
        let call = Call {
            invocation_id,
            envelope: envelope(&trigger.binding, &request, &context),
            events: 0,
        };
        let answer = self.invoker.invoke(function, call).await?;
        let output = trigger
            .output
            .as_deref()
            .and_then(|binding| output_value(&answer, binding));
        Ok(output.map_or_else(
            || StatusCode::OK.into_response(),
            |value| response(value.get()),
        ))
    }

    fn failed(&self, function: &Function, invocation_id: Uuid, failure: CallFailure) -> Response {
        let status = match &failure {
            CallFailure::HandlerGone(_) => StatusCode::BAD_GATEWAY,
            CallFailure::Refused => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.invoker.journal().failed(CallFailed {
            function: function.name.as_str().into(),
            invocation_id,
            partition: None,
            attempt: 1,
            failure,
        });
        (
            status,
            "The call of the function failed; the host's log says why.\n",
        )
            .into_response()
    }
}

/// An `http` output: `statusCode`, `headers`, `body`. `status` is ignored, as by the real host.
fn response(json: &str) -> Response {
    let output: Value = serde_json::from_str(json).unwrap_or_default();
    let member = |name: &str| {
        output.as_object().and_then(|members| {
            members
                .iter()
                .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        })
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let status = member("statusCode")
        .and_then(|status| text(status).parse::<u16>().ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::OK);
    let body = member("body")
        .filter(|body| !body.is_null())
        .map(text)
        .unwrap_or_default();
    let mut response = (status, body).into_response();
    for (name, value) in member("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let (Ok(name), Ok(value)) = (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(&text(value)),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        by_name
            .entry(dotnet_case(name.as_str()))
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    by_name
}

/// `content-type` as .NET shows it: `Content-Type`.
fn dotnet_case(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let cased = if upper { c.to_ascii_uppercase() } else { c };
            upper = c == '-';
            cased
        })
        .collect()
}

#[cfg(test)]
#[path = "http_front_tests.rs"]
mod tests;
