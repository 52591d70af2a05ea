//! Counts the minutes since the program started, in the queue `minutes`: state that calls share.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use azure_functions_sdk::{
    FunctionApp, FunctionDefinition, HostConfig, Outputs, TimerInfo, observability,
};

const COUNT_MINUTES: FunctionDefinition = FunctionDefinition::new(
    "CountMinutes",
    "timerTrigger",
    include_str!("CountMinutes/function.json"),
)
.with_outputs(&["minutes"]);

async fn count_minutes(State(count): State<Arc<AtomicU64>>, timer: TimerInfo) -> Outputs {
    if timer.is_past_due {
        tracing::warn!("late");
    }
    let minute = 1 + count.fetch_add(1, Ordering::Relaxed);
    Outputs::new().queue("minutes", [minute.to_string()])
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    observability::init("info");
    let host = HostConfig::parse(include_str!("host.json"))?
        .with_overrides(|name| std::env::var(name).ok())?;
    let app =
        FunctionApp::new(Arc::<AtomicU64>::default(), host).function(COUNT_MINUTES, count_minutes);
    Ok(app.serve().await?)
}
