//! What this app counts and measures of itself, by OpenTelemetry.
//!
//! The spans and metrics of calls are the business of [`azure_functions_sdk::telemetry`], which also says where they go. Here is
//! what only this app knows; `handlers/TELEMETRY.md` has the whole list for those who read it.
//!
//! | module | what it is |
//! |---|---|
//! | [`counts`] | events by outcome, dead letters by reason, alerts, webhook posts, insight units |
//! | [`exchange`] | requests over HTTP to storage, to the hub and to the webhook |
//! | [`identity`] | the tokens that Application Insights wants |
//!
//! What Cosmos DB is asked is measured where it is asked, in [`stores::cosmos`](crate::stores::cosmos). No attribute is a
//! device id, a name of a blob or anything else that grows without bound.

pub mod counts;
pub mod exchange;
pub mod identity;

use opentelemetry::global;
use opentelemetry::metrics::Meter;

/// What spans and metrics of this app are filed under.
pub(crate) const SCOPE: &str = "drone_delivery";

/// Of the provider that is in place: instruments are made at their first use, when the start has set one.
pub(crate) fn meter() -> Meter {
    global::meter(SCOPE)
}

/// Boundaries for the duration of a request to a service, in seconds: those of the semantic conventions.
pub(crate) const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
