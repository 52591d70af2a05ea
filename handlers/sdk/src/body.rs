//! Reading the body of a call: as much as is admitted, up to the limit that its function has.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tracing::Span;

use crate::budget::{Admission, ByteBudget};
use crate::buffer::Buffer;
use crate::error::CallError;
use crate::function_json::FunctionConfig;
use crate::telemetry::Call;

/// What the extractors have to know of the call that they read. Travels as a request extension.
#[derive(Clone)]
pub(crate) struct CallContext {
    pub(crate) function: Arc<FunctionConfig>,
    /// In bytes.
    pub(crate) body_limit: usize,
    pub(crate) budget: Arc<ByteBudget>,
    /// The call's own span, whatever span is current.
    pub(crate) span: Span,
    pub(crate) call: Call,
}

/// The whole body of a call, in one piece, and its share of what may be held.
pub(crate) struct CallBody {
    pub(crate) bytes: Buffer,
    /// Given back with the bytes.
    _admission: Admission,
}

impl CallBody {
    /// A body that did not come with a call.
    pub(crate) fn unaccounted(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Buffer(bytes),
            _admission: Admission::default(),
        }
    }

    /// The same share for what the body was turned into.
    pub(crate) fn replaced(self, bytes: Vec<u8>) -> Self {
        let bytes = Buffer(bytes);
        Self { bytes, ..self }
    }

    /// Slices of the result keep all of it, and its share.
    pub(crate) fn into_shared(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for CallBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for CallBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for CallBody {
    /// Without the content, which is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallBody({} bytes)", self.bytes.len())
    }
}

/// What is read of a body of unknown length before it first grows.
const FIRST_CAPACITY: usize = 16 * 1024;

/// From here on a body of unknown length is given [`ROOM`].
const LARGE: usize = 4 * 1024 * 1024;

/// More than a batch of the largest messages has: 400 of 1 MB. Addresses, not memory: what is not written to is not there.
const ROOM: usize = 512 * 1024 * 1024;

/// The context of a call and its whole body.
///
/// # Errors
/// Where the request did not come through a `FunctionApp`, the body is too long (413), or the
/// connection broke.
pub(crate) async fn read(request: Request) -> Result<(CallContext, CallBody), CallError> {
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
    let body = collect(body, announced, context.body_limit, &context.budget).await?;
    Ok((context, body))
}

/// Into one piece: the parser wants it contiguous, and chunks kept until the end would need twice
/// the memory.
async fn collect(
    mut body: Body,
    announced: Option<usize>,
    limit: usize,
    budget: &Arc<ByteBudget>,
) -> Result<CallBody, CallError> {
    let mut admission = budget.admit(announced.unwrap_or(0)).await;
    // Memory that nothing is written to costs nothing, so an announcement that is not kept does no harm.
    let mut bytes = Buffer::with_capacity(announced.unwrap_or(FIRST_CAPACITY.min(limit)));
    let mut admitted = bytes.capacity();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(CallError::from_error)?;
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        if chunk.len() > limit - bytes.len() {
            return Err(too_long(limit));
        }
        let length = bytes.len() + chunk.len();
        if length > admitted {
            admitted = length.max(admitted * 2).min(limit);
            admission.grow(admitted).await;
        }
        if length > bytes.capacity() {
            // A small body moves to twice the room each time. A large one moves once: while it moves, both places
            // are there, and not every allocator moves pages instead of bytes.
            let room = if length > LARGE { ROOM } else { admitted };
            let capacity = length.max(room).min(limit);
            let more = capacity - bytes.len();
            bytes.reserve_exact(more);
        }
        bytes.extend_from_slice(chunk);
    }
    admission.settle(bytes.len());
    Ok(CallBody {
        bytes,
        _admission: admission,
    })
}

fn too_long(limit: usize) -> CallError {
    CallError::new(format!(
        "the body of the call is longer than {limit} bytes, more than the host should send for this \
         trigger; of Event Hubs, lower extensions.eventHubs.maxEventBatchSize in host.json"
    ))
    .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}
