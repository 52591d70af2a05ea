//! Where it goes: the subscription and the resource group.

use crate::preflight::context::{Context, quoted};
use crate::preflight::finding::Finding;
use crate::preflight::options::normal;

pub(super) fn subscription(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "subscription";
    let account = &context.account;
    if account.state == "Enabled" {
        return Finding::ok(
            SUBJECT,
            format!("{}, as {}", account.name, account.user.name),
        );
    }
    Finding::will_fail(
        SUBJECT,
        format!(
            "{} is {}: enable it in the portal, or choose another",
            account.name, account.state
        ),
        vec![
            "az account list --query \"[?state=='Enabled'].name\" --output tsv".to_owned(),
            "az account set --subscription NAME".to_owned(),
        ],
    )
}

pub(super) fn group(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "resource group";
    let name = &*context.options.resource_group;
    let group = match &context.group {
        Ok(Some(group)) => group,
        Ok(None) => {
            let location = context.location.as_deref().unwrap_or("REGION");
            return Finding::will_fail(
                SUBJECT,
                format!("there is no group {name}"),
                vec![format!(
                    "az group create --name {} --location {location}",
                    quoted(name)
                )],
            );
        }
        Err(error) => return Finding::not_answered(SUBJECT, error),
    };
    if group.properties.provisioning_state == "Deleting" {
        return Finding::will_fail(
            SUBJECT,
            format!("{name} is being deleted"),
            vec![format!(
                "az group wait --deleted --resource-group {}",
                quoted(name)
            )],
        );
    }
    let home = normal(&group.location);
    match context.location.as_deref() {
        // No fault, but what is deployed without a word goes where the group is.
        Some(location) if location != home => Finding::ok(
            SUBJECT,
            format!(
                "{name}, in {home}; for {location}: {}",
                context.deployment(&format!("location={location}"))
            ),
        ),
        _ => Finding::ok(SUBJECT, format!("{name}, in {home}")),
    }
}
