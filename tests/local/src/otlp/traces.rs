//! The last traces, and the slowest operations of stores among what was traced.

use std::collections::{BTreeSet, HashMap, VecDeque};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Serialize;

use super::attributes::{Attributes, cut};
use super::lines::{ERROR, FUNCTION, is_failure};

/// How many traces are kept.
const MOST_TRACES: usize = 300;

/// How many that failed are kept beside them, when they are no longer among the last.
const MOST_FAILED: usize = 100;

/// Further spans of one trace are left out.
const MOST_SPANS: usize = 500;

/// Further links of one span are left out.
const MOST_LINKS: usize = 128;

/// How many slow operations are kept, and for how long, in nanoseconds.
const MOST_SLOW: usize = 20;
const SLOW_KEPT: u64 = 600 * 1_000_000_000;

/// A span, as the page is told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// In hexadecimal digits.
    pub span_id: String,
    /// Of the span that it is part of; empty where it begins a trace.
    pub parent_id: String,
    /// Such as `UpdateDroneState` or `read drones`.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: &'static str,
    /// In nanoseconds of Unix time.
    #[serde(skip)]
    pub began: u64,
    /// In nanoseconds.
    #[serde(skip)]
    pub took: u64,
    /// Whether its status is an error, and not one that the handler asks for.
    pub failed: bool,
    /// What its status says of that.
    pub message: String,
    /// By their names.
    pub attributes: Attributes,
    /// Traces that it follows from, and the spans in them.
    pub links: Vec<(String, String)>,
}

/// The spans of one trace.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// In hexadecimal digits.
    pub id: String,
    /// In the order in which they began.
    pub spans: Vec<Span>,
}

impl Trace {
    /// Its first call of a function, or else its first span.
    #[must_use]
    pub fn root(&self) -> Option<&Span> {
        self.spans
            .iter()
            .find(|span| is_call(span))
            .or_else(|| self.spans.first())
    }

    /// Whether a call in it failed. What a call has got over is none.
    #[must_use]
    pub fn failed(&self) -> bool {
        let mut calls = self.spans.iter().filter(|span| is_call(span)).peekable();
        match calls.peek() {
            Some(_) => calls.any(|call| call.failed),
            None => self.spans.iter().any(|span| span.failed),
        }
    }

    /// When it began, and how long it took, in nanoseconds.
    #[must_use]
    pub fn time(&self) -> (u64, u64) {
        let began = self.spans.iter().map(|span| span.began).min();
        let ended = self.spans.iter().map(|span| span.began + span.took).max();
        let began = began.unwrap_or_default();
        (began, ended.unwrap_or_default().saturating_sub(began))
    }

    /// The traces that it follows from.
    #[must_use]
    pub fn follows(&self) -> BTreeSet<&str> {
        let links = self.spans.iter().flat_map(|span| &span.links);
        links.map(|(trace, _)| trace.as_str()).collect()
    }
}

/// A slow operation, and the trace that tells more.
#[derive(Debug, Clone)]
pub(super) struct Slow {
    pub(super) trace: String,
    pub(super) span: Span,
}

/// What is kept of them.
#[derive(Debug, Default)]
pub(super) struct Traces {
    traces: HashMap<String, Trace>,
    /// By when they were first heard of, the oldest first.
    order: VecDeque<String>,
    /// Those of `order` that were put aside because they had failed.
    failed: VecDeque<String>,
    slow: Vec<Slow>,
}

impl Traces {
    /// Takes spans. What was not taken is counted, with the reason.
    pub(super) fn take(
        &mut self,
        sent: ExportTraceServiceRequest,
        now: u64,
    ) -> Option<(i64, String)> {
        let mut rejected = 0;
        let mut why = "";
        for span in sent
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
        {
            match self.take_span(&span, now) {
                Ok(()) => {}
                Err(problem) => {
                    rejected += 1;
                    why = problem;
                }
            }
        }
        (rejected > 0).then(|| (rejected, why.to_owned()))
    }

