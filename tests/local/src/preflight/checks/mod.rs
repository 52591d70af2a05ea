//! The checks, in the order in which somebody would mend what they find.

mod account;
mod name;
mod provider;
mod quota;
mod region;
mod role;
mod sign_in;
mod tools;

pub use provider::{PROVIDERS, Provider};
pub use tools::{OLDEST_AZ, OLDEST_BICEP};

use std::pin::Pin;

use super::context::Context;
use super::finding::Finding;

/// A check that is on its way.
pub type Check<'a> = Pin<Box<dyn Future<Output = Finding> + 'a>>;

/// All that the deployment asks for.
pub fn all<'a>(context: &'a Context<'a>) -> Vec<Check<'a>> {
    let wanted = context.wanted;
    let mut checks: Vec<Check<'a>> = vec![
        Box::pin(tools::az(context)),
        Box::pin(tools::bicep(context)),
        Box::pin(std::future::ready(account::subscription(context))),
        Box::pin(std::future::ready(account::group(context))),
        Box::pin(provider::registered(context)),
        Box::pin(role::held(context)),
        Box::pin(region::flex_consumption(context)),
        Box::pin(region::cosmos(context)),
    ];
    if wanted.zone_redundant {
        checks.push(Box::pin(region::zones(context)));
    }
    if wanted.storage_sku != "Standard_LRS" {
        checks.push(Box::pin(region::storage(context)));
    }
    checks.push(Box::pin(name::storage(context)));
    checks.push(Box::pin(name::cosmos(context)));
    checks.push(Box::pin(name::event_hubs(context)));
    if wanted.iot_hub {
        checks.push(Box::pin(name::iot_hub(context)));
    }
    checks.push(Box::pin(name::app(context)));
    checks.push(Box::pin(quota::storage_accounts(context)));
    if wanted.iot_hub {
        checks.push(Box::pin(quota::iot_hubs(context)));
    }
    checks.push(Box::pin(std::future::ready(quota::cores(context))));
    if let Some(client) = &wanted.sign_in_client {
        checks.push(Box::pin(sign_in::registration(context, client)));
    }
    checks
}
