//! The forms of a page.

use serde::Serialize;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::query::continuation;
use crate::domain::timestamp::Rfc3339;
use crate::domain::{DeviceId, DroneDocument, DroneState};
use crate::stores::fleet::DronePage;

/// Every drone as its document.
///
/// # Errors
/// None that is known; the serializer reserves the right.
pub fn json(page: &DronePage) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Page {
        drones: Vec<DroneDocument>,
        #[serde(skip_serializing_if = "Option::is_none")]
        continuation: Option<String>,
    }
    serde_json::to_vec(&Page {
        drones: page.drones.iter().map(DroneDocument::from).collect(),
        continuation: page.next.as_ref().map(continuation),
    })
}

/// A FeatureCollection (RFC 7946) with a foreign member `continuation`.
///
/// The altitude is a property and not the third coordinate: GeoJSON's is above the ellipsoid, and the
/// drones do not say above what theirs is.
///
/// # Errors
/// None that is known; the serializer reserves the right.
pub fn geo_json(page: &DronePage) -> serde_json::Result<Vec<u8>> {
    let features: Vec<Value> = page.drones.iter().map(feature).collect();
    let mut collection = json!({"type": "FeatureCollection", "features": features});
    if let Some(next) = &page.next {
        collection["continuation"] = continuation(next).into();
    }
    serde_json::to_vec(&collection)
}

fn feature(drone: &DroneState) -> Value {
    let mut properties = json!({
        "deviceId": drone.device_id,
        "lastSeenAt": Rfc3339(drone.last_seen_at).to_string(),
    });
    if let Some(delivery) = drone.delivery_id() {
        properties["deliveryId"] = delivery.as_str().into();
    }
    let mut geometry = Value::Null;
    if let Some(section) = &drone.flight {
        let flight = &section.value;
        geometry = json!({
            "type": "Point",
            "coordinates": [flight.position.longitude, flight.position.latitude],
        });
        properties["altitude"] = flight.position.altitude.into();
        properties["velocity"] = flight.velocity.into();
        properties["acceleration"] = flight.acceleration.into();
        properties["status"] = json!(flight.status);
    }
    if let Some(section) = &drone.operating {
        let operating = &section.value;
        properties["temperature"] = operating.temperature.into();
        properties["batteryStatus"] = json!(operating.battery_status);
        properties["batteryLevel"] = operating.battery_level.into();
    }
    json!({
        "type": "Feature",
        "id": drone.device_id,
        "geometry": geometry,
        "properties": properties,
    })
}

/// One array for each field; what a drone has not reported is null.
///
/// Numbers have the precision of a screen. Times count back from `seenUntil`, which is the `seenSince` of
/// a poll that wants what came later.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Columns<'a> {
    /// The greatest `lastSeenAt` on the page.
    seen_until: Option<String>,
    device_id: Vec<&'a DeviceId>,
    /// Milliseconds before `seen_until`.
    seen_before: Vec<i64>,
    /// Degrees, to about a meter.
    longitude: Vec<Option<f64>>,
    latitude: Vec<Option<f64>>,
    /// Meters.
    altitude: Vec<Option<f64>>,
    velocity: Vec<Option<f64>>,
    /// As on the wire, 0 to 4.
    status: Vec<Option<u8>>,
    temperature: Vec<Option<f64>>,
    battery_level: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation: Option<String>,
}

/// The page as [`COLUMNS`](super::COLUMNS).
///
/// # Errors
/// None that is known; the serializer reserves the right.
pub fn columns(page: &DronePage) -> serde_json::Result<Vec<u8>> {
    let seen_until = page.drones.iter().map(|drone| drone.last_seen_at).max();
    let flights = || {
        page.drones
            .iter()
            .map(|drone| drone.flight.as_ref().map(|section| &section.value))
    };
    let conditions = || {
        page.drones
            .iter()
            .map(|drone| drone.operating.as_ref().map(|section| &section.value))
    };
    serde_json::to_vec(&Columns {
        seen_until: seen_until.map(|time| Rfc3339(time).to_string()),
        device_id: page.drones.iter().map(|drone| &drone.device_id).collect(),
        seen_before: page
            .drones
            .iter()
            .map(|drone| milliseconds(drone.last_seen_at, seen_until))
            .collect(),
        longitude: flights()
            .map(|flight| Some(rounded(flight?.position.longitude, 1e5)))
            .collect(),
        latitude: flights()
            .map(|flight| Some(rounded(flight?.position.latitude, 1e5)))
            .collect(),
        altitude: flights()
            .map(|flight| Some(rounded(flight?.position.altitude, 1.0)))
            .collect(),
        velocity: flights()
            .map(|flight| Some(rounded(flight?.velocity, 1.0)))
            .collect(),
        status: flights().map(|flight| Some(flight?.status as u8)).collect(),
        temperature: conditions()
            .map(|condition| Some(rounded(condition?.temperature, 10.0)))
            .collect(),
        battery_level: conditions()
            .map(|condition| Some(rounded(condition?.battery_level, 100.0)))
            .collect(),
        continuation: page.next.as_ref().map(continuation),
    })
}

fn milliseconds(seen: UtcDateTime, until: Option<UtcDateTime>) -> i64 {
    until.map_or(0, |until| {
        let before = (until - seen).whole_milliseconds();
        i64::try_from(before).unwrap_or(i64::MAX)
    })
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
