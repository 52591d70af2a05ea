//! [`PartitionAlerts`] as bytes.
//!
//! One byte for the version, then [postcard](https://postcard.jamesmunns.com/wire-format.html): a table
//! of the rules' names, the drones with a register for each rule by its place in that table, and the
//! outbox. Names rather than places, so that a version with other rules can read it: what it does not
//! know is dropped, and a rule that is new begins anew.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};

use super::alert::{Alert, Cleared, Kind, Saved, Transition};
use super::drone::{DroneAlerts, LastFlight};
use super::moment::Moment;
use super::partition::{Outgoing, PartitionAlerts, Progress};
use super::register::{Open, Register};
use super::rule::Rules;
use super::silence::SilenceDeadline;
use super::snapshot_v1;
use super::window::Windows;
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::telemetry::Position;

const VERSION: u8 = 2;

/// Bytes that a drone usually takes.
const USUAL_DRONE: usize = 512;

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another version of this program.
    #[error("the snapshot is of version {0}, which this program does not know")]
    Version(u8),
    /// Cut off, damaged, or no snapshot at all.
    #[error("the snapshot cannot be read: {0}")]
    Damaged(String),
}

/// What is read.
#[derive(Deserialize)]
pub(super) struct Snapshot<'a> {
    #[serde(borrow)]
    pub(super) rules: Vec<Cow<'a, str>>,
    /// The last event's number, and the watermark.
    pub(super) progress: Option<(i64, Moment)>,
    pub(super) drones: Vec<SavedDrone>,
    pub(super) outbox: Vec<SavedOutgoing<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SavedDrone {
    pub(super) device_id: DeviceId,
    pub(super) windows_closed_to: Moment,
    pub(super) last_seen_at: Moment,
    pub(super) flight: Option<SavedFlight>,
    pub(super) silence: Option<(Moment, DeliveryId)>,
    pub(super) windows: Windows,
    pub(super) registers: Vec<SavedRegister>,
}

/// When, where, and whether on its way.
pub(super) type SavedFlight = (Moment, [f64; 3], bool);

#[derive(Serialize, Deserialize)]
pub(super) struct SavedRegister {
    pub(super) breached_at: Option<Moment>,
    pub(super) clear: Option<(Moment, f64)>,
    pub(super) open: Option<SavedOpen>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedOpen {
    pub(super) alert: Saved,
    pub(super) since: Moment,
    pub(super) latest: (Moment, f64),
}

/// What is written: [`Snapshot`], of things that stay where they are. It is written with every batch.
#[derive(Serialize)]
struct Written<'a> {
    rules: Vec<&'a str>,
    progress: Option<(i64, Moment)>,
    drones: WrittenDrones<'a>,
    outbox: Vec<SavedOutgoing<'a>>,
}

struct WrittenDrones<'a>(&'a HashMap<DeviceId, DroneAlerts>);

impl Serialize for WrittenDrones<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(WrittenDrone::from))
    }
}

/// [`SavedDrone`].
#[derive(Serialize)]
struct WrittenDrone<'a> {
    device_id: &'a DeviceId,
    windows_closed_to: Moment,
    last_seen_at: Moment,
    flight: Option<SavedFlight>,
    silence: Option<(Moment, &'a DeliveryId)>,
    windows: &'a Windows,
    registers: WrittenRegisters<'a>,
}

struct WrittenRegisters<'a>(&'a [Register]);

impl Serialize for WrittenRegisters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(SavedRegister::from))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedOutgoing<'a> {
    pub(super) sequence_number: i64,
    pub(super) kind: Kind,
    pub(super) at: Moment,
    pub(super) value: f64,
    pub(super) device_id: DeviceId,
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
    pub(super) alert: Saved,
}

impl PartitionAlerts {
    /// Writes everything, for [`decode`](Self::decode).
    ///
    /// # Errors
    /// None that is known of: memory takes what is written.
    pub fn encode(&self, rules: &Rules) -> Result<Vec<u8>, SnapshotError> {
        let snapshot = Written {
            rules: rules.iter().map(|rule| rule.name).collect(),
            progress: self
                .progress
                .map(|progress| (progress.sequence_number, progress.watermark.into())),
            drones: WrittenDrones(&self.drones),
            outbox: self.outbox.iter().map(SavedOutgoing::from).collect(),
        };
        let mut bytes = Vec::with_capacity(self.drones.len() * USUAL_DRONE);
        bytes.push(VERSION);
        postcard::to_extend(&snapshot, bytes)
            .map_err(|error| SnapshotError::Damaged(error.to_string()))
    }

    /// Reads what [`encode`](Self::encode) wrote, perhaps in the version before, perhaps with other rules. What is
    /// open of rules that are no more is closed with the next event.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, SnapshotError> {
        let snapshot = match bytes {
            [VERSION, rest @ ..] => postcard::from_bytes(rest),
            [snapshot_v1::VERSION, rest @ ..] => snapshot_v1::decode(rest, rules.lateness),
            [version, ..] => return Err(SnapshotError::Version(*version)),
            [] => return Err(SnapshotError::Damaged("it is empty".to_owned())),
        };
        snapshot
            .map(|snapshot| snapshot.restore(rules))
            .map_err(|error| SnapshotError::Damaged(error.to_string()))
    }
}

