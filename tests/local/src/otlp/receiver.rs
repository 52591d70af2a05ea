//! OTLP over HTTP, as its specification has it: protobuf in, protobuf out, also where something is refused.

use std::io::Read;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::LengthLimitError;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use super::Shared;

/// The largest body, as it comes and unpacked. What an exporter sends at once is a few hundred KiB.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// `google.rpc.Status`, which a refusal's body is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// `google.rpc.Code`.
const INVALID_ARGUMENT: i32 = 3;

/// What is not taken, and why. A client gives such data up; it does not send it again.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = RpcStatus {
            code: INVALID_ARGUMENT,
            message: self.message,
        };
        (self.status, protobuf(&status)).into_response()
    }
}

fn protobuf(message: &impl Message) -> Response {
    let mut response = Response::new(Body::from(message.encode_to_vec()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, PROTOBUF);
    response
}

/// `POST /v1/traces`.
pub(super) async fn traces(State(shared): State<Shared>, request: Request) -> Response {
    let sent = match message::<ExportTraceServiceRequest>(request).await {
        Ok(sent) => sent,
        Err(refusal) => return shared.refused(refusal),
    };
    let rejected = shared.with(|state| state.take_spans(sent));
    let partial_success =
        rejected.map(
            |(rejected_spans, error_message)| ExportTracePartialSuccess {
                rejected_spans,
                error_message,
            },
        );
    protobuf(&ExportTraceServiceResponse { partial_success })
}

/// `POST /v1/metrics`.
pub(super) async fn metrics(State(shared): State<Shared>, request: Request) -> Response {
    let sent = match message::<ExportMetricsServiceRequest>(request).await {
        Ok(sent) => sent,
        Err(refusal) => return shared.refused(refusal),
    };
    let rejected = shared.with(|state| state.take_metrics(sent));
    let partial_success =
        rejected.map(
            |(rejected_data_points, error_message)| ExportMetricsPartialSuccess {
                rejected_data_points,
                error_message,
            },
        );
    protobuf(&ExportMetricsServiceResponse { partial_success })
}

impl Shared {
    fn refused(&self, refusal: Refusal) -> Response {
        self.with(|state| state.refused += 1);
        refusal.into_response()
    }
}

async fn message<M: Message + Default>(request: Request) -> Result<M, Refusal> {
    let (parts, body) = request.into_parts();
    let packed = check(&parts.headers)?;
    let body =
        axum::body::to_bytes(body, MAX_BODY_BYTES)
            .await
            .map_err(|error| match is_too_long(&error) {
                true => too_large(),
                false => Refusal::new(StatusCode::BAD_REQUEST, "the body breaks off"),
            })?;
    let body = match packed {
        true => unpacked(&body)?,
        false => body,
    };
    M::decode(body).map_err(|error| {
        let problem = format!("the body is not the protobuf message that belongs here: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, problem)
    })
}

/// Whether the body is compressed.
fn check(headers: &HeaderMap) -> Result<bool, Refusal> {
    let unsupported = |problem| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok()?.split(';').next());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(unsupported(
            "send application/x-protobuf: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ));
    }
    match headers
        .get(header::CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(unsupported("of compressions gzip is read, and no other")),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn unpacked(body: &[u8]) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    // One byte more tells what is too large from what just fits.
    let read = GzDecoder::new(body)
        .take(MAX_BODY_BYTES as u64 + 1)
        .read_to_end(&mut unpacked);
    match read {
        Ok(length) if length > MAX_BODY_BYTES => Err(too_large()),
        Ok(_) => Ok(unpacked.into()),
        Err(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the body is not what gzip makes",
        )),
    }
}

fn too_large() -> Refusal {
    let problem = format!("more than {MAX_BODY_BYTES} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem)
}
