//! GetDrone: `GET /api/drones/{deviceId}`, one drone's latest state.
//!
//! Ids that hold `#`, `?` or `%` do not come through the host as they are: [`list_drones`](super::list_drones) takes them in its query.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use azure_functions_sdk::FunctionDefinition;
use tracing::info;

use super::AppState;
use crate::domain::{DeviceId, DroneDocument};
use crate::error::Problem;
use crate::http::access::StatusReader;
use crate::http::{parameters, revalidation};

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("GetDrone", "httpTrigger", include_str!("function.json"));

/// Answers with the drone's state, read from the store: another instance may have written it.
///
/// # Errors
/// 400 for an id that no device can have, 401 and 403 as [`StatusReader`] says, 404 for a drone never
/// seen, 503 while the store is out of reach.
pub async fn handle(
    State(state): State<AppState>,
    _: StatusReader,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let drone: DeviceId = parameters::in_path("deviceId", path, "/api/drones?deviceId=")?;
    let read = state.fleet.find(&drone).await?;
    info!(
        drone.id = drone.as_str(),
        cosmos.request_charge = read.request_charge,
        "drone read"
    );
    let found = read.value.ok_or_else(|| {
        Problem::not_found(format!(
            "No telemetry of drone {drone} has been applied yet."
        ))
    })?;
    let body = serde_json::to_vec(&DroneDocument::from(&found)).map_err(Problem::internal)?;
    Ok(revalidation::answer(&headers, "application/json", body))
}
