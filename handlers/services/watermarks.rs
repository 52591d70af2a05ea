//! Moves the time of partitions that are quiet and still wait for a deadline.
//!
//! The rules know no time but their partition's: the latest at which the hub took an event. Where no event comes any more a
//! deadline would never fire. So each snapshot says what it waits for ([`Mark`]), one list tells them all, and a partition whose
//! deadline has passed by the clock gets a tick: an event that carries nothing but the time at which the hub takes it. Where
//! nothing waits nothing is sent.
//!
//! The clock decides only whether a tick is sent, never what fires: that follows from the time that the hub gives the tick. So a
//! clock that is wrong makes alerts late, or sends ticks in vain; and a partition whose events are still on their way to the rules
//! may get a tick that it would not have needed, which does no harm.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use time::{Duration, UtcDateTime};
use tracing::warn;

use crate::stores::StoreError;
use crate::stores::alerts::{Mark, SnapshotStore, snapshot_of};
use crate::stores::event_hubs::TickSender;

/// Ticks that are sent at once.
const CONCURRENT_TICKS: usize = 8;

/// How long after its deadline a partition still gets ticks. Where the rules run, a tick has done its work within a minute, and the
/// next deadline lies ahead. What is overdue for longer than open alerts are reminded of, 24 hours, either waits for rules that do
/// not run, and more ticks would only fill its log, or is a partition that there is no more. Nothing is lost by it: the next event
/// of the partition, whichever drone sends it, lets everything fire that was due before it.
const LONGEST_WAIT: Duration = Duration::hours(25);

/// Sends the ticks.
pub struct Watermarks {
    hub: String,
    snapshots: Arc<dyn SnapshotStore>,
    sender: Option<Arc<dyn TickSender>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advanced {
    /// Partitions whose deadline had passed.
    pub waiting: usize,
    /// Those of them that got a tick; the others will be tried again, and the log says why.
    pub ticked: usize,
}

impl Watermarks {
    /// `hub` is the app's own: of a hub that there was before it, snapshots may be left, and it would fail for ever. Without a sender
    /// nothing is ever done: for a hub that takes no ticks.
    pub fn new(
        hub: impl Into<String>,
        snapshots: Arc<dyn SnapshotStore>,
        sender: Option<Arc<dyn TickSender>>,
    ) -> Self {
        Self {
            hub: hub.into(),
            snapshots,
            sender,
        }
    }

