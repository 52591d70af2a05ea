//! What holds for every body, not only for those that somebody thought of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::Value;

use super::lenient::without_trailing_commas;
use super::*;

const FIELDS: [&str; 11] = [
    "occurrenceUtcTime",
    "deviceId",
    "sensorType",
    "deliveryId",
    "velocity",
    "acceleration",
    "position",
    "flightStatus",
    "temperature",
    "batteryStatus",
    "batteryLevel",
];

const CONTEXT: EventContext<'static> = EventContext {
    authenticated_device: None,
    enqueued_at: time::macros::utc_datetime!(2026-01-01 00:00:00),
    intake: Intake {
        device_required: false,
        earliest: None,
    },
};

/// An event that has the fields of both messages and is accepted as either.
fn sound(sensor_type: &str) -> serde_json::Map<String, Value> {
    let values = [
        "2018-04-17T20:25:09Z",
        "drone-1",
        sensor_type,
        "delivery-1",
        "58.08",
        "2.52",
        "60.631945|-99.579919|504.99",
        "1",
        "74.74",
        "low",
        "0.25",
    ];
    FIELDS
        .into_iter()
        .zip(values)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn sensor_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["drone-event-sensor;v1", "drone-state-sensor;v1"])
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        // Text that is mostly what tells strings from structure.
        r#"[\[\]{},:"\\ ]{0,8}"#.prop_map(Value::from),
        r"[-+0-9.|eE]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(
                prop_oneof![
                    any::<String>(),
                    prop::sample::select(FIELDS.to_vec()).prop_map(String::from)
                ],
                inner,
                0..6
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Writes JSON with a comma after the last member of everything that has one.
fn with_trailing_commas(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                with_trailing_commas(item, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (name, member) in members {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                with_trailing_commas(member, out);
                out.push_str(",\n");
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// What must hold whatever the body was.
fn check(body: &[u8]) -> Result<(), TestCaseError> {
    match parse(body, &CONTEXT) {
        Ok(Telemetry { reading, .. }) => match reading {
            Reading::Flight(flight) => {
                prop_assert!(ranges::LATITUDE.contains(&flight.position.latitude));
                prop_assert!(ranges::LONGITUDE.contains(&flight.position.longitude));
                prop_assert!(ranges::ALTITUDE.contains(&flight.position.altitude));
                prop_assert!(ranges::VELOCITY.contains(&flight.velocity));
                prop_assert!(ranges::ACCELERATION.contains(&flight.acceleration));
            }
            Reading::Operating(operating) => {
                prop_assert!(ranges::TEMPERATURE.contains(&operating.temperature));
                prop_assert!(ranges::BATTERY_LEVEL.contains(&operating.battery_level));
            }
        },
        Err(poison) => {
            prop_assert!(!poison.detail.is_empty());
            prop_assert!(poison.detail.len() <= poison::MAX_DETAIL);
            prop_assert!(
                poison
                    .detail
                    .bytes()
                    .all(|byte| matches!(byte, b' '..=b'~'))
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_telemetry_or_poison(body in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&body)?;
    }

    #[test]
    fn any_json_is_telemetry_or_poison(value in json()) {
        check(value.to_string().as_bytes())?;
    }

    #[test]
    fn any_value_in_any_field_is_telemetry_or_poison(
        sensor_type in sensor_type(),
        field in prop::sample::select(FIELDS.to_vec()),
        value in json(),
    ) {
        let mut event = sound(sensor_type);
        event.insert(field.to_owned(), value);
        check(Value::Object(event).to_string().as_bytes())?;
    }

    #[test]
    fn any_change_of_some_bytes_is_telemetry_or_poison(
        sensor_type in sensor_type(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut body = Value::Object(sound(sensor_type)).to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        check(&body)?;
        body.truncate(end.index(body.len()));
        check(&body)?;
    }

    #[test]
    fn strict_json_is_read_alike_with_and_without_leniency(value in json()) {
        let strict = value.to_string();
        prop_assert_eq!(without_trailing_commas(&strict), None);
    }

    #[test]
    fn trailing_commas_change_nothing(value in json()) {
        let mut text = String::new();
        with_trailing_commas(&value, &mut text);
        let forgiven = without_trailing_commas(&text).unwrap_or(text);
        let read: Value = serde_json::from_str(&forgiven).unwrap();
        // As text: what numbers are written as is not the question here.
        prop_assert_eq!(read.to_string(), serde_json::from_str::<Value>(&value.to_string()).unwrap().to_string());
    }

    #[test]
    fn an_event_with_trailing_commas_is_the_same_event(
        sensor_type in sensor_type(),
        unknown in json(),
    ) {
        let mut event = sound(sensor_type);
        event.insert("unknown".to_owned(), unknown);
        let event = Value::Object(event);
        let strict = parse(event.to_string().as_bytes(), &CONTEXT);
        prop_assert!(strict.is_ok());
        let mut text = String::new();
        with_trailing_commas(&event, &mut text);
        prop_assert_eq!(parse(text.as_bytes(), &CONTEXT), strict);
    }

    #[test]
    fn accepted_numbers_are_exactly_those_sent(
        velocity in 0.0..=500.0,
        latitude in -90.0..=90.0,
        longitude in -180.0..=180.0,
        altitude in -500.0..=20_000.0,
    ) {
        let mut event = sound("drone-event-sensor;v1");
        event.insert("velocity".to_owned(), Value::from(velocity));
        event.insert("position".to_owned(), format!("{latitude}|{longitude}|{altitude}").into());
        let telemetry = parse(Value::Object(event).to_string().as_bytes(), &CONTEXT).unwrap();
        let Reading::Flight(flight) = telemetry.reading else {
            panic!("not a flight");
        };
        prop_assert_eq!(flight.velocity, velocity);
        prop_assert_eq!(flight.position, Position { latitude, longitude, altitude });
    }
}
