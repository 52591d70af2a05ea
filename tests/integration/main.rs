//! The system from outside: the real handler process under the local host, with real Azurite and the
//! Cosmos emulator.
//!
//! One binary for all of it, so that Azurite is started once; each test has its own storage account,
//! Cosmos DB, hub and handler on free ports, and they run in parallel.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs
)]

mod alerts;
mod browser;
mod chaos;
mod contract;
mod delivery;
mod examples;
mod faults;
mod hostile;
mod insights;
mod latest_state;
mod listing;
mod malformed;
mod map;
mod memory;
#[path = "../memory_stores.rs"]
#[allow(dead_code, reason = "unit tests need more of it")]
mod memory_stores;
mod monitoring;
mod notify;
mod open_api;
mod package;
mod parameters;
mod reads;
mod replay;
mod replay_archive;
mod second_implementation;
mod summaries;
mod support;
mod telemetry;
mod watermarks;
