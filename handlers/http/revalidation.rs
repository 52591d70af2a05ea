//! Answers that a caller who has them already need not get again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Ask every time, and keep what others may not see out of shared caches.
const CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The body with its ETag, or 304 where `If-None-Match` of the request names that ETag.
///
/// The ETag is made from the bytes, so it is the same on every instance of one build, whichever of them
/// answers. It is weak, because the same answer may travel compressed or not.
pub fn answer(request: &HeaderMap, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let body = body.into();
    let etag = etag(content_type, &body);
    let mut response = if is_known(request, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        (kind, body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHING);
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// How old an answer the caller accepts: the request's `Cache-Control: max-age`, in seconds; zero where it does
/// not say.
pub fn accepted_age(request: &HeaderMap) -> Duration {
    request
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse().ok())
        .map_or(Duration::ZERO, Duration::from_secs)
}

/// Says how old an answer is, in whole seconds, where it was not made for this caller.
pub fn with_age(mut answer: Response, age: Duration) -> Response {
    if !age.is_zero() {
        answer
            .headers_mut()
            .insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    answer
}

fn etag(content_type: &str, body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    (content_type, body).hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ask(if_none_match: Option<&str>, body: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(tags) = if_none_match {
            headers.insert(header::IF_NONE_MATCH, tags.parse().unwrap());
        }
        answer(&headers, "text/plain", body)
    }

    #[test]
    fn the_age_that_a_caller_accepts_is_read_and_none_by_default() {
        let accepted = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, text.parse().unwrap());
            accepted_age(&headers).as_secs()
        };
        assert_eq!(accepted("max-age=5"), 5);
        assert_eq!(accepted("no-transform, max-age=7"), 7);
        for none in ["no-cache", "max-age=0", "max-age=-1", "max-age=soon", ""] {
            assert_eq!(accepted(none), 0, "{none}");
        }
        assert_eq!(accepted_age(&HeaderMap::new()), Duration::ZERO);
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let first = ask(None, "one");
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let strong = etag.trim_start_matches("W/");
        for known in [&etag, strong, "*", &format!("\"other\", {etag}")] {
            let again = ask(Some(known), "one");
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers()[header::ETAG], etag.as_str());
            assert!(!again.headers().contains_key(header::CONTENT_TYPE));
            assert_eq!(
                ask(Some(known), "two").status().as_u16(),
                if known == "*" { 304 } else { 200 }
            );
        }
        for unknown in ["", "W/\"\"", "other"] {
            assert_eq!(
                ask(Some(unknown), "one").status(),
                StatusCode::OK,
                "{unknown}"
            );
        }
    }
}
