//! FleetMap: `GET /api/map`, a page that shows the fleet as it moves.
//!
//! Everything the page is made of is in this binary; it asks this app alone. It holds no data and is
//! anonymous: what it shows it gets from [`list_drones`](super::list_drones) and its like, with the
//! function key from its own address or the session of whoever is signed in.

mod files;
pub mod tiles;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use azure_functions_sdk::{FunctionDefinition, SentUri};
use serde_json::json;

use self::tiles::TileLayer;
use super::AppState;
use crate::error::Problem;
use crate::http::page;

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
    let sent = sent.as_ref().map(|Extension(sent)| sent);
    if file.is_none()
        && let Some(redirect) = page::without_slash(sent, "map")
    {
        return Ok(redirect);
    }
    let name = file.map_or_else(String::new, |Path(name)| name);
    let tiles = state.map_tiles.as_deref();
    if name == "configuration.json" {
        let answer = configuration(tiles).into_response();
        return Ok(page::guarded(answer, policy(tiles)));
    }
    let file = files::find(&name)
        .ok_or_else(|| Problem::not_found("The map has no file of this name."))?;
    Ok(page::answer(&headers, file, policy(tiles)))
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
