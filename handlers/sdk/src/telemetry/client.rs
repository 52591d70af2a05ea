//! The HTTP client that exporters send with. They run on threads of their own, and the client on the app's runtime.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response, header};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use super::TokenSource;

/// For a whole request. OTLP's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer is a few lines; of a longer one nothing is wanted.
const ANSWER_LIMIT: usize = 1024 * 1024;

#[derive(Clone)]
pub(super) struct Client {
    http: Arc<OnceLock<reqwest::Client>>,
    runtime: Handle,
    tokens: Option<Arc<dyn TokenSource>>,
}

impl Client {
    /// To be made on a runtime.
    pub(super) fn new() -> Self {
        Self {
            http: Arc::default(),
            runtime: Handle::current(),
            tokens: None,
        }
    }

    /// Made for the first request: it reads the system's certificates, which takes milliseconds that the start would have to
    /// wait for.
    fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        // Refused where the app has chosen its cryptography already, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .user_agent(concat!("azure_functions_sdk/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Sends a token along, over https alone.
    pub(super) fn with_tokens(self, tokens: Option<Arc<dyn TokenSource>>) -> Self {
        Self { tokens, ..self }
    }

    async fn send(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(tokens) = &self.tokens {
            if request.uri().scheme_str() != Some("https") {
                return Err("a token is sent over https alone".into());
            }
            let mut bearer =
                header::HeaderValue::try_from(format!("Bearer {}", tokens.token().await?))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let request = reqwest::Request::try_from(request)?;
        let mut answer = self
            .http()?
            .execute(request)
            .await
            .map_err(reqwest::Error::without_url)?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err("the answer is too long".into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(response.body(body.into())?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.runtime.spawn(self.clone().send(request)).await?
    }
}
