//! Alerts: rules over telemetry, and the episodes that they find.
//!
//! An alert is an episode: it is raised once, told again now and then while it goes on, and cleared
//! with hysteresis. Everything here is pure: [`PartitionAlerts`] takes events and returns what is to be
//! told, and the same events give the same, whatever the batches and however often they come.
//!
//! | module | what it is |
//! |---|---|
//! | [`rules`] | the rules, one file each |
//! | [`rule`] | what a rule is: a measure, a [`Limit`] with hysteresis, a [`Severity`] |
//! | [`register`] | one rule on one drone: open or not, and what changes |
//! | [`window`] | the tumbling windows of the average temperature |
//! | [`drone`], [`partition`] | all rules on one drone; all drones of one partition, and its time |
//! | [`silence`], [`reminder`] | what happens without an event: a drone falls silent; an alert is told again |
//! | [`alert`] | [`Alert`] and [`Transition`] |
//! | [`document`], [`cloud_event`], [`snapshot`] | the forms in which they are stored, sent and kept |
//! | [`geofence`] | the polygon of `geofence-breached` |
//! | [`settings`] | the thresholds that an operator may change |
//!
//! **What depends on the order of events.** Of one drone, `engine-overheating` gives the same alerts in
//! any order, as long as no event comes later than newer ones by more than the allowed lateness, 60 s;
//! what is later is left out of its window. The other rules judge each reading as it comes, because
//! waiting for late ones would delay every alert. For them, in any order: whether an alert is open
//! in the end is the same, each reading that breaks a limit belongs to an alert that was raised, and
//! no alert is raised without one. How a run of such readings is cut into alerts, and which reading
//! names an alert, follows the order in which they came.

pub mod alert;
pub mod cloud_event;
pub mod document;
pub mod drone;
pub mod geofence;
pub mod moment;
pub mod partition;
pub mod register;
pub mod reminder;
pub mod rule;
pub mod rules;
pub mod settings;
pub mod silence;
pub mod snapshot;
mod snapshot_v1;
pub mod window;

#[cfg(test)]
mod flood;
#[cfg(test)]
mod partition_time;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod scripted_silence;

pub use alert::{Alert, Cleared, ClosedBecause, Kind, Reminded, Sighting, Transition};
pub use document::AlertDocument;
pub use partition::{Noticed, PartitionAlerts};
pub use rule::{Judgement, Limit, Observation, Rule, Rules, Severity};
pub use settings::{AlertSettings, SettingError};
pub use snapshot::SnapshotError;
