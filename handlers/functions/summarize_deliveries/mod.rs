//! SummarizeDeliveries: a timer that looks which hours of the archive are to be made into tables, puts them on the queue
//! `insight-units` for SummarizeHour, and makes the figures of days from what is there. See
//! [`services::insights`](crate::services::insights).
//!
//! A timer's call is not made again when it dies. What one leaves undone the next one does.

use axum::extract::State;
use azure_functions_sdk::{CallError, FunctionDefinition, Outputs, TimerInfo};
use time::UtcDateTime;
use tracing::info;

use super::AppState;

/// The output binding.
const UNITS: &str = "units";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "SummarizeDeliveries",
    "timerTrigger",
    include_str!("function.json"),
)
.with_outputs(&[UNITS]);

/// Looks once.
///
/// # Errors
/// Where the archive or the tables cannot be read; the next call looks again.
pub async fn handle(
    State(state): State<AppState>,
    _timer: TimerInfo,
) -> Result<Outputs, CallError> {
    let looked = state.insight_schedule.look(UtcDateTime::now()).await?;
    // Each time, also where nothing is due: that it is told at all is what the alert rule looks for.
    info!(
        units.due = looked.due,
        units.outstanding = looked.outstanding,
        units.queued = looked.units.len(),
        days.made = looked.days.len(),
        days.failed = looked.failed,
        "insights looked at"
    );
    let units = looked.units.iter().map(serde_json::to_string);
    let units = units
        .collect::<Result<Vec<_>, _>>()
        .map_err(CallError::from_error)?;
    Ok(Outputs::new().queue(UNITS, units))
}
