//! Spans and metrics of calls, by OpenTelemetry.
//!
//! Each call of a function is a span and a few metrics, and what a handler does within it, by OpenTelemetry's own API,
//! belongs to it. [`start`] says where they go: by OTLP over HTTP to a collector, where the standard variables name one,
//! and to Application Insights, where the Functions host has its connection string from. Where neither is set nothing is
//! kept and nothing sent; an app that has OpenTelemetry providers of its own leaves [`start`] out.
//!
//! | span | kind | attributes |
//! |---|---|---|
//! | the function's name | see below | `faas.name`, `faas.trigger`, `faas.invocation_id`; of HTTP `http.request.method`, `http.route`, `http.response.status_code`; of Event Hubs `messaging.*`: partition, count, first and last sequence number; `error.type` |
//!
//! | metric | unit | attributes |
//! |---|---|---|
//! | `faas.invoke_duration` | s | `faas.name`, `faas.trigger`, `error.type` |
//! | `messaging.client.consumed.messages` | messages | `faas.name`, `messaging.system`, `messaging.destination.partition.id` |
//! | `azure_functions.batch.size` | events | `faas.name` |
//! | `azure_functions.lag` | s, from the enqueued time of a batch's last event to the end of its call | `faas.name`, `messaging.destination.partition.id` |
//! | `otel.sdk.processor.span.processed`, `otel.sdk.exporter.span.exported` | spans | `otel.component.name`, `error.type` of what was lost |
//!
//! `error.type` is there only where a call failed: `panic`, `timeout`, `cancelled` (the host hung up), `failed`, or an HTTP
//! status from 500 on. No attribute holds a body, a query, a header or a key.
//!
//! The host's `traceparent` is the parent of a call's span, which is internal then, because the host has a span of its own
//! for the request; without one the span is a server's (HTTP) or a consumer's (queues and hubs). With Application Insights
//! the host's `traceparent` always says "not sampled", whatever becomes of its trace, so that says nothing here: at most five
//! traces a second are kept of those whose parent is not sampled, each of them whole. `OTEL_TRACES_SAMPLER` sets another rule.

mod call;
mod client;
mod sampler;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_application_insights::Exporter as InsightsExporter;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{
    SdkTracerProvider, SpanExporter as SpanExport, TracerProviderBuilder,
};
use tracing::warn;
use uuid::Uuid;

pub(crate) use self::call::{Call, FunctionTelemetry};
use self::client::Client;
use self::sampler::FewTraces;
use self::sending::{Metrics, Spans};

/// How long the last spans and metrics may take when the program ends.
const LAST: Duration = Duration::from_secs(2);

/// What destinations are called in metrics and log lines.
const COLLECTOR: &str = "otlp";
const INSIGHTS: &str = "application_insights";

