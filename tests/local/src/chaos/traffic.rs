//! What drones send in a trial: mostly good events, in every form that is allowed, and some that never can be
//! applied. Each comes with what has to become of it, known from how it was made and not from the code
//! under test.
//!
//! Drones come and go: one that reports for ever would cover up a lost batch with its next event.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use time::macros::format_description;
use time::{Duration, UtcDateTime};

use crate::hub::NewEvent;

/// Drones that fly at the same time.
const FLYING: usize = 400;

/// Events that wait to be sent late or again.
const HELD: usize = 64;

/// A body that no queue message can hold, in bytes.
const LARGE: usize = 60_000;

/// Every so many steps a drone reports its operating state instead of its flight.
const OPERATING_EVERY: u32 = 4;

/// Between two steps of a drone, by its clock. No two events of one drone have one time: see `Drone::clock`.
const STEP: Duration = Duration::seconds(5);

/// An event, and what has to become of it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Byte for byte.
    pub body: Bytes,
    /// The device that IoT Hub authenticates, which is the partition key too.
    pub device: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What has to become of an event.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It is part of its drone's state, unless something newer is.
    Applied(Reading),
    /// It is put aside, for this reason.
    DeadLettered(&'static str),
}

/// A section of a drone's document.
#[derive(Debug, Clone)]
pub struct Reading {
    /// `flight` or `operating`.
    pub section: &'static str,
    /// When it occurred, by the drone's clock.
    pub occurred_at: UtcDateTime,
    /// On which delivery.
    pub delivery: String,
    /// The section as it has to be stored.
    pub stored: Value,
}

impl Sent {
    /// As it goes to the hub.
    pub fn event(&self) -> NewEvent {
        NewEvent::new(self.body.clone())
            .with_key(self.device.clone())
            .with_iot_hub_device(&self.device, UtcDateTime::now())
    }
}

/// The events of a trial; the same for the same seed, but for their times.
pub struct Traffic {
    rng: StdRng,
    flying: Vec<Drone>,
    born: u64,
    held: Vec<Sent>,
}

struct Drone {
    id: String,
    delivery: u64,
    /// Whole seconds. Flights are at 0 and 3, operating states at 1 and 4 seconds modulo 5 of the start, so
    /// that a clock that was set back never repeats a time.
    clock: UtcDateTime,
    steps_left: u32,
    /// When its clock is set back.
    set_back_at: Option<u32>,
    hot: bool,
    /// In hundredths.
    battery: u32,
    /// In millionths of a degree.
    latitude: i64,
    longitude: i64,
}

impl Traffic {
    /// The traffic of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            // Not the plan's numbers over again.
            rng: StdRng::seed_from_u64(!seed),
            flying: Vec::new(),
            born: 0,
            held: Vec::new(),
        }
    }

    /// The next event.
    pub fn next(&mut self, now: UtcDateTime) -> Sent {
        // Overtaken events, and copies.
        let release =
            self.held.len() >= HELD || (!self.held.is_empty() && self.rng.random_ratio(1, 15));
        if release {
            let chosen = self.rng.random_range(0..self.held.len());
            return self.held.swap_remove(chosen);
        }
        let sent = self.fresh(now);
        match self.rng.random_range(0..100) {
            0..5 => {
                self.held.push(sent);
                self.next(now)
            }
            5..7 => {
                self.held.push(sent.clone());
                sent
            }
            _ => sent,
        }
    }

    fn fresh(&mut self, now: UtcDateTime) -> Sent {
        while self.flying.len() < FLYING {
            let drone = Drone::new(&mut self.rng, self.born, now);
            self.born += 1;
            self.flying.push(drone);
        }
        let chosen = self.rng.random_range(0..self.flying.len());
        let rng = &mut self.rng;
        let drone = &mut self.flying[chosen];
        let (message, reading) = drone.step(rng);
        let device = drone.id.clone();
        if drone.steps_left == 0 {
            self.flying.swap_remove(chosen);
        }
        match rng.random_ratio(1, 100) {
            true => poison(rng, device, message, now),
            false => Sent {
                body: written(rng, &message),
                device,
                fate: Fate::Applied(reading),
            },
        }
    }
}

impl Drone {
    fn new(rng: &mut StdRng, number: u64, now: UtcDateTime) -> Self {
        // IoT Hub allows what Cosmos DB does not allow in an id.
        let id = match rng.random_range(0..20) {
            0 => format!("drone#{number}"),
            1 => format!("drone?{number}"),
            _ => format!("drone-{number}"),
        };
        let steps_left = rng.random_range(30..=150);
        let now = now - Duration::nanoseconds(i64::from(now.nanosecond()));
        let flight = STEP * i32::try_from(steps_left).unwrap_or(i32::MAX);
        let clock = match rng.random_range(0..50) {
            // Wrong, but within the 5 minutes that are allowed: the last event is 4 minutes ahead.
            0 => now + Duration::minutes(4) - flight,
            // Never set.
            1 => UtcDateTime::UNIX_EPOCH + Duration::days(365),
            _ => now - flight - Duration::seconds(rng.random_range(0..3600)),
        };
        Self {
            id,
            delivery: number * 10,
            clock,
            set_back_at: rng.random_ratio(1, 30).then_some(steps_left / 2),
            steps_left,
            hot: rng.random_ratio(1, 10),
            battery: rng.random_range(30..=100),
            latitude: rng.random_range(-60_000_000..=60_000_000),
            longitude: rng.random_range(-179_000_000..=179_000_000),
        }
    }

