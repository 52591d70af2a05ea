//! What a child process says, kept short.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::{mpsc, watch};

use crate::child::Child;

/// The last lines usually tell why something failed.
const KEPT_LINES: usize = 8;

/// The lines of a process, of both its outputs.
pub(crate) struct Output {
    lines: mpsc::UnboundedReceiver<String>,
    last: VecDeque<String>,
}

impl Output {
    /// Takes over the outputs of a process.
    pub(crate) fn of(process: &mut Child) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        if let Some(stdout) = process.take_stdout() {
            tokio::spawn(forward(stdout, sender.clone()));
        }
        if let Some(stderr) = process.take_stderr() {
            tokio::spawn(forward(stderr, sender));
        }
        Self {
            lines,
            last: VecDeque::with_capacity(KEPT_LINES),
        }
    }

    /// The next line, `None` when the process and everything it started have ended.
    pub(crate) async fn next_line(&mut self) -> Option<String> {
        let line = self.lines.recv().await?;
        if !line.trim().is_empty() {
            if self.last.len() == KEPT_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line.trim().to_owned());
        }
        Some(line)
    }

    /// Reads to the end.
    pub(crate) async fn finish(&mut self) {
        while self.next_line().await.is_some() {}
    }

    /// The last lines, as one.
    pub(crate) fn tail(&self) -> String {
        if self.last.is_empty() {
            return "it said nothing".to_owned();
        }
        Vec::from_iter(self.last.iter().map(String::as_str)).join(" / ")
    }

    /// Reads on and forgets, so that the process never waits for a reader. Tells of its end.
    pub(crate) fn swallow(mut self) -> watch::Receiver<bool> {
        let (gone, watching) = watch::channel(false);
        tokio::spawn(async move {
            self.finish().await;
            _ = gone.send(true);
        });
        watching
    }
}

async fn forward(from: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // Bytes, since a line that is no UTF-8 must not end the reading.
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        _ = to.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}
