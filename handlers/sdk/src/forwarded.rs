//! Requests that the host forwards as they were sent: the path in the form of its route, and what is answered where there is none.

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::CallError;
use crate::route;

/// Where a forwarded request was sent, if that is not how its route is written: in another case, or with a slash at the end. The
/// handler's own [`Uri`] is then the route's; this one is an [`Extension`](axum::Extension).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentUri(pub Uri);

/// Brings a forwarded request's path into the form of its route, and keeps the one that was sent as [`SentUri`].
pub(crate) fn as_known(known: &route::Paths, mut request: Request) -> Request {
    let Some(path) = known.canonical(request.uri().path()) else {
        return request;
    };
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        let sent = std::mem::replace(request.uri_mut(), uri);
        request.extensions_mut().insert(SentUri(sent));
    }
    request
}

/// A call of a function that this program does not have is failed, never lost: not a 2xx, and an error in the log. Whoever asks
/// over HTTP for what is not there has made a mistake of his own, which is no error of this program.
pub(crate) fn unknown(prefix: &str, method: &Method, uri: &Uri) -> Response {
    let name = uri.path().trim_start_matches('/');
    let below_prefix = name
        .split('/')
        .next()
        .is_some_and(|first| !prefix.is_empty() && first.eq_ignore_ascii_case(prefix));
    if method == Method::POST && !below_prefix && !name.contains('/') {
        return CallError::new(format!("this program has no function at `{name}`"))
            .with_status(StatusCode::NOT_FOUND)
            .into_response();
    }
    let problem = serde_json::json!({
        "status": 404, "title": "Not found", "detail": "There is nothing at this path.",
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::NOT_FOUND, kind, problem.to_string()).into_response()
}
