//! AdvanceWatermarks: a timer that lets the time of quiet partitions go on, so that a drone that falls silent is missed
//! where no other flies. See [`Watermarks`](crate::services::watermarks::Watermarks).
//!
//! A timer's call is not made again when it dies. What one leaves undone the next one does.

use axum::extract::State;
use azure_functions_sdk::{CallError, FunctionDefinition, Outputs, TimerInfo};
use time::UtcDateTime;
use tracing::{debug, info};

use super::AppState;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "AdvanceWatermarks",
    "timerTrigger",
    include_str!("function.json"),
);

/// Looks once.
///
/// # Errors
/// Where the snapshots cannot be listed, or no tick could be sent; the next call does it.
pub async fn handle(State(state): State<AppState>, timer: TimerInfo) -> Result<Outputs, CallError> {
    let advanced = state.watermarks.advance(UtcDateTime::now()).await?;
    if advanced.waiting > 0 {
        info!(
            timer.is_past_due = timer.is_past_due,
            partitions.waiting = advanced.waiting,
            partitions.ticked = advanced.ticked,
            "quiet partitions were told the time"
        );
    } else {
        debug!("no partition waits");
    }
    Ok(Outputs::new())
}
