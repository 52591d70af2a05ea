//! GetDelivery: `GET /api/deliveries/{deliveryId}`, who carries a delivery and how far it is.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use azure_functions_sdk::FunctionDefinition;
use serde::Serialize;
use time::UtcDateTime;
use tracing::info;

use super::AppState;
use crate::domain::fleet::DroneFilter;
use crate::domain::geojson::Point;
use crate::domain::timestamp::rfc3339;
use crate::domain::{DeliveryId, DeviceId, DroneState, FlightStatus};
use crate::error::Problem;
use crate::http::access::StatusReader;
use crate::http::{parameters, revalidation};

/// A delivery handed from drone to drone may be the last one of several; of more than these, the newest
/// may be missed.
const MOST_CARRIERS: u16 = 10;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("GetDelivery", "httpTrigger", include_str!("function.json"));

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    delivery_id: DeliveryId,
    /// The drone that reported it last.
    device_id: DeviceId,
    #[serde(with = "rfc3339")]
    last_seen_at: UtcDateTime,
    /// Absent until the drone has reported a flight of this delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    flight: Option<Progress>,
}

/// What the drone last reported of the delivery's flight.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    status: FlightStatus,
    /// The status by number, 1 to 5, in the order of a delivery. `inFlight` is 2, though drones report it
    /// on their way back as well: the latest state does not tell which way.
    step: u8,
    steps: u8,
    #[serde(with = "rfc3339")]
    occurred_at: UtcDateTime,
    /// A GeoJSON point.
    position: Point,
    /// Meters.
    altitude: f64,
}

/// Answers with the delivery's drone, status and position.
///
/// Only what drones do now is known: a delivery whose drone has begun another one is not found.
///
/// # Errors
/// 400 for an id that no delivery can have, 401 and 403 as [`StatusReader`] says, 404 where no drone is
/// on it, 503 while the store is out of reach.
pub async fn handle(
    State(state): State<AppState>,
    _: StatusReader,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let delivery_id: DeliveryId =
        parameters::in_path("deliveryId", path, "/api/drones?deliveryId=")?;
    let filter = DroneFilter {
        delivery_id: Some(delivery_id.clone()),
        ..DroneFilter::default()
    };
    let read = state.fleet.list(&filter, None, MOST_CARRIERS).await?;
    info!(
        drones = read.value.drones.len(),
        cosmos.request_charge = read.request_charge,
        "delivery looked up"
    );
    let carrier = read
        .value
        .drones
        .into_iter()
        .max_by_key(|drone| drone.last_seen_at)
        .ok_or_else(|| Problem::not_found(format!("No drone is on delivery {delivery_id}.")))?;
    let body = serde_json::to_vec(&delivery(delivery_id, &carrier)).map_err(Problem::internal)?;
    Ok(revalidation::answer(&headers, "application/json", body))
}

/// What one drone's state says of the delivery that it is on.
fn delivery(delivery_id: DeliveryId, carrier: &DroneState) -> Delivery {
    let flight = carrier
        .flight
        .as_ref()
        // The operating status may be ahead of the flight; then the flight is still the one before.
        .filter(|section| section.delivery_id == delivery_id)
        .map(|section| Progress {
            status: section.value.status,
            step: section.value.status as u8 + 1,
            steps: FlightStatus::ALL.len() as u8,
            occurred_at: section.occurred_at,
            position: Point::from(&section.value.position),
            altitude: section.value.position.altitude,
        });
    Delivery {
        delivery_id,
        device_id: carrier.device_id.clone(),
        last_seen_at: carrier.last_seen_at,
        flight,
    }
}
