//! In place of `telemetry` where that feature is off: nothing, but for the host's trace in log lines.

use std::sync::Arc;

use axum::extract::Request;

use crate::function_json::FunctionConfig;
use crate::invocation::Invocation;

pub(crate) struct FunctionTelemetry;

#[derive(Clone)]
pub(crate) struct Call;

/// Trace and parent of the host's `traceparent`.
pub(crate) struct Running(Option<(String, String)>);

impl FunctionTelemetry {
    pub(crate) fn new(_: &FunctionConfig) -> Arc<Self> {
        Arc::new(Self)
    }

    #[allow(clippy::unused_self)]
    pub(crate) fn begin(self: &Arc<Self>, _: &Request, invocation: &Invocation) -> Running {
        let mut parts = invocation
            .traceparent
            .iter()
            .flat_map(|text| text.split('-').skip(1));
        let ids = parts.next().zip(parts.next());
        Running(ids.map(|(trace, span)| (trace.to_owned(), span.to_owned())))
    }
}

impl Running {
    #[allow(clippy::unused_self)]
    pub(crate) fn call(&self) -> Call {
        Call
    }

    pub(crate) fn ids(&self) -> Option<(String, String)> {
        self.0.clone()
    }

    #[allow(clippy::unused_self)]
    pub(crate) async fn scope<F: Future>(&self, work: F) -> F::Output {
        work.await
    }

    #[allow(clippy::unused_self)]
    pub(crate) fn end(self, _: Option<u16>, _: Option<String>) {}
}

#[cfg(feature = "event-hubs")]
impl Call {
    #[allow(clippy::unused_self)]
    pub(crate) fn has(&self, _: &crate::EventHubBatch) {}
}
