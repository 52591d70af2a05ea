//! From a Functions connection to an Azure credential.
//!
//! In Azure this is a managed identity, on a developer's machine the account signed in to `az`, `azd`
//! or the like. Keys only come out of a connection string that somebody chose to set.

mod caching;

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_functions_sdk::connection::Credential;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};

pub use self::caching::{CachingCredential, TokenError};

use crate::tls;

/// Makes the credential that a connection asks for. It keeps its tokens: see [`CachingCredential`].
///
/// App Service sets `IDENTITY_ENDPOINT` where an app has a managed identity; without it, and without
/// an explicit `__credential`, this is a developer's machine.
///
/// # Errors
/// Where the identity library refuses the configuration; no token is fetched yet.
pub fn token_credential(wanted: &Credential) -> azure_core::Result<Arc<dyn TokenCredential>> {
    identity(wanted)?;
    let anew = Arc::new(MadeAnew(wanted.clone()));
    Ok(Arc::new(CachingCredential::new(anew)))
}

/// A credential that is made anew for each token. The identity library's own keeps a token until 5 minutes before
/// its end and answers with it until then, so that nobody could refresh it earlier.
#[derive(Debug)]
struct MadeAnew(Credential);

#[async_trait]
impl TokenCredential for MadeAnew {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        identity(&self.0)?.get_token(scopes, options).await
    }
}

fn identity(wanted: &Credential) -> azure_core::Result<Arc<dyn TokenCredential>> {
    tls::choose();
    match wanted {
        Credential::ManagedIdentity { client_id } => managed_identity(client_id.clone()),
        Credential::Default if std::env::var_os("IDENTITY_ENDPOINT").is_some() => {
            managed_identity(None)
        }
        Credential::Default => {
            let credential: Arc<dyn TokenCredential> = DeveloperToolsCredential::new(None)?;
            Ok(credential)
        }
    }
}

/// The client id is passed on because the credential does not read `AZURE_CLIENT_ID` by itself.
fn managed_identity(client_id: Option<String>) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let credential: Arc<dyn TokenCredential> =
        ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: client_id.map(UserAssignedId::ClientId),
            ..Default::default()
        }))?;
    Ok(credential)
}
