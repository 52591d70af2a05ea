//! Keeps what the rules know in step with the events, and the alerts with what the rules say.
//!
//! What the rules know, and what happens when a drone falls silent, is in [`domain::alerts`](crate::domain::alerts).
//!
//! For each batch, in this order:
//! 1. the events go through [`PartitionAlerts`], which were loaded from their snapshot when this instance
//!    took the partition;
//! 2. the snapshot is saved, if nobody else has saved one meanwhile. That is the fence: whoever was
//!    overtaken loads again, before anything of what it thought gets out;
//! 3. the alerts are recorded, and then the host is given the messages.
//!
//! A crash between any two of these repeats the batch, and the snapshot's outbox repeats what it told.
//! A fleet without anomalies costs one small blob a batch and no write to Cosmos DB.
//!
//! Where a snapshot is missing or cannot be read, the partition begins with the alerts of it that are open in the store:
//! they are cleared, told again and closed as if nothing had happened.
//!
//! What is remembered of all partitions together has a bound. It costs nothing to forget: whatever is not in
//! memory is in its snapshot, and is loaded again with the partition's next batch.

mod cache;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use time::UtcDateTime;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tracing::{error, info};

use self::cache::BoundedCache;
use crate::domain::ReceivedEvent;
use crate::domain::alerts::{Alert, Noticed, PartitionAlerts, Rules, Transition};
use crate::stores::alerts::{AlertStore, Mark, SnapshotStore, snapshot_name};
use crate::stores::{PutError, StoreError, Version};
use crate::telemetry::counts;

/// How many alerts are recorded at once, over all calls.
const CONCURRENT_WRITES: usize = 16;

/// How often a batch is taken again after somebody else saved first.
const STALE_ROUNDS: usize = 5;

/// How many drones are kept in memory over all partitions: five times the design's fleet, of about 1 KiB each.
/// There are more after a flood of device ids, or where partitions have come and gone between instances.
const MOST_DRONES: usize = 50_000;

/// The rules, and what they know of the partitions that this instance has. Calls of one partition take turns,
/// as the host makes them; partitions do not wait for each other.
pub struct Alerting {
    rules: Arc<Rules>,
    snapshots: Arc<dyn SnapshotStore>,
    alerts: Arc<dyn AlertStore>,
    writes: Semaphore,
    partitions: BoundedCache<Known>,
}

struct Known {
    alerts: PartitionAlerts,
    version: Option<Version>,
}

/// What a batch tells. The partition's next batch waits until this is dropped.
#[must_use]
pub struct Observed<'a> {
    alerting: &'a Alerting,
    partition: String,
    transitions: Vec<Transition>,
    noticed: Noticed,
    _turn: OwnedMutexGuard<Option<Known>>,
}

impl Observed<'_> {
    /// What is wrong with events that were judged all the same, but for those that were taken before.
    pub fn noticed(&self) -> Noticed {
        self.noticed
    }

    /// Records every alert, and returns what has to be told.
    ///
    /// # Errors
    /// What the store says. Take the batch again.
    pub async fn record(self) -> Result<Vec<Transition>, StoreError> {
        self.alerting
            .record(&self.partition, &self.transitions)
            .await?;
        Ok(self.transitions)
    }
}

impl Alerting {
    /// Nothing is loaded until the first batch of a partition.
    pub fn new(
        rules: impl Into<Arc<Rules>>,
        snapshots: Arc<dyn SnapshotStore>,
        alerts: Arc<dyn AlertStore>,
    ) -> Self {
        Self {
            rules: rules.into(),
            snapshots,
            alerts,
            writes: Semaphore::new(CONCURRENT_WRITES),
            partitions: BoundedCache::new(MOST_DRONES),
        }
    }

