//! ListAlerts: `GET /api/alerts?active=&deviceId=&rule=&since=&limit=`, the newest alerts first.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use azure_functions_sdk::FunctionDefinition;
use serde::Serialize;
use tracing::info;

use super::AppState;
use crate::domain::alerts::AlertDocument;
use crate::error::Problem;
use crate::http::access::StatusReader;
use crate::http::parameters::{ParameterError, Parameters};
use crate::http::revalidation;
use crate::stores::alerts::AlertFilter;

/// The parameters, as the OpenAPI document lists them.
pub const PARAMETERS: &[&str] = &["active", "deviceId", "rule", "since", "limit"];

/// Alerts in an answer where the caller does not say.
pub const DEFAULT_LIMIT: u16 = 100;

/// Alerts in an answer at most.
pub const MOST_ALERTS: u16 = 1_000;

/// The function, for registration and staging.
pub const FUNCTION: FunctionDefinition =
    FunctionDefinition::new("ListAlerts", "httpTrigger", include_str!("function.json"));

/// The answer.
#[derive(Debug, Serialize)]
pub struct AlertList {
    alerts: Vec<AlertDocument>,
}

/// Answers with the newest alerts that match.
///
/// # Errors
/// 400 for a parameter that cannot be meant so, 401 and 403 as [`StatusReader`] says, 503 while the store
/// is out of reach.
pub async fn handle(
    State(state): State<AppState>,
    _: StatusReader,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (filter, limit) = parse(query.as_deref())?;
    let shared = state.alert_lists.get(
        (filter.clone(), limit),
        revalidation::accepted_age(&headers),
        list(&state, &filter, limit),
    );
    let (body, age) = shared.await?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok(revalidation::with_age((kind, body).into_response(), age))
}

async fn list(state: &AppState, filter: &AlertFilter, limit: u16) -> Result<Bytes, Problem> {
    let read = state.alerts.list(filter, limit).await?;
    info!(
        alerts = read.value.len(),
        cosmos.request_charge = read.request_charge,
        "alerts listed"
    );
    let alerts = read.value.iter().map(AlertDocument::from).collect();
    let body = serde_json::to_vec(&AlertList { alerts });
    body.map(Bytes::from).map_err(Problem::internal)
}

fn parse(query: Option<&str>) -> Result<(AlertFilter, u16), ParameterError> {
    let parameters = Parameters::parse(query, PARAMETERS)?;
    let flag = |text: &str| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false"),
    };
    let filter = AlertFilter {
        active: parameters.value_with("active", flag)?,
        device_id: parameters.value("deviceId")?,
        rule: parameters.value_with("rule", rule)?,
        since: parameters.time("since")?,
    };
    let limit = parameters.count("limit", MOST_ALERTS)?;
    Ok((filter, limit.unwrap_or(DEFAULT_LIMIT)))
}

/// A name of the form that rules have, also of a rule that another version had.
fn rule(name: &str) -> Result<String, &'static str> {
    let fits = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    fits.then(|| name.to_owned())
        .ok_or("is no name of a rule, such as battery-low")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let query = "active=true&deviceId=drone%231&rule=battery-low&since=2024-05-01T12:00:00Z&limit=7&code=key";
        assert_eq!(
            parse(Some(query)),
            Ok((
                AlertFilter {
                    active: Some(true),
                    device_id: Some("drone#1".parse().unwrap()),
                    since: Some(utc_datetime!(2024-05-01 12:00:00)),
                    rule: Some("battery-low".to_owned()),
                },
                7
            ))
        );
        assert_eq!(parse(None), Ok((AlertFilter::default(), DEFAULT_LIMIT)));
    }
}
