//! What the system knows about drones, and nothing else: no network, no runtime, and no clock but an
//! argument.
//!
//! | where | what |
//! |---|---|
//! | [`telemetry`] | an event's body, checked: [`parse`] gives [`Telemetry`] or [`Poison`] with its reason |
//! | [`identifier`] | [`DeviceId`] and [`DeliveryId`] |
//! | [`partition_key`] | where Event Hubs places a device's events |
//! | [`bucket`] | [`Bucket`]: the drones that are stored and written together |
//! | [`timestamp`] | the two shapes of time that drones send, and RFC 3339 for what is stored |
//! | [`drone`] | [`DroneState`], its merge, and [`DroneDocument`], the form it is stored in |
//! | [`fleet`] | which drones somebody asks for |
//! | [`dead_letter`] | [`DeadLetter`], an event put aside, and the message that says why |
//! | [`batch`] | [`fold`]: from the events of one batch to what has to be written |
//! | [`alerts`] | the rules, the alerts that they raise and clear, and the messages that tell of it |
//! | [`insights`] | what the fleet did: facts of deliveries, hours and days |
//! | [`geojson`] | points, as they are stored and shown |

pub mod alerts;
pub mod batch;
pub mod bucket;
pub mod dead_letter;
pub mod drone;
pub mod fleet;
pub mod geojson;
pub mod identifier;
pub mod insights;
pub mod partition_key;
pub mod telemetry;
pub mod timestamp;

pub use batch::{
    Changes, FIRST_ENQUEUED_AT, ReceivedEvent, TICK_BODY, WATERMARK_TICK, first_enqueued_at, fold,
};
pub use bucket::Bucket;
pub use dead_letter::{DeadLetter, MAX_MESSAGE_TEXT};
pub use drone::document::{DocumentError, DroneDocument};
pub use drone::{DroneState, Stamped};
pub use identifier::{DeliveryId, DeviceId, IdentifierError};
pub use telemetry::{
    BatteryStatus, EventContext, Flight, FlightStatus, Intake, Operating, Poison, Position,
    Reading, Reason, Telemetry, parse,
};
