//! What a function puts out: the values of its output bindings.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http_output::HttpOutput;

/// The longest text that fits into one queue message, in bytes of UTF-8: 48 KiB.
///
/// A message holds 64 KiB, and the host writes it in base64. `Outputs` refuses more, because the host
/// would find out only after the call has succeeded.
pub const MAX_QUEUE_MESSAGE_TEXT: usize = 48 * 1024;

/// The return value of a function: values for output bindings, lines for its log.
///
/// As an axum response it has no body of its own; [`FunctionApp`](crate::FunctionApp) writes the
/// envelope that the host expects, for which it has to know function.json. A function without outputs
/// may return `()` as well.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    pub(crate) values: Vec<(String, OutputValue)>,
    pub(crate) http: Option<HttpOutput>,
    pub(crate) return_value: Option<Box<RawValue>>,
    pub(crate) logs: Vec<String>,
    /// The first value that could not be written. Kept until the end, so that building needs no `?`.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum OutputValue {
    Messages(Vec<String>),
    Json(Box<RawValue>),
}

impl Outputs {
    /// No outputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages for a queue, each its text; of none, nothing is sent. Called again for the same
    /// binding, it adds to the messages.
    ///
    /// A message longer than [`MAX_QUEUE_MESSAGE_TEXT`] fails the call.
    #[must_use]
    pub fn queue(mut self, binding: &str, messages: impl IntoIterator<Item = String>) -> Self {
        let messages: Vec<String> = messages.into_iter().collect();
        if messages.is_empty() {
            return self;
        }
        let existing = self.values.iter_mut().find(|(name, _)| name == binding);
        match existing {
            Some((_, OutputValue::Messages(all))) => all.extend(messages),
            Some((_, other)) => *other = OutputValue::Messages(messages),
            None => self
                .values
                .push((binding.to_owned(), OutputValue::Messages(messages))),
        }
        self
    }

    /// A value for any other binding, in the JSON that its extension expects. Called again for the
    /// same binding, it replaces the value.
    ///
    /// A value that cannot be written as JSON fails the call.
    #[must_use]
    pub fn json(mut self, binding: &str, value: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(value) {
            Ok(json) => {
                self.values.retain(|(name, _)| name != binding);
                self.values
                    .push((binding.to_owned(), OutputValue::Json(json)));
            }
            Err(error) => self.fail(format!("the output `{binding}`: {error}")),
        }
        self
    }

    /// The answer to the caller, for an HTTP function whose requests are not forwarded.
    #[must_use]
    pub fn http(mut self, answer: HttpOutput) -> Self {
        self.http = Some(answer);
        self
    }

    /// The value of the binding named `$return`.
    ///
    /// A value that cannot be written as JSON fails the call.
    #[must_use]
    pub fn return_value(mut self, value: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(value) {
            Ok(json) => self.return_value = Some(json),
            Err(error) => self.fail(format!("the return value: {error}")),
        }
        self
    }

    /// A line for the call's log, which the host files under the invocation.
    #[must_use]
    pub fn log(mut self, line: impl Into<String>) -> Self {
        self.logs.push(line.into());
        self
    }

    fn fail(&mut self, message: String) {
        self.error.get_or_insert(message);
    }
}

impl IntoResponse for Outputs {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}
