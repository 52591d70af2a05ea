//! Health: `GET /api/health`, whether the stores can be reached.
//!
//! Anonymous, so that a load balancer or a monitor can ask; therefore it names no address, and asks
//! the stores at most once in 5 seconds, however often it is asked itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use azure_functions_sdk::FunctionDefinition;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::AppState;
use crate::stores::{BlobStore, DroneStore, StoreError};

/// How long an answer is repeated before the stores are asked again.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a store may take to answer before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(3);

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("Health", "httpTrigger", include_str!("function.json"));

/// The stores to ask, and what they last said.
pub struct Checks {
    drones: Arc<dyn DroneStore>,
    archive: Arc<dyn BlobStore>,
    last: Mutex<Option<(Instant, Report)>>,
}

/// The answer. `status` is `healthy` only where every store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    status: Condition,
    drone_state: Condition,
    telemetry_archive: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Condition {
    Healthy,
    Unhealthy,
}

impl Checks {
    /// Nothing is asked until somebody asks.
    pub fn new(drones: Arc<dyn DroneStore>, archive: Arc<dyn BlobStore>) -> Self {
        Self {
            drones,
            archive,
            last: Mutex::new(None),
        }
    }

    /// Asks the stores, or repeats what they said a moment ago. Callers that come while the stores
    /// are being asked share one answer.
    pub async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((asked, report)) = *last
            && asked.elapsed() < FRESH_FOR
        {
            return report;
        }
        let (drone_state, telemetry_archive) = tokio::join!(
            condition("drone state", self.drones.check()),
            condition("telemetry archive", self.archive.check()),
        );
        let status = if drone_state == Condition::Healthy && telemetry_archive == Condition::Healthy
        {
            Condition::Healthy
        } else {
            Condition::Unhealthy
        };
        let report = Report {
            status,
            drone_state,
            telemetry_archive,
        };
        *last = Some((Instant::now(), report));
        report
    }
}

/// Answers 200 when every store is within reach, otherwise 503; the body tells which is not.
pub async fn handle(State(state): State<AppState>) -> (StatusCode, Json<Report>) {
    let report = state.health.report().await;
    let status = match report.status {
        Condition::Healthy => StatusCode::OK,
        Condition::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report))
}

async fn condition(
    store: &'static str,
    check: impl Future<Output = Result<(), StoreError>>,
) -> Condition {
    match timeout(PATIENCE, check).await {
        Ok(Ok(())) => Condition::Healthy,
        Ok(Err(error)) => {
            warn!(store, %error, "store is out of reach");
            Condition::Unhealthy
        }
        Err(_) => {
            warn!(store, "store does not answer");
            Condition::Unhealthy
        }
    }
}
