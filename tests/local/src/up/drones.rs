//! Flies the simulated drones and sends what they report, until the time is up.

use std::future;

use simulator::Fleet;
use time::UtcDateTime;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use super::ServiceOptions;
use crate::hub::{Hub, NewEvent};

/// How often the fleet is asked what it has to report. Short against the drones' cadence, long
/// against the cost of asking.
const TICK: Duration = Duration::from_millis(10);

/// Ends when `duration` is over; without it, never.
pub(super) async fn fly(
    hub: Hub,
    drones: u32,
    duration: Option<Duration>,
    options: &ServiceOptions,
) {
    let end = duration.map(|duration| Instant::now() + duration);
    if drones == 0 {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => future::pending().await,
        }
    }
    let mut fleet = Fleet::new(&options.fleet.plan(drones, options.rate));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while end.is_none_or(|end| Instant::now() < end) {
        ticks.tick().await;
        let now = UtcDateTime::now();
        for event in fleet.due(now) {
            hub.append(
                NewEvent::new(event.body)
                    .with_key(&event.device_id)
                    .with_iot_hub_device(&event.device_id, now),
            );
        }
    }
}
