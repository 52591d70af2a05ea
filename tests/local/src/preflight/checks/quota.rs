//! How much of everything the subscription may have. There is neither a free IoT hub nor a free tier of Cosmos DB in infra/, of
//! which a subscription has one each.

use serde::Deserialize;

use super::region::NO_REGION;
use crate::preflight::az::{AzError, ask};
use crate::preflight::context::Context;
use crate::preflight::finding::Finding;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    current_value: u64,
    limit: u64,
    name: Name,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}

#[derive(Deserialize)]
struct Usages {
    value: Vec<Usage>,
}

pub(super) async fn storage_accounts(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "quota of storage accounts";
    let Some(location) = &context.location else {
        return Finding::unknown(SUBJECT, NO_REGION);
    };
    let new = context.names.storage.iter().filter(|name| {
        let found = context.existing("Microsoft.Storage/storageAccounts", name);
        !matches!(found, Ok(Some(_)))
    });
    let new = new.count() as u64;
    let arguments = ["storage", "account", "show-usage", "--location", location];
    match ask::<Usage>(context.az, &arguments).await {
        Err(error) => Finding::not_answered(SUBJECT, &error),
        Ok(usage) if usage.current_value + new <= usage.limit => Finding::ok(
            SUBJECT,
            format!("{} of {} in {location}", usage.current_value, usage.limit),
        ),
        Ok(usage) => Finding::will_fail(
            SUBJECT,
            format!(
                "{} of {} in {location}, and {new} more are to come: delete some, or have it raised in the portal under Quotas",
                usage.current_value, usage.limit
            ),
            vec![format!(
                "az storage account list --query \"[?location=='{location}'].[resourceGroup,name]\" --output tsv"
            )],
        ),
    }
}

pub(super) async fn iot_hubs(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "quota of IoT hubs";
    let name = &context.names.iot_hub;
    if let Ok(Some(_)) = context.existing("Microsoft.Devices/IotHubs", name) {
        return Finding::ok(SUBJECT, "the hub is there already");
    }
    let url = context.below_subscription("Microsoft.Devices/usages?api-version=2023-06-30");
    let usages: Usages = match ask(context.az, &["rest", "--method", "get", "--url", &url]).await {
        Ok(usages) => usages,
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let paid = usages
        .value
        .iter()
        .find(|usage| usage.name.value == "paidIotHubCount");
    match paid {
        None => Finding::not_answered(SUBJECT, &AzError::Unreadable("rest".to_owned())),
        Some(usage) if usage.current_value < usage.limit => Finding::ok(
            SUBJECT,
            format!("{} of {}", usage.current_value, usage.limit),
        ),
        Some(usage) => Finding::will_fail(
            SUBJECT,
            format!(
                "{} of {}: delete one, or let drones send straight to Event Hubs",
                usage.current_value, usage.limit
            ),
            vec![
                "az iot hub list --query \"[].[resourcegroup,name]\" --output tsv".to_owned(),
                "export DRONES_INGRESS=eventHubs".to_owned(),
            ],
        ),
    }
}

/// Cores of Flex Consumption that a subscription has in a region, unless it was given more. From its documentation.
const CORES: f64 = 250.0;

/// No command of `az` says how many cores are in use; the portal does, for an app that is there. Too few slow the app down, and do
/// not stop its making.
pub(super) fn cores(context: &Context<'_>) -> Finding {
    let wanted = context.wanted;
    // A quarter for 512 MB, one for 2,048 MB, two for 4,096 MB.
    let most = f64::from(wanted.maximum_instances) * f64::from(wanted.instance_memory) / 2048.0;
    Finding::unknown(
        "quota of cores for the app",
        format!(
            "`az` does not say it. Each function may grow to {most} cores, and all apps of a region share {CORES} \
             unless you were given more; the deployment does not fail for it"
        ),
    )
}
