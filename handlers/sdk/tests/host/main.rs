//! The crate seen from the Functions host, on payloads as the host writes them
//! (`tests/fixtures/host` of the repository).
//!
//! One binary, because linking each file by itself takes longer than running all of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod app;
#[cfg(feature = "telemetry")]
mod collector;
mod event_hub;
mod process;
mod recorded;
mod support;
#[cfg(feature = "telemetry")]
mod telemetry;
mod triggers;
