//! Snapshots of the version before, which knew no time of the partition: it begins with the next event.

use std::borrow::Cow;

use serde::Deserialize;
use time::Duration;

use super::alert::{Kind, Saved};
use super::moment::Moment;
use super::rule::Severity;
use super::snapshot::{SavedDrone, SavedOpen, SavedOutgoing, SavedRegister, Snapshot};
use super::window::Windows;
use crate::domain::identifier::{DeliveryId, DeviceId};

/// Their first byte.
pub(super) const VERSION: u8 = 1;

#[derive(Deserialize)]
struct SnapshotV1<'a> {
    #[serde(borrow)]
    rules: Vec<Cow<'a, str>>,
    drones: Vec<DroneV1>,
    outbox: Vec<OutgoingV1<'a>>,
}

#[derive(Deserialize)]
struct DroneV1 {
    device_id: DeviceId,
    newest: Moment,
    last_seen_at: Moment,
    position: Option<(Moment, [f64; 3])>,
    windows: Windows,
    registers: Vec<RegisterV1>,
}

#[derive(Deserialize)]
struct RegisterV1 {
    breached_at: Option<Moment>,
    clear: Option<(Moment, f64)>,
    open: Option<AlertV1>,
}

#[derive(Deserialize)]
struct OutgoingV1<'a> {
    sequence_number: i64,
    /// When the event was enqueued.
    _enqueued_at: Moment,
    kind: Kind,
    at: Moment,
    value: f64,
    device_id: DeviceId,
    #[serde(borrow)]
    rule: Cow<'a, str>,
    alert: AlertV1,
}

#[derive(Deserialize)]
struct AlertV1 {
    delivery_id: DeliveryId,
    severity: Severity,
    raised_at: Moment,
    value: f64,
    threshold: f64,
    position: Option<[f64; 3]>,
    reminded: Option<(u32, Moment)>,
    cleared: Option<(Moment, f64)>,
}

/// Reads what comes after the first byte.
pub(super) fn decode(bytes: &[u8], lateness: Duration) -> postcard::Result<Snapshot<'_>> {
    let snapshot: SnapshotV1<'_> = postcard::from_bytes(bytes)?;
    Ok(Snapshot {
        rules: snapshot.rules,
        progress: None,
        drones: snapshot
            .drones
            .into_iter()
            .map(|drone| drone.upgrade(lateness))
            .collect(),
        outbox: snapshot
            .outbox
            .into_iter()
            .map(OutgoingV1::upgrade)
            .collect(),
    })
}

impl DroneV1 {
    fn upgrade(self, lateness: Duration) -> SavedDrone {
        SavedDrone {
            device_id: self.device_id,
            windows_closed_to: self.newest.time().saturating_sub(lateness).into(),
            last_seen_at: self.last_seen_at,
            // Whether it was on its way, its next flight message says, within seconds.
            flight: self.position.map(|(at, place)| (at, place, false)),
            silence: None,
            windows: self.windows,
            registers: self
                .registers
                .into_iter()
                .map(|register| SavedRegister {
                    breached_at: register.breached_at,
                    clear: register.clear,
                    open: register.open.map(|alert| SavedOpen {
                        since: alert.raised_at,
                        latest: (alert.raised_at, alert.value),
                        alert: alert.upgrade(),
                    }),
                })
                .collect(),
        }
    }
}

impl AlertV1 {
    fn upgrade(self) -> Saved {
        Saved {
            delivery_id: self.delivery_id,
            severity: self.severity,
            raised_at: self.raised_at,
            value: self.value,
            threshold: self.threshold,
            position: self.position,
            reminded: self.reminded,
            cleared: self.cleared.map(|(at, value)| (at, value, None)),
        }
    }
}

impl<'a> OutgoingV1<'a> {
    fn upgrade(self) -> SavedOutgoing<'a> {
        SavedOutgoing {
            sequence_number: self.sequence_number,
            kind: self.kind,
            at: self.at,
            value: self.value,
            device_id: self.device_id,
            rule: self.rule,
            alert: self.alert.upgrade(),
        }
    }
}
