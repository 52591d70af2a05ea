//! Posts alerts to a webhook: the HTTP binding of CloudEvents 1.0, in structured mode.
//!
//! - Redirects are not followed, wherever they lead: an alert goes to the configured address or nowhere.
//! - The answer's status decides; its body is read up to a small bound, so that the connection can be
//!   used again, and thrown away.
//! - The address may hold secrets, in its query or as user name and password. No error and no log line
//!   contains it.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use azure_functions_sdk::telemetry;
use opentelemetry::trace::SpanKind;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use crate::telemetry::exchange::Exchange;
use crate::tls;

const CLOUD_EVENTS_JSON: HeaderValue =
    HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// The longest time for a connection, out of the time for the whole post.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an answer is read, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024;

/// Where alerts are posted.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Reads an absolute https URL; http only where it stays on this machine.
    ///
    /// # Errors
    /// What is wrong, without the text itself.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text.trim()).map_err(|_| "it must be a URL such as https://…")?;
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            _ => Err("it must be an https URL; http is allowed for this machine only"),
        }
    }
}

impl fmt::Debug for WebhookUrl {
    /// The origin alone: the rest may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.0.origin().ascii_serialization())
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A webhook, with its connections.
#[derive(Debug)]
pub struct Webhook {
    url: WebhookUrl,
    client: Client,
    timeout: Duration,
}

/// An alert was not delivered, as far as is known: after a time-out the receiver may have it all the same.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The HTTP client could not be made.
    #[error("no HTTP client for the webhook: {0}")]
    Client(String),
    /// No answer in time.
    #[error("the webhook did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// No connection, or one that broke.
    #[error("the webhook cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that leads elsewhere.
    #[error("the webhook answered {}: redirects are not followed", .0.as_u16())]
    Redirected(StatusCode),
    /// Any other answer than 2xx.
    #[error("the webhook answered {}", .0.as_u16())]
    Refused(StatusCode),
}

impl Webhook {
    /// Nothing is sent yet. `timeout` is for a whole post, the connection included.
    ///
    /// # Errors
    /// Where the system has no usable TLS configuration.
    pub fn new(url: WebhookUrl, timeout: Duration) -> Result<Self, WebhookError> {
        tls::choose();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .user_agent(concat!("drone-delivery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| WebhookError::Client(cause(&error)))?;
        Ok(Self {
            url,
            client,
            timeout,
        })
    }

    /// Posts a CloudEvent in its JSON format. Ok means that the receiver answered with 2xx.
    ///
    /// # Errors
    /// Where it did not. Posting again is right: receivers tell repeats by the event's source and id.
    pub async fn post(&self, event: String) -> Result<(), WebhookError> {
        let host = self.url.0.host_str();
        let exchange = Exchange::begin("webhook", SpanKind::Client, "POST", host, None);
        let mut request = self
            .client
            .post(self.url.0.clone())
            .header(CONTENT_TYPE, CLOUD_EVENTS_JSON);
        let traceparent = {
            let _current = exchange.context().clone().attach();
            telemetry::traceparent()
        };
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        let sent = request.body(event).send().await;
        exchange.end(match &sent {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err("timeout"),
            Err(_) => Err("unreachable"),
        });
        let response = sent.map_err(|error| match (error.is_connect(), error.is_timeout()) {
            (true, true) => WebhookError::Unreachable("no connection in time".to_owned()),
            (false, true) => WebhookError::TimedOut(self.timeout),
            (_, false) => WebhookError::Unreachable(cause(&error)),
        })?;
        let status = response.status();
        if status.is_redirection() {
            return Err(WebhookError::Redirected(status));
        }
        if !status.is_success() {
            return Err(WebhookError::Refused(status));
        }
        drain(response).await;
        Ok(())
    }
}

/// Reads an answer whose status has said all. What goes wrong here costs a connection, nothing more.
pub(crate) async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_LIMIT {
            return;
        }
    }
}

/// The innermost reason. The outer ones quote the URL.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut source: Option<&dyn Error> = error.source();
    let mut text = None;
    while let Some(inner) = source {
        text = Some(inner.to_string());
        source = inner.source();
    }
    text.unwrap_or_else(|| "the request failed".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for good in [
            "https://alerts.example.com/hook?code=secret",
            "https://user:secret@alerts.example.com",
            "http://127.0.0.1:7000/hook",
            "http://127.8.8.8/",
            "http://[::1]:7000/",
            "http://localhost/hook",
        ] {
            WebhookUrl::parse(good).unwrap();
        }
        for bad in [
            "",
            "alerts.example.com/hook",
            "http://alerts.example.com/secret",
            "http://localhost.example.com/secret",
            "http://127.0.0.1.example.com/secret",
            "ftp://127.0.0.1/secret",
            "file:///secret",
            "https://",
        ] {
            let error = WebhookUrl::parse(bad).unwrap_err();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn neither_path_nor_query_nor_password_shows_in_debug_output() {
        let url = WebhookUrl::parse("https://user:secret@example.com/secret?code=secret").unwrap();
        let webhook = Webhook::new(url, CONNECT_TIMEOUT).unwrap();
        let shown = format!("{webhook:?}");
        assert!(
            shown.contains("https://example.com/…") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