    /// Sends a tick to each partition of the hub whose next deadline was before `now`, but not more than 25 hours before.
    ///
    /// # Errors
    /// Where the snapshots could not be listed, or ticks were due and none could be sent. Whatever was not sent is due the next time.
    pub async fn advance(&self, now: UtcDateTime) -> Result<Advanced, StoreError> {
        let Some(sender) = &self.sender else {
            return Ok(Advanced::default());
        };
        let marks = self.snapshots.marks().await?;
        let due: Vec<&str> = marks
            .iter()
            .filter(|(_, mark)| is_due(mark, now))
            .filter_map(|(name, _)| self.partition(name))
            .collect();
        let sends: Vec<_> = due
            .iter()
            .map(|partition_id| async move {
                let sent = sender.tick(&self.hub, partition_id).await;
                // One partition must not stop the others.
                sent.inspect_err(|error| {
                    warn!(partition.id = partition_id, %error, "a partition waits without a tick");
                })
            })
            .collect();
        let mut advanced = Advanced {
            waiting: due.len(),
            ticked: 0,
        };
        let mut failed = None;
        let mut sent = stream::iter(sends).buffer_unordered(CONCURRENT_TICKS);
        while let Some(sent) = sent.next().await {
            match sent {
                Ok(()) => advanced.ticked += 1,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if advanced.ticked == 0 => Err(error),
            _ => Ok(advanced),
        }
    }

    /// The partition of our hub whose snapshot this is. Event Hubs' names know no case.
    fn partition<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (hub, partition_id) = snapshot_of(name)?;
        hub.eq_ignore_ascii_case(&self.hub).then_some(partition_id)
    }
}

fn is_due(mark: &Mark, now: UtcDateTime) -> bool {
    mark.next_deadline
        .is_some_and(|deadline| deadline < now && now - deadline <= LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use time::macros::utc_datetime;

    use super::*;
    use crate::stores::alerts::snapshot_name;
    use crate::stores::memory::{MemorySnapshots, MemoryTicks};

    const NOW: UtcDateTime = utc_datetime!(2024-05-01 12:00:00);

    async fn save(snapshots: &MemorySnapshots, name: &str, next_deadline: Option<UtcDateTime>) {
        let mark = Mark {
            watermark: NOW - Duration::days(2),
            next_deadline,
        };
        let saved = snapshots.save(name, Bytes::new(), mark, None).await;
        saved.unwrap();
    }

    /// Partitions of `telemetry`, from 0 on, each with the time since its deadline.
    async fn overdue(by: &[Duration]) -> Arc<MemorySnapshots> {
        let snapshots = Arc::new(MemorySnapshots::default());
        for (partition, by) in by.iter().enumerate() {
            let name = snapshot_name("telemetry", &partition.to_string());
            save(&snapshots, &name, Some(NOW - *by)).await;
        }
        snapshots
    }

    async fn advance(snapshots: Arc<MemorySnapshots>) -> (Advanced, Vec<String>) {
        let ticks = Arc::new(MemoryTicks::default());
        let watermarks = Watermarks::new("telemetry", snapshots, Some(Arc::clone(&ticks) as _));
        let advanced = watermarks.advance(NOW).await.unwrap();
        let mut sent = Vec::new();
        for (hub, partition_id) in ticks.ticks() {
            assert_eq!(hub, "telemetry");
            sent.push(partition_id);
        }
        (advanced, sent)
    }

    #[tokio::test]
    async fn whoever_is_due_gets_a_tick_and_nobody_else() {
        let snapshots = overdue(&[
            Duration::seconds(-30),
            Duration::ZERO,
            Duration::NANOSECOND,
            Duration::hours(25),
            Duration::hours(25) + Duration::NANOSECOND,
        ])
        .await;
        save(&snapshots, "telemetry/5.snapshot", None).await;
        let (advanced, ticks) = advance(snapshots).await;
        assert_eq!(ticks, ["2", "3"]);
        let both = Advanced {
            waiting: 2,
            ticked: 2,
        };
        assert_eq!(advanced, both);
    }

    #[tokio::test]
    async fn where_nothing_waits_nothing_is_sent() {
        let (advanced, ticks) = advance(Arc::default()).await;
        assert_eq!((advanced, ticks), (Advanced::default(), Vec::new()));
    }

    #[tokio::test]
    async fn what_is_no_snapshot_of_our_hub_gets_none() {
        let snapshots = Arc::new(MemorySnapshots::default());
        let due = Some(NOW - Duration::SECOND);
        for name in [
            "older/0.snapshot",
            "telemetry-2/0.snapshot",
            "telemetry/0",
            "telemetry/.snapshot",
            "telemetry/0/1.snapshot",
            "/0.snapshot",
            "0.snapshot",
            "~backlog/telemetry/0",
        ] {
            save(&snapshots, name, due).await;
        }
        // Written as somebody spelt it in another setting.
        save(&snapshots, "Telemetry/7.snapshot", due).await;
        let (_, ticks) = advance(snapshots).await;
        assert_eq!(ticks, ["7"]);
    }

    #[tokio::test]
    async fn a_hub_that_takes_no_ticks_is_left_alone() {
        let snapshots = overdue(&[Duration::SECOND]).await;
        let watermarks = Watermarks::new("telemetry", snapshots, None);
        let advanced = watermarks.advance(NOW).await.unwrap();
        assert_eq!(advanced, Advanced::default());
    }

    /// Takes ticks but for some partitions; and counts how many are under way at once.
    #[derive(Default)]
    struct Failing {
        refused: Vec<&'static str>,
        taken: MemoryTicks,
        under_way: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl TickSender for Failing {
        async fn tick(&self, hub: &str, partition_id: &str) -> Result<(), StoreError> {
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(under_way, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            if self.refused.contains(&partition_id) {
                return Err(StoreError {
                    operation: "send tick",
                    message: "refused".to_owned(),
                    transient: false,
                });
            }
            self.taken.tick(hub, partition_id).await
        }
    }

    #[tokio::test]
    async fn one_partition_that_fails_does_not_stop_the_others() {
        let snapshots = overdue(&[Duration::SECOND; 20]).await;
        let sender = Arc::new(Failing {
            refused: vec!["0", "10"],
            ..Failing::default()
        });
        let watermarks = Watermarks::new("telemetry", snapshots, Some(Arc::clone(&sender) as _));
        let advanced = watermarks.advance(NOW).await.unwrap();
        let most = Advanced {
            waiting: 20,
            ticked: 18,
        };
        assert_eq!(advanced, most);
        assert_eq!(sender.taken.ticks().len(), 18);
        assert_eq!(sender.most.load(Ordering::Relaxed), CONCURRENT_TICKS);
    }

    #[tokio::test]
    async fn it_is_an_error_where_no_tick_could_be_sent() {
        let snapshots = overdue(&[Duration::SECOND; 2]).await;
        let sender = Failing {
            refused: vec!["0", "1"],
            ..Failing::default()
        };
        let watermarks = Watermarks::new("telemetry", snapshots, Some(Arc::new(sender)));
        let error = watermarks.advance(NOW).await.unwrap_err();
        assert_eq!(error.message, "refused");
    }
}
