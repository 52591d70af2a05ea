//! Two ways to answer HTTP: a request that is forwarded as it is, and one whose answer comes with a queue message.

#![forbid(unsafe_code)]

use axum::extract::Path;
use axum::http::StatusCode;
use azure_functions_sdk::{
    CallError, FunctionApp, FunctionDefinition, HostConfig, HttpOutput, HttpTrigger, Outputs,
    observability,
};

/// With an `http` output alone: an axum route, with all that axum has for it.
const HELLO: FunctionDefinition =
    FunctionDefinition::new("Hello", "httpTrigger", include_str!("Hello/function.json"));

/// With another output: the host sends an envelope, and the answer is an output too.
const TAKE_ORDER: FunctionDefinition = FunctionDefinition::new(
    "TakeOrder",
    "httpTrigger",
    include_str!("TakeOrder/function.json"),
)
.with_outputs(&["orders"]);

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

async fn take_order(request: HttpTrigger) -> Result<Outputs, CallError> {
    let Some(order) = request.body.filter(|body| !body.is_empty()) else {
        let answer = HttpOutput::new(StatusCode::BAD_REQUEST).body("an order has a body\n");
        return Ok(Outputs::new().http(answer));
    };
    let answer = HttpOutput::new(StatusCode::ACCEPTED).body("taken\n");
    Ok(Outputs::new().http(answer).queue("orders", [order]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    observability::init("info");
    let host = HostConfig::parse(include_str!("host.json"))?
        .with_overrides(|name| std::env::var(name).ok())?;
    let app = FunctionApp::new((), host)
        .http(HELLO, hello)
        .function(TAKE_ORDER, take_order);
    Ok(app.serve().await?)
}
