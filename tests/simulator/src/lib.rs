//! Simulated delivery drones: what they would report, and when.
//!
//! The drones themselves read no clock and send nothing. A [`Fleet`] is asked what is due at a time, and answers
//! with event bodies in the drones' wire format; the same seed and the same times give the same bytes.
//!
//! ```
//! use simulator::{Fleet, Kind, Plan};
//! use time::{Duration, UtcDateTime};
//!
//! let mut fleet = Fleet::new(&Plan::new(100, 7));
//! let start = UtcDateTime::UNIX_EPOCH;
//! assert_eq!(fleet.due(start).count(), 1, "the first drone's first event");
//! let first_five_seconds = fleet.due(start + Duration::milliseconds(4_999));
//! assert_eq!(first_five_seconds.filter(|event| event.kind == Kind::Flight).count(), 99);
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `fleet` | all drones, and what becomes of their events on the way |
//! | `scenario` | what goes wrong, and how often |
//! | `schedule` | who reports what next, and when |
//! | `drone` | one drone, from delivery to delivery |
//! | `mission`, `ramp`, `geo` | one delivery: where a drone is, how fast, how hot and how full |
//! | `record` | what the drones really did |
//! | `destination` | where events go: Event Hubs, IoT Hub, the local hub, a stream of lines |
//! | `options` | what every program with drones lets its user choose |
//! | `malformed` | events that nobody can apply |
//! | `tls` | who does its cryptography |
//! | `wire` | the two messages, and times in both shapes |

#![forbid(unsafe_code)]

mod destination;
mod drone;
mod fleet;
mod geo;
mod malformed;
mod mission;
mod options;
mod ramp;
mod record;
mod scenario;
mod schedule;
mod tls;
mod wire;

pub use destination::{Destination, DestinationError, EventHub, TextEvent};
pub use fleet::{Cadence, Fleet, Kind, Plan, SimulatedEvent, device_id};
pub use geo::{Area, Point};
pub use options::{FleetOptions, parse_duration, parse_rate};
pub use record::{Delivery, Span};
pub use scenario::{Scenario, ScenarioError};
