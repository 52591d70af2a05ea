//! GetDrone: `GET /api/drones/{deviceId}`, one drone's latest state.

use axum::Json;
use axum::extract::{Path, State};
use azure_functions_sdk::{ClientPrincipal, FunctionDefinition};

use super::AppState;
use crate::domain::{DeviceId, DroneDocument};
use crate::error::Problem;

/// The app role that a caller needs where App Service Authentication is on.
const ROLE: &str = "GetStatus";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("GetDrone", "httpTrigger", include_str!("function.json"));

/// Answers with the drone's state.
///
/// # Errors
/// 400 for an id that no device can have, 401 without a principal and 403 without the role where
/// authentication is on, 404 for a drone never seen, 503 while the store is out of reach.
pub async fn handle(
    State(state): State<AppState>,
    principal: Option<ClientPrincipal>,
    Path(device_id): Path<String>,
) -> Result<Json<DroneDocument>, Problem> {
    if state.authentication {
        match principal {
            None => return Err(Problem::unauthorized()),
            Some(principal) if !principal.has_role(ROLE) => return Err(Problem::forbidden(ROLE)),
            Some(_) => {}
        }
    }
    let drone: DeviceId = device_id
        .parse()
        .map_err(|error| Problem::bad_request(format!("deviceId: {error}")))?;
    match state.drones.get(&drone).await? {
        Some(found) => Ok(Json(DroneDocument::from(&found))),
        None => Err(Problem::not_found(format!(
            "No telemetry of drone {drone} has been applied yet."
        ))),
    }
}
