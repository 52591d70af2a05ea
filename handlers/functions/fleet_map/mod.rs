//! FleetMap: `GET /api/map`, a page that shows the fleet as it moves.
//!
//! Everything the page is made of is in this binary; it asks this app alone. It holds no data and is
//! anonymous: what it shows it gets from [`list_drones`](super::list_drones) and its like, with the
//! function key from its own address or the session of whoever is signed in.

mod files;
pub mod tiles;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use azure_functions_sdk::{FunctionDefinition, SentUri};
use serde_json::json;

use self::tiles::TileLayer;
use super::AppState;
use crate::error::Problem;
use crate::http::revalidation;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("FleetMap", "httpTrigger", include_str!("function.json"));

/// What the page may load and run: files of this app. No script and no style inside of the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data:";

/// Answers with the page, or with one of its files.
///
/// # Errors
/// 404 for a file that the page does not have.
pub async fn handle(
    State(state): State<AppState>,
    file: Option<Path<String>>,
    sent: Option<Extension<SentUri>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // What the page names lies beside it: below a slash it would be looked for in a folder too deep.
    if let (None, Some(Extension(SentUri(uri)))) = (&file, &sent)
        && uri.path().ends_with('/')
    {
        let query = uri.query().map(|query| format!("?{query}"));
        let place = format!("../map{}", query.unwrap_or_default());
        return Ok(Redirect::permanent(&place).into_response());
    }
    let name = file.map_or_else(String::new, |Path(name)| name);
    let tiles = state.map_tiles.as_deref();
    let mut response = if name == "configuration.json" {
        configuration(tiles).into_response()
    } else {
        let file = files::find(&name)
            .ok_or_else(|| Problem::not_found("The map has no file of this name."))?;
        revalidation::answer(&headers, file.content_type, file.body)
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(tiles));
    Ok(response)
}

/// What the app settings say of the map.
fn configuration(tiles: Option<&TileLayer>) -> Json<serde_json::Value> {
    Json(tiles.map_or_else(
        || json!({}),
        |tiles| json!({"tiles": tiles.template(), "attribution": tiles.attribution()}),
    ))
}

fn policy(tiles: Option<&TileLayer>) -> HeaderValue {
    tiles
        .and_then(|tiles| HeaderValue::try_from(format!("{POLICY} {}", tiles.origin())).ok())
        .unwrap_or(HeaderValue::from_static(POLICY))
}
