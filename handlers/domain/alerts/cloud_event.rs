//! What is put on the queue when an alert is raised, goes on, or is cleared: a CloudEvents 1.0 JSON.

use serde::Serialize;
use time::UtcDateTime;

use super::alert::{ClosedBecause, Kind, Transition};
use super::rule::Severity;
use crate::domain::geojson::Point;
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::timestamp::rfc3339;

/// Where all alerts come from, whichever function found them.
pub const SOURCE: &str = "/drone-delivery/alerts";

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a DeviceId,
    #[serde(with = "rfc3339")]
    time: UtcDateTime,
    datacontenttype: &'static str,
    /// Grows from each message of an alert to the next, so that a receiver knows that `cleared` is newer than
    /// `raised`, whichever comes first. The extension attribute of CloudEvents for an order of events; texts of
    /// equal length, which compare as numbers do.
    sequence: String,
    /// The trace of the batch that told it: the extension attribute of CloudEvents for distributed tracing. A message that
    /// comes again, with a batch that was taken again, has that of its own batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    alert_id: &'a str,
    rule: &'a str,
    severity: Severity,
    value: f64,
    threshold: f64,
    delivery_id: &'a DeliveryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Point>,
    /// Meters.
    #[serde(skip_serializing_if = "Option::is_none")]
    altitude: Option<f64>,
    #[serde(with = "rfc3339")]
    raised_at: UtcDateTime,
    /// Only of an alert that was closed without a reading that was safe again.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_reason: Option<ClosedBecause>,
}

impl Transition {
    /// The message's id: `<alert>/raised`, `<alert>/reminded-<n>` or `<alert>/cleared`. A message that
    /// comes again has the same.
    pub fn message_id(&self) -> String {
        let alert = &self.alert;
        match self.kind {
            Kind::Raised => format!("{}/raised", alert.id),
            Kind::Reminded => {
                let times = alert.reminded.map_or(0, |reminded| reminded.times);
                format!("{}/reminded-{times}", alert.id)
            }
            Kind::Cleared => format!("{}/cleared", alert.id),
        }
    }

    /// Its place among the messages of its alert: 0 raised, then the reminders, and last of all cleared.
    fn sequence(&self) -> String {
        let place = match self.kind {
            Kind::Raised => 0,
            Kind::Reminded => self.alert.reminded.map_or(0, |reminded| reminded.times),
            Kind::Cleared => u32::MAX,
        };
        format!("{place:010}")
    }

    /// The message, of a batch without a trace. `value` is what was seen at `time`; position and threshold are those of the
    /// raising.
    pub fn message(&self) -> String {
        self.traced_message(None)
    }

    /// The message: some 600 bytes, 2 KiB with the longest names. `traceparent` is that of the batch that tells it.
    #[expect(
        clippy::expect_used,
        reason = "writing strings and numbers to memory cannot fail"
    )]
    pub fn traced_message(&self, traceparent: Option<&str>) -> String {
        let alert = &self.alert;
        serde_json::to_string(&CloudEvent {
            specversion: "1.0",
            id: self.message_id(),
            source: SOURCE,
            kind: match self.kind {
                Kind::Raised => "com.fabrikam.drone.alert.raised",
                Kind::Reminded => "com.fabrikam.drone.alert.reminded",
                Kind::Cleared => "com.fabrikam.drone.alert.cleared",
            },
            subject: &alert.device_id,
            time: self.at,
            datacontenttype: "application/json",
            sequence: self.sequence(),
            traceparent,
            data: Data {
                alert_id: &alert.id,
                rule: &alert.rule,
                severity: alert.severity,
                value: self.value,
                threshold: alert.threshold,
                delivery_id: &alert.delivery_id,
                position: alert.position.as_ref().map(Point::from),
                altitude: alert.position.map(|position| position.altitude),
                raised_at: alert.raised_at,
                cleared_reason: alert.cleared.and_then(|cleared| cleared.reason),
            },
        })
        .expect("strings and numbers")
    }
}
