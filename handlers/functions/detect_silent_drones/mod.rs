//! DetectSilentDrones: a timer that finds drones in flight that have not been heard of for a while, and
//! those that have been heard of again.
//!
//! A timer's call is not made again when it dies, and then its outputs are lost. So this function has
//! none: it puts the messages on the queue itself, from what [`SilenceWatch`] has written down first.
//! Whatever one call leaves undone the next one does.
//!
//! [`SilenceWatch`]: crate::stores::silence::SilenceWatch

use std::time::Duration;

use axum::extract::State;
use azure_functions_sdk::{CallError, FunctionDefinition, Outputs, TimerInfo};
use time::UtcDateTime;
use tracing::info;

use super::AppState;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "DetectSilentDrones",
    "timerTrigger",
    include_str!("function.json"),
)
// A look at a large fleet after a long outage; what it leaves undone the next one does.
.with_deadline(Duration::from_secs(120));

/// Looks once.
///
/// # Errors
/// Where a store failed; what was not done is done by the next call.
pub async fn handle(State(state): State<AppState>, timer: TimerInfo) -> Result<Outputs, CallError> {
    let found = state.silence.look(UtcDateTime::now()).await?;
    info!(
        timer.is_past_due = timer.is_past_due,
        drones.silent = found.silent,
        alerts.raised = found.raised,
        alerts.reminded = found.reminded,
        alerts.cleared = found.cleared,
        "looked for silent drones"
    );
    Ok(Outputs::new())
}
