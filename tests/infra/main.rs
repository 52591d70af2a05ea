//! What is deployed, held against what the code and the functions' files ask for.
//!
//! Nothing here needs Azure: Bicep, workflows and queries are read as files.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs
)]

mod access;
mod alert_cases;
mod alert_rules;
mod bicep;
mod bindings;
mod costs;
mod demands;
mod expression;
mod flex;
mod format;
mod hardening;
mod insight_cases;
mod insights;
mod kql;
mod limits;
mod load;
mod loss_cases;
mod pages;
mod parameters;
mod provided;
mod queries;
mod rows;
mod secrets;
mod sizes;
mod sources;
mod supply_chain;
mod telemetry;
mod workbook;
mod workflows;
