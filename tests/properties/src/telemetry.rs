//! Telemetry: [`parse`] of any body, and what becomes of the event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drone_delivery::domain::telemetry::{FUTURE_TOLERANCE, poison, ranges};
use drone_delivery::domain::{
    Changes, DeviceId, DroneDocument, DroneState, EventContext, Intake, MAX_MESSAGE_TEXT, Poison,
    Reading, Reason, ReceivedEvent, Telemetry, fold, parse,
};
use serde::de::IgnoredAny;
use time::UtcDateTime;
use time::macros::utc_datetime;

const ENQUEUED_AT: UtcDateTime = utc_datetime!(2026-01-01 00:00:00);

/// What a detail may quote of a payload: 40 bytes, and three points where that is not all.
const LONGEST_QUOTE: usize = 43;

/// Holds `body` against these, as the body of an event:
/// - it is telemetry or poison, and so again when it comes again;
/// - of telemetry every number is finite and in its range, the identifiers are sound, and the time is not in the future;
/// - telemetry is stored and read back as it was, and merging it again changes nothing;
/// - poison has a reason that is stable, and a detail that is short, printable ASCII and quotes little;
/// - white space between the tokens changes nothing, nor does a trailing comma;
/// - with the device that IoT Hub authenticated it is the same, with another one it is a mismatch;
/// - the event ends in exactly one place: its drone's state, or one dead letter that has the body byte for byte.
///
/// # Panics
/// Where one of them does not hold.
pub fn check(body: &[u8]) {
    let read = parse_from(body, None);
    assert_eq!(parse_from(body, None), read, "again");
    match &read {
        Ok(telemetry) => {
            check_telemetry(telemetry);
            check_stored(telemetry);
            check_authenticated(body, telemetry);
        }
        Err(poison) => check_poison(poison),
    }
    check_spelling(body, &read);
    check_end(body, &read);
}

fn parse_from(body: &[u8], authenticated_device: Option<&str>) -> Result<Telemetry, Poison> {
    let context = EventContext {
        authenticated_device,
        enqueued_at: ENQUEUED_AT,
        intake: Intake::default(),
    };
    parse(body, &context)
}

fn check_telemetry(telemetry: &Telemetry) {
    // A range's ends are finite, and NaN is in no range.
    match &telemetry.reading {
        Reading::Flight(flight) => {
            assert!(ranges::LATITUDE.contains(&flight.position.latitude));
            assert!(ranges::LONGITUDE.contains(&flight.position.longitude));
            assert!(ranges::ALTITUDE.contains(&flight.position.altitude));
            assert!(ranges::VELOCITY.contains(&flight.velocity));
            assert!(ranges::ACCELERATION.contains(&flight.acceleration));
        }
        Reading::Operating(operating) => {
            assert!(ranges::TEMPERATURE.contains(&operating.temperature));
            assert!(ranges::BATTERY_LEVEL.contains(&operating.battery_level));
        }
    }
    for text in [telemetry.device_id.as_str(), telemetry.delivery_id.as_str()] {
        assert!(DeviceId::new(text).is_ok(), "{text}");
    }
    let item = telemetry.device_id.item_id();
    assert!(!item.is_empty() && item.len() <= 384);
    assert!(!item.contains(['/', '\\', '?', '#', '%']), "{item}");
    assert!(telemetry.occurred_at <= ENQUEUED_AT + FUTURE_TOLERANCE);
    assert!((1..=9999).contains(&telemetry.occurred_at.year()));
}

fn check_stored(telemetry: &Telemetry) {
    let state = DroneState::observe(telemetry.clone(), ENQUEUED_AT);
    let text = serde_json::to_string(&DroneDocument::from(&state)).unwrap();
    assert!(text.len() < 2_000, "{text}");
    let document: DroneDocument = serde_json::from_str(&text).unwrap();
    let mut stored = DroneState::try_from(document).unwrap();
    assert_eq!(stored, state, "{text}");
    assert!(!stored.merge(state.clone()), "merged again: {text}");
    assert_eq!(stored, state);
}

