//! Figures of each function, from what the host says of its calls.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use time::UtcDateTime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::host::{BatchDone, FunctionStats, HostEvent};
use crate::report::latency_histogram;

/// Batches and latencies of the Event Hubs functions, of the events within the measured time.
#[derive(Default)]
pub(super) struct Calls {
    functions: Mutex<BTreeMap<String, Batches>>,
    /// From when on events count.
    since: Mutex<Option<UtcDateTime>>,
}

struct Batches {
    sizes: Histogram<u64>,
    latencies: Histogram<u64>,
}

/// How a measure is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half of all are at most this.
    pub p50: u64,
    /// 95 of 100 are.
    pub p95: u64,
    /// 99 of 100 are.
    pub p99: u64,
    /// All are.
    pub max: u64,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionFigures {
    /// Calls, over the whole run.
    pub calls: u64,
    /// Calls that failed and were made again, over the whole run.
    pub failures: u64,
    /// The mean time of a call, in milliseconds, over the whole run.
    pub millis_per_call: f64,
    /// Events in a call, for a function that takes batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_call: Option<Spread>,
    /// From the moment the hub took an event to the end of its call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_to_done_millis: Option<Spread>,
}

impl Spread {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram.max(),
        }
    }
}

impl Calls {
    /// Events count from now on.
    pub(super) fn begin(&self, now: UtcDateTime) {
        *lock(&self.since) = Some(now);
    }

    /// Keeps the figures up to date, for ever.
    pub(super) async fn follow(&self, mut news: Receiver<HostEvent>) -> Infallible {
        loop {
            match news.recv().await {
                Ok(HostEvent::BatchDone(batch)) => self.record(&batch),
                // Missed news are missing from the spreads and from nothing else.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn record(&self, batch: &BatchDone) {
        let Some(since) = *lock(&self.since) else {
            return;
        };
        let mut functions = lock(&self.functions);
        let figures = functions
            .entry(batch.function.to_string())
            .or_insert_with(|| Batches {
                sizes: latency_histogram(),
                latencies: latency_histogram(),
            });
        let mut counted = 0;
        for enqueued_at in batch.enqueued_at.iter().filter(|at| **at >= since) {
            let late = (batch.finished_at - *enqueued_at).whole_milliseconds();
            figures
                .latencies
                .saturating_record(u64::try_from(late).unwrap_or(0));
            counted += 1;
        }
        if counted > 0 {
            figures.sizes.saturating_record(batch.count() as u64);
        }
    }

    /// The latencies of a function.
    pub(super) fn latencies(&self, function: &str) -> Histogram<u64> {
        lock(&self.functions)
            .get(function)
            .map_or_else(latency_histogram, |figures| figures.latencies.clone())
    }

    /// Every function that was called, with the host's own figures.
    pub(super) fn all(
        &self,
        stats: &BTreeMap<String, FunctionStats>,
    ) -> BTreeMap<String, FunctionFigures> {
        let functions = lock(&self.functions);
        let called = stats.iter().filter(|(_, stats)| stats.calls > 0);
        called
            .map(|(name, stats)| {
                let batches = functions.get(name);
                let millis = stats.busy.as_secs_f64() * 1e3 / stats.calls as f64;
                let figures = FunctionFigures {
                    calls: stats.calls,
                    failures: stats.failures,
                    millis_per_call: (millis * 10.0).round() / 10.0,
                    events_per_call: batches.map(|batches| Spread::of(&batches.sizes)),
                    event_to_done_millis: batches.map(|batches| Spread::of(&batches.latencies)),
                };
                (name.clone(), figures)
            })
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn only_events_of_the_measured_time_count() {
        let start = UtcDateTime::UNIX_EPOCH;
        let batch = |count: i64| BatchDone {
            function: "UpdateDroneState".into(),
            partition: 0,
            first: 0,
            last: count - 1,
            enqueued_at: (0..count)
                .map(|at| start + Duration::from_secs(at as u64))
                .collect(),
            finished_at: start + Duration::from_secs(10),
            attempts: 1,
        };
        let calls = Calls::default();
        calls.record(&batch(5));
        calls.begin(start + Duration::from_secs(3));
        calls.record(&batch(3));
        calls.record(&batch(5));
        let stats = FunctionStats {
            calls: 3,
            busy: Duration::from_millis(30),
            ..FunctionStats::default()
        };
        let stats = BTreeMap::from([
            ("UpdateDroneState".to_owned(), stats),
            ("Health".to_owned(), FunctionStats::default()),
        ]);
        let all = calls.all(&stats);
        assert_eq!(all.len(), 1, "what was not called has no figures");
        let figures = &all["UpdateDroneState"];
        assert_eq!(figures.millis_per_call, 10.0);
        assert_eq!(figures.events_per_call.unwrap().max, 5);
        let latencies = calls.latencies("UpdateDroneState");
        assert_eq!(latencies.len(), 2);
        let spread = figures.event_to_done_millis.unwrap();
        // Three digits.
        assert!(spread.p50.abs_diff(6_000) < 10, "{spread:?}");
        assert!(spread.max.abs_diff(7_000) < 10, "{spread:?}");
    }
}
