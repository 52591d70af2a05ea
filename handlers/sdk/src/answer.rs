//! From what a handler returns to the envelope that the host expects.
//!
//! The host waits until functionTimeout for an answer that is 2xx and empty, and then restarts the
//! process. So nothing leaves here but a whole envelope or an error status.

use axum::body::HttpBody;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use tracing::error;

use crate::call_log::CallLog;
use crate::error::{CallError, Reported};
use crate::function_json::FunctionConfig;
use crate::http_output::HttpOutput;
use crate::outputs::{MAX_QUEUE_MESSAGE_TEXT, OutputValue, Outputs};

/// The name under which a binding takes the envelope's ReturnValue.
const RETURN: &str = "$return";

/// Turns the handler's response into the answer to the host.
pub(crate) fn answer(function: &FunctionConfig, mut response: Response, log: &CallLog) -> Response {
    if !response.status().is_success() {
        return failure(response);
    }
    let outputs = match response.extensions_mut().remove::<Outputs>() {
        Some(outputs) => outputs,
        None if response.body().is_end_stream() => Outputs::new(),
        None => {
            return CallError::new(
                "the handler answered with a body of its own; return Outputs, or nothing",
            )
            .into_response();
        }
    };
    match envelope(function, outputs, log) {
        Ok(json) => ([("content-type", "application/json")], json).into_response(),
        Err(error) => error.into_response(),
    }
}

/// The host throws the body away; the console is the only place to learn of it.
fn failure(mut response: Response) -> Response {
    let status = response.status();
    if response.extensions().get::<Reported>().is_none() {
        error!(
            status = status.as_u16(),
            "call failed: the handler did not answer with a 2xx"
        );
    }
    // The host's client would follow a redirection.
    if !status.is_client_error() && !status.is_server_error() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

fn envelope(
    function: &FunctionConfig,
    outputs: Outputs,
    log: &CallLog,
) -> Result<String, CallError> {
    let Outputs {
        values,
        http,
        return_value,
        mut logs,
        error,
    } = outputs;
    if let Some(error) = error {
        return Err(CallError::new(error));
    }
    let mut written: Vec<(String, Written)> = Vec::with_capacity(values.len() + 1);
    for (name, value) in values {
        let value = declared(function, &name, value)?;
        written.push((name, value));
    }
    let mut returned = match return_value {
        Some(json) => Some(declared(function, RETURN, OutputValue::Json(json))?),
        None => None,
    };
    if let Some(http) = http {
        let binding = function.outputs.iter().find(|binding| binding.is("http"));
        match binding {
            Some(binding) if binding.name == RETURN => returned = Some(Written::Http(http)),
            Some(binding) => written.push((binding.name.clone(), Written::Http(http))),
            None => return Err(undeclared(function, "of type http")),
        }
    }
    logs.extend(log.take());
    let envelope = Envelope {
        outputs: &written,
        logs: &logs,
        return_value: returned.as_ref(),
    };
    serde_json::to_string(&envelope).map_err(CallError::from_error)
}

/// The value as the host may see it. It drops outputs that function.json does not declare without a
/// word; and of a queue's messages it takes only the strings of an array as they are.
fn declared(
    function: &FunctionConfig,
    name: &str,
    value: OutputValue,
) -> Result<Written, CallError> {
    let binding = match function.output(name) {
        Some(binding) => binding,
        // A return value is harmless without a binding.
        None if name == RETURN => return Ok(Written::plain(value)),
        None => return Err(undeclared(function, &format!("named `{name}`"))),
    };
    if !binding.is("queue") {
        return Ok(Written::plain(value));
    }
    let messages = match value {
        OutputValue::Messages(messages) => messages,
        OutputValue::Json(json) => messages(&json),
    };
    if let Some(long) = messages
        .iter()
        .find(|text| text.len() > MAX_QUEUE_MESSAGE_TEXT)
    {
        return Err(CallError::new(format!(
            "the output `{name}`: a message of {} bytes; a queue message holds {MAX_QUEUE_MESSAGE_TEXT}",
            long.len()
        )));
    }
    Ok(Written::Messages(messages))
}

fn undeclared(function: &FunctionConfig, what: &str) -> CallError {
    CallError::new(format!(
        "the function.json of {} declares no output {what}",
        function.name
    ))
}

/// The messages that a JSON value stands for: each element of an array, otherwise the value itself;
/// a string as it is, anything else as its JSON.
fn messages(json: &RawValue) -> Vec<String> {
    let elements: Vec<Box<RawValue>> = match json.get() {
        "null" => Vec::new(),
        text => serde_json::from_str(text).unwrap_or_else(|_| vec![json.to_owned()]),
    };
    let text = |element: Box<RawValue>| match crate::json::string(element.get()) {
        Some(text) => text.into_owned(),
        None => element.get().to_owned(),
    };
    elements.into_iter().map(text).collect()
}

enum Written {
    Messages(Vec<String>),
    Json(Box<RawValue>),
    Http(HttpOutput),
}

impl Written {
    fn plain(value: OutputValue) -> Self {
        match value {
            OutputValue::Messages(messages) => Self::Messages(messages),
            OutputValue::Json(json) => Self::Json(json),
        }
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Messages(messages) => messages.serialize(serializer),
            Self::Json(json) => json.serialize(serializer),
            Self::Http(http) => http.serialize(serializer),
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    #[serde(serialize_with = "as_object")]
    outputs: &'a [(String, Written)],
    logs: &'a [String],
    return_value: Option<&'a Written>,
}

fn as_object<S: Serializer>(
    outputs: &&[(String, Written)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(outputs.len()))?;
    for (name, value) in *outputs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
