//! The whole system on one machine, for development and tests only.
//!
//! | module | what it is |
//! |---|---|
//! | [`system`] | everything below put together around one handler |
//! | [`hub`] | a partitioned log that takes events as Event Hubs does |
//! | [`host`] | the Functions host, as a custom handler sees it |
//! | [`azurite`] | Blob and Queue storage, with faults on request |
//! | [`cosmos`] | the Cosmos DB emulator behind a socket, with faults on request |
//! | [`fault`] | what may go wrong with them |
//! | [`prepare`] | makes containers and queues in emulators that somebody else runs |
//! | [`browser`] | headless Chromium, to look at the map |
//! | [`npm`] | installs what runs on Node: Azurite, and what drives the browser |
//! | [`archive`] | `cargo local archive`: hours of telemetry in a directory, in no time |
//! | [`build`], [`stage`] | compiles the handler; lays out the folder that `func` runs and publishes |
//! | [`summarize`] | `cargo local summarize`: makes the insights' tables of an archive |
//! | [`insights`] | `cargo local insights`: what the fleet did, and the tables for whoever wants to ask them |
//! | [`replay`] | `cargo local replay`: sends dead letters and archived events again, here or in Azure |
//! | [`services`], [`func`] | the hub and the stores without a host, and the real host on them |
//! | [`running`] | how another program finds the system that runs |
//! | [`app`] | function apps other than this repository's, run and laid out |
//! | [`up`], [`report`] | `cargo local up`, and the count of what became of every event |
//! | [`otlp`] | what the handler says of itself, taken in, shown as "What happens", and held against what was counted |
//! | [`load`] | `cargo local load`: the same under load, measured |
//! | [`chaos`] | `cargo local chaos`: the same under faults of every kind, held against what was sent |
//! | [`skip`] | `cargo local skip`: moves a checkpoint past an event that no host can bind |
//! | [`preflight`] | `cargo local preflight`: what of a deployment to Azure will fail |
//! | [`queries`] | `cargo local queries`: what asking for the fleet takes |
//! | [`child`] | starts processes and makes sure that they end |

pub mod app;
pub mod archive;
pub mod azurite;
pub mod browser;
pub mod build;
pub mod chaos;
pub mod child;
pub mod cosmos;
pub mod fault;
pub mod func;
pub mod host;
pub mod hub;
pub mod insights;
pub mod letters;
pub mod load;
pub mod npm;
pub mod otlp;
pub mod preflight;
pub mod prepare;
pub mod queries;
pub mod replay;
pub mod report;
pub mod running;
mod server;
pub mod services;
pub mod skip;
pub mod stage;
pub mod summarize;
pub mod system;
pub mod up;
