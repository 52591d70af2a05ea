//! What the functions do, between the [`domain`](crate::domain), which knows no network, and the
//! [`stores`](crate::stores), which know no rules.
//!
//! | module | what it does |
//! |---|---|
//! | [`alerting`] | holds batches against the rules, and keeps what the rules know and the alerts they find |
//! | [`dead_letters`] | puts aside what can never be applied |
//! | [`insights`] | makes tables of what the fleet did from the archive |
//! | [`latest_state`] | merges a batch's changes into the drones' latest states |
//! | [`shared_reads`] | lets readers who accept an answer of some age share it |
//! | [`watermarks`] | lets the time of quiet partitions go on |

pub mod alerting;
pub mod dead_letters;
pub mod insights;
pub mod latest_state;
pub mod shared_reads;
pub mod watermarks;
