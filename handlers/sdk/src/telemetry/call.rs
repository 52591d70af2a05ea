//! The span of a call, and its metrics.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::HeaderMap;
use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{FutureExt, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::function_json::FunctionConfig;
use crate::invocation::Invocation;

const SCOPE: &str = "azure_functions_sdk";

/// As the semantic conventions have them for calls of functions.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const EVENTS: [f64; 10] = [
    1.0, 3.0, 10.0, 30.0, 100.0, 200.0, 300.0, 500.0, 1_000.0, 2_000.0,
];

/// What a function has for all of its calls.
pub(crate) struct FunctionTelemetry {
    name: String,
    route: Option<String>,
    kind: SpanKind,
    of_function: KeyValue,
    of_trigger: KeyValue,
    tracer: BoxedTracer,
    durations: Histogram<f64>,
    #[cfg_attr(not(feature = "event-hubs"), allow(dead_code))]
    batches: BatchInstruments,
}

struct BatchInstruments {
    messages: Counter<u64>,
    sizes: Histogram<u64>,
    lag: Gauge<f64>,
}

/// A call that is on. Cheap to clone; for the extractors.
#[derive(Clone)]
pub(crate) struct Call(Arc<Facts>);

struct Facts {
    function: Arc<FunctionTelemetry>,
    context: Context,
    batch: OnceLock<Batch>,
}

struct Batch {
    partition: KeyValue,
    events: u64,
    last_enqueued: Option<time::UtcDateTime>,
}

/// The end of a call that is on: where nobody says how it ended, it was cancelled.
pub(crate) struct Running {
    call: Call,
    started: Instant,
    ended: bool,
}

impl FunctionTelemetry {
    /// Of the providers that are in place now.
    pub(crate) fn new(function: &FunctionConfig) -> Arc<Self> {
        let (tracer, meter) = (global::tracer(SCOPE), global::meter(SCOPE));
        let (kind, trigger) = match function.trigger.kind.as_str() {
            "httpTrigger" => (SpanKind::Server, "http"),
            "timerTrigger" => (SpanKind::Internal, "timer"),
            "eventHubTrigger" | "queueTrigger" => (SpanKind::Consumer, "pubsub"),
            "blobTrigger" => (SpanKind::Consumer, "datasource"),
            _ => (SpanKind::Consumer, "other"),
        };
        Arc::new(Self {
            name: function.name.clone(),
            route: function.is_plain_http().then(|| {
                function
                    .trigger
                    .get("route")
                    .unwrap_or(&function.name)
                    .to_owned()
            }),
            kind,
            of_function: KeyValue::new("faas.name", function.name.clone()),
            of_trigger: KeyValue::new("faas.trigger", trigger),
            tracer,
            durations: meter
                .f64_histogram("faas.invoke_duration")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            batches: BatchInstruments {
                messages: meter
                    .u64_counter("messaging.client.consumed.messages")
                    .with_unit("{message}")
                    .build(),
                sizes: meter
                    .u64_histogram("azure_functions.batch.size")
                    .with_unit("{event}")
                    .with_boundaries(EVENTS.to_vec())
                    .build(),
                lag: meter
                    .f64_gauge("azure_functions.lag")
                    .with_unit("s")
                    .build(),
            },
        })
    }

    pub(crate) fn begin(self: &Arc<Self>, request: &Request, invocation: &Invocation) -> Running {
        let parent = of_headers(request.headers());
        let kind = match &parent {
            Some(_) => SpanKind::Internal,
            None => self.kind.clone(),
        };
        let mut attributes = Vec::with_capacity(12);
        attributes.push(self.of_function.clone());
        attributes.push(self.of_trigger.clone());
        if !invocation.id.is_empty() {
            attributes.push(KeyValue::new("faas.invocation_id", invocation.id.clone()));
        }
        if let Some(route) = &self.route {
            attributes.push(KeyValue::new(
                "http.request.method",
                request.method().to_string(),
            ));
            attributes.push(KeyValue::new("http.route", route.clone()));
        }
        let parent = parent.map_or_else(Context::new, |span| {
            Context::new().with_remote_span_context(span)
        });
        let builder = self.tracer.span_builder(self.name.clone()).with_kind(kind);
        let span = builder
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        Running {
            call: Call(Arc::new(Facts {
                function: Arc::clone(self),
                context: parent.with_span(span),
                batch: OnceLock::new(),
            })),
            started: Instant::now(),
            ended: false,
        }
    }
}

impl Running {
    /// For the extractors.
    pub(crate) fn call(&self) -> Call {
        self.call.clone()
    }

