//! Simulated delivery drones: what they would report, and when.
//!
//! Nothing here reads a clock or sends anything. A [`Fleet`] is asked what is due at a time, and answers
//! with event bodies in the drones' wire format; the same seed and the same times give the same bytes.
//!
//! ```
//! use simulator::{Fleet, Kind};
//! use time::{Duration, UtcDateTime};
//!
//! let mut fleet = Fleet::new(100, 7);
//! let start = UtcDateTime::UNIX_EPOCH;
//! assert_eq!(fleet.due(start).count(), 1, "the first drone's first event");
//! let first_five_seconds = fleet.due(start + Duration::milliseconds(4_999));
//! assert_eq!(first_five_seconds.filter(|event| event.kind == Kind::Flight).count(), 99);
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `fleet` | all drones, and what becomes of their events |
//! | `schedule` | who reports what next, and when |
//! | `drone` | one drone's flight, battery and temperature |
//! | `malformed` | events that nobody can apply |
//! | `wire` | the two messages, and times in both shapes |

mod drone;
mod fleet;
mod malformed;
mod schedule;
mod wire;

pub use fleet::{Fleet, Kind, SimulatedEvent, device_id};
