//! SummarizeHour: makes one hour of one partition's archive into tables. See
//! [`services::insights`](crate::services::insights).
//!
//! A message that fails five times goes to `insight-units-poison`. Nothing is lost with it: SummarizeDeliveries puts the unit on the
//! queue again for as long as it is not made.

use std::time::Duration;

use axum::extract::State;
use azure_functions_sdk::{CallError, FunctionDefinition, Outputs, QueueMessage};
use time::UtcDateTime;
use tracing::{info, warn};

use super::AppState;
use crate::services::insights::unit::{Made, Unit};
use crate::telemetry::counts;

/// The output binding, which leads to the same queue.
const UNITS: &str = "units";

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "SummarizeHour",
    "queueTrigger",
    include_str!("function.json"),
)
.with_outputs(&[UNITS])
.with_deadline(Duration::from_secs(4 * 60 + 30))
.with_concurrent_calls(CALLS);

/// As many as the host may start, by `batchSize` and `newBatchThreshold` in host.json. All but two of them wait for their
/// [turn](crate::services::insights::Insights::turn), and hold nothing but their message.
const CALLS: usize = 24;

/// How long a call waits for its turn. Then its unit goes to the end of the queue: the rest of the call's time would be too short.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes one unit.
///
/// # Errors
/// Where the message is no unit, or a store fails; the host calls again, or puts the message aside.
pub async fn handle(
    State(state): State<AppState>,
    message: QueueMessage<Unit>,
) -> Result<Outputs, CallError> {
    let unit = &message.body;
    let Ok(turn) = tokio::time::timeout(PATIENCE, state.insight_units.turn()).await else {
        return Ok(Outputs::new().queue(UNITS, [message.text]));
    };
    let _turn = turn?;
    let begun = UtcDateTime::now();
    let made = state.insight_units.summarize(unit, begun).await;
    counts::unit(match &made {
        Ok(Made::Anew(_)) => "summarized",
        Ok(_) => "unchanged",
        Err(_) => "failed",
    });
    let made = made?;
    let taken = (UtcDateTime::now() - begun).whole_milliseconds();
    let taken = i64::try_from(taken).unwrap_or(i64::MAX);
    if let Made::Anew(manifest) = made {
        for skipped in &manifest.skipped {
            warn!(file = %skipped.name, reason = %skipped.reason, "a file of the archive cannot be read");
        }
        info!(
            hub.partition = %unit.partition,
            unit.hour = %unit.hour,
            unit.events = manifest.quality.events,
            unit.repeats = manifest.quality.repeats,
            unit.missing = manifest.quality.missing,
            unit.files = manifest.files,
            unit.skipped = manifest.skipped.len(),
            unit.complete = manifest.complete,
            unit.ms = taken,
            "insight unit made"
        );
    }
    Ok(Outputs::new())
}
