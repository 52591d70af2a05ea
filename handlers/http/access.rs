//! Who may read.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use azure_functions_sdk::ClientPrincipal;

use crate::error::Problem;

/// The app role that a caller needs where App Service Authentication is on.
const ROLE: &str = "GetStatus";

/// Whether App Service Authentication guards this app, as its [settings](crate::settings::Settings::authentication) say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentication(pub bool);

/// Somebody who may read the drones' state, as an extractor: a handler that names it in its arguments is
/// not called for anybody else.
///
/// Where App Service Authentication is on, the app role `GetStatus` is required: 401 without a principal,
/// 403 without the role. Where it is off, the host has asked for a function key already, and the
/// principal's header is not looked at: anybody could have sent it.
#[derive(Debug, Clone, Copy)]
pub struct StatusReader;

impl<S> FromRequestParts<S> for StatusReader
where
    Authentication: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if Authentication::from_ref(state) == Authentication(false) {
            return Ok(Self);
        }
        match ClientPrincipal::from_request_parts(parts, state).await {
            Err(_) => Err(Problem::unauthorized()),
            Ok(principal) if !principal.has_role(ROLE) => Err(Problem::forbidden(ROLE)),
            Ok(_) => Ok(Self),
        }
    }
}
