//! The fixtures, the accepted variants, the order of the checks and what they say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use time::macros::utc_datetime;

use super::*;

const FLIGHT: &str = include_str!("../../../tests/fixtures/telemetry/flight.json");
const STATUS: &str = include_str!("../../../tests/fixtures/telemetry/status.json");

const ENQUEUED_AT: UtcDateTime = utc_datetime!(2026-01-01 00:00:00);

fn from(device: Option<&str>) -> EventContext<'_> {
    EventContext {
        authenticated_device: device,
        enqueued_at: ENQUEUED_AT,
        intake: Intake::default(),
    }
}

fn read(body: impl AsRef<[u8]>) -> Result<Telemetry, Poison> {
    parse(body.as_ref(), &from(None))
}

fn flight() -> Telemetry {
    Telemetry {
        device_id: "Simulated.drone-01.35".parse().unwrap(),
        delivery_id: "d71df1a7-29eb-41e0-8232-030cc511ce87".parse().unwrap(),
        occurred_at: utc_datetime!(2018-04-17 20:25:09),
        reading: Reading::Flight(Flight {
            position: Position {
                latitude: 60.631945,
                longitude: -99.579919,
                altitude: 504.99,
            },
            velocity: 58.08,
            acceleration: 2.52,
            status: FlightStatus::InFlight,
        }),
    }
}

fn status() -> Telemetry {
    Telemetry {
        device_id: "Simulated.drone-01.61".parse().unwrap(),
        delivery_id: "4527e4ef-545a-45ac-8fae-22d17d74b1c5".parse().unwrap(),
        occurred_at: utc_datetime!(2018-04-17 20:25:17),
        reading: Reading::Operating(Operating {
            temperature: 74.74,
            battery_status: BatteryStatus::Low,
            battery_level: 0.25,
        }),
    }
}

/// `text` with one replacement that must take place.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

#[test]
fn the_articles_samples_are_accepted_as_they_are() {
    assert_eq!(read(FLIGHT), Ok(flight()));
    assert_eq!(read(STATUS), Ok(status()));
    let context = from(Some("Simulated.drone-01.35"));
    assert_eq!(parse(FLIGHT.as_bytes(), &context), Ok(flight()));
}

