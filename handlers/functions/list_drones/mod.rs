//! ListDrones: `GET /api/drones`, the drones that match a filter, a page at a time.
//!
//! Three forms of one answer, by the request's `Accept`: [`JSON`], with each drone as
//! [`get_drone`](super::get_drone) shows it; [`GEO_JSON`] (RFC 7946), for maps and GIS tools; and
//! [`COLUMNS`], which is what a screen needs that draws the whole fleet every few seconds: a tenth of
//! the bytes, and therefore larger pages.

pub mod forms;
pub mod query;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use azure_functions_sdk::FunctionDefinition;
use tracing::info;

use super::AppState;
use crate::domain::DeviceId;
use crate::domain::fleet::DroneFilter;
use crate::error::Problem;
use crate::http::access::StatusReader;
use crate::http::{negotiation, revalidation};
use crate::stores::StoreError;
use crate::stores::fleet::{DronePage, Read};
use query::ListQuery;

/// `{"drones":[…],"continuation":"…"}`
pub const JSON: &str = "application/json";
/// A FeatureCollection of points.
pub const GEO_JSON: &str = "application/geo+json";
/// One array for each field, in which one place is one drone.
pub const COLUMNS: &str = "application/vnd.fabrikam.drone-columns+json";

/// Drones on a page at most: about 600 KB of JSON.
pub const MOST_DRONES: u16 = 1_000;

/// Drones on a page of [`COLUMNS`] at most: the design's fleet.
pub const MOST_IN_COLUMNS: u16 = 10_000;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("ListDrones", "httpTrigger", include_str!("function.json"));

/// Answers with a page of drones; within a page they are in the order of their device ids.
///
/// # Errors
/// 400 for a parameter that cannot be meant so, 401 and 403 as [`StatusReader`] says, 406 where no form
/// is acceptable, 503 while the store is out of reach.
pub async fn handle(
    State(state): State<AppState>,
    _: StatusReader,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let form = negotiation::preferred(&headers, &[JSON, GEO_JSON, COLUMNS])
        .ok_or_else(|| Problem::not_acceptable(format!("{JSON}, {GEO_JSON} or {COLUMNS}")))?;
    let most = if form == COLUMNS {
        MOST_IN_COLUMNS
    } else {
        MOST_DRONES
    };
    let query = ListQuery::parse(query.as_deref(), most)?;
    let read = page(&state, form, &query);
    let shared = state.drone_lists.get(
        (form, query.clone()),
        revalidation::accepted_age(&headers),
        read,
    );
    let (body, age) = shared.await?;
    let answer = revalidation::answer(&headers, form, body);
    Ok(revalidation::with_age(answer, age))
}

/// The page as its form shows it.
async fn page(state: &AppState, form: &'static str, query: &ListQuery) -> Result<Bytes, Problem> {
    let read = match &query.device {
        Some(device) => one(state, device, &query.filter).await?,
        None => {
            let fleet = &state.fleet;
            let from = query.from.as_ref();
            fleet.list(&query.filter, from, query.limit).await?
        }
    };
    let page = read.value;
    info!(
        drones = page.drones.len(),
        cosmos.request_charge = read.request_charge,
        "drones listed"
    );
    let body = match form {
        GEO_JSON => forms::geo_json(&page),
        COLUMNS => forms::columns(&page),
        _ => forms::json(&page),
    };
    body.map(Bytes::from).map_err(Problem::internal)
}

/// A page of the one drone that was asked for, if it is like the others that were: read by its id, at the cost of one document.
async fn one(
    state: &AppState,
    device: &DeviceId,
    filter: &DroneFilter,
) -> Result<Read<DronePage>, StoreError> {
    let read = state.fleet.find(device).await?;
    let drones = read.value.filter(|drone| filter.matches(drone));
    Ok(Read {
        value: DronePage {
            drones: drones.into_iter().collect(),
            next: None,
        },
        request_charge: read.request_charge,
    })
}
