//! GetInsights: `GET /api/insights/hours`, `/days` and `/deliveries/{deliveryId}`, what the fleet did.
//!
//! Nothing is worked out here: the figures of hours and days are those of the days' `fleet.json`, a delivery's are a row of the table
//! `deliveries`. `handlers/INSIGHTS.md` says what they mean. What cannot be read is named in the answer, and the rest is answered.

pub mod days;
pub mod delivery;
pub mod query;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use azure_functions_sdk::FunctionDefinition;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::UtcDateTime;
use tokio::sync::Semaphore;

use self::query::{DayQuery, DeliveryQuery, HourQuery};
use super::AppState;
use crate::domain::DeliveryId;
use crate::error::Problem;
use crate::http::access::StatusReader;
use crate::http::{parameters, revalidation};
use crate::services::shared_reads::SharedReads;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("GetInsights", "httpTrigger", include_str!("function.json"));

/// What there is, as the OpenAPI document has it: operation and path.
pub const OPERATIONS: &[(&str, &str)] = &[
    ("GetInsights", "/insights"),
    ("GetInsightsOfHours", "/insights/hours"),
    ("GetInsightsOfDays", "/insights/days"),
    ("FindInsightsOfDelivery", "/insights/deliveries"),
    ("GetInsightsOfDelivery", "/insights/deliveries/{deliveryId}"),
];

const JSON: &str = "application/json";

/// What readers share.
pub struct Answers {
    shared: SharedReads<Question, Bytes>,
    /// One file of the table `deliveries` is in memory at a time, however many ask.
    tables: Semaphore,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            shared: SharedReads::default(),
            tables: Semaphore::new(1),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Question {
    Hours(HourQuery),
    Days(DayQuery),
    Delivery(DeliveryQuery),
}

/// The route's parameters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    what: Option<String>,
    delivery_id: Option<String>,
}

/// A file that could not be read: what it would say is missing in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Its name in the container.
    pub file: String,
    /// Why.
    pub problem: String,
}

/// Answers with the figures of hours or days, with the rows of a delivery, or with where these are.
///
/// # Errors
/// 400 for a parameter that cannot be meant so, 401 and 403 as [`StatusReader`] says, 404 for what is not there, 503 while the store is
/// out of reach.
pub async fn handle(
    State(state): State<AppState>,
    _: StatusReader,
    path: Result<Path<Place>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(question) = question(path, query.as_deref())? else {
        let body = serde_json::to_vec(&links()).map_err(Problem::internal)?;
        return Ok(revalidation::answer(&headers, JSON, body));
    };
    let read = answer(&state, &question);
    let accepted = revalidation::accepted_age(&headers);
    let shared = &state.insight_answers.shared;
    let (body, age) = shared.get(question.clone(), accepted, read).await?;
    let answer = revalidation::answer(&headers, JSON, body);
    Ok(revalidation::with_age(answer, age))
}

/// `None` where nothing in particular is asked.
fn question(
    path: Result<Path<Place>, PathRejection>,
    query: Option<&str>,
) -> Result<Option<Question>, Problem> {
    let Path(Place { what, delivery_id }) =
        path.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    // Routes have no case.
    let what = what.map(|what| what.to_ascii_lowercase());
    Ok(match (what.as_deref(), delivery_id) {
        (None, _) => {
            parameters::Parameters::parse(query, &[])?;
            None
        }
        (Some("hours"), None) => Some(Question::Hours(HourQuery::parse(query)?)),
        (Some("days"), None) => Some(Question::Days(DayQuery::parse(query)?)),
        (Some("deliveries"), None) => Some(Question::Delivery(DeliveryQuery::parse(None, query)?)),
        (Some("deliveries"), Some(id)) => {
            let instead = "/api/insights/deliveries?deliveryId=";
            let id: DeliveryId = parameters::in_path("deliveryId", Ok(Path(id)), instead)?;
            Some(Question::Delivery(DeliveryQuery::parse(Some(id), query)?))
        }
        _ => {
            return Err(Problem::not_found(
                "There are /api/insights/hours, /days and /deliveries/{deliveryId}.",
            ));
        }
    })
}

async fn answer(state: &AppState, question: &Question) -> Result<Bytes, Problem> {
    let files = state.insights.as_ref();
    let now = UtcDateTime::now();
    let body = match question {
        Question::Hours(query) => serde_json::to_vec(&days::hours(files, query, now).await?),
        Question::Days(query) => serde_json::to_vec(&days::days(files, query, now).await?),
        Question::Delivery(query) => {
            let tables = &state.insight_answers.tables;
            serde_json::to_vec(&delivery::find(files, tables, query, now).await?)
        }
    };
    body.map(Bytes::from).map_err(Problem::internal)
}

fn links() -> serde_json::Value {
    json!({
        "hours": "/api/insights/hours",
        "days": "/api/insights/days",
        "delivery": "/api/insights/deliveries/{deliveryId}",
        "page": "/api/fleet/insights",
        "description": "/api/openapi.json",
    })
}
