//! Which metrics are drawn over time, and whose durations are looked at.

use super::attributes::Attributes;
use super::durations::{Durations, Group};
use super::history::{History, Kind};
use super::metrics::Report;

/// The handler's metrics, by the names that the semantic conventions and the app give them.
pub(super) const CALLS: &str = "faas.invoke_duration";
pub(super) const CONSUMED: &str = "messaging.client.consumed.messages";
pub(super) const LAG: &str = "azure_functions.lag";
pub(super) const EVENTS: &str = "drone_delivery.events";
pub(super) const DEAD_LETTERS: &str = "drone_delivery.dead_letters";
pub(super) const ALERTS: &str = "drone_delivery.alerts";
pub(super) const ALERTS_OPEN: &str = "drone_delivery.alerts.open";
pub(super) const WEBHOOK: &str = "drone_delivery.webhook.posts";
pub(super) const COSMOS: &str = "db.client.operation.duration";
pub(super) const REQUEST_UNITS: &str = "azure.cosmosdb.client.operation.request_charge";
pub(super) const COSMOS_REQUESTS: &str = "drone_delivery.cosmos.requests";
pub(super) const HTTP: &str = "http.client.request.duration";
pub(super) const SPANS: &str = "otel.sdk.processor.span.processed";

pub(super) const FUNCTION: &str = "faas.name";
pub(super) const PARTITION: &str = "messaging.destination.partition.id";
pub(super) const ERROR: &str = "error.type";
pub(super) const STATUS: &str = "db.response.status_code";

pub(super) const HTTP_STATUS: &str = "http.response.status_code";

/// The status with which Cosmos DB asks to come later.
pub(super) const THROTTLED: &str = "429";

/// Notes what the page draws of a point.
pub(super) fn note(report: &Report<'_>, history: &mut History, durations: &mut Durations) {
    let Report {
        name,
        attributes,
        gained,
        since,
        at,
        ..
    } = *report;
    let function = || attributes.get(FUNCTION).unwrap_or_default().to_owned();
    let all = String::new;
    let drawn = match name {
        CALLS => Some((Kind::Calls, function(), gained.count as f64)),
        CONSUMED => Some((Kind::Events, function(), gained.value)),
        REQUEST_UNITS => Some((Kind::RequestUnits, all(), gained.value)),
        COSMOS_REQUESTS if attributes.is(STATUS, THROTTLED) => {
            Some((Kind::Throttled, all(), gained.value))
        }
        DEAD_LETTERS => Some((Kind::DeadLetters, all(), gained.value)),
        _ => None,
    };
    if let Some((kind, label, gained)) = drawn {
        history.spread((kind, label), since, at, gained);
    }
    if let (LAG, Some(lag)) = (name, report.gauge) {
        history.raise((Kind::Lag, function()), at, lag);
    }
    if let Some(group) = group(name, attributes) {
        let failed = is_failure(attributes);
        let (second, buckets) = (at / 1_000_000_000, report.buckets.clone());
        durations.add(group, second, report.bounds, buckets, failed);
    }
}

/// Whether something failed. That there is nothing, or something else by now, is an answer that the handler asks for.
pub(super) fn is_failure(attributes: &Attributes) -> bool {
    let status = attributes
        .get(STATUS)
        .or_else(|| attributes.get(HTTP_STATUS));
    attributes.has(ERROR) && !matches!(status, Some("404" | "409" | "412"))
}

/// Whose durations a histogram holds.
fn group(name: &str, attributes: &Attributes) -> Option<Group> {
    let text = |name: &str| attributes.get(name).unwrap_or_default();
    let store = |store: &str, operation: String| {
        Some(Group::Store {
            store: store.to_owned(),
            operation: operation.trim().to_owned(),
        })
    };
    match name {
        CALLS => Some(Group::Function(text(FUNCTION).to_owned())),
        COSMOS => {
            let (operation, container) = (text("db.operation.name"), text("db.collection.name"));
            store("Cosmos DB", format!("{operation} {container}"))
        }
        HTTP => {
            let service = match text("server.service") {
                "blob" => "Blob storage",
                "queue" => "Queue storage",
                "event_hubs" => "Event Hubs",
                "webhook" => "Webhook",
                other => other,
            };
            store(service, text("http.request.method").to_owned())
        }
        _ => None,
    }
}
