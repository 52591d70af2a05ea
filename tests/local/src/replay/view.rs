//! What the user sees while a replay goes on: a bar on a terminal, plain lines elsewhere, both on standard error.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::Summary;

/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Lines about single events, before they are only counted.
const MOST_LINES: usize = 50;

/// Shows progress.
pub struct View {
    bar: Option<ProgressBar>,
    silent: bool,
    last_line: Instant,
    lines: usize,
}

impl View {
    /// On standard error.
    #[must_use]
    pub fn terminal() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            // The template is a constant; were it wrong, the default style would do.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            silent: false,
            last_line: Instant::now(),
            lines: 0,
        }
    }

    /// Nowhere.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            bar: None,
            silent: true,
            last_line: Instant::now(),
            lines: 0,
        }
    }

    /// `of` is how many events there are, more or less, where that is known.
    pub(super) fn show(&mut self, summary: &Summary, of: Option<u64>) {
        let text = || {
            let of = of.map(|of| format!(" of about {}", of.max(summary.read)));
            format!(
                "{}{} read  {} chosen  {} sent",
                summary.read,
                of.unwrap_or_default(),
                summary.chosen,
                summary.sent
            )
        };
        match &self.bar {
            Some(bar) => bar.set_message(text()),
            None if !self.silent && self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!("{}", text());
            }
            None => {}
        }
    }

    /// A line about one event.
    pub(super) fn tell(&mut self, line: &str) {
        self.lines += 1;
        match self.lines {
            ..=MOST_LINES => self.say(line),
            line if line == MOST_LINES + 1 => self.say("… and more of the kind"),
            _ => {}
        }
    }

    /// A line.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            _ if self.silent => {}
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The last word, on standard output.
    pub(super) fn report(&self, summary: &Summary) {
        println!("{summary}");
        if summary.interrupted {
            println!("Stopped; the same command goes on from here");
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