/// Where the tokens for Application Insights come from, where its local authentication is off.
#[async_trait]
pub trait TokenSource: Send + Sync + std::fmt::Debug {
    /// A token for the scope `https://monitor.azure.com/.default`. It is asked for with each request, so the source should keep it.
    ///
    /// # Errors
    /// Where there is none; what was to be sent is given up.
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// What sends spans and metrics. [`shutdown`](Self::shutdown) sends what is left.
#[derive(Debug, Default)]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts sending spans and metrics to wherever the environment says, from a tokio runtime.
///
/// `service` and `version` are what the app is called where neither `OTEL_SERVICE_NAME` nor the Functions host says
/// otherwise. `identity` makes the source of tokens for Application Insights where
/// `APPLICATIONINSIGHTS_AUTHENTICATION_STRING` asks for one; it is given the client id of the identity, if it has one.
///
/// Read are `OTEL_SDK_DISABLED`, `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` (`none`),
/// `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_RESOURCE_ATTRIBUTES`, and
/// `APPLICATIONINSIGHTS_CONNECTION_STRING`. What cannot be used is said in a warning, and nothing is sent there: an app
/// runs without.
///
/// To be called before [`FunctionApp::serve`](crate::FunctionApp::serve). Nothing is sent within a call: spans wait in a
/// queue of `OTEL_BSP_MAX_QUEUE_SIZE` (2,048) and are dropped, and counted, where it is full.
pub fn start(
    service: &str,
    version: &str,
    identity: impl FnOnce(Option<String>) -> Option<Arc<dyn TokenSource>>,
) -> Telemetry {
    if is("OTEL_SDK_DISABLED", "true") {
        return Telemetry::default();
    }
    let client = Client::new();
    let mut spans: Option<TracerProviderBuilder> = None;
    let mut metrics: Option<MeterProviderBuilder> = None;
    if goes_to_a_collector("TRACES") {
        let exporter = SpanExporter::builder().with_http();
        match exporter.with_http_client(client.clone()).build() {
            Ok(exporter) => add_spans(&mut spans, COLLECTOR, exporter),
            Err(error) => warn!(%error, "no spans are sent to the collector"),
        }
    }
    if goes_to_a_collector("METRICS") {
        let exporter = MetricExporter::builder().with_http();
        match exporter.with_http_client(client.clone()).build() {
            Ok(exporter) => add_metrics(&mut metrics, COLLECTOR, exporter),
            Err(error) => warn!(%error, "no metrics are sent to the collector"),
        }
    }
    if let Some(connection) = variable("APPLICATIONINSIGHTS_CONNECTION_STRING") {
        match insights(connection, client, identity) {
            Ok(exporter) => {
                add_spans(&mut spans, INSIGHTS, exporter.clone());
                add_metrics(&mut metrics, INSIGHTS, exporter);
            }
            Err(error) => warn!(error, "no telemetry is sent to Application Insights"),
        }
    }

    let resource = resource(service, version);
    let telemetry = Telemetry {
        spans: spans.map(|builder| {
            let builder = builder.with_resource(resource.clone());
            let builder = match variable("OTEL_TRACES_SAMPLER") {
                Some(_) => builder,
                None => builder.with_sampler(FewTraces::default()),
            };
            builder.build()
        }),
        metrics: metrics.map(|builder| builder.with_resource(resource).build()),
    };
    if let Some(spans) = &telemetry.spans {
        global::set_tracer_provider(spans.clone());
    }
    if let Some(metrics) = &telemetry.metrics {
        global::set_meter_provider(metrics.clone());
    }
    telemetry
}

/// By the standard variables: `TRACES` or `METRICS`.
fn goes_to_a_collector(signal: &str) -> bool {
    let of_signal = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", &of_signal];
    !is(&format!("OTEL_{signal}_EXPORTER"), "none")
        && names.iter().any(|name| variable(name).is_some())
}

fn add_spans(
    builder: &mut Option<TracerProviderBuilder>,
    destination: &'static str,
    exporter: impl SpanExport + 'static,
) {
    let so_far = builder.take().unwrap_or_else(SdkTracerProvider::builder);
    *builder = Some(so_far.with_span_processor(Spans::new(destination, exporter)));
}

fn add_metrics(
    builder: &mut Option<MeterProviderBuilder>,
    destination: &'static str,
    exporter: impl PushMetricExporter,
) {
    let so_far = builder.take().unwrap_or_else(SdkMeterProvider::builder);
    let exporter = Metrics::new(destination, exporter);
    *builder = Some(so_far.with_periodic_exporter(exporter));
}

fn insights(
    connection: String,
    client: Client,
    identity: impl FnOnce(Option<String>) -> Option<Arc<dyn TokenSource>>,
) -> Result<InsightsExporter<Client>, String> {
    let tokens = match variable("APPLICATIONINSIGHTS_AUTHENTICATION_STRING") {
        None => None,
        Some(text) => match signs_in(&text) {
            None => None,
            Some(client_id) => {
                Some(identity(client_id).ok_or("there is no identity to sign in with")?)
            }
        },
    };
    // The error could quote the text.
    InsightsExporter::new_from_connection_string(connection, client.with_tokens(tokens))
        .map_err(|_| "APPLICATIONINSIGHTS_CONNECTION_STRING cannot be read".to_owned())
}

/// The client id of `ClientId=…;Authorization=AAD`; an empty one is the identity that the app has by itself. `None` where
/// no identity is asked for.
fn signs_in(text: &str) -> Option<Option<String>> {
    let part = |name: &str| {
        text.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    part("Authorization")?.eq_ignore_ascii_case("AAD").then(|| {
        part("ClientId")
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
    })
}

fn resource(service: &str, version: &str) -> Resource {
    let site = variable("WEBSITE_SITE_NAME");
    let mut resource = Resource::builder_empty()
        .with_service_name(site.clone().unwrap_or_else(|| service.to_owned()))
        .with_attributes([
            KeyValue::new("service.version", version.to_owned()),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ]);
    if site.is_some() {
        resource = resource.with_attributes([
            KeyValue::new("cloud.provider", "azure"),
            KeyValue::new("cloud.platform", "azure.functions"),
        ]);
        if let Some(region) = variable("REGION_NAME") {
            resource = resource.with_attribute(KeyValue::new("cloud.region", region));
        }
    }
    resource = resource.with_detector(Box::new(EnvResourceDetector::new()));
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

fn is(name: &str, value: &str) -> bool {
    variable(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value))
}

impl Telemetry {
    /// Sends what is left, for two seconds at most.
    pub async fn shutdown(self) {
        let (done, end) = tokio::sync::oneshot::channel::<()>();
        // On threads of their own, for which the runtime does not wait: an exporter may hang for longer.
        std::thread::spawn(move || {
            let _done = done;
            std::thread::scope(|scope| {
                if let Some(spans) = self.spans {
                    scope.spawn(move || spans.shutdown_with_timeout(LAST));
                }
                if let Some(metrics) = self.metrics {
                    scope.spawn(move || metrics.shutdown_with_timeout(LAST));
                }
            });
        });
        _ = tokio::time::timeout(LAST, end).await;
    }
}

/// The `traceparent` of the span that is current, for what is sent to others. `None` where there is no trace.
pub fn traceparent() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8()
        )
    })
}

/// Links the span that is current to the one that a `traceparent` names, such as that of the message at hand. One that
/// cannot be read is passed over.
pub fn link(traceparent: &str) {
    if let Some(linked) = call::remote(traceparent) {
        Context::current().span().add_link(linked, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_asked_for_as_the_host_has_it() {
        assert_eq!(
            signs_in("ClientId=1-2;Authorization=AAD"),
            Some(Some("1-2".to_owned()))
        );
        assert_eq!(signs_in("authorization=aad"), Some(None));
        assert_eq!(signs_in("ClientId=;Authorization=AAD"), Some(None));
        assert_eq!(signs_in("ClientId=1-2"), None);
        assert_eq!(signs_in("Authorization=None"), None);
    }
}
