//! Lets the time of quiet partitions go on.
//!
//! The alerts of a partition go by its own time, which its events move. Where no event comes, a drone that falls
//! silent would never be missed. So whoever has saved a snapshot says in its mark when something is due next; and
//! where that time has passed without an event, a tick is sent into the partition. RaiseAlerts takes it as it takes any event: one
//! path for all alerts, whatever finds them.
//!
//! Where nothing is waited for, nothing is sent.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use time::{Duration, UtcDateTime};
use tracing::warn;

use crate::stores::StoreError;
use crate::stores::alerts::{SnapshotStore, snapshot_of};
use crate::stores::event_hubs::TickSender;

/// How long what is due waits for an event of its partition: those that come every few seconds save the tick.
const PATIENCE: Duration = Duration::seconds(5);

/// Longer than any open alert waits for its drone. What is due since then is due in a partition that nobody reads.
const GIVEN_UP: Duration = Duration::hours(25);

/// Ticks that are sent at once.
const AT_ONCE: usize = 8;

/// Looks which partitions wait, and sends ticks.
pub struct Watermarks {
    hub: String,
    snapshots: Arc<dyn SnapshotStore>,
    sender: Option<Arc<dyn TickSender>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advanced {
    /// Partitions in which something is due.
    pub waiting: usize,
    /// Ticks that were sent into them.
    pub ticked: usize,
}

impl Watermarks {
    /// `hub` is the one that ticks are sent to: snapshots of others, which may be gone, are left alone. Without a
    /// sender nothing is done.
    pub fn new(
        hub: String,
        snapshots: Arc<dyn SnapshotStore>,
        sender: Option<Arc<dyn TickSender>>,
    ) -> Self {
        Self {
            hub,
            snapshots,
            sender,
        }
    }

    /// Sends a tick into each partition in which something is due before `now`.
    ///
    /// # Errors
    /// Where the snapshots cannot be listed, or not one of the ticks could be sent. A partition that fails is named in
    /// the log, and stops no other.
    pub async fn advance(&self, now: UtcDateTime) -> Result<Advanced, StoreError> {
        let Some(sender) = &self.sender else {
            return Ok(Advanced::default());
        };
        let marks = self.snapshots.marks().await?;
        let due = |mark: UtcDateTime| mark + PATIENCE < now && mark + GIVEN_UP > now;
        let waiting: Vec<&str> = marks
            .iter()
            .filter(|(_, mark)| mark.next_deadline.is_some_and(due))
            .filter_map(|(name, _)| snapshot_of(name))
            .filter(|(hub, _)| hub.eq_ignore_ascii_case(&self.hub))
            .map(|(_, partition)| partition)
            .collect();
        let ticks: Vec<_> = waiting
            .iter()
            .map(|partition| async move { (*partition, sender.tick(&self.hub, partition).await) })
            .collect();
        let sent: Vec<_> = stream::iter(ticks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut ticked = 0;
        let mut failure = None;
        for (partition, sent) in sent {
            match sent {
                Ok(()) => ticked += 1,
                Err(error) => {
                    warn!(partition.id = partition, %error, "the partition got no tick");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if ticked == 0 => Err(error),
            _ => Ok(Advanced {
                waiting: waiting.len(),
                ticked,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::memory_stores::MemorySnapshots;
    use crate::stores::alerts::Mark;

    /// Takes down where ticks go; partition 7 takes none.
    #[derive(Default)]
    struct Ticks(Mutex<Vec<String>>);

    #[async_trait]
    impl TickSender for Ticks {
        async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError> {
            if partition_id == "7" {
                return Err(StoreError {
                    operation: "send tick",
                    message: "no".to_owned(),
                    transient: true,
                });
            }
            self.0.lock().unwrap().push(format!("{hub}/{partition_id}"));
            Ok(())
        }
    }

    /// Snapshots by name, with the seconds until something is due.
    async fn advance(marks: &[(&str, Option<i64>)]) -> (Result<Advanced, StoreError>, Vec<String>) {
        let now = UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let snapshots = Arc::new(MemorySnapshots::default());
        for (name, due) in marks {
            let mark = Mark {
                watermark: now,
                next_deadline: due.map(|seconds| now + Duration::seconds(seconds)),
            };
            let saved = snapshots.save(name, Bytes::new(), mark, None).await;
            saved.unwrap();
        }
        let ticks = Arc::new(Ticks::default());
        let watermarks = Watermarks::new(
            "telemetry".to_owned(),
            snapshots,
            Some(Arc::clone(&ticks) as _),
        );
        let advanced = watermarks.advance(now).await;
        let mut sent = ticks.0.lock().unwrap().clone();
        sent.sort();
        (advanced, sent)
    }

    #[tokio::test]
    async fn a_partition_is_ticked_where_something_is_due_and_nowhere_else() {
        let (advanced, sent) = advance(&[
            ("telemetry/0.snapshot", Some(-6)),
            ("telemetry/1.snapshot", Some(-4)),
            ("telemetry/2.snapshot", Some(60)),
            ("telemetry/3.snapshot", None),
            ("telemetry/4.snapshot", Some(-26 * 3600)),
            ("another/5.snapshot", Some(-60)),
            ("Telemetry/6.snapshot", Some(-60)),
            ("something else", Some(-60)),
        ])
        .await;
        let expected = Advanced {
            waiting: 2,
            ticked: 2,
        };
        assert_eq!(advanced.unwrap(), expected);
        assert_eq!(sent, ["telemetry/0", "telemetry/6"]);
    }

    #[tokio::test]
    async fn a_partition_that_takes_no_tick_stops_no_other() {
        let (advanced, sent) = advance(&[
            ("telemetry/7.snapshot", Some(-60)),
            ("telemetry/8.snapshot", Some(-60)),
        ])
        .await;
        assert_eq!(advanced.unwrap().ticked, 1);
        assert_eq!(sent, ["telemetry/8"]);
        let (advanced, _) = advance(&[("telemetry/7.snapshot", Some(-60))]).await;
        assert!(advanced.is_err());
    }
}
