//! Looks for drones in flight that have fallen silent, and keeps their alerts.
//!
//! One look costs two queries, however many drones there are: the silent ones among the drones, and the
//! unfinished episodes among the alerts. Then, for each drone that needs it:
//! 1. the episode is written, together with what of it has not been told;
//! 2. the messages are put on the queue;
//! 3. the episode is written again, with nothing left to tell.
//!
//! A crash after 1 is made up for by the next look; a crash after 2 repeats messages under their ids. Two
//! looks at a time do no harm: every write is conditional, and who comes second leaves it.
//!
//! What is compared with the last event that has been *applied* is the time that UpdateDroneState has come
//! to in its slowest partition, as the [backlog](super::backlog) tells: where it is behind, drones are not
//! silent that only wait in the hub.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use time::{Duration, UtcDateTime};
use tokio::sync::OnceCell;
use tracing::info;

use super::backlog::Backlog;
use super::{PutError, StoreError, Version};
use crate::domain::alerts::rules::telemetry_lost;
use crate::domain::alerts::silence::Episode;
use crate::domain::alerts::{Kind, Rules, Transition};
use crate::domain::{DeviceId, DroneState};

/// How many episodes are worked on at once. After an outage of the hub all drones look silent.
const CONCURRENT_EPISODES: usize = 16;

/// The drones, as this sees them.
#[async_trait]
pub trait SilentDrones: Send + Sync + 'static {
    /// Reads every drone in flight that was last heard of before `before`; those of the same second may
    /// be left out. One query.
    async fn silent(&self, before: UtcDateTime) -> Result<Vec<DroneState>, StoreError>;

    /// When a drone was last heard of; `None` where it was never written, or is gone.
    async fn last_seen_at(&self, drone: &DeviceId) -> Result<Option<UtcDateTime>, StoreError>;
}

/// An episode as it was read, with the version to name when replacing it.
#[derive(Debug, Clone)]
pub struct VersionedEpisode {
    /// The episode.
    pub episode: Episode,
    /// Its version in the store.
    pub version: Version,
}

/// Alerts that remember what of them has not been told.
///
/// Contract, held by one test suite for every implementation:
/// - an episode that was put is what [`unfinished`](Self::unfinished) returns, field by field, for as
///   long as it is open or has something to tell;
/// - two writers that read the same version cannot both write, and only one can create: the second gets
///   [`PutError::Stale`];
/// - after [`PutError::Store`] the write may or may not have happened.
#[async_trait]
pub trait EpisodeStore: Send + Sync + 'static {
    /// Reads every episode of a rule that is open, or has something to tell. One query.
    async fn unfinished(&self, rule: &str) -> Result<Vec<VersionedEpisode>, StoreError>;

    /// Writes an episode if it is still at `expected`; `None` means that it must not exist yet.
    async fn put(&self, episode: &Episode, expected: Option<&Version>)
    -> Result<Version, PutError>;
}

/// A queue for messages.
///
/// Contract: Ok means that the message is in the queue. After an error it may be there or not.
#[async_trait]
pub trait MessageQueue: Send + Sync + 'static {
    /// Puts a message at the end; at most 48 KiB.
    async fn send(&self, message: &str) -> Result<(), StoreError>;
}

/// What one look found and told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Drones in flight that are silent.
    pub silent: usize,
    /// Alerts raised.
    pub raised: usize,
    /// Alerts told again.
    pub reminded: usize,
    /// Alerts cleared.
    pub cleared: usize,
}

/// See the [module](self).
pub struct SilenceWatch {
    rules: Arc<Rules>,
    drones: Arc<dyn SilentDrones>,
    episodes: Arc<dyn EpisodeStore>,
    queue: Arc<dyn MessageQueue>,
    backlog: Arc<Backlog>,
}

/// How many messages of each kind were sent.
#[derive(Default)]
struct Sent {
    raised: AtomicUsize,
    reminded: AtomicUsize,
    cleared: AtomicUsize,
}

