//! What is asked of Cosmos DB: a span and a few metrics for each operation, from what the client tells of it when it is done.

use std::sync::Arc;
use std::time::SystemTime;

use azure_core::http::Context as ClientContext;
use azure_data_cosmos::diagnostics::{
    CosmosOperationContext, DiagnosticsContext, DiagnosticsHandler,
};
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};

use crate::telemetry::{SCOPE, SECONDS, meter};

/// Told of every operation in the task that waits for it, so that its call's span is current.
pub(super) struct CosmosTelemetry {
    durations: Histogram<f64>,
    charges: Histogram<f64>,
    requests: Counter<u64>,
}

impl CosmosTelemetry {
    pub(super) fn new() -> Arc<Self> {
        let meter = meter();
        Arc::new(Self {
            durations: meter
                .f64_histogram("db.client.operation.duration")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            charges: meter
                .f64_histogram("azure.cosmosdb.client.operation.request_charge")
                .with_unit("{request_unit}")
                .with_boundaries(vec![
                    1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0,
                ])
                .build(),
            requests: meter
                .u64_counter("drone_delivery.cosmos.requests")
                .with_unit("{request}")
                .build(),
        })
    }
}

impl DiagnosticsHandler for CosmosTelemetry {
    fn handle(&self, diagnostics: &DiagnosticsContext, context: &ClientContext<'_>) {
        let operation = context.value::<CosmosOperationContext>();
        let name = operation
            .and_then(CosmosOperationContext::operation_name)
            .unwrap_or("operation")
            .to_owned();
        let container = operation
            .and_then(CosmosOperationContext::container_name)
            .unwrap_or_default()
            .to_owned();
        for request in diagnostics.requests().iter() {
            let status = u16::from(request.status().status_code());
            let status = KeyValue::new("db.response.status_code", i64::from(status));
            self.requests.add(1, &[status]);
        }
        let status = diagnostics
            .status()
            .map(|status| u16::from(status.status_code()));
        let charge = diagnostics.total_request_charge().value();
        let duration = diagnostics.duration();
        let mut attributes = vec![
            KeyValue::new("db.collection.name", container.clone()),
            KeyValue::new("db.operation.name", name.clone()),
        ];
        self.charges.record(charge, &attributes);
        attributes.push(KeyValue::new("db.system.name", "azure.cosmosdb"));
        if let Some(status) = status {
            attributes.push(KeyValue::new("db.response.status_code", i64::from(status)));
        }
        let is_error = diagnostics.is_failure();
        if is_error {
            let error = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            attributes.push(KeyValue::new("error.type", error));
        }
        self.durations.record(duration.as_secs_f64(), &attributes);

        let parent = Context::current();
        if !parent.span().span_context().is_sampled() {
            return;
        }
        if let Some(address) = operation.and_then(CosmosOperationContext::server_address) {
            attributes.push(KeyValue::new("server.address", address.to_owned()));
        }
        attributes.push(KeyValue::new(
            "azure.cosmosdb.operation.request_charge",
            charge,
        ));
        let tracer = global::tracer(SCOPE);
        let ended = SystemTime::now();
        let mut span = tracer
            .span_builder(format!("{name} {container}"))
            .with_kind(SpanKind::Client)
            .with_start_time(ended - duration)
            .with_attributes(attributes)
            .start_with_context(&tracer, &parent);
        if is_error {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(ended);
    }
}
