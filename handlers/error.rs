//! What goes wrong, and who is told what. The one place where errors are converted.
//!
//! - **A call of the host** (Event Hubs, queue, timer) that meets trouble with a store fails as a
//!   whole: [`CallError`]. The host runs it again; the console gets the reason.
//! - **A caller over HTTP** gets an RFC 9457 problem. It says what the caller can act on and nothing of
//!   the inside: no store's message, no address, no stack. Those go to the log.
//! - **An event that can never succeed** is no error at all here: it is a
//!   [`DeadLetter`](crate::domain::DeadLetter).

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use azure_functions_sdk::CallError;
use serde::Serialize;
use tracing::error;

use crate::stores::StoreError;

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::from_error(error)
    }
}

/// An RFC 9457 problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(serialize_with = "code")]
    status: StatusCode,
    title: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// Seconds for `Retry-After`.
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    /// 400: what was asked cannot be right. `detail` names the parameter.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request", detail)
    }

    /// 401: nobody is signed in.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Sign-in required", "")
    }

    /// 403: signed in, but without the app role.
    pub fn forbidden(role: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Not allowed",
            format!("The app role {role} is required."),
        )
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// 406: none of the answer's forms is acceptable. `forms` names them.
    pub fn not_acceptable(forms: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "Not acceptable", forms)
    }

    /// 500: a fault of this program. The log is told which.
    pub fn internal(cause: impl fmt::Display) -> Self {
        error!(error = %cause, "the answer could not be made");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "")
    }

    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            retry_after: None,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(cause: StoreError) -> Self {
        error!(error = %cause, "store failed");
        if cause.transient {
            Self {
                retry_after: Some(1),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Temporarily unavailable",
                    "Try again in a moment.",
                )
            }
        } else {
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "")
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn code<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
