//! What is sent, what is lost, and one line of log where nothing gets through.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Counter;
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tracing::{info, warn};

/// The processor's own default.
const DEFAULT_QUEUE: usize = 2_048;

/// Waits with spans until their exporter takes them, on a thread of its own, and counts those for which there is no room.
#[derive(Debug)]
pub(super) struct Spans {
    batches: BatchSpanProcessor,
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    destination: &'static str,
    waiting: AtomicUsize,
    most: usize,
    /// When the first span ends, the meter is there.
    processed: OnceLock<Counter<u64>>,
}

impl Spans {
    pub(super) fn new(destination: &'static str, exporter: impl SpanExporter + 'static) -> Self {
        let most =
            super::variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.trim().parse().ok());
        let queue = Arc::new(Queue {
            destination,
            waiting: AtomicUsize::new(0),
            most: most.unwrap_or(DEFAULT_QUEUE),
            processed: OnceLock::new(),
        });
        let exporter = CountedSpans {
            exporter,
            queue: Arc::clone(&queue),
            exported: OnceLock::new(),
            trouble: Trouble::new("spans", destination),
        };
        Self {
            batches: BatchSpanProcessor::builder(exporter).build(),
            queue,
        }
    }
}

impl Queue {
    /// Whether there is room for one more, which is taken.
    fn takes(&self) -> bool {
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.most).then_some(waiting + 1)
            });
        let processed = self
            .processed
            .get_or_init(|| counter("otel.sdk.processor.span.processed"));
        count(
            processed,
            1,
            self.destination,
            taken.is_err().then_some("queue_full"),
        );
        taken.is_ok()
    }
}

impl SpanProcessor for Spans {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.takes() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

struct CountedSpans<E> {
    exporter: E,
    queue: Arc<Queue>,
    exported: OnceLock<Counter<u64>>,
    trouble: Trouble,
}

impl<E> fmt::Debug for CountedSpans<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedSpans").finish_non_exhaustive()
    }
}

impl<E: SpanExporter> SpanExporter for CountedSpans<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queue.waiting.fetch_sub(spans, Ordering::Relaxed);
        let sent = self.exporter.export(batch).await;
        let exported = self
            .exported
            .get_or_init(|| counter("otel.sdk.exporter.span.exported"));
        let lost = sent.is_err().then_some("export_failed");
        count(exported, spans as u64, self.queue.destination, lost);
        self.trouble.note(&sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends metrics, and says where they do not get through. Those are not lost: cumulative ones are sent again with the
/// next.
pub(super) struct Metrics<E> {
    exporter: E,
    trouble: Trouble,
}

impl<E> Metrics<E> {
    pub(super) fn new(destination: &'static str, exporter: E) -> Self {
        Self {
            exporter,
            trouble: Trouble::new("metrics", destination),
        }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Metrics<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.exporter.export(metrics).await;
        self.trouble.note(&sent);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Says once that sending fails, and once that it goes on.
struct Trouble {
    what: &'static str,
    destination: &'static str,
    is_there: AtomicBool,
}

impl Trouble {
    fn new(what: &'static str, destination: &'static str) -> Self {
        Self {
            what,
            destination,
            is_there: AtomicBool::new(false),
        }
    }

    fn note(&self, sent: &OTelSdkResult) {
        let (what, destination) = (self.what, self.destination);
        let was_there = self.is_there.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Err(error) if !was_there => {
                warn!(what, destination, %error, "telemetry does not get through");
            }
            Ok(()) if was_there => info!(what, destination, "telemetry gets through again"),
            _ => {}
        }
    }
}

fn counter(name: &'static str) -> Counter<u64> {
    global::meter("azure_functions_sdk")
        .u64_counter(name)
        .with_unit("{span}")
        .build()
}

fn count(
    counter: &Counter<u64>,
    spans: u64,
    destination: &'static str,
    lost: Option<&'static str>,
) {
    let destination = KeyValue::new("otel.component.name", destination);
    match lost {
        None => counter.add(spans, &[destination]),
        Some(error) => counter.add(spans, &[destination, KeyValue::new("error.type", error)]),
    }
}
