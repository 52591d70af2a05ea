//! FleetInsights: `GET /api/fleet/insights`, a page that shows what the fleet did, hour by hour and day by day.
//!
//! It is made as [the map](super::fleet_map) is: all of it in this binary, anonymous and without data. What it shows it gets from
//! [`get_insights`](super::get_insights).

mod files;

use axum::Extension;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use azure_functions_sdk::{FunctionDefinition, SentUri};

use crate::error::Problem;
use crate::http::page;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition = FunctionDefinition::new(
    "FleetInsights",
    "httpTrigger",
    include_str!("function.json"),
);

/// What the page may load and run: files of this app. No script and no style inside of the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Answers with the page, or with one of its files.
///
/// # Errors
/// 404 for a file that the page does not have.
pub async fn handle(
    file: Option<Path<String>>,
    sent: Option<Extension<SentUri>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sent = sent.as_ref().map(|Extension(sent)| sent);
    if file.is_none()
        && let Some(redirect) = page::without_slash(sent, "insights")
    {
        return Ok(redirect);
    }
    let name = file.map_or_else(String::new, |Path(name)| name);
    let file = files::find(&name)
        .ok_or_else(|| Problem::not_found("The page has no file of this name."))?;
    Ok(page::answer(&headers, file, POLICY))
}
