//! A pipeline policy of the Azure clients that measures each try of a request.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Method, Request};
use opentelemetry::trace::SpanKind;

use crate::telemetry::exchange::Exchange;

/// For the clients of one service.
#[derive(Debug)]
pub(super) struct ExchangePolicy {
    /// As the metric has it, such as `blob`.
    pub(super) service: &'static str,
}

#[async_trait]
impl Policy for ExchangePolicy {
    async fn send(
        &self,
        context: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let method = match request.method() {
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
            _ => "_OTHER",
        };
        let url = request.url();
        let (host, path) = (url.host_str(), Some(url.path()));
        let exchange = Exchange::begin(self.service, SpanKind::Client, method, host, path);
        let answer = match next.split_first() {
            Some((policy, rest)) => policy.send(context, request, rest).await,
            None => Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Other,
                "the pipeline has no transport",
            )),
        };
        exchange.end(match &answer {
            Ok(response) => Ok(u16::from(response.status())),
            Err(_) => Err("unreachable"),
        });
        answer
    }
}
