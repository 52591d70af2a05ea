//! Who may read.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use azure_functions_sdk::ClientPrincipal;

use crate::error::Problem;
use crate::functions::AppState;

/// The app role that a caller needs where App Service Authentication is on.
const ROLE: &str = "GetStatus";

/// Somebody who may read the drones' state, as an extractor: a handler that names it in its arguments is
/// not called for anybody else.
///
/// Where App Service Authentication is on, the app role `GetStatus` is required: 401 without a principal,
/// 403 without the role. Where it is off, the host has asked for a function key already, and the
/// principal's header is not looked at: anybody could have sent it.
#[derive(Debug, Clone, Copy)]
pub struct StatusReader;

impl FromRequestParts<AppState> for StatusReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if !state.authentication {
            return Ok(Self);
        }
        match <ClientPrincipal as FromRequestParts<AppState>>::from_request_parts(parts, state)
            .await
        {
            Err(_) => Err(Problem::unauthorized()),
            Ok(principal) if !principal.has_role(ROLE) => Err(Problem::forbidden(ROLE)),
            Ok(_) => Ok(Self),
        }
    }
}