fn check_authenticated(body: &[u8], telemetry: &Telemetry) {
    let own = telemetry.device_id.as_str();
    assert_eq!(parse_from(body, Some(own)).as_ref(), Ok(telemetry));
    let other = format!("{own}x");
    let poison = parse_from(body, Some(&other)).unwrap_err();
    assert_eq!(poison.reason, Reason::DeviceMismatch);
    check_poison(&poison);
}

fn check_poison(poison: &Poison) {
    assert!(Reason::ALL.contains(&poison.reason));
    let detail = poison.detail.as_bytes();
    assert!(!detail.is_empty() && detail.len() <= poison::MAX_DETAIL);
    assert!(
        detail.iter().all(|byte| matches!(byte, b' '..=b'~')),
        "{}",
        poison.detail
    );
    assert!(
        longest_quote(&poison.detail) <= LONGEST_QUOTE,
        "{}",
        poison.detail
    );
}

/// The longest text between quotation marks that are not escaped themselves.
fn longest_quote(detail: &str) -> usize {
    let (mut longest, mut length, mut quoted, mut escaped) = (0, 0, false, false);
    for byte in detail.bytes() {
        if byte == b'"' && !escaped {
            quoted = !quoted;
            length = 0;
        } else if quoted {
            length += 1;
            longest = longest.max(length);
        }
        escaped = byte == b'\\' && !escaped;
    }
    longest
}

/// The same JSON, written otherwise.
fn check_spelling(body: &[u8], read: &Result<Telemetry, Poison>) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let around = format!(" \t\r\n{text}\r\n ");
    assert_same(&around, read);
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return;
    }
    assert_same(&spaced(text), read);
    let last = text
        .trim_ascii_end()
        .strip_suffix('}')
        .map(str::trim_ascii_end);
    if let Some(members) = last.filter(|members| !members.ends_with('{')) {
        assert_same(&format!("{members},}}"), read);
    }
}

fn assert_same(text: &str, read: &Result<Telemetry, Poison>) {
    match (parse_from(text.as_bytes(), None), read) {
        (Ok(one), Ok(other)) => assert_eq!(one, *other, "{text}"),
        // The detail may name another column.
        (Err(one), Err(other)) => {
            assert_eq!(
                (one.reason, one.device_id),
                (other.reason, other.device_id.clone()),
                "{text}"
            );
        }
        (one, other) => panic!("{one:?} and not {other:?}: {text}"),
    }
}

/// JSON with a space on either side of each token that is no value.
fn spaced(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        let structural = !in_string && matches!(character, '{' | '}' | '[' | ']' | ':' | ',');
        if in_string && !escaped && character == '\\' {
            escaped = true;
        } else {
            if character == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = false;
        }
        if structural {
            text.extend([' ', character, '\n']);
        } else {
            text.push(character);
        }
    }
    text
}

fn check_end(body: &[u8], read: &Result<Telemetry, Poison>) {
    let event = ReceivedEvent {
        body,
        sequence_number: 41,
        offset: "4294970632",
        enqueued_at: ENQUEUED_AT,
        first_enqueued_at: None,
        authenticated_device: None,
        marked_as_tick: false,
        partition_key: None,
    };
    let Changes {
        drones,
        dead_letters,
    } = fold(Intake::default(), "7", [event]);
    match read {
        Ok(telemetry) => {
            assert!(dead_letters.is_empty());
            assert_eq!(drones.len(), 1);
            assert!(drones.contains_key(&telemetry.device_id));
        }
        Err(poison) => {
            assert!(drones.is_empty());
            assert_eq!(dead_letters.len(), 1);
            let letter = &dead_letters[0];
            assert_eq!(
                (letter.reason, &letter.detail),
                (poison.reason, &poison.detail)
            );
            let Some(message) = letter.message() else {
                assert!(
                    body.len() > MAX_MESSAGE_TEXT / 2,
                    "no room for {} bytes",
                    body.len()
                );
                return;
            };
            assert!(message.len() <= MAX_MESSAGE_TEXT);
            let message: serde_json::Value = serde_json::from_str(&message).unwrap();
            assert!(
                message["id"]
                    .as_str()
                    .is_some_and(|id| id.starts_with("7:41:"))
            );
            let kept = STANDARD.decode(message["body"].as_str().unwrap()).unwrap();
            assert_eq!(kept, body);
        }
    }
}
