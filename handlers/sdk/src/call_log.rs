//! The warnings and errors of one call, for the `Logs` of its answer: the only log lines that the
//! host files under the invocation.
//!
//! A call opens a span and hangs a [`CallLog`] on it; [`CallLogLayer`] adds every event of level WARN
//! or ERROR within that span, also from tasks that were spawned with it.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::invocation::Invocation;

/// A call that warns in a loop must not grow an answer without end.
const MAX_LINES: usize = 100;

/// The lines of one call. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct CallLog(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    kept: Vec<String>,
    dropped: usize,
}

thread_local! {
    /// The log of the span that this thread is just making: a layer sees a new span's fields, which
    /// cannot hold an object.
    static OPENING: RefCell<Option<CallLog>> = const { RefCell::new(None) };
}

impl CallLog {
    /// The span of a call, with this log on it.
    ///
    /// Of level ERROR, so that no filter of levels takes the fields off the lines that it lets through.
    pub(crate) fn span(&self, invocation: &Invocation) -> Span {
        OPENING.set(Some(self.clone()));
        let span = tracing::error_span!(
            "call",
            invocation.id = %invocation.id,
            function = %invocation.function,
            traceparent = invocation.traceparent.as_deref(),
            partition.id = tracing::field::Empty,
        );
        OPENING.set(None);
        span
    }

    /// The lines so far, and how many more there were.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Lines { mut kept, dropped } = std::mem::take(&mut *lines);
        if dropped > 0 {
            kept.push(format!("... {dropped} more"));
        }
        kept
    }

    fn add(&self, event: &Event<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.kept.len() < MAX_LINES {
            let mut line = Line::new(*event.metadata().level());
            event.record(&mut line);
            lines.kept.push(line.finish());
        } else {
            lines.dropped += 1;
        }
    }
}

/// The layer that fills the `Logs` of each answer. [`init`](crate::observability::init) installs it; an
/// app with a subscriber of its own adds it there.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallLogLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CallLogLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Some(log), Some(span)) = (OPENING.take(), context.span(id)) {
            span.extensions_mut().replace(log);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let log = context.event_scope(event).and_then(|mut scope| {
            scope.find_map(|span| span.extensions().get::<CallLog>().cloned())
        });
        if let Some(log) = log {
            log.add(event);
        }
    }
}

/// `WARN message field=value …`
struct Line {
    level: Level,
    message: String,
    fields: String,
}

impl Line {
    fn new(level: Level) -> Self {
        Self {
            level,
            message: String::new(),
            fields: String::new(),
        }
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        _ = match field.name() {
            "message" => self.message.write_fmt(value),
            name => write!(self.fields, " {name}={value}"),
        };
    }

    fn finish(self) -> String {
        format!("{} {}{}", self.level, self.message, self.fields)
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Instrument, debug, error, info, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(work: impl FnOnce()) -> Vec<String> {
        let subscriber = tracing_subscriber::registry().with(CallLogLayer);
        tracing::subscriber::with_default(subscriber, || {
            let log = CallLog::default();
            log.span(&Invocation::default()).in_scope(work);
            warn!("outside");
            log.take()
        })
    }

    #[test]
    fn warnings_and_errors_of_the_call_are_kept_and_nothing_else() {
        let lines = logged(|| {
            debug!("no");
            info!("no");
            warn!(reason = "malformed-json", count = 2, "put aside");
            tracing::info_span!("inner").in_scope(|| error!("deeper"));
        });
        assert_eq!(
            lines,
            [
                "WARN put aside reason=malformed-json count=2",
                "ERROR deeper"
            ]
        );
    }

    #[test]
    fn a_hundred_lines_are_kept_and_the_rest_counted() {
        let lines = logged(|| (0..103).for_each(|number| warn!(number)));
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], "... 3 more");
    }

    #[test]
    fn calls_at_the_same_time_do_not_mix() {
        let subscriber = tracing_subscriber::registry().with(CallLogLayer);
        tracing::subscriber::with_default(subscriber, || {
            let (one, two) = (CallLog::default(), CallLog::default());
            let spans = (
                one.span(&Invocation::default()),
                two.span(&Invocation::default()),
            );
            futures_util::FutureExt::now_or_never(async { warn!("first") }.instrument(spans.0));
            futures_util::FutureExt::now_or_never(async { warn!("second") }.instrument(spans.1));
            assert_eq!(one.take(), ["WARN first"]);
            assert_eq!(two.take(), ["WARN second"]);
        });
    }
}
