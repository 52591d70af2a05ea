//! What the page is told, once a second.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::State;
use super::attributes::Attributes;
use super::durations::{Group, Spread};
use super::history::{History, Kind};
use super::lines::{
    ALERTS, ALERTS_OPEN, CALLS, CONSUMED, COSMOS, COSMOS_REQUESTS, DEAD_LETTERS, ERROR, EVENTS,
    FUNCTION, HTTP, HTTP_STATUS, LAG, PARTITION, REQUEST_UNITS, SPANS, STATUS, THROTTLED, WEBHOOK,
};
use super::metrics::Metrics;
use super::traces::{Span, Trace};

/// A rate is the average of so many seconds.
const RATE_SECONDS: u64 = 10;

/// All of it. `elsewhere` says where telemetry goes where it does not come here.
pub(super) fn state(state: &State, now: u64, elsewhere: Option<&str>) -> Value {
    let metrics = &state.metrics;
    let heard = metrics.instances().map(|it| it.heard_at).max();
    json!({
        "now": now / 1_000_000,
        "elsewhere": elsewhere,
        "silentSeconds": heard.map(|heard| now.saturating_sub(heard) / 1_000_000_000),
        "processes": metrics.instances().count(),
        "refused": state.refused,
        "pages": state.pages,
        "spansLost": count(metrics, SPANS, |attributes| attributes.has(ERROR)),
        "until": metrics.history.until(),
        "functions": functions(metrics, now),
        "lag": lag(metrics),
        "cosmos": cosmos(metrics),
        "answers": answers(metrics),
        "stores": stores(metrics, now),
        "slow": slow(state, now),
        "outcomes": pairs(metrics, EVENTS, FUNCTION, "outcome"),
        "deadLetters": {
            "total": count(metrics, DEAD_LETTERS, |_| true),
            "reasons": counts(metrics, DEAD_LETTERS, "reason"),
            "history": history(&metrics.history, Kind::DeadLetters, ""),
        },
        "alerts": alerts(metrics),
        "webhook": counts(metrics, WEBHOOK, "outcome"),
        "traces": state.traces.all().map(summary).collect::<Vec<_>>(),
    })
}

fn functions(metrics: &Metrics, now: u64) -> Vec<Value> {
    let history = &metrics.history;
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (attributes, _) in metrics.all(CALLS) {
        if let Some(name) = attributes.get(FUNCTION) {
            names.insert(name, attributes.get("faas.trigger").unwrap_or_default());
        }
    }
    let lags = lags(metrics);
    names
        .into_iter()
        .map(|(name, trigger)| {
            let is_its = |attributes: &Attributes| attributes.is(FUNCTION, name);
            let line = |kind| (kind, name.to_owned());
            let spread = metrics
                .durations
                .spread(&Group::Function(name.to_owned()), now / 1_000_000_000);
            let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
            for (attributes, sum) in metrics.all(CALLS).filter(|(it, _)| is_its(it)) {
                if let Some(error) = attributes.get(ERROR) {
                    *failures.entry(error).or_default() += sum.count;
                }
            }
            let lag = lags
                .iter()
                .filter(|((function, _), _)| function == name)
                .map(|(_, lag)| *lag)
                .reduce(f64::max);
            json!({
                "name": name,
                "trigger": trigger,
                "calls": metrics.sum(CALLS, is_its).count,
                "events": count(metrics, CONSUMED, is_its),
                "callsPerSecond": rounded(history.rate(&line(Kind::Calls), RATE_SECONDS)),
                "eventsPerSecond": rounded(history.rate(&line(Kind::Events), RATE_SECONDS)),
                "recent": recent(spread),
                "failures": failures,
                "lag": lag.map(rounded),
                "callsHistory": self::history(history, Kind::Calls, name),
                "eventsHistory": self::history(history, Kind::Events, name),
                "lagHistory": self::history(history, Kind::Lag, name),
            })
        })
        .collect()
}

/// Seconds, by function and partition.
fn lags(metrics: &Metrics) -> BTreeMap<(String, String), f64> {
    metrics
        .all(LAG)
        .filter_map(|(attributes, sum)| {
            let function = attributes.get(FUNCTION)?.to_owned();
            let partition = attributes.get(PARTITION)?.to_owned();
            Some(((function, partition), sum.value))
        })
        .collect()
}

fn lag(metrics: &Metrics) -> Value {
    let lags = lags(metrics);
    let functions: BTreeSet<&String> = lags.keys().map(|(function, _)| function).collect();
    let mut partitions: Vec<&String> = lags.keys().map(|(_, partition)| partition).collect();
    partitions.sort_by_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), *name));
    partitions.dedup();
    let rows = partitions.iter().map(|partition| {
        let seconds = functions.iter().map(|function| {
            let key = ((*function).clone(), (*partition).clone());
            lags.get(&key).copied().map(rounded)
        });
        json!({"partition": partition, "seconds": seconds.collect::<Vec<_>>()})
    });
    json!({"functions": functions, "partitions": rows.collect::<Vec<_>>()})
}

fn cosmos(metrics: &Metrics) -> Value {
    let history = &metrics.history;
    let line = (Kind::RequestUnits, String::new());
    json!({
        "requestUnitsPerSecond": rounded(history.rate(&line, RATE_SECONDS)),
        "requestUnits": rounded(metrics.sum(REQUEST_UNITS, |_| true).value),
        "operations": metrics.sum(COSMOS, |_| true).count,
        "requests": count(metrics, COSMOS_REQUESTS, |_| true),
        "throttled": count(metrics, COSMOS_REQUESTS, |attributes| attributes.is(STATUS, THROTTLED)),
        "requestUnitsHistory": self::history(history, Kind::RequestUnits, ""),
        "throttledHistory": self::history(history, Kind::Throttled, ""),
    })
}

