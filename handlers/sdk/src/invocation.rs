//! Which call this is.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

const INVOCATION_ID: &str = "x-azure-functions-invocationid";
const TRACEPARENT: &str = "traceparent";

/// The identity of a call. An extractor for functions of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invocation {
    /// `X-Azure-Functions-InvocationId`, a GUID, the same at each retry of a call; empty where the host sent none.
    pub id: String,
    /// The function's name; empty outside a [`FunctionApp`](crate::FunctionApp).
    pub function: String,
    /// W3C `traceparent`, where the host has a trace.
    pub traceparent: Option<String>,
}

impl Invocation {
    pub(crate) fn new(function: &str, headers: &HeaderMap) -> Self {
        let header = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        Self {
            id: header(INVOCATION_ID).unwrap_or_default(),
            function: function.to_owned(),
            traceparent: header(TRACEPARENT),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Invocation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::new("", &parts.headers)))
    }
}
