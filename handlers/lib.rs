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
//! HTTP ── GetDrone · ListDrones · GetDelivery · ListAlerts · FleetMap · OpenApi · Health
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
//! | [`webhook`] | posts alerts as CloudEvents |
//! | [`settings`], [`error`] | app settings; who is told what when something fails |
//!
//! How the Functions host talks to this process is the business of [`azure_functions_sdk`].

#![forbid(unsafe_code)]

pub mod capture;
pub mod domain;
pub mod error;
pub mod functions;
pub mod http;
pub mod services;
pub mod settings;
pub mod stores;
pub mod webhook;

use azure_functions_sdk::FunctionDefinition;

/// Every function of this app, once: routes are made from it, staging and tests read it.
pub const FUNCTIONS: &[FunctionDefinition] = &[
    functions::update_drone_state::FUNCTION,
    functions::archive_telemetry::FUNCTION,
    functions::raise_alerts::FUNCTION,
    functions::advance_watermarks::FUNCTION,
    functions::notify_alert::FUNCTION,
    functions::get_drone::FUNCTION,
    functions::list_drones::FUNCTION,
    functions::get_delivery::FUNCTION,
    functions::list_alerts::FUNCTION,
    functions::fleet_map::FUNCTION,
    functions::open_api::FUNCTION,
    functions::health::FUNCTION,
];

/// The `host.json` that this build was made with; app settings may override parts of it.
pub const HOST_JSON: &str = include_str!("../host.json");
