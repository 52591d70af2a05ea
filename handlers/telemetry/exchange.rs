//! One request over HTTP to another service: a span, and how long it took.

use std::sync::LazyLock;
use std::time::Instant;

use opentelemetry::metrics::Histogram;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};

use super::{SCOPE, SECONDS, meter};

static DURATIONS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("http.client.request.duration")
        .with_unit("s")
        .with_boundaries(SECONDS.to_vec())
        .build()
});

/// A request that is on. Where it is dropped nobody waited for its answer.
pub struct Exchange {
    context: Context,
    started: Instant,
    attributes: Vec<KeyValue>,
    is_over: bool,
}

impl Exchange {
    /// `service` is what the metric goes by: `blob`, `queue`, `event_hubs`, `webhook`. Of the address only the host is kept, of
    /// the rest nothing that could hold a secret: `path` is that of a blob or a hub, without its query, or `None`.
    pub fn begin(
        service: &'static str,
        kind: SpanKind,
        method: &'static str,
        host: Option<&str>,
        path: Option<&str>,
    ) -> Self {
        let tracer = global::tracer(SCOPE);
        let attributes = vec![
            KeyValue::new("server.service", service),
            KeyValue::new("http.request.method", method),
        ];
        let parent = Context::current();
        // What would only be thrown away is not put together.
        let context = if parent.span().span_context().is_sampled() || !parent.has_active_span() {
            let mut of_span = attributes.clone();
            of_span.extend(host.map(|host| KeyValue::new("server.address", host.to_owned())));
            of_span.extend(path.map(|path| KeyValue::new("url.path", path.to_owned())));
            let span = tracer
                .span_builder(format!("{method} {service}"))
                .with_kind(kind)
                .with_attributes(of_span)
                .start_with_context(&tracer, &parent);
            parent.with_span(span)
        } else {
            parent
        };
        Self {
            context,
            started: Instant::now(),
            attributes,
            is_over: false,
        }
    }

    /// With this as the current one, what is sent names it as its parent.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The status of the answer, or, where there is none, what kind of error it was: a fixed word.
    pub fn end(mut self, answer: Result<u16, &'static str>) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Result<u16, &'static str>) {
        self.is_over = true;
        let mut attributes = std::mem::take(&mut self.attributes);
        let of_request = attributes.len();
        let error = match answer {
            Ok(status) => {
                attributes.push(KeyValue::new(
                    "http.response.status_code",
                    i64::from(status),
                ));
                (status >= 400).then(|| status.to_string())
            }
            Err(kind) => Some(kind.to_owned()),
        };
        let is_error = error.is_some();
        attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
        DURATIONS.record(self.started.elapsed().as_secs_f64(), &attributes);
        let span = self.context.span();
        if span.is_recording() {
            span.set_attributes(attributes.drain(of_request..));
            if is_error {
                span.set_status(Status::error(""));
            }
            span.end();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.finish(Err("cancelled"));
        }
    }
}
