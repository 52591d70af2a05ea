//! What becomes of events, alerts and insight units.
//!
//! Counted when a call has done its work. A call that fails, or whose answer the host does not get, is made again, and what it
//! has done by then is counted again: as everything here, at least once.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};
use time::UtcDateTime;

use super::meter;
use crate::domain::DeadLetter;
use crate::domain::alerts::{Kind, Transition};
use crate::webhook::WebhookError;

/// What an event may take from the hub into the state, beyond the time that the host waits for a batch to fill: the objective
/// is that 99 of 100 keep to it.
pub const FRESH: Duration = Duration::from_secs(5);

struct Instruments {
    events: Counter<u64>,
    late: Counter<u64>,
    dead_letters: Counter<u64>,
    drones: Counter<u64>,
    alerts: Counter<u64>,
    alerts_open: Gauge<u64>,
    snapshot: Gauge<u64>,
    posts: Counter<u64>,
    units: Counter<u64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = meter();
    let counter = |name, unit| meter.u64_counter(name).with_unit(unit).build();
    let gauge = |name, unit| meter.u64_gauge(name).with_unit(unit).build();
    Instruments {
        events: counter("drone_delivery.events", "{event}"),
        late: counter("drone_delivery.events.late", "{event}"),
        dead_letters: counter("drone_delivery.dead_letters", "{event}"),
        drones: counter("drone_delivery.drones", "{drone}"),
        alerts: counter("drone_delivery.alerts", "{message}"),
        alerts_open: gauge("drone_delivery.alerts.open", "{alert}"),
        snapshot: gauge("drone_delivery.snapshot.size", "By"),
        posts: counter("drone_delivery.webhook.posts", "{post}"),
        units: counter("drone_delivery.insights.units", "{unit}"),
    }
});

/// Events of a batch, by what became of them.
pub fn events(function: &'static str, outcome: &'static str, events: usize) {
    if events > 0 {
        let attributes = [
            KeyValue::new("faas.name", function),
            KeyValue::new("outcome", outcome),
        ];
        INSTRUMENTS.events.add(events as u64, &attributes);
    }
}

/// Events that came into the state later than the objective has it: `wait` is how long the host may wait for a batch to fill.
/// `enqueued` is of all events that were read, those of the dead letters among them.
pub fn late(enqueued: &[UtcDateTime], letters: &[DeadLetter], now: UtcDateTime, wait: Duration) {
    let is_late = |at: UtcDateTime| now - at > FRESH + wait;
    let late = enqueued.iter().filter(|at| is_late(**at)).count();
    let letters = letters.iter().filter(|letter| is_late(letter.enqueued_at));
    let late = late.saturating_sub(letters.count());
    if late > 0 {
        INSTRUMENTS.late.add(late as u64, &[]);
    }
}

/// Events that were put aside.
pub fn dead_letters(letters: &[DeadLetter]) {
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    for letter in letters {
        *reasons.entry(letter.reason.as_str()).or_default() += 1;
    }
    for (reason, events) in reasons {
        let reason = KeyValue::new("reason", reason);
        INSTRUMENTS.dead_letters.add(events, &[reason]);
    }
}

/// Drones whose documents a batch changed, or not.
pub fn drones(written: usize, unchanged: usize) {
    for (outcome, drones) in [("written", written), ("unchanged", unchanged)] {
        if drones > 0 {
            let outcome = KeyValue::new("outcome", outcome);
            INSTRUMENTS.drones.add(drones as u64, &[outcome]);
        }
    }
}

/// What a batch told of alerts.
pub fn alerts(told: &[Transition]) {
    for transition in told {
        let state = match transition.kind {
            Kind::Raised => "raised",
            Kind::Reminded => "reminded",
            Kind::Cleared => "cleared",
        };
        let attributes = [
            KeyValue::new("alert.rule", transition.alert.rule.clone()),
            KeyValue::new("alert.state", state),
        ];
        INSTRUMENTS.alerts.add(1, &attributes);
    }
}

/// What is known of a partition after a batch: its open alerts, and the size of its snapshot in bytes.
pub fn partition(id: &str, alerts_open: usize, snapshot: usize) {
    let partition = [KeyValue::new(
        "messaging.destination.partition.id",
        id.to_owned(),
    )];
    INSTRUMENTS
        .alerts_open
        .record(alerts_open as u64, &partition);
    INSTRUMENTS.snapshot.record(snapshot as u64, &partition);
}

/// A post to the webhook.
pub fn post(result: &Result<(), WebhookError>) {
    let outcome = match result {
        Ok(()) => "delivered",
        Err(WebhookError::TimedOut(_)) => "timed_out",
        Err(WebhookError::Unreachable(_) | WebhookError::Client(_)) => "unreachable",
        Err(WebhookError::Redirected(_)) => "redirected",
        Err(WebhookError::Refused(_)) => "refused",
    };
    INSTRUMENTS
        .posts
        .add(1, &[KeyValue::new("outcome", outcome)]);
}

/// An insight unit: `summarized`, `unchanged` where its tables were there, or `failed`.
pub fn unit(outcome: &'static str) {
    INSTRUMENTS
        .units
        .add(1, &[KeyValue::new("outcome", outcome)]);
}
