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

/// The article's cadence.
const FLIGHT_EVERY: Duration = Duration::from_secs(5);
const STATUS_EVERY: Duration = Duration::from_secs(20);

/// One report in so many is of the battery.
const STATUS_ONE_IN: f64 = 5.0;

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
    let (flight_every, status_every) = cadence(options);
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

/// How often each drone reports its flight and its battery, at least.
fn cadence(options: &UpOptions) -> (Duration, Duration) {
    let Some(rate) = options.rate else {
        return (FLIGHT_EVERY, STATUS_EVERY);
    };
    let every = f64::from(options.drones) / rate;
    // Of two reports in a row one at least is of the flight.
    (
        Duration::from_secs_f64(2.0 * every),
        Duration::from_secs_f64(STATUS_ONE_IN * every),
    )
}
