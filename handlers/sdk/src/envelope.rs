//! The body of a call: `{"Data": {…}, "Metadata": {…}}`.

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json::Members;

/// The body of a call is not what the host sends. Tells places, never contents: bodies are not logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("{part} is not as the host writes it: {fault} at line {line}, column {column}")]
    Json {
        part: &'static str,
        fault: &'static str,
        line: usize,
        column: usize,
    },
    #[error("the call is not as the host writes it: byte {byte}")]
    At { byte: usize },
    #[error("Data has no value for the binding `{0}`")]
    NoData(String),
    #[error("Metadata has no {0}")]
    NoMetadata(&'static str),
    #[error("{name} has {found} elements for {events} events")]
    Length {
        name: &'static str,
        found: usize,
        events: usize,
    },
    #[error(
        "event {index} of the batch: its body is not valid base64, though function.json says `binary`"
    )]
    NotBase64 { index: usize },
    #[error("element {index} of {name} is not {expected}")]
    Element {
        name: &'static str,
        index: usize,
        expected: &'static str,
    },
    #[error("{0}")]
    Other(&'static str),
}

impl EnvelopeError {
    /// A parser's error without the values that its own text may quote.
    pub(crate) fn json(part: &'static str, error: &serde_json::Error) -> Self {
        Self::Json {
            part,
            fault: fault(error),
            line: error.line(),
            column: error.column(),
        }
    }
}

pub(crate) fn fault(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Data => "a value is missing or of the wrong type",
        Category::Syntax | Category::Io => "it is not JSON",
    }
}

/// A call whose values are few and small.
#[derive(Default)]
pub(crate) struct Envelope<'a> {
    data: Members<'a>,
    pub(crate) metadata: Members<'a>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let wrong = |error| EnvelopeError::json("the call", &error);
        let root: Members<'a> = serde_json::from_slice(body).map_err(wrong)?;
        let part = |name| match root.get(name) {
            Some(part) => Members::deserialize(part).map_err(wrong),
            None => Ok(Members::default()),
        };
        Ok(Self {
            data: part("Data")?,
            metadata: part("Metadata")?,
        })
    }

    /// The value of a binding.
    pub(crate) fn data(&self, binding: &str) -> Result<&'a RawValue, EnvelopeError> {
        self.data
            .get(binding)
            .ok_or_else(|| EnvelopeError::NoData(binding.to_owned()))
    }
}
