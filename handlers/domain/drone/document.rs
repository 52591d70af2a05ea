//! The form in which a drone's state is stored in Cosmos DB, and shown to those who ask for it.

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::{DroneState, Stamped};
use crate::domain::bucket::Bucket;
use crate::domain::geojson::Point;
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::telemetry::{BatteryStatus, Flight, FlightStatus, Operating, Position};
use crate::domain::timestamp::rfc3339;

/// A drone's item.
///
/// `id`, `bucket` and `deliveryId` follow from the rest: they are there for the database and for readers. Unknown
/// fields, such as those that Cosmos DB adds (`_etag` and others), are ignored when reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DroneDocument {
    id: String,
    /// The item's partition key: [`Bucket::key`].
    #[serde(default)]
    bucket: String,
    device_id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery_id: Option<DeliveryId>,
    #[serde(with = "rfc3339")]
    last_seen_at: UtcDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flight: Option<FlightSection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operating: Option<OperatingSection>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlightSection {
    #[serde(with = "rfc3339")]
    occurred_at: UtcDateTime,
    delivery_id: DeliveryId,
    position: Point,
    altitude: f64,
    velocity: f64,
    acceleration: f64,
    status: FlightStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperatingSection {
    #[serde(with = "rfc3339")]
    occurred_at: UtcDateTime,
    delivery_id: DeliveryId,
    temperature: f64,
    battery_status: BatteryStatus,
    battery_level: f64,
}

/// Why a document is not a drone's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The item's id is not the one that its device has.
    #[error("the id is not that of device {device_id}")]
    ForeignId {
        /// The device that the document names.
        device_id: DeviceId,
    },
}

impl From<&DroneState> for DroneDocument {
    fn from(state: &DroneState) -> Self {
        Self {
            id: state.device_id.item_id(),
            bucket: Bucket::of(&state.device_id).key(),
            device_id: state.device_id.clone(),
            delivery_id: state.delivery_id().cloned(),
            last_seen_at: state.last_seen_at,
            flight: state.flight.as_ref().map(FlightSection::from),
            operating: state.operating.as_ref().map(OperatingSection::from),
        }
    }
}

impl TryFrom<DroneDocument> for DroneState {
    type Error = DocumentError;

    /// Back to the state.
    ///
    /// Types and names were checked when the JSON was read. Ranges are not checked again: a document that
    /// an older version wrote under wider ones has to stay readable, or its drone could never be updated.
    fn try_from(document: DroneDocument) -> Result<Self, Self::Error> {
        let device_id = document.device_id;
        if document.id != device_id.item_id() {
            return Err(DocumentError::ForeignId { device_id });
        }
        Ok(Self {
            device_id,
            last_seen_at: document.last_seen_at,
            flight: document.flight.map(Stamped::from),
            operating: document.operating.map(Stamped::from),
        })
    }
}

impl From<&Stamped<Flight>> for FlightSection {
    fn from(section: &Stamped<Flight>) -> Self {
        let flight = section.value;
        Self {
            occurred_at: section.occurred_at,
            delivery_id: section.delivery_id.clone(),
            position: Point::from(&flight.position),
            altitude: flight.position.altitude,
            velocity: flight.velocity,
            acceleration: flight.acceleration,
            status: flight.status,
        }
    }
}

impl From<FlightSection> for Stamped<Flight> {
    fn from(section: FlightSection) -> Self {
        let Point::Point {
            coordinates: [longitude, latitude],
        } = section.position;
        Self {
            occurred_at: section.occurred_at,
            delivery_id: section.delivery_id,
            value: Flight {
                position: Position {
                    latitude,
                    longitude,
                    altitude: section.altitude,
                },
                velocity: section.velocity,
                acceleration: section.acceleration,
                status: section.status,
            },
        }
    }
}

impl From<&Stamped<Operating>> for OperatingSection {
    fn from(section: &Stamped<Operating>) -> Self {
        let operating = section.value;
        Self {
            occurred_at: section.occurred_at,
            delivery_id: section.delivery_id.clone(),
            temperature: operating.temperature,
            battery_status: operating.battery_status,
            battery_level: operating.battery_level,
        }
    }
}

