//! Drone telemetry on Azure Functions: one custom handler, one function a job.
//!
//! ```text
//! Event Hubs ─┬─ drone-state ───────> UpdateDroneState ─> Cosmos DB `drones`
//!             │                                        └> queue `telemetry-dead-letters`
//!             ├─ telemetry-archive ─> ArchiveTelemetry ─> Blob storage `telemetry-archive`
//!             └─ drone-alerts ──────> RaiseAlerts ──────> Cosmos DB `alerts`, Blob storage `alert-state`
//!                                                      └> queue `drone-alerts`
//! timer ── AdvanceWatermarks: a tick into each partition where something is due and no event comes
//! queue ── NotifyAlert: `drone-alerts` ─────────────> webhook
//! timer ── SummarizeDeliveries ─> queue `insight-units` ─> SummarizeHour: `telemetry-archive` ─> `delivery-insights`
//! HTTP ── GetDrone · ListDrones · GetDelivery · ListAlerts · GetInsights · FleetMap · FleetInsights · OpenApi · Health
//! ```
//!
//! | where | what |
//! |---|---|
//! | [`functions`] | one folder a function: the handler beside its `function.json` |
//! | [`domain`] | telemetry, drone state, dead letters, alerts: pure, without clock or network |
//! | [`http`] | what the HTTP functions share: access, parameters, forms, ETags |
//! | [`capture`] | the archive's file format |
//! | [`services`] | what they do: merge batches into the latest states, hold them against the rules |
//! | [`stores`] | Cosmos DB, Blob and Queue storage behind narrow traits |
//! | [`tables`] | the insights' tables as Parquet files |
//! | [`telemetry`] | what this app counts and measures of itself |
//! | [`tls`] | who does the cryptography of TLS |
//! | [`webhook`] | posts alerts as CloudEvents |
//! | [`settings`], [`error`] | app settings; who is told what when something fails |
//!
//! How the Functions host talks to this process is the business of [`azure_functions_sdk`].
//!
//! # Words
//!
//! | word | what is meant |
//! |---|---|
//! | event | what a drone sends and the hub keeps: a report with a partition, a sequence number and the time it was enqueued |
//! | batch | events of one partition that the host hands to a function in one call |
//! | checkpoint | how far a consumer group has come in a partition; the host moves it after a call that succeeded |
//! | dead letter | an event that can never be applied, put aside with the reason |
//! | transient | an error that trying again may mend: it fails the call, and the host brings the batch again |
//! | bucket | one of 64 groups of drones, the partition key of `drones`: drones of a bucket are written together |
//! | watermark | how far a partition's time has come: when its newest event was enqueued |
//! | deadline | a time of the partition at which something happens without an event: a silence, a window's end, a reminder |
//! | tick | an event that says nothing but that time passes, sent into a partition where a deadline waits and nothing else comes |
//! | episode | an alert from raised to cleared; its id is made of rule, drone and first event |
//! | snapshot | what RaiseAlerts knows of a partition: rules' windows, open alerts, outbox; a blob for each partition |
//! | outbox | messages of the last batch, kept in the snapshot until the next: a call that is repeated tells the same |
//! | fence | the snapshot's ETag: of two instances that work on one partition, one saves, and the other begins anew |
//! | mark | the snapshot blob's metadata: next deadline and watermark, read for all partitions by one list call |

#![forbid(unsafe_code)]

// By which `tests/memory_stores.rs` names this crate, here as elsewhere.
#[cfg(test)]
extern crate self as drone_delivery;

#[cfg(test)]
#[path = "../tests/memory_stores.rs"]
mod memory_stores;

pub mod capture;
pub mod domain;
pub mod error;
pub mod functions;
pub mod http;
pub mod services;
pub mod settings;
pub mod stores;
pub mod tables;
pub mod telemetry;
pub mod tls;
pub mod webhook;

use azure_functions_sdk::FunctionDefinition;

/// The snippets of its walks compile and do what is said of them.
#[cfg(doctest)]
#[doc = include_str!("CONTRIBUTING.md")]
struct Contributing;

/// Every function of this app, once: routes are made from it, staging and tests read it.
pub const FUNCTIONS: &[FunctionDefinition] = &[
    functions::update_drone_state::FUNCTION,
    functions::archive_telemetry::FUNCTION,
    functions::raise_alerts::FUNCTION,
    functions::advance_watermarks::FUNCTION,
    functions::notify_alert::FUNCTION,
    functions::summarize_deliveries::FUNCTION,
    functions::summarize_hour::FUNCTION,
    functions::get_drone::FUNCTION,
    functions::list_drones::FUNCTION,
    functions::get_delivery::FUNCTION,
    functions::list_alerts::FUNCTION,
    functions::get_insights::FUNCTION,
    functions::fleet_map::FUNCTION,
    functions::fleet_insights::FUNCTION,
    functions::open_api::FUNCTION,
    functions::health::FUNCTION,
];

/// The `host.json` that this build was made with; app settings may override parts of it.
pub const HOST_JSON: &str = include_str!("../host.json");
