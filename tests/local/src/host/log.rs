//! Where log lines go.

use std::fmt;
use std::sync::Arc;

/// Takes what the host, the handler's console and the calls' `Logs` say: one line of text each, its source in brackets in front.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(String) + Send + Sync>);

impl LogSink {
    /// A sink that hands each line to a function, on whatever thread it comes from. The function must not block.
    pub fn new(take: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// A sink that forgets.
    #[must_use]
    pub fn discard() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn line(&self, source: &str, text: &str) {
        (self.0)(format!("[{source}] {text}"));
    }

    pub(crate) fn host(&self, text: &str) {
        self.line("host", text);
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}