impl Snapshot<'_> {
    fn restore(self, rules: &Rules) -> PartitionAlerts {
        // Where each rule of the snapshot stands today, and its name.
        let places: Vec<(Option<usize>, Cow<'static, str>)> = self
            .rules
            .iter()
            .map(|name| {
                let mut known = rules.iter().enumerate();
                match known.find(|(_, rule)| rule.name == name) {
                    Some((place, rule)) => (Some(place), Cow::Borrowed(rule.name)),
                    None => (None, Cow::Owned(name.to_string())),
                }
            })
            .collect();
        let mut partition = PartitionAlerts {
            progress: self.progress.map(|(sequence_number, watermark)| Progress {
                sequence_number,
                watermark: watermark.time(),
            }),
            outbox: self
                .outbox
                .into_iter()
                .map(SavedOutgoing::restore)
                .collect(),
            ..PartitionAlerts::default()
        };
        for saved in self.drones {
            let mut drone = DroneAlerts {
                windows_closed_to: saved.windows_closed_to.time(),
                last_seen_at: saved.last_seen_at.time(),
                flight: saved.flight.map(flight),
                silence: saved
                    .silence
                    .map(|(at, delivery_id)| SilenceDeadline {
                        at: at.time(),
                        delivery_id,
                    })
                    .filter(|_| rules.silence().is_some()),
                windows: saved.windows,
                registers: Vec::new(),
            };
            for (register, (place, name)) in saved.registers.into_iter().zip(&places) {
                let name = name.clone();
                match place {
                    Some(place) => {
                        *drone.register(*place) = register.restore(name, &saved.device_id);
                    }
                    None => partition.orphans.extend(
                        register
                            .open
                            .map(|open| open.alert.restore(name, &saved.device_id)),
                    ),
                }
            }
            partition.drones.insert(saved.device_id, drone);
        }
        partition
    }
}

fn flight((at, [latitude, longitude, altitude], in_flight): SavedFlight) -> LastFlight {
    LastFlight {
        at: at.time(),
        position: Position {
            latitude,
            longitude,
            altitude,
        },
        in_flight,
    }
}

impl<'a> From<(&'a DeviceId, &'a DroneAlerts)> for WrittenDrone<'a> {
    fn from((device_id, drone): (&'a DeviceId, &'a DroneAlerts)) -> Self {
        Self {
            device_id,
            windows_closed_to: drone.windows_closed_to.into(),
            last_seen_at: drone.last_seen_at.into(),
            flight: drone.flight.map(|flight| {
                let at = flight.position;
                let place = [at.latitude, at.longitude, at.altitude];
                (flight.at.into(), place, flight.in_flight)
            }),
            silence: drone
                .silence
                .as_ref()
                .map(|silence| (silence.at.into(), &silence.delivery_id)),
            windows: &drone.windows,
            registers: WrittenRegisters(&drone.registers),
        }
    }
}

impl From<&Register> for SavedRegister {
    fn from(register: &Register) -> Self {
        Self {
            breached_at: register.breached_at.map(Moment::from),
            clear: register.clear.map(|clear| (clear.at.into(), clear.value)),
            open: register.open.as_deref().map(|open| SavedOpen {
                alert: Saved::from(&open.alert),
                since: open.since.into(),
                latest: (open.latest.0.into(), open.latest.1),
            }),
        }
    }
}

impl SavedRegister {
    fn restore(self, rule: Cow<'static, str>, device_id: &DeviceId) -> Register {
        Register {
            breached_at: self.breached_at.map(Moment::time),
            clear: self.clear.map(|(at, value)| Cleared {
                at: at.time(),
                value,
                reason: None,
            }),
            open: self.open.map(|open| {
                Box::new(Open {
                    alert: open.alert.restore(rule, device_id),
                    since: open.since.time(),
                    latest: (open.latest.0.time(), open.latest.1),
                })
            }),
        }
    }
}

impl<'a> From<&'a Outgoing> for SavedOutgoing<'a> {
    fn from(sent: &'a Outgoing) -> Self {
        let Transition {
            kind,
            at,
            value,
            alert,
        } = &sent.transition;
        Self {
            sequence_number: sent.sequence_number,
            kind: *kind,
            at: (*at).into(),
            value: *value,
            device_id: alert.device_id.clone(),
            rule: Cow::Borrowed(&alert.rule),
            alert: Saved::from(alert),
        }
    }
}

impl SavedOutgoing<'_> {
    fn restore(self) -> Outgoing {
        let rule = Cow::Owned(self.rule.into_owned());
        let alert: Alert = self.alert.restore(rule, &self.device_id);
        Outgoing {
            sequence_number: self.sequence_number,
            transition: Transition {
                kind: self.kind,
                at: self.at.time(),
                value: self.value,
                alert,
            },
        }
    }
}
