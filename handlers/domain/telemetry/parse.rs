//! The order in which a body is checked.

use time::macros::utc_datetime;
use time::{Duration, UtcDateTime};

use super::fields;
use super::poison::{Fault, Poison, Quoted, Reason};
use super::ranges::{ACCELERATION, BATTERY_LEVEL, TEMPERATURE, VELOCITY};
use super::wire::{self, Wire};
use super::{EventContext, Flight, Operating, Reading, Telemetry};
use crate::domain::identifier::DeviceId;
use crate::domain::timestamp::Rfc3339;

/// How far a drone's clock may run ahead of the hub's.
pub const FUTURE_TOLERANCE: Duration = Duration::minutes(5);

/// No drone of this kind flew before; a clock that says so has not been set since it was switched on.
pub const EARLIEST: UtcDateTime = utc_datetime!(2010-01-01 0:00);

const FLIGHT: &str = "drone-event-sensor;v1";
const OPERATING: &str = "drone-state-sensor;v1";

/// Reads one event's body.
///
/// The checks, in this order; the first that fails gives the reason:
/// 1. the body is a JSON object, once trailing commas are forgiven;
/// 2. `deviceId`, and that it is the device that IoT Hub authenticated, where there is or must be one: what else a
///    forged payload says does not matter;
/// 3. `sensorType`, `deliveryId`, `occurrenceUtcTime`;
/// 4. the reading: velocity, acceleration, position (latitude, longitude, altitude), flightStatus; or
///    temperature, batteryStatus, batteryLevel;
/// 5. that it did not occur before drones flew, nor more than [`FUTURE_TOLERANCE`] after it was enqueued. Late events
///    are welcome.
///
/// # Errors
/// Where any of them fails. The same body and context give the same answer for ever: trying again is of
/// no use.
pub fn parse(body: &[u8], context: &EventContext<'_>) -> Result<Telemetry, Poison> {
    let mut device_id = None;
    wire::read(body, |wire| {
        let device = device_id.insert(fields::identifier("deviceId", wire.device_id)?);
        check(wire, device, context)
    })
    .map_err(|fault| fault.of(device_id))
}

fn check(
    wire: &Wire<'_>,
    device_id: &DeviceId,
    context: &EventContext<'_>,
) -> Result<Telemetry, Fault> {
    if context.intake.device_required && context.authenticated_device.is_none() {
        return Err(Fault::new(
            Reason::DeviceNotAuthenticated,
            format_args!(
                "deviceId: {} was not authenticated by IoT Hub",
                Quoted(device_id.as_str())
            ),
        ));
    }
    if let Some(authenticated) = context.authenticated_device
        && authenticated != device_id.as_str()
    {
        return Err(Fault::new(
            Reason::DeviceMismatch,
            format_args!(
                "deviceId: {} was sent by {}",
                Quoted(device_id.as_str()),
                Quoted(authenticated)
            ),
        ));
    }
    let sensor_type = fields::text("sensorType", wire.sensor_type)?;
    let read = match &*sensor_type {
        FLIGHT => flight,
        OPERATING => operating,
        other => {
            return Err(Fault::new(
                Reason::UnsupportedSensorType,
                format_args!(
                    "sensorType: {} is neither {FLIGHT} nor {OPERATING}",
                    Quoted(other)
                ),
            ));
        }
    };
    let delivery_id = fields::identifier("deliveryId", wire.delivery_id)?;
    let occurred_at = fields::time("occurrenceUtcTime", wire.occurrence_utc_time)?;
    let reading = read(wire)?;
    if let Some(earliest) = context.intake.earliest
        && occurred_at < earliest
    {
        return Err(Fault::new(
            Reason::OccurredLongAgo,
            format_args!(
                "occurrenceUtcTime: {} is before {}",
                Rfc3339(occurred_at),
                Rfc3339(earliest)
            ),
        ));
    }
    // Saturating, because no context may make this panic.
    if occurred_at > context.enqueued_at.saturating_add(FUTURE_TOLERANCE) {
        return Err(Fault::new(
            Reason::OccurredInFuture,
            format_args!(
                "occurrenceUtcTime: {} is more than {} minutes after {}, when it was enqueued",
                Rfc3339(occurred_at),
                FUTURE_TOLERANCE.whole_minutes(),
                Rfc3339(context.enqueued_at)
            ),
        ));
    }
    Ok(Telemetry {
        device_id: device_id.clone(),
        delivery_id,
        occurred_at,
        reading,
    })
}

fn flight(wire: &Wire<'_>) -> Result<Reading, Fault> {
    Ok(Reading::Flight(Flight {
        velocity: fields::number("velocity", wire.velocity, &VELOCITY)?,
        acceleration: fields::number("acceleration", wire.acceleration, &ACCELERATION)?,
        position: fields::position("position", wire.position)?,
        status: fields::flight_status("flightStatus", wire.flight_status)?,
    }))
}

fn operating(wire: &Wire<'_>) -> Result<Reading, Fault> {
    Ok(Reading::Operating(Operating {
        temperature: fields::number("temperature", wire.temperature, &TEMPERATURE)?,
        battery_status: fields::battery_status("batteryStatus", wire.battery_status)?,
        battery_level: fields::number("batteryLevel", wire.battery_level, &BATTERY_LEVEL)?,
    }))
}
