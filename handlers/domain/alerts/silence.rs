//! What happens when a drone falls silent: the rule `telemetry-lost`.
//!
//! Silence is no event, but time passes in the partition all the same, with the events of other drones or with a
//! tick of AdvanceWatermarks. So silence is a deadline in the partition's own time:
//! 1. each event of a drone in flight moves its deadline to the limit, 120 s, after the hub took the event;
//! 2. the first event of the partition that was taken after the deadline makes it fire, before anything else:
//!    the alert is raised, as of the deadline, whenever it is found;
//! 3. the drone's next event clears it; without one it is told again now and then, and closed after a day, as any
//!    other alert is (see [`drone`](super::drone)).
//!
//! Our own outage raises nobody's alarm: while we take no events, the partition's time stands still for us, and what
//! waits in the hub counts as of when the hub took it.

use time::{Duration, UtcDateTime};

use crate::domain::identifier::DeliveryId;
use crate::domain::telemetry::FlightStatus;

/// Whether a drone of this status is to be heard of: silence at the station is nobody's business.
pub fn is_in_flight(status: FlightStatus) -> bool {
    match status {
        FlightStatus::DepartedStation
        | FlightStatus::InFlight
        | FlightStatus::PickedUpPackage
        | FlightStatus::DroppedOffPackage => true,
        FlightStatus::ArrivedAtStation => false,
    }
}

/// When a drone in flight has been silent for too long.
#[derive(Debug, Clone, PartialEq)]
pub struct SilenceDeadline {
    /// The drone's last event and the limit.
    pub(super) at: UtcDateTime,
    /// What it was flying.
    pub(super) delivery_id: DeliveryId,
}

impl SilenceDeadline {
    /// The deadline that an event sets, which was heard at `heard_at` and is taken at `now`; both by a hub's clock.
    ///
    /// `None` for one that was heard so long ago that its silence would be over the limit already. It is replayed,
    /// and says nothing about whether the drone is alive.
    pub fn after(
        heard_at: UtcDateTime,
        now: UtcDateTime,
        limit: Duration,
        delivery_id: &DeliveryId,
    ) -> Option<Self> {
        let at = heard_at.checked_add(limit)?;
        (at > now).then(|| Self {
            at,
            delivery_id: delivery_id.clone(),
        })
    }
}