impl From<OperatingSection> for Stamped<Operating> {
    fn from(section: OperatingSection) -> Self {
        Self {
            occurred_at: section.occurred_at,
            delivery_id: section.delivery_id,
            value: Operating {
                temperature: section.temperature,
                battery_status: section.battery_status,
                battery_level: section.battery_level,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::*;

    /// The design's example, with the times of the article's samples.
    const BOTH: &str = concat!(
        r#"{"id":"drone~23-1","bucket":"52","deviceId":"drone#-1","deliveryId":"delivery-2","lastSeenAt":"2018-04-17T20:25:18.1234567Z","#,
        r#""flight":{"occurredAt":"2018-04-17T20:25:09Z","deliveryId":"delivery-1","#,
        r#""position":{"type":"Point","coordinates":[-99.579919,60.631945]},"#,
        r#""altitude":504.99,"velocity":58.08,"acceleration":2.52,"status":"inFlight"},"#,
        r#""operating":{"occurredAt":"2018-04-17T20:25:17Z","deliveryId":"delivery-2","#,
        r#""temperature":74.74,"batteryStatus":"low","batteryLevel":0.25}}"#,
    );

    fn both() -> DroneState {
        DroneState {
            device_id: "drone#-1".parse().unwrap(),
            last_seen_at: utc_datetime!(2018-04-17 20:25:18.123_456_7),
            flight: Some(Stamped {
                occurred_at: utc_datetime!(2018-04-17 20:25:09),
                delivery_id: "delivery-1".parse().unwrap(),
                value: Flight {
                    position: Position {
                        latitude: 60.631945,
                        longitude: -99.579919,
                        altitude: 504.99,
                    },
                    velocity: 58.08,
                    acceleration: 2.52,
                    status: FlightStatus::InFlight,
                },
            }),
            operating: Some(Stamped {
                occurred_at: utc_datetime!(2018-04-17 20:25:17),
                delivery_id: "delivery-2".parse().unwrap(),
                value: Operating {
                    temperature: 74.74,
                    battery_status: BatteryStatus::Low,
                    battery_level: 0.25,
                },
            }),
        }
    }

    #[test]
    fn a_state_is_stored_as_the_design_says() {
        assert_eq!(
            serde_json::to_string(&DroneDocument::from(&both())).unwrap(),
            BOTH
        );
    }

    #[test]
    fn a_stored_state_is_read_back_field_by_field() {
        let document: DroneDocument = serde_json::from_str(BOTH).unwrap();
        assert_eq!(DroneState::try_from(document), Ok(both()));
    }

    #[test]
    fn a_section_never_seen_is_absent() {
        let mut state = both();
        state.flight = None;
        let text = serde_json::to_string(&DroneDocument::from(&state)).unwrap();
        assert!(!text.contains("flight"), "{text}");
        assert!(!text.contains("null"), "{text}");
        let document: DroneDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(DroneState::try_from(document), Ok(state));
    }

    #[test]
    fn what_cosmos_db_adds_is_ignored() {
        let text = BOTH.replacen('{', r#"{"_rid":"x","_etag":"\"y\"","_ts":1,"_self":"","#, 1);
        let document: DroneDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(DroneState::try_from(document), Ok(both()));
    }

    #[test]
    fn a_document_under_another_devices_id_is_refused() {
        let text = BOTH.replacen("drone~23-1", "drone-2", 1);
        let document: DroneDocument = serde_json::from_str(&text).unwrap();
        let error = DroneState::try_from(document).unwrap_err();
        assert_eq!(error.to_string(), "the id is not that of device drone#-1");
    }

    #[test]
    fn a_document_of_another_shape_is_refused() {
        for (from, to) in [
            (r#""Point""#, r#""Polygon""#),
            ("inFlight", "hovering"),
            (r#""low""#, r#""Low""#),
            ("[-99.579919,60.631945]", "[1.0]"),
            ("2018-04-17T20:25:09Z", "04/17/2018 20:25:09 +00:00"),
            ("58.08", r#""58.08""#),
        ] {
            let text = BOTH.replacen(from, to, 1);
            assert_ne!(text, BOTH, "{from}");
            assert!(
                serde_json::from_str::<DroneDocument>(&text).is_err(),
                "{to}"
            );
        }
    }

    #[test]
    fn statuses_are_stored_by_name() {
        assert_eq!(
            serde_json::to_string(&FlightStatus::ALL).unwrap(),
            r#"["departedStation","inFlight","pickedUpPackage","droppedOffPackage","arrivedAtStation"]"#
        );
        for (status, name) in BatteryStatus::ALL {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("{name:?}"));
        }
    }
}
