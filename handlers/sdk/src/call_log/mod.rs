//! The warnings and errors of one call, for the `Logs` of its answer: the only log lines that the
//! host files under the invocation.
//!
//! A call opens a span and hangs a [`CallLog`] on it; [`CallLogLayer`] adds every event of level WARN
//! or ERROR within that span, also from tasks that were spawned with it.

#[cfg(feature = "observability")]
mod layer;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

use crate::invocation::Invocation;

#[cfg(feature = "observability")]
pub use layer::CallLogLayer;

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
    pub(crate) fn span(&self, invocation: &Invocation, trace: Option<(String, String)>) -> Span {
        let (trace_id, span_id) = trace.unzip();
        OPENING.set(Some(self.clone()));
        let span = tracing::error_span!(
            "call",
            invocation.id = %invocation.id,
            function = %invocation.function,
            trace_id = trace_id.as_deref(),
            span_id = span_id.as_deref(),
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
}
