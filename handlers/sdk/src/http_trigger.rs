//! The HTTP trigger of a function whose requests the host does not forward.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::body;
use crate::envelope::{Envelope, EnvelopeError, fault};
use crate::error::CallError;
use crate::json::{Members, scalar, string, unwrapped};

/// The extractor of an HTTP trigger that comes as an envelope: where forwarding is off, or the function
/// has further bindings. Answer with [`Outputs::http`](crate::Outputs::http).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HttpTrigger {
    /// The whole URL, with its query.
    pub url: String,
    /// Such as `GET`.
    pub method: String,
    /// The query's parameters.
    pub query: BTreeMap<String, String>,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The route's parameters.
    pub params: BTreeMap<String, String>,
    /// The body as text, where there is one.
    pub body: Option<String>,
}

impl HttpTrigger {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers.get(&name.to_ascii_lowercase())?;
        values.first().map(String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where there is no body, or it cannot be read as `T`. The message does not quote it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_str(self.body.as_deref().unwrap_or_default()).map_err(|error| {
            CallError::new(format!(
                "the request's body cannot be read: {}",
                fault(&error)
            ))
        })
    }
}

impl fmt::Debug for HttpTrigger {
    /// Without the body, and without the query and headers, which carry keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTrigger")
            .field("method", &self.method)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequest<S> for HttpTrigger {
    type Rejection = CallError;

    async fn from_request(request: Request, _: &S) -> Result<Self, CallError> {
        let (context, body) = body::read(request).await?;
        read(&context.function.trigger.name, &body).map_err(CallError::from_error)
    }
}

fn read(binding: &str, body: &[u8]) -> Result<HttpTrigger, EnvelopeError> {
    let envelope = Envelope::parse(body)?;
    let text = unwrapped(envelope.data(binding)?);
    let request = members(&text)?;
    let text = |name| request.text(name).map(Cow::into_owned).unwrap_or_default();
    let object = |name| match request.get(name) {
        None => Ok(Vec::new()),
        Some(value) => {
            let text = unwrapped(value);
            let pairs = members(&text)?;
            Ok(pairs
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>())
        }
    };
    let strings = |name| -> Result<BTreeMap<String, String>, EnvelopeError> {
        let pairs = object(name)?;
        Ok(pairs
            .into_iter()
            .map(|(name, value)| (name, scalar(&value).into_owned()))
            .collect())
    };
    Ok(HttpTrigger {
        url: text("Url"),
        method: text("Method"),
        query: strings("Query")?,
        headers: object("Headers")?
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), header_values(&value)))
            .collect(),
        params: strings("Params")?,
        // A string once only: a body that is a JSON string keeps its quotes.
        body: request.get("Body").map(|body| match string(body.get()) {
            Some(text) => text.into_owned(),
            None => body.get().to_owned(),
        }),
    })
}

fn members(json: &str) -> Result<Members<'_>, EnvelopeError> {
    Members::parse(json).map_err(|error| EnvelopeError::json("the request", &error))
}

fn header_values(value: &RawValue) -> Vec<String> {
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![scalar(value).into_owned()])
}
