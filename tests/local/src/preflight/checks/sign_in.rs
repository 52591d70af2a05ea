//! The app registration by which people sign in. The deployment does not look at it: with a wrong one it ends well, and nobody
//! gets in.

use serde::Deserialize;

use crate::preflight::az::ask;
use crate::preflight::context::{Context, quoted};
use crate::preflight::finding::Finding;

/// As `infra/README.md` makes it.
const ROLE: &str = r#"[{"allowedMemberTypes":["User","Application"],"description":"Reads the fleet","displayName":"GetStatus","value":"GetStatus","isEnabled":true}]"#;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    app_roles: Vec<AppRole>,
}

#[derive(Deserialize)]
struct AppRole {
    value: Option<String>,
}

pub(super) async fn registration(context: &Context<'_>, client: &str) -> Finding {
    const SUBJECT: &str = "sign-in";
    let arguments = ["ad", "app", "show", "--id", client];
    let client = quoted(client);
    let registration: Registration = match ask(context.az, &arguments).await {
        Ok(registration) => registration,
        Err(error) if error.says("does not exist") => {
            return Finding::will_fail(
                SUBJECT,
                format!("there is no app registration {client}, and nobody will get in"),
                vec![
                    format!(
                        "az ad app create --display-name drone-delivery --sign-in-audience AzureADMyOrg --app-roles '{ROLE}' \
                         --query appId --output tsv"
                    ),
                    "export DRONES_SIGN_IN_CLIENT_ID=…".to_owned(),
                ],
            );
        }
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let mut roles = registration.app_roles.iter();
    if roles.any(|role| role.value.as_deref() == Some("GetStatus")) {
        return Finding::ok(SUBJECT, "the app registration has the role GetStatus");
    }
    let why = "the app registration has no role GetStatus, and nobody will read anything";
    // The command sets all roles: what is there already would be lost.
    let mend = if registration.app_roles.is_empty() {
        vec![format!(
            "az ad app update --id {client} --app-roles '{ROLE}'"
        )]
    } else {
        vec![
            format!(
                "az ad app show --id {client} --query appRoles > roles.json  # add GetStatus to it, then"
            ),
            format!("az ad app update --id {client} --app-roles @roles.json"),
        ]
    };
    Finding::will_fail(SUBJECT, why, mend)
}