    /// Takes a batch, in the hub's order, and saves the snapshot. The events can be let go then; what
    /// they tell must be [recorded](Observed::record) before anybody is told.
    ///
    /// # Errors
    /// What a store says. Take the batch again.
    pub async fn take<'a>(
        &self,
        hub: &str,
        partition_id: &str,
        events: impl Iterator<Item = ReceivedEvent<'a>> + Clone,
    ) -> Result<Observed<'_>, StoreError> {
        let partition = format!("{hub}/{partition_id}");
        let slot = self.partitions.slot(&partition);
        let mut known = Arc::clone(&slot.value).lock_owned().await;
        let snapshot = snapshot_name(hub, partition_id);
        let transitions = self
            .evaluate(&partition, partition_id, &snapshot, &mut known, events)
            .await;
        let mut noticed = Noticed::default();
        let mut drones = 0;
        if let Some(known) = &mut *known {
            noticed = known.alerts.noticed();
            drones = known.alerts.drones();
        }
        self.partitions.weigh(&slot, drones);
        Ok(Observed {
            alerting: self,
            partition,
            transitions: transitions?,
            noticed,
            _turn: known,
        })
    }

    async fn evaluate<'a>(
        &self,
        partition: &str,
        partition_id: &str,
        snapshot: &str,
        known: &mut Option<Known>,
        events: impl Iterator<Item = ReceivedEvent<'a>> + Clone,
    ) -> Result<Vec<Transition>, StoreError> {
        const OPERATION: &str = "save the alerts' snapshot";
        let Some(first) = events.clone().next() else {
            return Ok(Vec::new());
        };
        for _ in 0..STALE_ROUNDS {
            // Taken out, and put back only once it is saved: what is not in the store must not be built on.
            let Known {
                mut alerts,
                version,
            } = match known.take() {
                Some(known) => known,
                None => self.load(partition, snapshot, first.enqueued_at).await?,
            };
            let transitions = alerts.observe(&self.rules, events.clone());
            let body = alerts.encode(&self.rules).map_err(|error| StoreError {
                operation: OPERATION,
                message: error.to_string(),
                transient: false,
            })?;
            let (open, size) = (alerts.open_alerts(), body.len());
            let mark = Mark {
                watermark: alerts.watermark().unwrap_or(first.enqueued_at),
                next_deadline: alerts.next_deadline(&self.rules),
            };
            let saved = self
                .snapshots
                .save(snapshot, Bytes::from(body), mark, version.as_ref())
                .await;
            match saved {
                Ok(version) => {
                    counts::partition(partition_id, open, size);
                    *known = Some(Known {
                        alerts,
                        version: Some(version),
                    });
                    return Ok(transitions);
                }
                Err(PutError::Stale) => {}
                Err(PutError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError {
            operation: OPERATION,
            message: format!("somebody else saved first, {STALE_ROUNDS} times in a row"),
            transient: true,
        })
    }

    /// Loads what is known of a partition whose next event was taken at `now`.
    async fn load(
        &self,
        partition: &str,
        snapshot: &str,
        now: UtcDateTime,
    ) -> Result<Known, StoreError> {
        let found = self.snapshots.load(snapshot).await?;
        let mut version = None;
        if let Some(snapshot) = found {
            version = Some(snapshot.version);
            match PartitionAlerts::decode(&snapshot.body, &self.rules) {
                Ok(alerts) => return Ok(Known { alerts, version }),
                // The call must not fail for this: it would fail for ever, and no alert would come any more.
                Err(error) => error!(
                    partition,
                    %error,
                    "the snapshot is of no use: the rules begin anew with the open alerts"
                ),
            }
        }
        let open = self.alerts.open_of(partition).await?;
        if !open.is_empty() {
            info!(
                partition,
                alerts.open = open.len(),
                "open alerts are taken up again"
            );
        }
        Ok(Known {
            alerts: PartitionAlerts::recovered(open, &self.rules, now),
            version,
        })
    }

    /// Records each alert as the batch left it.
    async fn record(&self, partition: &str, transitions: &[Transition]) -> Result<(), StoreError> {
        let mut latest: HashMap<&str, &Alert> = HashMap::new();
        for transition in transitions {
            latest.insert(&transition.alert.id, &transition.alert);
        }
        let writes: Vec<_> = latest
            .into_values()
            .map(|alert| async move {
                // The semaphore is never closed.
                let _permit = self.writes.acquire().await.ok();
                self.alerts.record(partition, alert).await
            })
            .collect();
        stream::iter(writes)
            .buffer_unordered(CONCURRENT_WRITES)
            .try_collect()
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use time::UtcDateTime;

    use super::*;
    use crate::domain::alerts::AlertSettings;
    use crate::memory_stores::{MemoryAlerts, MemorySnapshots};
    use crate::stores::alerts::AlertFilter;
    use crate::stores::fleet::Read;

    /// A [`MemoryAlerts`] that can be out of order.
    #[derive(Default)]
    struct Alerts {
        stored: MemoryAlerts,
        fails: AtomicBool,
    }

    #[async_trait]
    impl AlertStore for Alerts {
        async fn record(&self, partition: &str, alert: &Alert) -> Result<(), StoreError> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(StoreError {
                    operation: "write alert",
                    message: "out of order".to_owned(),
                    transient: true,
                });
            }
            self.stored.record(partition, alert).await
        }

        async fn open_of(&self, partition: &str) -> Result<Vec<Alert>, StoreError> {
            self.stored.open_of(partition).await
        }

        async fn list(
            &self,
            filter: &AlertFilter,
            limit: u16,
        ) -> Result<Read<Vec<Alert>>, StoreError> {
            self.stored.list(filter, limit).await
        }
    }

    #[derive(Default, Clone)]
    struct Stores {
        alerts: Arc<Alerts>,
        snapshots: Arc<MemorySnapshots>,
    }

    impl Stores {
        fn instance(&self) -> Alerting {
            Alerting::new(
                Rules::new(&AlertSettings::default()).unwrap(),
                Arc::clone(&self.snapshots) as _,
                Arc::clone(&self.alerts) as _,
            )
        }

        async fn stored(&self) -> Vec<(String, bool)> {
            let all = AlertFilter::default();
            let alerts = self.alerts.list(&all, 100).await.unwrap().value;
            let stored = alerts.into_iter().rev();
            stored
                .map(|alert| (alert.rule.to_string(), alert.is_open()))
                .collect()
        }
    }

    /// Readings of one drone, 20 s apart, numbered from `first`.
    fn bodies(first: i64, temperatures: &[f64]) -> Vec<(i64, String)> {
        let body = |(number, temperature): (i64, &f64)| {
            let (minute, second) = (number * 20 / 60, number * 20 % 60);
            let body = format!(
                r#"{{"deviceId":"drone-1","deliveryId":"d","sensorType":"drone-state-sensor;v1","occurrenceUtcTime":"2024-05-01T12:{minute:02}:{second:02}Z","temperature":{temperature},"batteryStatus":"high","batteryLevel":0.9}}"#
            );
            (number, body)
        };
        (first..).zip(temperatures).map(body).collect()
    }

    async fn take(
        instance: &Alerting,
        bodies: &[(i64, String)],
    ) -> Result<Vec<String>, StoreError> {
        take_of(instance, "0", bodies).await
    }

    async fn take_of(
        instance: &Alerting,
        partition: &str,
        bodies: &[(i64, String)],
    ) -> Result<Vec<String>, StoreError> {
        let events = bodies.iter().map(|(number, body)| ReceivedEvent {
            body: body.as_bytes(),
            sequence_number: *number,
            offset: "0",
            enqueued_at: UtcDateTime::from_unix_timestamp(1_714_564_800 + number * 20).unwrap(),
            first_enqueued_at: None,
            authenticated_device: None,
            marked_as_tick: false,
            partition_key: None,
        });
        let transitions = instance.take("telemetry", partition, events).await?;
        let transitions = transitions.record().await?;
        Ok(transitions.iter().map(Transition::message_id).collect())
    }

    const RAISED: &str = "engine-critical~drone-1~20240501T120020.000000000Z/raised";
    const CLEARED: &str = "engine-critical~drone-1~20240501T120020.000000000Z/cleared";

    #[tokio::test]
    async fn an_instance_that_takes_a_partition_over_goes_on_where_the_other_stopped() {
        let stores = Stores::default();
        let transitions = take(&stores.instance(), &bodies(0, &[60.0, 110.0])).await;
        assert_eq!(transitions.unwrap(), [RAISED]);
        let transitions = take(&stores.instance(), &bodies(2, &[110.0, 60.0])).await;
        assert_eq!(transitions.unwrap(), [CLEARED]);
        assert_eq!(
            stores.stored().await,
            [("engine-critical".to_owned(), false)]
        );
    }

    #[tokio::test]
    async fn an_instance_that_was_overtaken_lets_nothing_out_of_what_it_thought() {
        let stores = Stores::default();
        let (stale, other) = (stores.instance(), stores.instance());
        take(&stale, &bodies(0, &[60.0])).await.unwrap();
        // The other one raises, and what the first remembers is no longer so.
        assert_eq!(take(&other, &bodies(1, &[110.0])).await.unwrap(), [RAISED]);
        let transitions = take(&stale, &bodies(1, &[110.0, 112.0])).await.unwrap();
        assert_eq!(
            transitions,
            [RAISED],
            "the same alert, not one that begins with the second reading"
        );
        let transitions = take(&other, &bodies(2, &[112.0, 60.0])).await.unwrap();
        assert_eq!(transitions, [CLEARED]);
        assert_eq!(stores.stored().await.len(), 1);
    }

    #[tokio::test]
    async fn what_could_not_be_recorded_is_told_when_the_batch_comes_again() {
        let stores = Stores::default();
        let instance = stores.instance();
        stores.alerts.fails.store(true, Ordering::Relaxed);
        let batch = bodies(0, &[60.0, 110.0]);
        take(&instance, &batch).await.unwrap_err();
        assert!(stores.stored().await.is_empty());
        stores.alerts.fails.store(false, Ordering::Relaxed);
        assert_eq!(take(&instance, &batch).await.unwrap(), [RAISED]);
        assert_eq!(
            stores.stored().await,
            [("engine-critical".to_owned(), true)]
        );
    }

    #[tokio::test]
    async fn what_is_at_hand_is_bounded_over_all_partitions_and_nothing_is_lost_by_it() {
        let stores = Stores::default();
        let mut instance = stores.instance();
        instance.partitions = BoundedCache::new(25);
        // One drone too hot, and then device ids without end, in partition after partition.
        assert_eq!(
            take(&instance, &bodies(0, &[60.0, 110.0])).await.unwrap(),
            [RAISED]
        );
        for partition in 1..9 {
            let events: Vec<(i64, String)> = (0..10)
                .map(|number| {
                    let body = bodies(number, &[60.0]).remove(0).1;
                    (
                        number,
                        body.replace("drone-1", &format!("flood-{partition}-{number}")),
                    )
                })
                .collect();
            let transitions = take_of(&instance, &partition.to_string(), &events).await;
            assert_eq!(transitions.unwrap(), [""; 0]);
            let kept: usize = instance.partitions.weights().into_values().sum();
            assert!(kept <= 25, "{kept}");
        }
        assert_eq!(instance.partitions.weights()["telemetry/0"], 0);
        // Loaded again from its snapshot, as if it had been there all the time.
        assert_eq!(
            take(&instance, &bodies(2, &[60.0])).await.unwrap(),
            [CLEARED]
        );
        assert_eq!(instance.partitions.weights()["telemetry/0"], 1);
    }

    /// Whatever has become of the snapshot, what is open is cleared by what clears it, and is not raised again.
    #[tokio::test]
    async fn without_a_snapshot_the_open_alerts_are_taken_up_again() {
        let damaged: [(&str, Option<&[u8]>); 3] = [
            ("lost", None),
            ("damaged", Some(b"\x02\xff\xff")),
            ("of a newer version", Some(b"\x63\x00")),
        ];
        for (what, body) in damaged {
            let mut stores = Stores::default();
            let batch = bodies(0, &[60.0, 110.0]);
            take(&stores.instance(), &batch).await.unwrap();
            let name = "telemetry/0.snapshot";
            match body {
                None => stores.snapshots = Arc::default(),
                Some(body) => {
                    let found = stores.snapshots.load(name).await.unwrap().unwrap();
                    let mark = Mark {
                        watermark: UtcDateTime::UNIX_EPOCH,
                        next_deadline: None,
                    };
                    let saved = stores.snapshots.save(
                        name,
                        Bytes::from_static(body),
                        mark,
                        Some(&found.version),
                    );
                    saved.await.unwrap();
                }
            }
            let instance = stores.instance();
            let still_hot = bodies(2, &[110.0]);
            assert_eq!(
                take(&instance, &still_hot).await.unwrap(),
                [""; 0],
                "{what}"
            );
            assert_eq!(
                take(&instance, &bodies(3, &[60.0])).await.unwrap(),
                [CLEARED],
                "{what}"
            );
            assert_eq!(
                stores.stored().await,
                [("engine-critical".to_owned(), false)],
                "{what}"
            );
        }
    }
}
