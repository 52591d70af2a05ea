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
use super::drone::DroneAlerts;
use super::moment::Moment;
use super::partition::{PartitionAlerts, Told};
use super::register::Register;
use super::rule::Rules;
use super::window::Windows;
use crate::domain::identifier::DeviceId;
use crate::domain::telemetry::Position;

const VERSION: u8 = 1;

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
struct Snapshot<'a> {
    #[serde(borrow)]
    rules: Vec<Cow<'a, str>>,
    drones: Vec<SavedDrone>,
    outbox: Vec<SavedTold<'a>>,
}

#[derive(Deserialize)]
struct SavedDrone {
    device_id: DeviceId,
    newest: Moment,
    last_seen_at: Moment,
    position: Option<(Moment, [f64; 3])>,
    windows: Windows,
    registers: Vec<SavedRegister>,
}

#[derive(Serialize, Deserialize)]
struct SavedRegister {
    breached_at: Option<Moment>,
    clear: Option<(Moment, f64)>,
    open: Option<Saved>,
}

/// What is written: [`Snapshot`], of things that stay where they are. It is written with every batch.
#[derive(Serialize)]
struct Written<'a> {
    rules: Vec<&'a str>,
    drones: WrittenDrones<'a>,
    outbox: Vec<SavedTold<'a>>,
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
    newest: Moment,
    last_seen_at: Moment,
    position: Option<(Moment, [f64; 3])>,
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
struct SavedTold<'a> {
    sequence_number: i64,
    enqueued_at: Moment,
    kind: Kind,
    at: Moment,
    value: f64,
    device_id: DeviceId,
    #[serde(borrow)]
    rule: Cow<'a, str>,
    alert: Saved,
}

impl PartitionAlerts {
    /// Writes everything, for [`decode`](Self::decode).
    ///
    /// # Errors
    /// None that is known of: memory takes what is written.
    pub fn encode(&self, rules: &Rules) -> Result<Vec<u8>, SnapshotError> {
        let snapshot = Written {
            rules: rules.iter().map(|rule| rule.name).collect(),
            drones: WrittenDrones(&self.drones),
            outbox: self.outbox.iter().map(SavedTold::from).collect(),
        };
        let mut bytes = Vec::with_capacity(self.drones.len() * USUAL_DRONE);
        bytes.push(VERSION);
        postcard::to_extend(&snapshot, bytes)
            .map_err(|error| SnapshotError::Damaged(error.to_string()))
    }

    /// Reads what [`encode`](Self::encode) wrote, perhaps in another version with other rules.
    ///
    /// # Errors
    /// Where the bytes are something else.
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, SnapshotError> {
        let snapshot: Snapshot<'_> = match bytes {
            [VERSION, rest @ ..] => postcard::from_bytes(rest)
                .map_err(|error| SnapshotError::Damaged(error.to_string()))?,
            [version, ..] => return Err(SnapshotError::Version(*version)),
            [] => return Err(SnapshotError::Damaged("it is empty".to_owned())),
        };
        // Where each rule of the snapshot stands today.
        let places: Vec<Option<(usize, &'static str)>> = snapshot
            .rules
            .iter()
            .map(|name| {
                let mut known = rules.iter().enumerate();
                known
                    .find(|(_, rule)| rule.name == name)
                    .map(|(place, rule)| (place, rule.name))
            })
            .collect();
        Ok(Self {
            drones: snapshot
                .drones
                .into_iter()
                .map(|drone| drone.restore(&places))
                .collect(),
            outbox: snapshot
                .outbox
                .into_iter()
                .map(SavedTold::restore)
                .collect(),
        })
    }
}

impl<'a> From<(&'a DeviceId, &'a DroneAlerts)> for WrittenDrone<'a> {
    fn from((device_id, drone): (&'a DeviceId, &'a DroneAlerts)) -> Self {
        Self {
            device_id,
            newest: drone.newest.into(),
            last_seen_at: drone.last_seen_at.into(),
            position: drone.position.map(|(at, position)| {
                let place = [position.latitude, position.longitude, position.altitude];
                (at.into(), place)
            }),
            windows: &drone.windows,
            registers: WrittenRegisters(&drone.registers),
        }
    }
}

impl SavedDrone {
    fn restore(self, places: &[Option<(usize, &'static str)>]) -> (DeviceId, DroneAlerts) {
        let mut registers = Vec::new();
        for (saved, place) in self.registers.into_iter().zip(places) {
            let Some((place, name)) = *place else {
                continue;
            };
            if registers.len() <= place {
                registers.resize_with(place + 1, Register::default);
            }
            registers[place] = Register {
                breached_at: saved.breached_at.map(Moment::time),
                clear: saved.clear.map(|(at, value)| Cleared {
                    at: at.time(),
                    value,
                }),
                open: saved
                    .open
                    .map(|alert| Box::new(alert.restore(Cow::Borrowed(name), &self.device_id))),
            };
        }
        let drone = DroneAlerts {
            newest: self.newest.time(),
            last_seen_at: self.last_seen_at.time(),
            position: self.position.map(|(at, [latitude, longitude, altitude])| {
                let position = Position {
                    latitude,
                    longitude,
                    altitude,
                };
                (at.time(), position)
            }),
            windows: self.windows,
            registers,
        };
        (self.device_id, drone)
    }
}

impl From<&Register> for SavedRegister {
    fn from(register: &Register) -> Self {
        Self {
            breached_at: register.breached_at.map(Moment::from),
            clear: register.clear.map(|clear| (clear.at.into(), clear.value)),
            open: register.open.as_deref().map(Saved::from),
        }
    }
}

impl<'a> From<&'a Told> for SavedTold<'a> {
    fn from(told: &'a Told) -> Self {
        let Transition {
            kind,
            at,
            value,
            alert,
        } = &told.transition;
        Self {
            sequence_number: told.sequence_number,
            enqueued_at: told.enqueued_at.into(),
            kind: *kind,
            at: (*at).into(),
            value: *value,
            device_id: alert.device_id.clone(),
            rule: Cow::Borrowed(&alert.rule),
            alert: Saved::from(alert),
        }
    }
}

impl SavedTold<'_> {
    fn restore(self) -> Told {
        let rule = Cow::Owned(self.rule.into_owned());
        let alert: Alert = self.alert.restore(rule, &self.device_id);
        Told {
            sequence_number: self.sequence_number,
            enqueued_at: self.enqueued_at.time(),
            transition: Transition {
                kind: self.kind,
                at: self.at.time(),
                value: self.value,
                alert,
            },
        }
    }
}
