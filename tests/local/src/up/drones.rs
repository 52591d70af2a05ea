//! Flies the simulated drones and sends what they report, until the time is up.

use std::future;

use simulator::{Fleet, Span};
use time::UtcDateTime;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use super::UpOptions;
use crate::hub::{Hub, NewEvent};
use crate::insights::agreement::Flown;

/// How often the fleet is asked what it has to report. Short against the drones' cadence, long
/// against the cost of asking.
const TICK: Duration = Duration::from_millis(10);

/// Ends when `--for` is over, with what was flown; without it, never.
pub(super) async fn fly(hub: Hub, options: &UpOptions) -> Option<Flown> {
    let end = options.duration.map(|duration| Instant::now() + duration);
    if options.drones == 0 {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => future::pending().await,
        }
        return None;
    }
    let mut fleet = Fleet::new(&options.fleet.plan(options.drones, options.rate));
    if end.is_some() {
        fleet = fleet.recorded();
    }
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = UtcDateTime::now();
    let mut last = start;
    while end.is_none_or(|end| Instant::now() < end) {
        ticks.tick().await;
        // A clock that is set back must not end the delivery before it began.
        let now = UtcDateTime::now().max(last);
        last = now;
        for event in fleet.due(now) {
            hub.append(
                NewEvent::new(event.body)
                    .with_key(&event.device_id)
                    .with_iot_hub_device(&event.device_id, now),
            );
        }
    }
    let (flight_every, status_every) = Flown::cadence(options.drones, options.rate);
    Some(Flown {
        record: fleet.take_record(),
        heard: Span {
            from: start,
            until: last,
        },
        flight_every,
        status_every,
    })
}
