//! The whole system on one machine, for development and tests only.
//!
//! | module | what it is |
//! |---|---|
//! | [`hub`] | a partitioned log that takes events as Event Hubs does |
//! | [`host`] | the Functions host, as a custom handler sees it |
//! | [`azurite`] | Blob and Queue storage |
//! | [`cosmos`] | the Cosmos DB emulator behind a socket, with faults on request |
//! | [`stage`] | lays out the folder that `func` runs and publishes |
//! | [`child`] | starts processes and makes sure that they end |

pub mod azurite;
pub mod child;
pub mod cosmos;
pub mod host;
pub mod hub;
pub mod stage;
