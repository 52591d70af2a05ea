//! The form in which an alert is stored in Cosmos DB, and shown to those who ask for it.

use std::borrow::Cow;

use serde::de::{IntoDeserializer, value};
use serde::{Deserialize, Deserializer, Serialize};
use time::UtcDateTime;

use super::alert::{Alert, Cleared, ClosedBecause, Reminded};
use super::rule::Severity;
use crate::domain::geojson::Point;
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::telemetry::Position;
use crate::domain::timestamp::rfc3339_nanos;

/// An alert's item.
///
/// `active` follows from the rest: it is there for the database and for readers. Times have nine
/// decimals, so that the database sorts them right. Unknown fields are ignored when reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertDocument {
    id: String,
    device_id: DeviceId,
    rule: Cow<'static, str>,
    severity: Severity,
    active: bool,
    /// The hub's partition that it was found in, `telemetry/3`: for whoever has lost what was known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    delivery_id: DeliveryId,
    #[serde(with = "rfc3339_nanos")]
    raised_at: UtcDateTime,
    value: f64,
    threshold: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Point>,
    /// Meters; beside the point, as in a drone's document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    altitude: Option<f64>,
    #[serde(
        default,
        with = "rfc3339_nanos::option",
        skip_serializing_if = "Option::is_none"
    )]
    reminded_at: Option<UtcDateTime>,
    #[serde(default, skip_serializing_if = "is_zero")]
    reminders: u32,
    #[serde(
        default,
        with = "rfc3339_nanos::option",
        skip_serializing_if = "Option::is_none"
    )]
    cleared_at: Option<UtcDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cleared_value: Option<f64>,
    /// Absent where a safe reading cleared it, and where a later version has a reason that this one does not know.
    #[serde(
        default,
        deserialize_with = "known_reason",
        skip_serializing_if = "Option::is_none"
    )]
    cleared_reason: Option<ClosedBecause>,
}

fn known_reason<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ClosedBecause>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| {
        ClosedBecause::deserialize(IntoDeserializer::<value::Error>::into_deserializer(&*text)).ok()
    }))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl AlertDocument {
    /// As it is stored, with the partition that it was found in.
    pub fn of(self, partition: &str) -> Self {
        Self {
            partition: Some(partition.to_owned()),
            ..self
        }
    }
}

impl From<&Alert> for AlertDocument {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id.clone(),
            device_id: alert.device_id.clone(),
            rule: alert.rule.clone(),
            severity: alert.severity,
            active: alert.is_open(),
            partition: None,
            delivery_id: alert.delivery_id.clone(),
            raised_at: alert.raised_at,
            value: alert.value,
            threshold: alert.threshold,
            position: alert.position.as_ref().map(Point::from),
            altitude: alert.position.map(|position| position.altitude),
            reminded_at: alert.reminded.map(|reminded| reminded.at),
            reminders: alert.reminded.map_or(0, |reminded| reminded.times),
            cleared_at: alert.cleared.map(|cleared| cleared.at),
            cleared_value: alert.cleared.map(|cleared| cleared.value),
            cleared_reason: alert.cleared.and_then(|cleared| cleared.reason),
        }
    }
}

impl From<AlertDocument> for Alert {
    fn from(document: AlertDocument) -> Self {
        let position = document.position.map(
            |Point::Point {
                 coordinates: [longitude, latitude],
             }| Position {
                latitude,
                longitude,
                altitude: document.altitude.unwrap_or(0.0),
            },
        );
        let cleared = document.cleared_at.map(|at| Cleared {
            at,
            value: document.cleared_value.unwrap_or(document.value),
            reason: document.cleared_reason,
        });
        Self {
            id: document.id,
            device_id: document.device_id,
            delivery_id: document.delivery_id,
            rule: document.rule,
            severity: document.severity,
            raised_at: document.raised_at,
            value: document.value,
            threshold: document.threshold,
            position,
            reminded: document.reminded_at.map(|at| Reminded {
                times: document.reminders,
                at,
            }),
            cleared,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::*;

    const CLEARED: &str = concat!(
        r#"{"id":"engine-critical~drone~23-1~20240501T120000.500000000Z","deviceId":"drone#-1","rule":"engine-critical","#,
        r#""severity":"critical","active":false,"deliveryId":"d-1","raisedAt":"2024-05-01T12:00:00.500000000Z","#,
        r#""value":101.5,"threshold":100.0,"position":{"type":"Point","coordinates":[-122.2,47.5]},"altitude":120.5,"#,
        r#""remindedAt":"2024-05-01T12:05:00.000000000Z","reminders":1,"clearedAt":"2024-05-01T12:06:00.000000000Z","clearedValue":80.0}"#,
    );
    const RAISED: &str = concat!(
        r#"{"id":"engine-critical~drone~23-1~20240501T120000.500000000Z","deviceId":"drone#-1","rule":"engine-critical","#,
        r#""severity":"critical","active":true,"deliveryId":"d-1","raisedAt":"2024-05-01T12:00:00.500000000Z","#,
        r#""value":101.5,"threshold":100.0}"#,
    );

    fn raised() -> Alert {
        let device_id: DeviceId = "drone#-1".parse().unwrap();
        let raised_at = utc_datetime!(2024-05-01 12:00:00.5);
        Alert {
            id: super::super::alert::id("engine-critical", &device_id, raised_at),
            device_id,
            delivery_id: "d-1".parse().unwrap(),
            rule: "engine-critical".into(),
            severity: Severity::Critical,
            raised_at,
            value: 101.5,
            threshold: 100.0,
            position: None,
            reminded: None,
            cleared: None,
        }
    }

    fn cleared() -> Alert {
        Alert {
            position: Some(Position {
                latitude: 47.5,
                longitude: -122.2,
                altitude: 120.5,
            }),
            reminded: Some(Reminded {
                times: 1,
                at: utc_datetime!(2024-05-01 12:05:00),
            }),
            cleared: Some(Cleared {
                at: utc_datetime!(2024-05-01 12:06:00),
                value: 80.0,
                reason: None,
            }),
            ..raised()
        }
    }

    #[test]
    fn an_alert_is_stored_field_by_field_and_read_back() {
        for (alert, text) in [(raised(), RAISED), (cleared(), CLEARED)] {
            let written = serde_json::to_string(&AlertDocument::from(&alert)).unwrap();
            assert_eq!(written, text);
            let read: AlertDocument = serde_json::from_str(text).unwrap();
            assert_eq!(Alert::from(read), alert);
        }
    }

    #[test]
    fn what_cosmos_db_adds_and_rules_of_other_versions_are_read() {
        let text = RAISED
            .replacen('{', r#"{"_rid":"x","_etag":"\"y\"","_ts":1,"#, 1)
            .replace("engine-critical", "propeller-lost");
        let read: AlertDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(Alert::from(read).rule, "propeller-lost");
    }

    /// Which may be one that only a later version knows.
    #[test]
    fn the_reason_of_an_end_is_read_back_as_far_as_it_is_known() {
        let reason = Some(ClosedBecause::DroneGone);
        let mut alert = cleared();
        alert.cleared = alert.cleared.map(|cleared| Cleared { reason, ..cleared });
        let text = serde_json::to_string(&AlertDocument::from(&alert)).unwrap();
        assert!(text.contains(r#""clearedReason":"drone-gone""#), "{text}");
        let read: AlertDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(Alert::from(read), alert);
        let newer = text.replace("drone-gone", "moon-full");
        let read: AlertDocument = serde_json::from_str(&newer).unwrap();
        assert_eq!(Alert::from(read), cleared());
    }
}
