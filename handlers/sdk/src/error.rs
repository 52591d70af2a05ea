//! A call that fails, and an app that cannot start.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::error;

use crate::definition::DefinitionError;

/// The failure of one call: the host gets a 500, and repeats the call if the function has a retry policy.
///
/// The host throws the body of such an answer away, so the message goes to the console too, at level
/// ERROR and with its causes. It must therefore hold neither bodies nor credentials.
///
/// There is no blanket `From<impl Error>`: an app can then write `impl From<ItsError> for CallError`
/// and decide by itself what a failure says. [`from_error`](Self::from_error) does for all others.
#[derive(Debug, Clone)]
pub struct CallError {
    message: String,
    status: StatusCode,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Says that the failure behind a response has been logged already.
#[derive(Clone, Copy)]
pub(crate) struct Reported;

/// The app cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Definitions that are wrong, all of them.
    #[error("{}", list(.0))]
    Definitions(Vec<DefinitionError>),
    /// Two functions claim the same path.
    #[error("function {function}: its path `{path}` is taken by another function")]
    PathTaken {
        /// The function registered later.
        function: String,
        /// Its path.
        path: String,
    },
    /// The program was not started by the Functions host.
    #[error(
        "FUNCTIONS_CUSTOMHANDLER_PORT is not set: start this program through the Functions host, `func start`"
    )]
    NoPort,
    /// The port is not a port.
    #[error("FUNCTIONS_CUSTOMHANDLER_PORT is `{0}`, which is not a port from 1 to 65535")]
    BadPort(String),
    /// The socket cannot be used.
    #[error("cannot listen on 127.0.0.1:{port}: {error}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        #[source]
        error: std::io::Error,
    },
}

fn list(errors: &[DefinitionError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl CallError {
    /// A failure in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            source: None,
        }
    }

    /// A failure that some error caused; the error's own causes are logged with it.
    pub fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self {
            message: error.to_string(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            source: Some(Arc::new(error)),
        }
    }

    /// Another status than 500. Whatever is not an error status is taken as 500: to the host every 2xx
    /// is a success, and it would follow a redirection.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        self.status = if is_error {
            status
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        self
    }

    /// The causes below the message, nearest first.
    fn causes(&self) -> String {
        let mut causes = Vec::new();
        let mut next = self.source.as_ref().and_then(|error| error.source());
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes.join(": ")
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().and_then(|error| error.source())
    }
}

impl IntoResponse for CallError {
    fn into_response(self) -> Response {
        let causes = self.causes();
        let causes = (!causes.is_empty()).then_some(causes);
        error!(error = %self.message, causes, "call failed");
        let body = axum::Json(json!({ "error": self.message }));
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(Reported);
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_listed_without_the_message_itself() {
        let error = CallError::from_error(Outer(std::io::Error::other("inner")));
        assert_eq!(error.to_string(), "outer");
        assert_eq!(error.causes(), "inner");
    }

    #[test]
    fn no_status_turns_a_failure_into_a_success() {
        for (given, sent) in [(200, 500), (204, 500), (302, 500), (413, 413), (503, 503)] {
            let error = CallError::new("x").with_status(StatusCode::from_u16(given).unwrap());
            assert_eq!(error.into_response().status().as_u16(), sent);
        }
    }
}
