//! The resource providers, which a subscription has to be registered for.
//!
//! A deployment registers those of its own resources itself, where whoever deploys may do so in the whole subscription; with
//! rights in the group alone it fails. `Microsoft.App` has no resource in the template, and is never registered by itself.

use serde::Deserialize;

use crate::preflight::az::ask;
use crate::preflight::context::Context;
use crate::preflight::finding::Finding;
use crate::preflight::parameters::Wanted;

/// A provider, and when it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// Its namespace.
    pub namespace: &'static str,
    needed: fn(&Wanted) -> bool,
}

const fn always(namespace: &'static str) -> Provider {
    let needed = |_: &Wanted| true;
    Provider { namespace, needed }
}

/// All that infra/ has resources of, but `Microsoft.Authorization`, which every subscription has.
pub const PROVIDERS: [Provider; 11] = [
    always("Microsoft.DocumentDB"),
    always("Microsoft.EventHub"),
    always("Microsoft.Insights"),
    always("Microsoft.ManagedIdentity"),
    always("Microsoft.OperationalInsights"),
    always("Microsoft.Storage"),
    always("Microsoft.Web"),
    Provider {
        namespace: "Microsoft.Devices",
        needed: |wanted| wanted.iot_hub,
    },
    Provider {
        namespace: "Microsoft.Network",
        needed: |wanted| wanted.private_networking,
    },
    // The app's subnet is given over to it.
    Provider {
        namespace: "Microsoft.App",
        needed: |wanted| wanted.private_networking,
    },
    Provider {
        namespace: "Microsoft.Consumption",
        needed: |wanted| wanted.budget,
    },
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    namespace: String,
    registration_state: String,
}

pub(super) async fn registered(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "resource providers";
    // Of each provider all resource types would come as well, some megabytes.
    let fields = "[].{namespace:namespace,registrationState:registrationState}";
    let known: Vec<Registration> =
        match ask(context.az, &["provider", "list", "--query", fields]).await {
            Ok(known) => known,
            Err(error) => return Finding::not_answered(SUBJECT, &error),
        };
    let is_registered = |provider: &Provider| {
        known.iter().any(|one| {
            one.namespace.eq_ignore_ascii_case(provider.namespace)
                && one.registration_state == "Registered"
        })
    };
    let needed: Vec<&Provider> = PROVIDERS
        .iter()
        .filter(|provider| (provider.needed)(context.wanted))
        .collect();
    let missing: Vec<&str> = needed
        .iter()
        .filter(|provider| !is_registered(provider))
        .map(|provider| provider.namespace)
        .collect();
    if missing.is_empty() {
        return Finding::ok(SUBJECT, format!("all {} are registered", needed.len()));
    }
    let mend = missing
        .iter()
        .map(|namespace| format!("az provider register --namespace {namespace} --wait"))
        .collect();
    Finding::will_fail(
        SUBJECT,
        format!("not registered: {}", missing.join(", ")),
        mend,
    )
}
