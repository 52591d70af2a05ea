//! Which traces are kept where nobody says otherwise.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use tokio::time::Instant;

/// As many as Application Insights keeps of each instance by default.
const A_SECOND: f64 = 5.0;

/// Keeps a few traces a second, each of them whole, and those whose parent elsewhere is sampled.
///
/// By number and not by share: what it costs is known beforehand, and of a quiet app everything is seen.
#[derive(Debug, Clone)]
pub(super) struct FewTraces(Arc<Mutex<Room>>);

#[derive(Debug)]
struct Room {
    traces: f64,
    since: Instant,
}

impl Default for FewTraces {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Room {
            traces: A_SECOND,
            since: Instant::now(),
        })))
    }
}

impl FewTraces {
    fn has_room(&self) -> bool {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.saturating_duration_since(room.since).as_secs_f64();
        room.traces = passed.mul_add(A_SECOND, room.traces).min(A_SECOND);
        room.since = now;
        let has_room = room.traces >= 1.0;
        if has_room {
            room.traces -= 1.0;
        }
        has_room
    }
}

impl ShouldSample for FewTraces {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent = parent.filter(|context| context.has_active_span());
        let parent = parent.map(|context| context.span().span_context().clone());
        let keep = match &parent {
            Some(parent) if !parent.is_remote() => parent.is_sampled(),
            Some(parent) if parent.is_sampled() => true,
            _ => self.has_room(),
        };
        SamplingResult {
            decision: if keep {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: parent
                .map_or_else(TraceState::default, |parent| parent.trace_state().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    use super::*;

    fn keeps(sampler: &FewTraces, parent: Option<(bool, bool)>) -> bool {
        let context = parent.map(|(remote, sampled)| {
            let flags = TraceFlags::default().with_sampled(sampled);
            let (trace, span) = (TraceId::from(7), SpanId::from(7));
            let span = SpanContext::new(trace, span, flags, remote, TraceState::default());
            Context::new().with_remote_span_context(span)
        });
        let kind = SpanKind::Internal;
        let result = sampler.should_sample(context.as_ref(), TraceId::from(7), "", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[tokio::test(start_paused = true)]
    async fn five_a_second_and_no_more_after_a_rest() {
        let sampler = FewTraces::default();
        // As the host says it with Application Insights, or not at all.
        for parent in [Some((true, false)), None] {
            tokio::time::advance(Duration::from_secs(60)).await;
            let kept = (0..100).filter(|_| keeps(&sampler, parent)).count();
            assert_eq!(kept, 5);
            tokio::time::advance(Duration::from_millis(200)).await;
            let kept = (0..100).filter(|_| keeps(&sampler, parent)).count();
            assert_eq!(kept, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_is_whole_or_not_there() {
        let sampler = FewTraces::default();
        for _ in 0..100 {
            assert!(keeps(&sampler, Some((false, true))));
            assert!(!keeps(&sampler, Some((false, false))));
            assert!(keeps(&sampler, Some((true, true))));
        }
        assert!(keeps(&sampler, None), "none of these took of the room");
    }
}
