//! The blob trigger: one blob a call.

use std::borrow::Cow;
use std::fmt;

use axum::extract::{FromRequest, Request};
use base64::Engine;
use bytes::Bytes;

use crate::body;
use crate::encoded::BASE64;
use crate::envelope::{Envelope, EnvelopeError};
use crate::error::CallError;
use crate::function_json::DataType;
use crate::json::scalar;

/// The extractor of a blob trigger. The whole blob comes with the call, in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobTrigger {
    /// The blob's content.
    pub body: Bytes,
    /// Where it is; the host does not send its path in another form.
    pub uri: Option<String>,
}

impl fmt::Debug for BlobTrigger {
    /// Without the content, which is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobTrigger")
            .field("uri", &self.uri)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl<S: Sync> FromRequest<S> for BlobTrigger {
    type Rejection = CallError;

    async fn from_request(request: Request, _: &S) -> Result<Self, CallError> {
        let (context, body) = body::read(request).await?;
        let trigger = &context.function.trigger;
        let (content, uri) =
            read(&trigger.name, trigger.data_type, &body).map_err(CallError::from_error)?;
        Ok(Self {
            body: body.replaced(content).into_shared(),
            uri,
        })
    }
}

fn read(
    binding: &str,
    data_type: Option<DataType>,
    body: &[u8],
) -> Result<(Vec<u8>, Option<String>), EnvelopeError> {
    let envelope = Envelope::parse(body)?;
    let data = scalar(envelope.data(binding)?);
    let content = match data_type {
        Some(DataType::String) => data.into_owned().into_bytes(),
        _ => BASE64
            .decode(data.as_bytes())
            .map_err(|_| EnvelopeError::Other("the blob is not valid base64"))?,
    };
    Ok((content, envelope.metadata.text("Uri").map(Cow::into_owned)))
}
