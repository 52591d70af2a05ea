//! What the functions do, between the [`domain`](crate::domain), which knows no network, and the
//! [`stores`](crate::stores), which know no rules.
//!
//! | module | what it does |
//! |---|---|
//! | [`latest_state`] | merges a batch's changes into the drones' latest states |
//! | [`shared_reads`] | lets readers who accept an answer of some age share it |
//! | [`watermarks`] | moves the time of partitions that are quiet |

pub mod latest_state;
pub mod shared_reads;
pub mod watermarks;
