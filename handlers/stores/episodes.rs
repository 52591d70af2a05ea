//! Keeps what the rules know in step with the events, and the alerts with what the rules say.
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

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tracing::error;

use super::alerts::{AlertStore, SnapshotStore};
use super::{PutError, StoreError, Version};
use crate::domain::ReceivedEvent;
use crate::domain::alerts::{Alert, PartitionAlerts, Rules, Transition};

/// How many alerts of a batch are recorded at once.
const CONCURRENT_WRITES: usize = 16;

/// How often a batch is taken again after somebody else saved first.
const STALE_ROUNDS: usize = 5;

/// The rules, and what they know of each partition that this instance has had.
pub struct Episodes {
    rules: Rules,
    snapshots: Arc<dyn SnapshotStore>,
    alerts: Arc<dyn AlertStore>,
    partitions: Mutex<HashMap<String, Arc<Partition>>>,
}

/// Calls of one partition take turns, as the host makes them; partitions do not wait for each other.
type Partition = tokio::sync::Mutex<Option<Known>>;

struct Known {
    alerts: PartitionAlerts,
    version: Option<Version>,
}

impl Episodes {
    /// Nothing is loaded until the first batch of a partition.
    pub fn new(
        rules: Rules,
        snapshots: Arc<dyn SnapshotStore>,
        alerts: Arc<dyn AlertStore>,
    ) -> Self {
        Self {
            rules,
            snapshots,
            alerts,
            partitions: Mutex::default(),
        }
    }

    /// Takes a batch, in the hub's order, and returns what has to be told. By then the snapshot is saved
    /// and every alert is recorded.
    ///
    /// # Errors
    /// What a store says. Take the batch again.
    pub async fn take<'a>(
        &self,
        hub: &str,
        partition_id: &str,
        events: impl Iterator<Item = ReceivedEvent<'a>> + Clone,
    ) -> Result<Vec<Transition>, StoreError> {
        let name = format!("{hub}/{partition_id}.snapshot");
        let partition = self.partition(&name);
        let mut known = partition.lock().await;
        let told = self.evaluate(&name, &mut known, events).await?;
        self.record(&told).await?;
        Ok(told)
    }

    async fn evaluate<'a>(
        &self,
        name: &str,
        known: &mut Option<Known>,
        events: impl Iterator<Item = ReceivedEvent<'a>> + Clone,
    ) -> Result<Vec<Transition>, StoreError> {
        const OPERATION: &str = "save the alerts' snapshot";
        for _ in 0..STALE_ROUNDS {
            // Taken out, and put back only once it is saved: what is not in the store must not be built on.
            let Known {
                mut alerts,
                version,
            } = match known.take() {
                Some(known) => known,
                None => self.load(name).await?,
            };
            let told = alerts.observe(&self.rules, events.clone());
            let body = alerts.encode(&self.rules).map_err(|error| StoreError {
                operation: OPERATION,
                message: error.to_string(),
                transient: false,
            })?;
            let saved = self
                .snapshots
                .save(name, Bytes::from(body), version.as_ref())
                .await;
            match saved {
                Ok(version) => {
                    *known = Some(Known {
                        alerts,
                        version: Some(version),
                    });
                    return Ok(told);
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

    async fn load(&self, name: &str) -> Result<Known, StoreError> {
        let Some(snapshot) = self.snapshots.load(name).await? else {
            return Ok(Known {
                alerts: PartitionAlerts::default(),
                version: None,
            });
        };
        let alerts = PartitionAlerts::decode(&snapshot.body, &self.rules).unwrap_or_else(|error| {
            // The call must not fail for this: it would fail for ever, and no alert would come any more.
            error!(snapshot = name, %error, "the rules begin anew: open alerts may be raised again");
            PartitionAlerts::default()
        });
        Ok(Known {
            alerts,
            version: Some(snapshot.version),
        })
    }

    /// Records each alert as the batch left it.
    async fn record(&self, told: &[Transition]) -> Result<(), StoreError> {
        let mut latest: HashMap<&str, &Alert> = HashMap::new();
        for transition in told {
            latest.insert(&transition.alert.id, &transition.alert);
        }
        let writes: Vec<_> = latest
            .into_values()
            .map(|alert| self.alerts.record(alert))
            .collect();
        stream::iter(writes)
            .buffer_unordered(CONCURRENT_WRITES)
            .try_collect()
            .await
    }

    fn partition(&self, name: &str) -> Arc<Partition> {
        let mut partitions = self
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match partitions.get(name) {
            Some(partition) => Arc::clone(partition),
            None => {
                let partition = Arc::new(Partition::default());
                partitions.insert(name.to_owned(), Arc::clone(&partition));
                partition
            }
        }
    }
}
