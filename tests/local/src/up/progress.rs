//! Figures of a run as it goes, seen from the host: what the calls carried, and how late.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::alerts::Alerts;
use crate::cosmos::CosmosEmulator;
use crate::host::HostEvent;
use crate::letters;
use crate::report::latency_histogram;
use crate::system::{ALERTS, DATABASE, DEAD_LETTERS, System};

/// The function whose calls bring events into the drones' state, and its consumer group.
const STATE: (&str, &str) = ("UpdateDroneState", "drone-state");
/// The function that archives, and its consumer group.
const ARCHIVE: (&str, &str) = ("ArchiveTelemetry", "telemetry-archive");

/// How often the alerts in Cosmos DB are looked at.
const LOOK_AT_ALERTS: Duration = Duration::from_secs(1);

/// Figures that the host itself does not keep.
pub(super) struct Progress {
    dead_lettered: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
    alerts: Mutex<(Alerts, Vec<String>)>,
}

/// The figures at one moment; its text is the live view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    sent: u64,
    applied: u64,
    archived: u64,
    dead_lettered: u64,
    lag: u64,
    per_second: f64,
    failures: u64,
    /// Raised, and cleared.
    alerts: (u64, u64),
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            dead_lettered: AtomicU64::new(0),
            latencies: Mutex::new(latency_histogram()),
            alerts: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self, system: &System, elapsed: Duration) -> Snapshot {
        let sent = system.hub.appended();
        let dead_lettered = self.dead_lettered.load(Ordering::Relaxed);
        let stats = system.host.stats();
        let events = |name: &str| stats.get(name).map_or(0, |function| function.events);
        Snapshot {
            sent,
            applied: events(STATE.0).saturating_sub(dead_lettered),
            archived: events(ARCHIVE.0),
            dead_lettered,
            lag: system.hub.lag(STATE.1).max(system.hub.lag(ARCHIVE.1)),
            per_second: sent as f64 / elapsed.as_secs_f64().max(0.001),
            failures: stats.values().map(|function| function.failures).sum(),
            alerts: {
                let (alerts, _) = &*lock(&self.alerts);
                (alerts.raised, alerts.cleared)
            },
        }
    }

    /// From the moment the hub took an event to the end of the call that applied it, in milliseconds.
    pub(super) fn latencies(&self) -> Histogram<u64> {
        lock(&self.latencies).clone()
    }

    /// Keeps the figures up to date, for ever.
    pub(super) async fn follow(&self, news: Receiver<HostEvent>, system: &System) -> Infallible {
        tokio::select! {
            never = self.follow_calls(news) => never,
            never = self.follow_alerts(&system.cosmos) => never,
        }
    }

    /// What there is to say of alerts since it was last asked.
    pub(super) fn take_alert_news(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.alerts).1)
    }

    async fn follow_alerts(&self, cosmos: &CosmosEmulator) -> Infallible {
        loop {
            // Not over the socket: this costs no request units and no outage stops it.
            let documents = cosmos.items(DATABASE, ALERTS).await;
            {
                let (alerts, news) = &mut *lock(&self.alerts);
                news.extend(alerts.news(&documents));
            }
            tokio::time::sleep(LOOK_AT_ALERTS).await;
        }
    }

    async fn follow_calls(&self, mut news: Receiver<HostEvent>) -> Infallible {
        loop {
            match news.recv().await {
                Ok(HostEvent::BatchDone(batch)) if &*batch.function == STATE.0 => {
                    let mut latencies = lock(&self.latencies);
                    for enqueued_at in &*batch.enqueued_at {
                        let late = (batch.finished_at - *enqueued_at).whole_milliseconds();
                        latencies.saturating_record(u64::try_from(late).unwrap_or(0));
                    }
                }
                Ok(HostEvent::QueueOutput { queue, value, .. }) if &*queue == DEAD_LETTERS => {
                    let messages: Vec<String> = serde_json::from_str(&value).unwrap_or_default();
                    let count = messages.iter().map(|message| letters::count(message)).sum();
                    self.dead_lettered.fetch_add(count, Ordering::Relaxed);
                }
                // Missed news are missing from the percentiles and from nothing else.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            applied,
            archived,
            dead_lettered,
            lag,
            per_second,
            failures,
            alerts: (raised, cleared),
        } = self;
        write!(
            f,
            "{sent} in ({per_second:.0}/s)  {applied} applied  {archived} archived  \
             {dead_lettered} dead-lettered  lag {lag}"
        )?;
        if *raised > 0 {
            write!(f, "  {raised} alerts, {cleared} cleared")?;
        }
        if *failures > 0 {
            write!(f, "  {failures} calls failed and repeated")?;
        }
        Ok(())
    }
}
