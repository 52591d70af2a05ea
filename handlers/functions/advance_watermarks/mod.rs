//! AdvanceWatermarks: a timer that sends a tick into each partition that is quiet and still waits for a deadline, so that RaiseAlerts
//! tells of drones that have fallen silent. What is sent, and to whom, is [`Watermarks`]' business.
//!
//! A call that dies is not made again; whatever it left undone is as due at the next.
//!
//! [`Watermarks`]: crate::services::watermarks::Watermarks

use std::time::Duration;

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
)
// A list and a round of ticks for each eight partitions, each of at most ten seconds.
.with_deadline(Duration::from_secs(120));

/// Looks once.
///
/// # Errors
/// Where the snapshots could not be listed, or no tick could be sent.
pub async fn handle(State(state): State<AppState>, timer: TimerInfo) -> Result<Outputs, CallError> {
    let advanced = state.watermarks.advance(UtcDateTime::now()).await?;
    // A line of every look would be most of what an idle app logs.
    if advanced.waiting == 0 {
        debug!(
            timer.is_past_due = timer.is_past_due,
            "no partition waits for a deadline"
        );
    } else {
        info!(
            timer.is_past_due = timer.is_past_due,
            partitions.waiting = advanced.waiting,
            partitions.ticked = advanced.ticked,
            "partitions that wait for a deadline were ticked"
        );
    }
    Ok(Outputs::new())
}