/// How often each store has answered with what, each of a client's tries counted.
fn answers(metrics: &Metrics) -> Vec<Value> {
    let mut answers: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (status, sum) in metrics.by(COSMOS_REQUESTS, STATUS) {
        *answers.entry(("Cosmos DB", status)).or_default() += whole(sum.value);
    }
    for (attributes, sum) in metrics.all(HTTP) {
        let store = match attributes.get("server.service").unwrap_or_default() {
            "blob" => "Blob storage",
            "queue" => "Queue storage",
            "event_hubs" => "Event Hubs",
            "webhook" => "Webhook",
            _ => "other",
        };
        let status = attributes
            .get(HTTP_STATUS)
            .or_else(|| attributes.get(ERROR))
            .unwrap_or_default();
        *answers.entry((store, status.to_owned())).or_default() += sum.count;
    }
    answers
        .into_iter()
        .map(|((store, status), count)| json!({"store": store, "status": status, "count": count}))
        .collect()
}

fn stores(metrics: &Metrics, now: u64) -> Vec<Value> {
    let rows = metrics.durations.groups().filter_map(|group| {
        let Group::Store { store, operation } = group else {
            return None;
        };
        let spread = metrics.durations.spread(group, now / 1_000_000_000);
        let mut row = recent(spread);
        row["store"] = store.as_str().into();
        row["operation"] = operation.as_str().into();
        Some(row)
    });
    rows.collect()
}

fn slow(state: &State, now: u64) -> Vec<Value> {
    let rows = state.traces.slow(now).map(|slow| {
        json!({
            "trace": slow.trace,
            "span": slow.span.span_id,
            "name": slow.span.name,
            "at": slow.span.began / 1_000_000,
            "millis": millis(slow.span.took),
            "failed": slow.span.failed,
        })
    });
    rows.collect()
}

fn alerts(metrics: &Metrics) -> Value {
    json!({
        "open": count(metrics, ALERTS_OPEN, |_| true),
        "partitions": counts(metrics, ALERTS_OPEN, PARTITION),
        "turns": pairs(metrics, ALERTS, "alert.rule", "alert.state"),
    })
}

/// What a trace is found by.
fn summary(trace: &Trace) -> Value {
    let (began, took) = trace.time();
    let root = trace.root();
    let attribute = |name| root.and_then(|root| root.attributes.get(name));
    json!({
        "id": trace.id,
        "name": root.map_or("", |root| &root.name),
        "isCall": attribute(FUNCTION).is_some(),
        "partition": attribute(PARTITION),
        "at": began / 1_000_000,
        "millis": millis(took),
        "spans": trace.spans.len(),
        "failed": trace.failed(),
        "follows": trace.follows(),
    })
}

/// A trace with its spans, and those that it follows from or that follow from it.
pub(super) fn trace(state: &State, id: &str) -> Option<Value> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Drawn<'a> {
        after_millis: f64,
        millis: f64,
        #[serde(flatten)]
        span: &'a Span,
    }
    let trace = state.traces.get(id)?;
    let (began, _) = trace.time();
    let spans = trace.spans.iter().map(|span| Drawn {
        after_millis: millis(span.began.saturating_sub(began)),
        millis: millis(span.took),
        span,
    });
    let follows = trace.follows();
    let mut described = summary(trace);
    described["spans"] = json!(spans.collect::<Vec<_>>());
    described["earlier"] = follows
        .iter()
        .map(|id| match state.traces.get(id) {
            Some(trace) => summary(trace),
            None => json!({"id": id}),
        })
        .collect();
    described["later"] = state
        .traces
        .all()
        .filter(|later| later.follows().contains(id))
        .map(summary)
        .collect();
    Some(described)
}

fn recent(spread: Spread) -> Value {
    let millis = |seconds: Option<f64>| seconds.map(|seconds| rounded(seconds * 1e3));
    json!({
        "count": spread.count,
        "failed": spread.failed,
        "p50": millis(spread.p50),
        "p99": millis(spread.p99),
    })
}

fn count(metrics: &Metrics, name: &str, wanted: impl Fn(&Attributes) -> bool) -> u64 {
    whole(metrics.sum(name, wanted).value)
}

fn counts(metrics: &Metrics, name: &str, attribute: &str) -> BTreeMap<String, u64> {
    let sums = metrics.by(name, attribute).into_iter();
    sums.map(|(value, sum)| (value, whole(sum.value))).collect()
}

/// What a counter comes to by the values of two attributes.
fn pairs(metrics: &Metrics, name: &str, one: &str, other: &str) -> Vec<Value> {
    let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for (attributes, sum) in metrics.all(name) {
        let text = |name| attributes.get(name).unwrap_or_default();
        *sums.entry((text(one), text(other))).or_default() += sum.value;
    }
    sums.into_iter()
        .map(|((one, other), sum)| json!({"of": one, "what": other, "count": whole(sum)}))
        .collect()
}

fn history(history: &History, kind: Kind, label: &str) -> Vec<f64> {
    let values = history.values(&(kind, label.to_owned()));
    values.into_iter().map(rounded).collect()
}

fn millis(nanos: u64) -> f64 {
    (nanos / 1_000) as f64 / 1e3
}

fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

/// To three digits, which is what is shown.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(digits.clamp(-12, 12));
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, shown) in [
            (0.0, 0.0),
            (1234.56, 1230.0),
            (0.012345, 0.0123),
            (-2.3456, -2.35),
            (f64::NAN, 0.0),
        ] {
            assert!((rounded(value) - shown).abs() < 1e-9, "{value}");
        }
    }
}
