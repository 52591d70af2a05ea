//! Where log lines go, in the form that the Functions host can use.
//!
//! The host makes a trace of every line on stdout, and of every line on stderr an error. So ERROR goes
//! to stderr and the rest to stdout, each event as one line of JSON that carries the fields of its
//! call: neither stream knows the invocation by itself. (A line on stderr that contains the word
//! "warn" is filed as a warning; nothing can be done about that here.)

use tracing::{Level, error};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::call_log::CallLogLayer;

/// Starts logging. `RUST_LOG` decides what is logged, or `default_filter` where that is not set, in the
/// syntax of [`EnvFilter`]; directives that cannot be read are left out.
///
/// Panics are logged as errors from here on. A second call changes nothing.
pub fn init(default_filter: &str) {
    let directives = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.trim().is_empty() => directives,
        _ => default_filter.to_owned(),
    };
    let filter = EnvFilter::new(without_opentelemetry(directives));
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines(std::io::stdout, std::io::stderr))
        .with(CallLogLayer)
        .try_init();
    if started.is_ok() {
        log_panics();
    }
}

/// Of what OpenTelemetry says of itself only what somebody asks for: what matters of it is said once
/// where telemetry is sent.
fn without_opentelemetry(mut directives: String) -> String {
    if !directives.contains("opentelemetry") {
        directives.push_str(",opentelemetry=off");
    }
    directives
}

/// One line of JSON an event: ERROR to `errors`, the rest to `rest`.
fn lines<S, R, E>(rest: R, errors: E) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    R: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    E: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(errors.with_max_level(Level::ERROR).or_else(rest))
}

/// The standard message has several lines, each of which the host would file as an error of its own.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = crate::call::panic_message(panic.payload());
        error!(panic.location = location, panic.message = message, "panic");
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, warn};

    use super::*;
    use crate::call_log::CallLog;
    use crate::invocation::Invocation;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn lines(&self) -> Vec<serde_json::Value> {
            let bytes = self.0.lock().unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn errors_go_to_stderr_and_the_rest_to_stdout_as_json_with_the_calls_fields() {
        let (out, err) = (Sink::default(), Sink::default());
        let (to_out, to_err) = (out.clone(), err.clone());
        let layer = lines(move || to_out.clone(), move || to_err.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let invocation = Invocation {
                id: "id-1".to_owned(),
                function: "F".to_owned(),
                traceparent: None,
            };
            let span = CallLog::default().span(&invocation, Some(("t".to_owned(), "s".to_owned())));
            span.record("partition.id", "7");
            span.in_scope(|| {
                info!("one");
                warn!("two\nlines");
                error!(drone.id = "d", "three");
            });
        });
        let out = out.lines();
        assert_eq!(out.len(), 2);
        assert_eq!(out[1]["message"], "two\nlines");
        let err = err.lines();
        assert_eq!(err.len(), 1);
        assert_eq!(err[0]["message"], "three");
        assert_eq!(err[0]["drone.id"], "d");
        assert_eq!(err[0]["span"]["invocation.id"], "id-1");
        assert_eq!(err[0]["span"]["function"], "F");
        assert_eq!(err[0]["span"]["partition.id"], "7");
        assert_eq!(err[0]["span"]["trace_id"], "t");
        assert_eq!(err[0]["span"]["span_id"], "s");
    }
}
