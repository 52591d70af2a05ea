//! Adds up numbers from an event hub, batch by batch, and puts aside in the queue `rejected` what is none.

#![forbid(unsafe_code)]

use azure_functions_sdk::{
    EventHubBatch, FunctionApp, FunctionDefinition, HostConfig, Outputs, observability,
};

const COUNT_READINGS: FunctionDefinition = FunctionDefinition::new(
    "CountReadings",
    "eventHubTrigger",
    include_str!("CountReadings/function.json"),
)
.with_outputs(&["rejected"]);

/// What is wrong stays wrong, so the call succeeds all the same: with the retries of its function.json, a call that fails is made
/// again for ever, and holds its partition.
async fn count_readings(batch: EventHubBatch) -> Outputs {
    let mut sum = 0.0;
    let mut rejected = Vec::new();
    for event in &batch.events {
        let text = std::str::from_utf8(&event.body).unwrap_or_default();
        match text.trim().parse::<f64>() {
            Ok(reading) => sum += reading,
            Err(error) => rejected.push(format!("event {}: {error}", event.sequence_number)),
        }
    }
    tracing::info!(
        partition.id = batch.partition.partition_id,
        events = batch.events.len(),
        sum,
        "counted"
    );
    Outputs::new().queue("rejected", rejected)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    observability::init("info");
    let host = HostConfig::parse(include_str!("host.json"))?
        .with_overrides(|name| std::env::var(name).ok())?;
    let app = FunctionApp::new((), host).function(COUNT_READINGS, count_readings);
    Ok(app.serve().await?)
}
