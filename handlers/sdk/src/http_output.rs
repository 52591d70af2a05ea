//! The answer of an HTTP function whose requests the host does not forward.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;

/// The value of an `http` output: what the host then sends to the caller.
///
/// ```
/// use axum::http::StatusCode;
/// use azure_functions_sdk::{HttpOutput, Outputs};
///
/// let answer = HttpOutput::new(StatusCode::CREATED).header("location", "/orders/7").body("made");
/// let outputs = Outputs::new().http(answer).queue("orders", ["7".to_owned()]);
/// # _ = outputs;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpOutput {
    // The host reads `statusCode` and ignores `status`.
    status_code: u16,
    body: String,
    headers: BTreeMap<String, String>,
}

impl HttpOutput {
    /// An answer without a body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status_code: status.as_u16(),
            body: String::new(),
            headers: BTreeMap::new(),
        }
    }

    /// Sets a header; a second value for a name replaces the first.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .insert(name.into().to_ascii_lowercase(), value.into());
        self
    }

    /// Sets the body as text.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.body = text.into();
        self
    }

    /// Sets the body as JSON, with its content type.
    ///
    /// # Errors
    /// Where the value cannot be written as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        Ok(self.header("content-type", "application/json").body(text))
    }
}
