//! Who calls, as App Service Authentication says.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde::Deserialize;

use crate::encoded::BASE64;

const HEADER: &str = "x-ms-client-principal";

/// The claim that holds roles where the principal does not say which does.
const DEFAULT_ROLE_CLAIM: &str = "roles";

/// The signed-in caller of a forwarded HTTP function, from `X-MS-CLIENT-PRINCIPAL`.
///
/// App Service Authentication sets that header and removes one that a caller sent. **Where it is not
/// switched on, anybody can send the header**: look at it only where `WEBSITE_AUTH_ENABLED` is true.
///
/// As an extractor it answers 401 where the header is absent or unreadable; `Option<ClientPrincipal>`
/// is `None` where it is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ClientPrincipal {
    /// The identity provider, such as `aad`.
    pub auth_typ: Option<String>,
    /// The type of the claim that holds the name.
    pub name_typ: Option<String>,
    /// The type of the claims that hold roles.
    pub role_typ: Option<String>,
    /// All claims. A header without them is no principal.
    pub claims: Vec<Claim>,
}

/// One claim of a [`ClientPrincipal`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claim {
    /// Its type.
    pub typ: String,
    /// Its value.
    pub val: String,
}

/// Nobody is signed in, or the header cannot be read. Answers 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sign-in required")]
pub struct NotSignedIn;

impl ClientPrincipal {
    /// Reads the value of the header; `None` where it is not base64 of a principal's JSON.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let json = BASE64.decode(header).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Whether one of the caller's roles is this one. Roles are case-sensitive.
    pub fn has_role(&self, role: &str) -> bool {
        let kind = self.role_typ.as_deref().filter(|kind| !kind.is_empty());
        let kind = kind.unwrap_or(DEFAULT_ROLE_CLAIM);
        self.claims
            .iter()
            .any(|claim| claim.typ == kind && claim.val == role)
    }

    /// The caller's name, where a claim holds it.
    pub fn name(&self) -> Option<&str> {
        let kind = self.name_typ.as_deref()?;
        let claim = self.claims.iter().find(|claim| claim.typ == kind)?;
        Some(&claim.val)
    }
}

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        let body = axum::Json(serde_json::json!({ "error": self.to_string() }));
        (StatusCode::UNAUTHORIZED, body).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for ClientPrincipal {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotSignedIn> {
        let header = parts.headers.get(HEADER).ok_or(NotSignedIn)?;
        Self::parse(header.as_bytes()).ok_or(NotSignedIn)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for ClientPrincipal {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, NotSignedIn> {
        match parts.headers.get(HEADER) {
            None => Ok(None),
            Some(header) => Self::parse(header.as_bytes()).map(Some).ok_or(NotSignedIn),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn principal(json: &str) -> Option<ClientPrincipal> {
        ClientPrincipal::parse(BASE64.encode(json).as_bytes())
    }

    #[test]
    fn roles_are_claims_of_the_role_type() {
        let caller = principal(
            r#"{"auth_typ":"aad","name_typ":"name","role_typ":"r","claims":[
            {"typ":"r","val":"GetStatus"},{"typ":"roles","val":"Admin"},{"typ":"name","val":"Ada"}]}"#,
        )
        .unwrap();
        assert!(caller.has_role("GetStatus"));
        assert!(!caller.has_role("getstatus"));
        assert!(
            !caller.has_role("Admin"),
            "a claim of another type is no role"
        );
        assert_eq!(caller.name(), Some("Ada"));
    }

    #[test]
    fn without_a_role_type_roles_are_in_the_usual_claim() {
        let caller = principal(r#"{"claims":[{"typ":"roles","val":"GetStatus"}]}"#).unwrap();
        assert!(caller.has_role("GetStatus"));
    }

    #[test]
    fn what_is_no_principal_is_none() {
        for json in [
            "",
            "null",
            "{}",
            "[]",
            "{\"claims\":1}",
            "{\"claims\":[{\"typ\":\"a\"}]}",
        ] {
            assert_eq!(principal(json), None, "{json}");
        }
        assert_eq!(ClientPrincipal::parse(b"%%%"), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            _ = ClientPrincipal::parse(&header);
            let encoded = BASE64.encode(&header);
            if let Some(caller) = ClientPrincipal::parse(encoded.as_bytes()) {
                _ = (caller.has_role("x"), caller.name());
            }
        }
    }
}