    /// What it reports next, and how that has to be stored.
    fn step(&mut self, rng: &mut StdRng) -> (Map<String, Value>, Reading) {
        self.steps_left -= 1;
        self.clock += STEP;
        if self.set_back_at == Some(self.steps_left) {
            self.clock -= Duration::seconds(1002);
        }
        if rng.random_ratio(1, 60) {
            self.delivery += 1;
        }
        match self.steps_left.is_multiple_of(OPERATING_EVERY) {
            true => self.operating(rng),
            false => self.flight(rng),
        }
    }

    fn flight(&mut self, rng: &mut StdRng) -> (Map<String, Value>, Reading) {
        self.latitude += rng.random_range(-900..=900);
        self.longitude += rng.random_range(-900..=900);
        let latitude = self.latitude as f64 / 1e6;
        let longitude = self.longitude as f64 / 1e6;
        let altitude = hundredths(match rng.random_ratio(1, 150) {
            true => rng.random_range(100_000..=120_000),
            false => rng.random_range(0..=80_000),
        });
        let velocity = hundredths(rng.random_range(0..=4_000));
        let acceleration = hundredths(match rng.random_ratio(1, 150) {
            true => rng.random_range(1_500..=2_000),
            false => rng.random_range(-900..=900),
        });
        let (code, status) = [
            (0, "departedStation"),
            (1, "inFlight"),
            (2, "pickedUpPackage"),
            (3, "droppedOffPackage"),
            (4, "arrivedAtStation"),
        ][rng.random_range(0..5)];
        let plus = if latitude >= 0.0 && rng.random_bool(0.2) {
            "+"
        } else {
            ""
        };
        let mut message = self.message(self.clock, "drone-event-sensor;v1", rng);
        let strings = rng.random_bool(0.7);
        message.insert("velocity".into(), number(velocity, strings));
        message.insert("acceleration".into(), number(acceleration, strings));
        message.insert(
            "position".into(),
            format!("{plus}{latitude}|{longitude}|{altitude}").into(),
        );
        message.insert("flightStatus".into(), number(code, strings));
        let mut reading = self.reading("flight", self.clock);
        reading.stored = json!({
            "occurredAt": time_text(reading.occurred_at),
            "deliveryId": reading.delivery,
            "position": {"type": "Point", "coordinates": [longitude, latitude]},
            "altitude": altitude,
            "velocity": velocity,
            "acceleration": acceleration,
            "status": status,
        });
        (message, reading)
    }

    fn operating(&mut self, rng: &mut StdRng) -> (Map<String, Value>, Reading) {
        self.battery = match self.battery {
            0..6 => 95,
            level => level - rng.random_range(0..=4),
        };
        let temperature = hundredths(match (rng.random_ratio(1, 120), self.hot) {
            (true, _) => rng.random_range(10_000..=12_000),
            (false, true) => rng.random_range(7_200..=9_000),
            (false, false) => rng.random_range(4_000..=7_000),
        });
        let level = hundredths(i64::from(self.battery));
        let status = match self.battery {
            0 => "dead",
            1..=10 => "critical",
            11..=30 => "low",
            31..=50 => "medium",
            51..=99 => "high",
            _ => "full",
        };
        let at = self.clock + Duration::seconds(1);
        let mut message = self.message(at, "drone-state-sensor;v1", rng);
        let strings = rng.random_bool(0.7);
        message.insert("temperature".into(), number(temperature, strings));
        message.insert("batteryLevel".into(), number(level, strings));
        message.insert("batteryStatus".into(), status.into());
        let mut reading = self.reading("operating", at);
        reading.stored = json!({
            "occurredAt": time_text(at),
            "deliveryId": reading.delivery,
            "temperature": temperature,
            "batteryStatus": status,
            "batteryLevel": level,
        });
        (message, reading)
    }

    fn message(&self, at: UtcDateTime, sensor: &str, rng: &mut StdRng) -> Map<String, Value> {
        let mut message = Map::new();
        message.insert("occurrenceUtcTime".into(), wire_time(at, rng).into());
        message.insert("deviceId".into(), self.id.clone().into());
        message.insert("sensorType".into(), sensor.into());
        message.insert("deliveryId".into(), self.delivery_id().into());
        message
    }

    fn reading(&self, section: &'static str, occurred_at: UtcDateTime) -> Reading {
        Reading {
            section,
            occurred_at,
            delivery: self.delivery_id(),
            stored: Value::Null,
        }
    }

    fn delivery_id(&self) -> String {
        format!("delivery-{}", self.delivery)
    }
}

