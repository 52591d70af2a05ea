//! The tokens that Application Insights wants, from the identity that the app has.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_functions_sdk::connection::Credential;
use azure_functions_sdk::telemetry::TokenSource;
use tracing::warn;

use crate::stores::credentials::token_credential;

const SCOPE: &str = "https://monitor.azure.com/.default";

/// The tokens of the identity with this client id, or of the one that the app has by itself. They are kept until they end.
pub fn tokens(client_id: Option<String>) -> Option<Arc<dyn TokenSource>> {
    let wanted = match client_id {
        Some(id) => Credential::ManagedIdentity {
            client_id: Some(id),
        },
        None => Credential::Default,
    };
    match token_credential(&wanted) {
        Ok(credential) => Some(Arc::new(Identity(credential))),
        Err(error) => {
            warn!(%error, "no Azure credential for Application Insights");
            None
        }
    }
}

#[derive(Debug)]
struct Identity(Arc<dyn TokenCredential>);

#[async_trait]
impl TokenSource for Identity {
    async fn token(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        let token = self.0.get_token(&[SCOPE], None).await?;
        Ok(token.token.secret().to_owned())
    }
}