    fn take_span(&mut self, sent: &Sent, now: u64) -> Result<(), &'static str> {
        let ids_are_right = sent.trace_id.len() == 16
            && sent.span_id.len() == 8
            && matches!(sent.parent_span_id.len(), 0 | 8)
            && sent.trace_id.iter().any(|byte| *byte != 0);
        if !ids_are_right {
            return Err("an id of a span is none");
        }
        let id = hex(&sent.trace_id);
        let span = read(sent, now);
        self.note_slow(&id, &span, now);
        if !self.traces.contains_key(&id) {
            self.make_room();
            self.order.push_back(id.clone());
        }
        let trace = self.traces.entry(id.clone()).or_insert_with(|| Trace {
            id,
            spans: Vec::new(),
        });
        if trace.spans.len() >= MOST_SPANS {
            return Err("the trace has too many spans");
        }
        // An exporter that got no answer sends again.
        if trace
            .spans
            .iter()
            .any(|known| known.span_id == span.span_id)
        {
            return Ok(());
        }
        let at = trace
            .spans
            .partition_point(|known| known.began <= span.began);
        trace.spans.insert(at, span);
        Ok(())
    }

    fn make_room(&mut self) {
        while self.order.len() >= MOST_TRACES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if self.traces.get(&oldest).is_some_and(Trace::failed) {
                self.failed.push_back(oldest);
                if self.failed.len() <= MOST_FAILED {
                    continue;
                }
                if let Some(gone) = self.failed.pop_front() {
                    self.traces.remove(&gone);
                }
            } else {
                self.traces.remove(&oldest);
            }
        }
    }

    fn note_slow(&mut self, trace: &str, span: &Span, now: u64) {
        if !is_of_a_store(span) {
            return;
        }
        self.slow.retain(|slow| slow.span.began + SLOW_KEPT >= now);
        // Of what one trace does many times, the slowest tells enough.
        let is_same = |slow: &Slow| slow.trace == trace && slow.span.name == span.name;
        match self.slow.iter().position(is_same) {
            Some(at) if self.slow[at].span.took >= span.took => return,
            Some(at) => _ = self.slow.remove(at),
            None => {}
        }
        let at = self.slow.partition_point(|slow| slow.span.took > span.took);
        if at < MOST_SLOW {
            self.slow.insert(
                at,
                Slow {
                    trace: trace.to_owned(),
                    span: span.clone(),
                },
            );
            self.slow.truncate(MOST_SLOW);
        }
    }

    /// The newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Trace> {
        let newest = self.order.iter().rev().chain(self.failed.iter().rev());
        newest.filter_map(|id| self.traces.get(id))
    }

    pub(super) fn get(&self, id: &str) -> Option<&Trace> {
        self.traces.get(id)
    }

    /// The slowest of the last ten minutes, the slowest first.
    pub(super) fn slow(&self, now: u64) -> impl Iterator<Item = &Slow> {
        self.slow
            .iter()
            .filter(move |slow| slow.span.began + SLOW_KEPT >= now)
    }
}

fn is_call(span: &Span) -> bool {
    span.attributes.has(FUNCTION)
}

/// Whether a span is a request to somewhere else.
fn is_of_a_store(span: &Span) -> bool {
    matches!(span.kind, "client" | "producer")
}

fn read(sent: &Sent, now: u64) -> Span {
    let began = sent.start_time_unix_nano.min(now);
    let status = sent.status.as_ref();
    let attributes = Attributes::of(&sent.attributes);
    let links = sent.links.iter().take(MOST_LINKS);
    Span {
        span_id: hex(&sent.span_id),
        parent_id: hex(&sent.parent_span_id),
        name: cut(&sent.name),
        kind: match sent.kind() {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal | SpanKind::Unspecified => "internal",
        },
        began,
        took: sent.end_time_unix_nano.min(now).saturating_sub(began),
        failed: match attributes.has(ERROR) {
            true => is_failure(&attributes),
            false => status.is_some_and(|status| status.code() == StatusCode::Error),
        },
        message: status.map_or_else(String::new, |status| cut(&status.message)),
        attributes,
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes.iter().take(16) {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