#[test]
fn every_variant_that_devices_send_means_the_same() {
    let time = "04/17/2018 20:25:09 +00:00";
    for (from, to) in [
        // Strict JSON.
        ("\"1\",\n}", "\"1\"\n}"),
        // Numbers as numbers.
        ("\"58.08\"", "58.08"),
        ("\"2.52\"", "252e-2"),
        ("\"1\"", "1"),
        ("\"1\"", "1.0"),
        ("\"1\"", "\"1.0\""),
        ("\"1\"", "\"+1\""),
        // Signs, exponents and white space in text.
        ("\"58.08\"", "\"+58.08\""),
        ("\"58.08\"", "\" 5.808E+1\\t\""),
        (
            "60.631945|-99.579919|504.99",
            "+60.631945|-99.579919|+504.990",
        ),
        (
            "60.631945|-99.579919|504.99",
            "60.631945 | -99.579919 | 504.99",
        ),
        // Both shapes of time, any offset.
        (time, "04/17/2018 13:25:09 -07:00"),
        (time, "2018-04-17T20:25:09Z"),
        (time, "2018-04-17T20:25:09.0000000Z"),
        (time, "2018-04-17T22:25:09.0000000+02:00"),
        (time, "2018-04-18T01:55:09+05:30"),
        // Unknown fields, of any kind.
        (
            "{",
            r#"{"note":null,"more":{"deviceId":1,"list":[{},[],"\ud800"]},"Velocity":"fast","#,
        ),
        ("{", r#"{"temperature":"unknown","batteryLevel":-1,"#),
        // Trailing commas in nested places.
        ("{", "{\"more\":{\"list\":[1,2, ],\"text\":\",}\",\r\n},"),
        // Escaped characters, in texts and in names.
        ("\"1\"", r#""\u0031""#),
        ("Simulated.drone", r"Simulated\u002edrone"),
        ("\"velocity\"", r#""\u0076elocity""#),
        ("58.08", r"58\u002e08"),
        ("60.631945|", r"60.631945\u007c"),
        ("04/17/2018", r"04\/17\/2018"),
        ("drone-event", r"drone\u002devent"),
    ] {
        let body = with(FLIGHT, from, to);
        assert_eq!(read(&body), Ok(flight()), "{body}");
    }
    for (from, to) in [
        ("low", "LOW"),
        ("low", "Low"),
        ("low", r"\u006cow"),
        ("\"0.25\"", "0.25"),
        ("\"0.25\"", "25E-2"),
        ("\"74.74\"", "74.740"),
    ] {
        let body = with(STATUS, from, to);
        assert_eq!(read(&body), Ok(status()), "{body}");
    }
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let mut lines: Vec<&str> = FLIGHT.lines().collect();
    let last = lines.len() - 1;
    lines[1..last].reverse();
    assert_eq!(read(lines.join("\n")), Ok(flight()));
}

#[test]
fn decimals_of_a_second_are_kept() {
    let body = with(
        FLIGHT,
        "04/17/2018 20:25:09 +00:00",
        "2018-04-17T20:25:09.1234567Z",
    );
    let telemetry = read(body).unwrap();
    assert_eq!(
        telemetry.occurred_at,
        utc_datetime!(2018-04-17 20:25:09.1234567)
    );
}

#[test]
fn both_ends_of_every_range_are_accepted() {
    for (from, to) in [
        ("60.631945|-99.579919|504.99", "-90|-180|-500"),
        ("60.631945|-99.579919|504.99", "90|180|20000"),
        ("\"58.08\"", "0"),
        ("\"58.08\"", "500"),
        ("\"2.52\"", "-100"),
        ("\"2.52\"", "100"),
        ("\"1\"", "0"),
        ("\"1\"", "4"),
    ] {
        let body = with(FLIGHT, from, to);
        assert!(read(&body).is_ok(), "{body}");
    }
    for (from, to) in [
        ("\"74.74\"", "-60"),
        ("\"74.74\"", "250"),
        ("\"0.25\"", "0"),
        ("\"0.25\"", "1"),
    ] {
        let body = with(STATUS, from, to);
        assert!(read(&body).is_ok(), "{body}");
    }
}

#[test]
fn every_status_is_read_by_its_number_or_name() {
    for (number, expected) in FlightStatus::ALL.into_iter().enumerate() {
        let body = with(FLIGHT, "\"1\"", &number.to_string());
        let Reading::Flight(flight) = read(body).unwrap().reading else {
            panic!("not a flight");
        };
        assert_eq!(flight.status, expected);
    }
    for (expected, name) in BatteryStatus::ALL {
        let body = with(STATUS, "low", name);
        let Reading::Operating(operating) = read(body).unwrap().reading else {
            panic!("not an operating status");
        };
        assert_eq!(operating.battery_status, expected);
    }
}

#[test]
fn minus_zero_is_read_as_zero() {
    let body = with(FLIGHT, "\"58.08\"", "-0.0");
    let Reading::Flight(flight) = read(body).unwrap().reading else {
        panic!("not a flight");
    };
    assert!(flight.velocity.is_sign_positive());
}

#[test]
fn a_clock_may_run_ahead_by_five_minutes_and_behind_for_ever() {
    let at = |time: &str| read(with(FLIGHT, "04/17/2018 20:25:09 +00:00", time));
    assert!(at("2026-01-01T00:05:00Z").is_ok());
    let poison = at("2026-01-01T00:05:00.000000001Z").unwrap_err();
    assert_eq!(poison.reason, Reason::OccurredInFuture);
    assert_eq!(
        poison.detail,
        "occurrenceUtcTime: 2026-01-01T00:05:00.000000001Z is more than 5 minutes after 2026-01-01T00:00:00Z, when it was enqueued"
    );
    assert!(at("0001-01-01T00:00:00Z").is_ok());
}

#[test]
fn no_clock_of_the_hub_makes_it_panic() {
    for enqueued_at in [UtcDateTime::MIN, UtcDateTime::MAX] {
        let context = EventContext {
            authenticated_device: None,
            enqueued_at,
            intake: Intake::default(),
        };
        let _ = parse(FLIGHT.as_bytes(), &context);
    }
}

#[test]
fn the_detail_says_where_and_what() {
    for (from, to, expected) in [
        (
            "60.631945|",
            "90.4|",
            "position: latitude 90.4 is out of range -90..90",
        ),
        (
            "|-99.579919|",
            "|x|",
            "position: longitude \"x\" is not a number",
        ),
        (
            "|504.99",
            "|1e400",
            "position: altitude \"1e400\" is larger than any number",
        ),
        (
            "|504.99",
            "|2e300",
            "position: altitude 2e300 is out of range -500..20000",
        ),
        (
            "|504.99",
            "",
            "position: \"60.631945|-99.579919\" is not latitude|longitude|altitude",
        ),
        ("\"58.08\"", "501", "velocity: 501 is out of range 0..500"),
        ("\"58.08\"", "null", "velocity: is missing"),
        (
            "\"58.08\"",
            "{}",
            "velocity: is an object where a number is expected",
        ),
        (
            "\"58.08\"",
            "\"\\n\u{e9}\"",
            "velocity: \"\\n\\u{e9}\" is not a number",
        ),
        ("\"1\"", "7", "flightStatus: 7 is out of range 0..4"),
        (
            "\"1\"",
            "1.5",
            "flightStatus: \"1.5\" is not a whole number",
        ),
        (
            "04/17/2018 20:25:09 +00:00",
            "02/30/2018 20:25:09 +00:00",
            "occurrenceUtcTime: \"02/30/2018 20:25:09 +00:00\" is not a time that exists",
        ),
        (
            "04/17/2018 20:25:09 +00:00",
            "04/17/2018 20:25:09",
            "occurrenceUtcTime: \"04/17/2018 20:25:09\" is neither MM/dd/yyyy HH:mm:ss +00:00 nor ISO 8601 with an offset",
        ),
        (
            "event-sensor;v1",
            "event-sensor;v2",
            "sensorType: \"drone-event-sensor;v2\" is neither drone-event-sensor;v1 nor drone-state-sensor;v1",
        ),
        (
            "Simulated.drone",
            "Simulated\u{e9}drone",
            "deviceId: holds '\\u{e9}' at character 10, which IoT Hub does not allow",
        ),
        (
            "\"1\",",
            "\"1\",,",
            "key must be a string at line 9 column 22",
        ),
        ("\"58.08\"", "NaN", "expected value at line 6 column 14"),
        (
            "\"acceleration\"",
            "\"velocity\"",
            "duplicate field `velocity` at line 7 column 11",
        ),
    ] {
        let poison = read(with(FLIGHT, from, to)).unwrap_err();
        assert_eq!(poison.detail, expected);
    }
    for (mark, encoding) in [
        (&b"\xef\xbb\xbf"[..], "UTF-8"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
        (b"\xff\xfe\0\0", "UTF-32"),
    ] {
        let body = [mark, FLIGHT.as_bytes()].concat();
        let poison = parse(&body, &from(None)).unwrap_err();
        assert_eq!(poison.reason, Reason::MalformedJson);
        let expected = format!(
            "the body begins with a byte order mark of {encoding}, and must be UTF-8 without one"
        );
        assert_eq!(poison.detail, expected);
    }
    let mismatch = parse(FLIGHT.as_bytes(), &from(Some("drone-2"))).unwrap_err();
    assert_eq!(
        mismatch.detail,
        "deviceId: \"Simulated.drone-01.35\" was sent by \"drone-2\""
    );
}

#[test]
fn the_device_is_named_where_it_could_be_read() {
    let claimed = Some(flight().device_id);
    let mismatch = parse(FLIGHT.as_bytes(), &from(Some("drone-2"))).unwrap_err();
    assert_eq!(mismatch.device_id, claimed);
    assert_eq!(
        read(with(FLIGHT, "58.08", "x")).unwrap_err().device_id,
        claimed
    );
    assert_eq!(
        read(with(FLIGHT, "event", "x")).unwrap_err().device_id,
        claimed
    );
    assert_eq!(
        read(with(FLIGHT, "Simulated", "/")).unwrap_err().device_id,
        None
    );
    assert_eq!(read("").unwrap_err().device_id, None);
}

/// Takes one fault away after another: each time, the next in the documented order is the reason.
#[test]
fn the_first_fault_in_the_documented_order_gives_the_reason() {
    let all_wrong = r#"{"deviceId":"/","sensorType":"x","deliveryId":"/","occurrenceUtcTime":"x","velocity":"x","acceleration":"x","position":"x","flightStatus":"x"}"#;
    let mends = [
        ("deviceId", "\"/\"", "\"drone-2\""),
        ("device-mismatch", "drone-2", "drone-1"),
        (
            "sensorType",
            "\"sensorType\":\"x\"",
            "\"sensorType\":\"drone-event-sensor;v1\"",
        ),
        ("deliveryId", "\"/\"", "\"delivery-1\""),
        (
            "occurrenceUtcTime",
            "Time\":\"x\"",
            "Time\":\"2999-01-01T00:00:00Z\"",
        ),
        ("velocity", "\"velocity\":\"x\"", "\"velocity\":1"),
        (
            "acceleration",
            "\"acceleration\":\"x\"",
            "\"acceleration\":1",
        ),
        ("position", "\"position\":\"x\"", "\"position\":\"1|2|3\""),
        (
            "flightStatus",
            "\"flightStatus\":\"x\"",
            "\"flightStatus\":1",
        ),
        ("occurred-in-future", "2999", "2018"),
    ];
    let mut body = all_wrong.to_owned();
    for (expected, wrong, mended) in mends {
        let poison = parse(body.as_bytes(), &from(Some("drone-1"))).unwrap_err();
        let named = poison.detail.starts_with(&format!("{expected}:"));
        assert!(
            named || poison.reason.as_str() == expected,
            "{expected}: {poison}"
        );
        body = with(&body, wrong, mended);
    }
    assert!(parse(body.as_bytes(), &from(Some("drone-1"))).is_ok());
}

/// Where devices have no other way in than IoT Hub, what none was authenticated for is not taken.
#[test]
fn an_event_without_a_device_is_refused_where_each_must_have_one() {
    let body = br#"{"occurrenceUtcTime":"2018-04-17T20:25:09Z","deviceId":"drone-1","sensorType":"drone-event-sensor;v1","deliveryId":"delivery-1","velocity":"14.2","acceleration":"2.52","position":"60.6|22.1|103.2","flightStatus":"3"}"#;
    let reason = |device_required, authenticated_device| {
        let context = EventContext {
            authenticated_device,
            enqueued_at: utc_datetime!(2018-04-17 20:25:10),
            intake: Intake {
                device_required,
                earliest: None,
            },
        };
        parse(body, &context)
            .map(|_| ())
            .map_err(|poison| poison.reason)
    };
    assert_eq!(reason(false, None), Ok(()));
    assert_eq!(reason(true, Some("drone-1")), Ok(()));
    assert_eq!(reason(true, None), Err(Reason::DeviceNotAuthenticated));
    assert_eq!(reason(true, Some("drone-2")), Err(Reason::DeviceMismatch));
}