    /// Trace and span, as log lines have them; those of the host where nothing is kept here.
    pub(crate) fn ids(&self) -> Option<(String, String)> {
        let span = self.call.0.context.span();
        let span = span.span_context();
        span.is_valid()
            .then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    }

    /// Runs the call's work with its span as the current one.
    pub(crate) async fn scope<F: Future>(&self, work: F) -> F::Output {
        work.with_context(self.call.0.context.clone()).await
    }

    /// `status` is that of an HTTP answer to a stranger. `error` is `None` where the call went well.
    pub(crate) fn end(mut self, status: Option<u16>, error: Option<String>) {
        if let Some(status) = status {
            let status = KeyValue::new("http.response.status_code", i64::from(status));
            self.call.0.context.span().set_attribute(status);
        }
        self.finish(error);
    }

    fn finish(&mut self, error: Option<String>) {
        self.ended = true;
        let Facts {
            function,
            context,
            batch,
        } = &*self.call.0;
        let mut attributes = vec![function.of_function.clone(), function.of_trigger.clone()];
        let span = context.span();
        if let Some(error) = error {
            let error = KeyValue::new("error.type", error);
            span.set_attribute(error.clone());
            span.set_status(Status::error(""));
            attributes.push(error);
        }
        function
            .durations
            .record(self.started.elapsed().as_secs_f64(), &attributes);
        if let Some(batch) = batch.get() {
            batch.record(function);
        }
        span.end();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Some("cancelled".to_owned()));
        }
    }
}

impl Batch {
    fn record(&self, function: &FunctionTelemetry) {
        let (name, instruments) = (function.of_function.clone(), &function.batches);
        let system = KeyValue::new("messaging.system", "eventhubs");
        instruments
            .sizes
            .record(self.events, std::slice::from_ref(&name));
        instruments
            .messages
            .add(self.events, &[name.clone(), system, self.partition.clone()]);
        if let Some(enqueued) = self.last_enqueued {
            let lag = Duration::try_from(time::UtcDateTime::now() - enqueued).unwrap_or_default();
            instruments
                .lag
                .record(lag.as_secs_f64(), &[name, self.partition.clone()]);
        }
    }
}

#[cfg(feature = "event-hubs")]
impl Call {
    /// What a batch of events says of its call. At most this many links to the traces of events.
    pub(crate) fn has(&self, batch: &crate::EventHubBatch) {
        const MOST_LINKS: usize = 32;
        let (first, last) = (batch.events.first(), batch.events.last());
        let partition = KeyValue::new(
            "messaging.destination.partition.id",
            batch.partition.partition_id.clone(),
        );
        _ = self.0.batch.set(Batch {
            partition: partition.clone(),
            events: batch.events.len() as u64,
            last_enqueued: last.map(|event| event.enqueued_at),
        });
        let span = self.0.context.span();
        if !span.is_recording() {
            return;
        }
        span.set_attributes([
            KeyValue::new("messaging.system", "eventhubs"),
            partition,
            KeyValue::new("messaging.batch.message_count", batch.events.len() as i64),
        ]);
        if let (Some(first), Some(last)) = (first, last) {
            span.set_attributes([
                KeyValue::new(
                    "messaging.eventhubs.message.first_sequence_number",
                    first.sequence_number,
                ),
                KeyValue::new(
                    "messaging.eventhubs.message.last_sequence_number",
                    last.sequence_number,
                ),
                KeyValue::new(
                    "messaging.eventhubs.message.enqueued_time",
                    last.enqueued_at.unix_timestamp(),
                ),
            ]);
        }
        let links = batch.events.iter().filter_map(|event| {
            // The name that the standard gives it, and the one of older Azure clients.
            let names = ["traceparent", "Diagnostic-Id"];
            let text = names
                .iter()
                .find_map(|name| event.properties.get_str(name))?;
            remote(&text)
        });
        for linked in links.take(MOST_LINKS) {
            span.add_link(linked, Vec::new());
        }
    }
}

/// The span of another process that a `traceparent` names.
pub(super) fn remote(traceparent: &str) -> Option<SpanContext> {
    struct Alone<'a>(&'a str);
    impl Extractor for Alone<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == "traceparent").then_some(self.0)
        }

        fn keys(&self) -> Vec<&str> {
            vec!["traceparent"]
        }
    }
    valid(&TraceContextPropagator::new().extract_with_context(&Context::new(), &Alone(traceparent)))
}

fn of_headers(headers: &HeaderMap) -> Option<SpanContext> {
    let extractor = HeaderExtractor(headers);
    valid(&TraceContextPropagator::new().extract_with_context(&Context::new(), &extractor))
}

fn valid(context: &Context) -> Option<SpanContext> {
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}
