//! Reading the body of a call, up to the limit that its function has.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tracing::Span;

use crate::error::CallError;
use crate::function_json::FunctionConfig;

/// What the extractors have to know of the call that they read. Travels as a request extension.
#[derive(Clone)]
pub(crate) struct CallContext {
    pub(crate) function: Arc<FunctionConfig>,
    /// In bytes.
    pub(crate) body_limit: usize,
    /// The call's own span, whatever span is current.
    pub(crate) span: Span,
}

/// Trusting Content-Length further than this would let one header reserve the memory.
const MAX_RESERVED: usize = 4 * 1024 * 1024;

/// The context of a call and its whole body.
///
/// # Errors
/// Where the request did not come through a `FunctionApp`, the body is too long (413), or the
/// connection broke.
pub(crate) async fn read(request: Request) -> Result<(CallContext, Bytes), CallError> {
    let (parts, body) = request.into_parts();
    let context = parts.extensions.get::<CallContext>().cloned();
    let context = context.ok_or_else(|| {
        CallError::new(
            "a trigger can only be read in a function registered with FunctionApp::function",
        )
    })?;
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > context.body_limit) {
        return Err(too_long(context.body_limit));
    }
    let bytes = collect(body, announced.unwrap_or(0), context.body_limit).await?;
    Ok((context, bytes))
}

/// Into one piece: the parser wants it contiguous, and chunks kept until the end would need twice
/// the memory.
async fn collect(mut body: Body, announced: usize, limit: usize) -> Result<Bytes, CallError> {
    let mut bytes = Vec::with_capacity(announced.min(MAX_RESERVED));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(CallError::from_error)?;
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        if chunk.len() > limit - bytes.len() {
            return Err(too_long(limit));
        }
        bytes.extend_from_slice(chunk);
    }
    Ok(bytes.into())
}

fn too_long(limit: usize) -> CallError {
    CallError::new(format!(
        "the body of the call is longer than {limit} bytes, more than the host should send for this \
         trigger; of Event Hubs, lower extensions.eventHubs.maxEventBatchSize in host.json"
    ))
    .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}
