//! OpenApi: `GET /api/openapi.json`, what the HTTP functions take and answer, as OpenAPI 3.1.
//!
//! Written by hand, and held against the running functions by a test: every function is in it, and every
//! answer that the test gets has a form that the document tells of.

use axum::http::HeaderMap;
use axum::response::Response;
use azure_functions_sdk::FunctionDefinition;

use crate::http::revalidation;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("OpenApi", "httpTrigger", include_str!("function.json"));

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the document; it says nothing that this repository does not, and anybody may have it.
pub async fn handle(headers: HeaderMap) -> Response {
    revalidation::answer(&headers, "application/json", DOCUMENT)
}
