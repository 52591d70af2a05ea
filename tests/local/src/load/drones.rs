//! The fleet under load: it grows, then keeps its pace.

use std::time::Duration;

use simulator::{Cadence, Fleet, Plan, SimulatedEvent, Span};
use time::UtcDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::options::{LoadOptions, LoadRate};
use crate::hub::{Hub, NewEvent};
use crate::insights::agreement::Flown;

/// How often drones are asked what they have to report.
const TICK: Duration = Duration::from_millis(10);

/// A fleet comes in so many squadrons, one after the other.
const SQUADRONS: u32 = 10;

/// How many events may be on their way to the slowest function where the rate is `max`: a few batches
/// for each partition, so that no reader ever waits for events.
const MOST_UNDER_WAY: u64 = 40_000;

/// And how many are sent at once at most, so that this thread does other things too.
const MOST_AT_ONCE: u64 = 2_000;

/// Sends the fleet's events until `end`, each squadron's from its turn on. Returns what was flown; nothing where drones report as
/// often as they can, because nobody knows then what has to be heard of them.
pub(super) async fn fly(
    hub: &Hub,
    options: &LoadOptions,
    start: Instant,
    end: Instant,
) -> Vec<Flown> {
    let mut squadrons = squadrons(options);
    let mut heard = vec![None; squadrons.len()];
    let every = options.ramp_up / SQUADRONS;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let groups = hub.groups();
    let mut next = 0;
    while Instant::now() < end {
        ticks.tick().await;
        let now = UtcDateTime::now();
        let flying = (start.elapsed().as_nanos() / every.as_nanos().max(1) + 1)
            .min(u128::from(SQUADRONS)) as usize;
        let flying = flying.min(squadrons.len());
        if options.rate == LoadRate::Max {
            let lag = groups.iter().map(|group| hub.lag(group)).max().unwrap_or(0);
            let allowed = MOST_UNDER_WAY * flying as u64 / squadrons.len() as u64;
            for _ in 0..allowed.saturating_sub(lag).min(MOST_AT_ONCE) {
                next = (next + 1) % flying;
                if let Some(event) = squadrons[next].next_event(now) {
                    send(hub, event, now);
                }
            }
        } else {
            for (squadron, heard) in squadrons.iter_mut().zip(&mut heard).take(flying) {
                let (_, until) = heard.get_or_insert((now, now));
                // A clock that is set back must not end a delivery before it began.
                *until = now.max(*until);
                for event in squadron.due(*until) {
                    send(hub, event, now);
                }
            }
        }
    }
    let rate = match options.rate {
        LoadRate::PerSecond(rate) => Some(rate),
        LoadRate::Article | LoadRate::Max => None,
    };
    let (flight_every, status_every) = Flown::cadence(options.drones, rate);
    let flown = |(mut squadron, heard): (Fleet, Option<(UtcDateTime, UtcDateTime)>)| {
        let (from, until) = heard?;
        Some(Flown {
            record: squadron.take_record(),
            heard: Span { from, until },
            flight_every,
            status_every,
        })
    };
    squadrons.into_iter().zip(heard).filter_map(flown).collect()
}

/// As IoT Hub passes a device's event on.
fn send(hub: &Hub, event: SimulatedEvent, now: UtcDateTime) {
    hub.append(
        NewEvent::new(event.body)
            .with_key(&event.device_id)
            .with_iot_hub_device(&event.device_id, now),
    );
}

/// The fleet in parts of about the same size, with drones of their own.
fn squadrons(options: &LoadOptions) -> Vec<Fleet> {
    let drones = options.drones;
    // As many as there are drones for.
    let count = SQUADRONS.min(drones);
    (0..count)
        .map(|number| {
            let part =
                |number: u32| (u64::from(drones) * u64::from(number) / u64::from(count)) as u32;
            let (first, end) = (part(number), part(number + 1));
            let plan = options.fleet.plan(end - first, None);
            Fleet::new(&Plan {
                first,
                seed: plan.seed.wrapping_add(u64::from(number)),
                cadence: match options.rate {
                    LoadRate::PerSecond(rate) => {
                        Cadence::PerSecond(rate * f64::from(end - first) / f64::from(drones))
                    }
                    LoadRate::Article | LoadRate::Max => Cadence::Article,
                },
                ..plan
            })
            .recorded()
        })
        .collect()
}