impl Sent {
    fn count(&self, sent: &Transition) {
        let counter = match sent.kind {
            Kind::Raised => &self.raised,
            Kind::Reminded => &self.reminded,
            Kind::Cleared => &self.cleared,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl SilenceWatch {
    /// Nothing is read until the first look.
    pub fn new(
        rules: Arc<Rules>,
        drones: Arc<dyn SilentDrones>,
        episodes: Arc<dyn EpisodeStore>,
        queue: Arc<dyn MessageQueue>,
        backlog: Arc<Backlog>,
    ) -> Self {
        Self {
            rules,
            drones,
            episodes,
            queue,
            backlog,
        }
    }

    /// Looks once.
    ///
    /// After an error some alerts are dealt with and some are not; the next look does the rest. The first
    /// error ends the work, but episodes that have been begun are gone on with.
    ///
    /// # Errors
    /// The first thing that a store said.
    pub async fn look(&self, now: UtcDateTime) -> Result<Found, StoreError> {
        // Episodes first: a drone that is heard of in between is then found to be back, or left for the
        // next look, and never thought silent by an episode read later.
        let known = self.episodes.unfinished(telemetry_lost::NAME).await?;
        let silent = self.silent(now).await?;
        let ids: HashSet<&str> = known
            .iter()
            .map(|known| known.episode.alert.id.as_str())
            .collect();
        let begun: Vec<Episode> = match self.rules.get(telemetry_lost::NAME) {
            None => Vec::new(),
            Some(rule) => silent
                .values()
                .filter_map(|drone| Episode::raise(rule, drone, now))
                .filter(|episode| !ids.contains(episode.alert.id.as_str()))
                .collect(),
        };

        let sent = Sent::default();
        let failed = AtomicBool::new(false);
        let first_error = OnceCell::new();
        let begun = begun.into_iter().map(|episode| (episode, None));
        let known = known
            .into_iter()
            .map(|known| (known.episode, Some(known.version)));
        stream::iter(known.chain(begun))
            .for_each_concurrent(CONCURRENT_EPISODES, |(episode, version)| async {
                if failed.load(Ordering::Relaxed) {
                    return;
                }
                let drone = silent.get(&episode.alert.device_id);
                if let Err(error) = self.go_on(episode, version, drone, now, &sent).await {
                    failed.store(true, Ordering::Relaxed);
                    // Later errors are most likely the same trouble.
                    _ = first_error.set(error);
                }
            })
            .await;
        match first_error.into_inner() {
            Some(error) => Err(error),
            None => Ok(Found {
                silent: silent.len(),
                raised: sent.raised.into_inner(),
                reminded: sent.reminded.into_inner(),
                cleared: sent.cleared.into_inner(),
            }),
        }
    }

    async fn silent(&self, now: UtcDateTime) -> Result<HashMap<DeviceId, DroneState>, StoreError> {
        let Some(rule) = self.rules.get(telemetry_lost::NAME) else {
            return Ok(HashMap::new());
        };
        let limit = Duration::seconds_f64(rule.limit.raise());
        let reached = self.backlog.reached(now).await?;
        if reached < now {
            info!(
                backlog.behind_ms = i64::try_from((now - reached).whole_milliseconds()).ok(),
                "UpdateDroneState is behind: drones are silent that were so before"
            );
        }
        let silent = self.drones.silent(reached.saturating_sub(limit)).await?;
        Ok(silent
            .into_iter()
            .map(|drone| (drone.device_id.clone(), drone))
            .collect())
    }

    /// Brings one episode up to date. `drone` is its drone, where that is silent.
    async fn go_on(
        &self,
        mut episode: Episode,
        mut version: Option<Version>,
        drone: Option<&DroneState>,
        now: UtcDateTime,
        sent: &Sent,
    ) -> Result<(), StoreError> {
        let is_new = version.is_none();
        let changed = is_new || self.change(&mut episode, drone, now).await?;
        if changed {
            match self.episodes.put(&episode, version.as_ref()).await {
                Ok(written) => version = Some(written),
                // Somebody else looks too, and goes on with it.
                Err(PutError::Stale) => return Ok(()),
                Err(PutError::Store(error)) => return Err(error),
            }
        }
        if episode.untold.is_none() {
            return Ok(());
        }
        for message in episode.messages() {
            self.queue.send(&message.message()).await?;
            sent.count(&message);
        }
        episode.untold = None;
        match self.episodes.put(&episode, version.as_ref()).await {
            Ok(_) | Err(PutError::Stale) => Ok(()),
            Err(PutError::Store(error)) => Err(error),
        }
    }

    /// Whether the episode has changed since the last look.
    async fn change(
        &self,
        episode: &mut Episode,
        drone: Option<&DroneState>,
        now: UtcDateTime,
    ) -> Result<bool, StoreError> {
        let alert = &episode.alert;
        if !alert.is_open() {
            return Ok(false);
        }
        let last_seen_at = match drone {
            Some(drone) => Some(drone.last_seen_at),
            None => self.drones.last_seen_at(&alert.device_id).await?,
        };
        Ok(match (last_seen_at, self.rules.reminder) {
            // Perhaps silent again already, which is another episode.
            (Some(at), _) if at > alert.raised_at => episode.clear(at, now),
            (Some(_), Some(every)) => episode.remind(every, now),
            // Nobody waits for a drone that is no longer there.
            _ => false,
        })
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
