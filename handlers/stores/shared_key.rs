//! Signs storage requests with an account key.
//!
//! The storage crates take tokens or a SAS, but local development has only a connection string with
//! a key. A signature per request keeps the key out of URLs, and so out of logs.
//!
//! Format: "Authorize with Shared Key" of the Blob service's REST reference, version 2015-02-21 and
//! later (an empty body signs an empty length).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::Secret;
use azure_core::hmac::hmac_sha256;
use azure_core::http::headers::{AUTHORIZATION, HeaderName};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_core::time::{OffsetDateTime, to_rfc7231};

const DATE: HeaderName = HeaderName::from_static_standard("x-ms-date");

/// The standard headers that are signed by position, in the order of the documentation, without
/// `Content-Length`, which the body tells.
const SIGNED_BEFORE_LENGTH: [&str; 2] = ["content-encoding", "content-language"];
const SIGNED_AFTER_LENGTH: [&str; 8] = [
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// A pipeline policy that adds `x-ms-date` and `Authorization: SharedKey …` to each try.
pub struct SharedKeyPolicy {
    account: String,
    key: Secret,
}

impl SharedKeyPolicy {
    /// `key` is the account key as the portal and connection strings show it, in base64.
    pub fn new(account: impl Into<String>, key: impl Into<Secret>) -> Self {
        Self {
            account: account.into(),
            key: key.into(),
        }
    }

    fn string_to_sign(&self, request: &Request) -> String {
        let header = |name: &str| {
            request
                .headers()
                .iter()
                .find(|(candidate, _)| candidate.as_str().eq_ignore_ascii_case(name))
                .map_or("", |(_, value)| value.as_str())
        };
        let mut text = format!("{}\n", request.method().as_str());
        for name in SIGNED_BEFORE_LENGTH {
            text.push_str(header(name));
            text.push('\n');
        }
        match request.body().len() {
            Some(0) | None => text.push('\n'),
            Some(length) => text.push_str(&format!("{length}\n")),
        }
        for name in SIGNED_AFTER_LENGTH {
            text.push_str(header(name));
            text.push('\n');
        }
        let mut service_headers: Vec<(String, &str)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str().trim()))
            .filter(|(name, _)| name.starts_with("x-ms-"))
            .collect();
        service_headers.sort();
        for (name, value) in service_headers {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(&format!("/{}{}", self.account, request.url().path()));
        let mut query: Vec<(String, String)> = request
            .url()
            .query_pairs()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
            .collect();
        query.sort();
        for (name, value) in query {
            text.push_str(&format!("\n{name}:{value}"));
        }
        text
    }
}

impl fmt::Debug for SharedKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeyPolicy")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Policy for SharedKeyPolicy {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        request.insert_header(DATE, to_rfc7231(&OffsetDateTime::now_utc()));
        let signature = hmac_sha256(&self.string_to_sign(request), &self.key)?;
        request.insert_header(
            AUTHORIZATION,
            format!("SharedKey {}:{signature}", self.account),
        );
        match next.split_first() {
            Some((policy, rest)) => policy.send(ctx, request, rest).await,
            None => Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Other,
                "the pipeline has no transport",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use azure_core::http::Method;

    use super::*;

    #[test]
    fn what_is_signed_is_what_the_documentation_says() {
        let policy = SharedKeyPolicy::new("fleet", "a2V5");
        let mut request = Request::new(
            "http://127.0.0.1:10000/fleet/archive?restype=container&comp=list"
                .parse()
                .expect("a URL"),
            Method::Put,
        );
        request.insert_header("x-ms-version", "2026-01-01");
        request.insert_header("x-ms-blob-type", "BlockBlob");
        request.insert_header("content-type", "application/octet-stream");
        request.set_body(b"four".to_vec());
        assert_eq!(
            policy.string_to_sign(&request),
            "PUT\n\n\n4\n\napplication/octet-stream\n\n\n\n\n\n\n\
             x-ms-blob-type:BlockBlob\nx-ms-version:2026-01-01\n\
             /fleet/fleet/archive\ncomp:list\nrestype:container"
        );
    }

    #[test]
    fn the_key_does_not_show_in_debug_output() {
        let policy = SharedKeyPolicy::new("fleet", "c2VjcmV0");
        assert!(!format!("{policy:?}").contains("c2VjcmV0"));
    }
}