/// An event that can never be applied, made of one that could have been.
fn poison(
    rng: &mut StdRng,
    device: String,
    mut message: Map<String, Value>,
    now: UtcDateTime,
) -> Sent {
    let flight = message.contains_key("position");
    let field = if flight { "velocity" } else { "temperature" };
    let reason = match rng.random_range(0..8) {
        0 => {
            let whole = Value::Object(message).to_string();
            // Any part of an object is none.
            let end = rng.random_range(0..whole.len());
            return Sent {
                body: whole.into_bytes()[..end].to_vec().into(),
                device,
                fate: Fate::DeadLettered("malformed-json"),
            };
        }
        1 => {
            let known = ["occurrenceUtcTime", "deviceId", "deliveryId", field];
            message.remove(*known.choose(rng).unwrap_or(&field));
            "missing-field"
        }
        2 => {
            message.insert(field.into(), json!("fast"));
            "invalid-field"
        }
        3 if flight => {
            // Where the first simulators' drones arrived after 25 minutes.
            message.insert("position".into(), "90.4|10|100".into());
            "out-of-range"
        }
        3 => {
            message.insert(field.into(), json!(10_000));
            "out-of-range"
        }
        4 => {
            message.insert("sensorType".into(), "drone-camera;v1".into());
            "unsupported-sensor-type"
        }
        5 => {
            message.insert("sensorType".into(), "drone-camera;v1".into());
            message.insert("image".into(), "x".repeat(LARGE).into());
            "unsupported-sensor-type"
        }
        6 => {
            message.insert("deviceId".into(), "somebody-else".into());
            "device-mismatch"
        }
        _ => {
            let at = now + Duration::hours(1);
            message.insert("occurrenceUtcTime".into(), wire_time(at, rng).into());
            "occurred-in-future"
        }
    };
    Sent {
        body: written(rng, &message),
        device,
        fate: Fate::DeadLettered(reason),
    }
}

/// In strict JSON or with the trailing comma of the article's samples.
fn written(rng: &mut StdRng, message: &Map<String, Value>) -> Bytes {
    let mut text = serde_json::to_string(message).unwrap_or_default();
    if rng.random_bool(0.3) {
        text.insert(text.len() - 1, ',');
    }
    text.into()
}

fn hundredths(value: i64) -> f64 {
    value as f64 / 100.0
}

/// As the article's messages have numbers, or as real devices do.
fn number(value: impl Into<Value>, as_string: bool) -> Value {
    let value = value.into();
    match as_string {
        true => value.to_string().into(),
        false => value,
    }
}

/// In one of the two shapes that are in use.
fn wire_time(at: UtcDateTime, rng: &mut StdRng) -> String {
    let formatted = match rng.random_bool(0.5) {
        true => at.format(format_description!(
            "[month]/[day]/[year] [hour]:[minute]:[second] +00:00"
        )),
        false => at.format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].0000000Z"
        )),
    };
    // Neither asks for what a time does not have.
    formatted.unwrap_or_default()
}

/// As a document has a whole second.
fn time_text(at: UtcDateTime) -> String {
    at.format(format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second]Z"
    ))
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, HashMap};

    use drone_delivery::domain::{EventContext, Intake, parse};

    use super::*;

    #[test]
    fn what_an_event_is_meant_to_become_is_what_the_domain_makes_of_it() {
        let now = UtcDateTime::now();
        let mut traffic = Traffic::new(3);
        let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..20_000 {
            let sent = traffic.next(now);
            let parsed = parse(
                &sent.body,
                &EventContext {
                    authenticated_device: Some(&sent.device),
                    enqueued_at: now,
                    intake: Intake::default(),
                },
            );
            let text = String::from_utf8_lossy(&sent.body[..sent.body.len().min(500)]).into_owned();
            match sent.fate {
                Fate::Applied(reading) => {
                    let telemetry = parsed.unwrap_or_else(|poison| panic!("{poison}: {text}"));
                    assert_eq!(telemetry.occurred_at, reading.occurred_at, "{text}");
                }
                Fate::DeadLettered(reason) => {
                    assert_eq!(parsed.unwrap_err().reason.as_str(), reason, "{text}");
                    *reasons.entry(reason).or_default() += 1;
                }
            }
        }
        assert_eq!(reasons.len(), 7, "{reasons:?}");
        let poison: u32 = reasons.values().sum();
        assert!((100..400).contains(&poison), "{poison}");
    }

    /// Two events of one time would leave it to a tie-break which of them is stored.
    #[test]
    fn no_two_events_of_a_drone_have_one_time_unless_they_are_copies() {
        let now = UtcDateTime::now();
        let mut traffic = Traffic::new(4);
        let mut seen: HashMap<(String, UtcDateTime), Bytes> = HashMap::new();
        let mut copies = 0;
        let mut set_back = 0;
        for _ in 0..50_000 {
            let sent = traffic.next(now);
            let Fate::Applied(reading) = sent.fate else {
                continue;
            };
            set_back += u32::from(reading.occurred_at < now - Duration::hours(3));
            let key = (sent.device, reading.occurred_at);
            if let Some(earlier) = seen.insert(key, sent.body.clone()) {
                assert_eq!(earlier, sent.body);
                copies += 1;
            }
        }
        assert!(copies > 500, "{copies}");
        assert!(set_back > 100, "{set_back}");
    }
}
