//! The layer that sees what is logged in a call.

use std::fmt::{self, Write as _};
use std::sync::PoisonError;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{CallLog, OPENING};

/// A call that warns in a loop must not grow an answer without end.
const MAX_LINES: usize = 100;

impl CallLog {
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
    use crate::invocation::Invocation;

    fn logged(work: impl FnOnce()) -> Vec<String> {
        let subscriber = tracing_subscriber::registry().with(CallLogLayer);
        tracing::subscriber::with_default(subscriber, || {
            let log = CallLog::default();
            log.span(&Invocation::default(), None).in_scope(work);
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
                one.span(&Invocation::default(), None),
                two.span(&Invocation::default(), None),
            );
            futures_util::FutureExt::now_or_never(async { warn!("first") }.instrument(spans.0));
            futures_util::FutureExt::now_or_never(async { warn!("second") }.instrument(spans.1));
            assert_eq!(one.take(), ["WARN first"]);
            assert_eq!(two.take(), ["WARN second"]);
        });
    }
}
