//! Greets whoever is named in the queue `names`, in the queue `greetings`.

#![forbid(unsafe_code)]

use azure_functions_sdk::{
    CallError, FunctionApp, FunctionDefinition, HostConfig, Outputs, QueueMessage, observability,
};

const GREET: FunctionDefinition =
    FunctionDefinition::new("Greet", "queueTrigger", include_str!("Greet/function.json"))
        .with_outputs(&["greetings"]);

async fn greet(who: QueueMessage<String>) -> Result<Outputs, CallError> {
    if who.body.trim().is_empty() {
        // Tried again, and moved to `names-poison` after five times.
        return Err(CallError::new("there is nobody to greet"));
    }
    tracing::info!(message.id = who.id, "greeting");
    Ok(Outputs::new().queue("greetings", [format!("Hello, {}!", who.body)]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    observability::init("info");
    let host = HostConfig::parse(include_str!("host.json"))?
        .with_overrides(|name| std::env::var(name).ok())?;
    let app = FunctionApp::new((), host).function(GREET, greet);
    Ok(app.serve().await?)
}
