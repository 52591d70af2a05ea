//! What the region offers, and what it offers to this subscription.

use serde::Deserialize;

use crate::preflight::az::{AzError, ask};
use crate::preflight::context::Context;
use crate::preflight::finding::Finding;
use crate::preflight::options::normal;

/// What is said where nobody has named a region.
pub(super) const NO_REGION: &str = "which region? Say it with --location";

pub(super) async fn flex_consumption(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "Flex Consumption";
    let Some(location) = &context.location else {
        return Finding::unknown(SUBJECT, NO_REGION);
    };
    match offers(context, None).await {
        Err(error) => Finding::not_answered(SUBJECT, &error),
        Ok(regions) if regions.contains(location) => {
            Finding::ok(SUBJECT, format!("{location} offers it"))
        }
        Ok(_) => Finding::will_fail(
            SUBJECT,
            format!("{location} does not offer it; choose one of these regions"),
            vec![format!("az {FLEX} --query \"sort([].name)\" --output tsv")],
        ),
    }
}

pub(super) async fn zones(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "zones for the app";
    let Some(location) = &context.location else {
        return Finding::unknown(SUBJECT, NO_REGION);
    };
    match offers(context, Some(ZONES)).await {
        Err(error) => Finding::not_answered(SUBJECT, &error),
        Ok(regions) if regions.contains(location) => {
            Finding::ok(SUBJECT, format!("{location} has them"))
        }
        Ok(_) => Finding::will_fail(
            SUBJECT,
            format!(
                "{location} has no zones for Flex Consumption; choose one of these regions, or go without"
            ),
            vec![
                format!("az {FLEX} {ZONES} --query \"sort([].name)\" --output tsv"),
                "export DRONES_ZONE_REDUNDANT=false".to_owned(),
            ],
        ),
    }
}

const FLEX: &str = "functionapp list-flexconsumption-locations";
const ZONES: &str = "--zone-redundant=true";

#[derive(Deserialize)]
struct Region {
    name: String,
}

/// The regions with Flex Consumption.
async fn offers(context: &Context<'_>, further: Option<&str>) -> Result<Vec<String>, AzError> {
    let arguments: Vec<&str> = FLEX.split(' ').chain(further).collect();
    let regions: Vec<Region> = ask(context.az, &arguments).await?;
    Ok(regions.iter().map(|region| normal(&region.name)).collect())
}

#[derive(Deserialize)]
struct CosmosRegion {
    properties: CosmosProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CosmosProperties {
    status: String,
    supports_availability_zone: bool,
    /// Busy regions are closed to subscriptions that are not there yet.
    is_subscription_region_access_allowed_for_regular: bool,
    /// The same for accounts that are spread over zones.
    is_subscription_region_access_allowed_for_az: bool,
}

pub(super) async fn cosmos(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "Cosmos DB in the region";
    let Some(location) = &context.location else {
        return Finding::unknown(SUBJECT, NO_REGION);
    };
    let name = &context.names.cosmos;
    if let Ok(Some(_)) = context.existing("Microsoft.DocumentDB/databaseAccounts", name) {
        return Finding::ok(SUBJECT, "the account is there already");
    }
    let arguments = ["cosmosdb", "locations", "show", "--location", location];
    let region = match ask::<CosmosRegion>(context.az, &arguments).await {
        Ok(region) => region.properties,
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let zones = context.wanted.zone_redundant;
    let (why, open) = if region.status != "Online" {
        (format!("{location} is {}", region.status), OPEN)
    } else if zones && !region.supports_availability_zone {
        (format!("{location} has no zones for it"), OPEN_ZONES)
    } else if zones && !region.is_subscription_region_access_allowed_for_az {
        (
            format!("{location} is closed to this subscription for accounts over zones"),
            OPEN_ZONES,
        )
    } else if !zones && !region.is_subscription_region_access_allowed_for_regular {
        (format!("{location} is closed to this subscription"), OPEN)
    } else {
        return Finding::ok(SUBJECT, format!("{location} is open to this subscription"));
    };
    Finding::will_fail(
        SUBJECT,
        format!("{why}; ask for access in the portal, or choose one of these regions"),
        vec![format!(
            "az cosmosdb locations list --query \"[?properties.{open}].name\" --output tsv"
        )],
    )
}

const OPEN: &str = "isSubscriptionRegionAccessAllowedForRegular";
const OPEN_ZONES: &str = "isSubscriptionRegionAccessAllowedForAz";

#[derive(Deserialize)]
struct Skus {
    value: Vec<Sku>,
}

#[derive(Deserialize)]
struct Sku {
    name: String,
    kind: Option<String>,
    locations: Vec<String>,
    /// What keeps this subscription from having it.
    restrictions: Option<Vec<serde_json::Value>>,
}

pub(super) async fn storage(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "storage redundancy";
    let Some(location) = &context.location else {
        return Finding::unknown(SUBJECT, NO_REGION);
    };
    let wanted = &*context.wanted.storage_sku;
    let url = context.below_subscription("Microsoft.Storage/skus?api-version=2024-01-01");
    let skus: Skus = match ask(context.az, &["rest", "--method", "get", "--url", &url]).await {
        Ok(skus) => skus,
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let offered = skus.value.iter().any(|sku| {
        sku.name == wanted
            && sku.kind.as_deref() == Some("StorageV2")
            && sku.restrictions.as_ref().is_none_or(Vec::is_empty)
            && sku.locations.iter().any(|place| normal(place) == *location)
    });
    if offered {
        return Finding::ok(SUBJECT, format!("{location} offers {wanted}"));
    }
    Finding::will_fail(
        SUBJECT,
        format!("{location} does not offer {wanted}; choose one of these regions"),
        vec![format!(
            "az rest --method get --url '{url}' --query \"value[?name=='{wanted}' && kind=='StorageV2'].locations[]\" --output tsv"
        )],
    )
}
