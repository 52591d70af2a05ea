//! What the pages have in common: how their files are served, and what a browser is told about them.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use azure_functions_sdk::SentUri;

use super::revalidation;

/// One file of a page; all of them are in this binary.
#[derive(Debug)]
pub struct File {
    /// Below the page's address; empty for the page itself.
    pub name: &'static str,
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}

/// The types of files that pages are made of.
pub const HTML: &str = "text/html; charset=utf-8";
/// Style sheets.
pub const CSS: &str = "text/css; charset=utf-8";
/// Scripts, all of them modules or what these load.
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Pictures.
pub const SVG: &str = "image/svg+xml";

/// A [`File`] with the bytes of a file beside the source that names it.
macro_rules! file {
    ($name:literal, $type:expr, $path:literal) => {
        $crate::http::page::File {
            name: $name,
            content_type: $type,
            body: include_bytes!($path),
        }
    };
}
pub(crate) use file;

/// The address without the slash at its end, if that is how the page was asked for: what it names lies beside it, and below a slash would
/// be looked for in a folder too deep. `last` is the last part of its address.
pub fn without_slash(sent: Option<&SentUri>, last: &str) -> Option<Response> {
    let uri: &Uri = &sent?.0;
    if !uri.path().ends_with('/') {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}"));
    let place = format!("../{last}{}", query.unwrap_or_default());
    Some(Redirect::permanent(&place).into_response())
}

/// A file, or 304.
pub fn answer(request: &HeaderMap, file: &File, policy: HeaderValue) -> Response {
    let response = revalidation::answer(request, file.content_type, file.body);
    guarded(response, policy)
}

/// Tells the browser to keep to what the answer says that it is, and to the `policy`.
pub fn guarded(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
