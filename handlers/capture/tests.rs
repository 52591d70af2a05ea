#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use apache_avro::Reader;
use apache_avro::types::Value;
use proptest::prelude::*;
use time::macros::utc_datetime;

use super::*;

fn event<'a>(sequence_number: i64, body: &'a [u8]) -> CapturedEvent<'a> {
    CapturedEvent {
        sequence_number,
        offset: "4294970632",
        enqueued_at: utc_datetime!(2024-05-01 12:00:00.123),
        system_properties: r#"{"iothub-connection-device-id":"drone-1","SequenceNumber":41,"PartitionKey":null,"x-opt-partition-id":7}"#,
        properties: r#"{"kind":"flight","weight":1.5,"urgent":true,"note":null,"caf\u00e9":"\"q\""}"#,
        body,
    }
}

#[test]
fn the_name_comes_from_the_data_and_sorts_as_the_events_do() {
    let at = utc_datetime!(2024-05-01 09:07:05.5);
    assert_eq!(
        file_name("telemetry", "3", at, 41, 1042),
        "telemetry/3/2024/05/01/09/00000000000000000041-00000000000000001042.avro"
    );
}

#[test]
fn times_are_written_as_capture_writes_them() {
    for (at, expected) in [
        (utc_datetime!(2018-04-17 20:25:09), "4/17/2018 8:25:09 PM"),
        (utc_datetime!(2018-12-01 00:05:00), "12/1/2018 12:05:00 AM"),
        (
            utc_datetime!(2018-12-01 12:00:59.9),
            "12/1/2018 12:00:59 PM",
        ),
    ] {
        assert_eq!(capture_time(at), expected);
    }
}

#[test]
fn a_general_avro_reader_finds_every_field() {
    let file = encode([event(41, b"{}")]).unwrap();
    let records: Vec<Value> = Reader::new(&file[..])
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let union = |index, value| Value::Union(index, Box::new(value));
    let text = |value: &str| union(2, Value::String(value.to_owned()));
    let expected = Value::Record(vec![
        ("SequenceNumber".into(), Value::Long(41)),
        ("Offset".into(), Value::String("4294970632".into())),
        (
            "EnqueuedTimeUtc".into(),
            Value::String("5/1/2024 12:00:00 PM".into()),
        ),
        (
            "SystemProperties".into(),
            Value::Map(HashMap::from([
                ("iothub-connection-device-id".into(), text("drone-1")),
                ("SequenceNumber".into(), union(0, Value::Long(41))),
                ("x-opt-partition-id".into(), union(0, Value::Long(7))),
                (
                    ENQUEUED_TIME.into(),
                    union(0, Value::Long(1_714_564_800_123)),
                ),
            ])),
        ),
        (
            "Properties".into(),
            Value::Map(HashMap::from([
                ("kind".into(), text("flight")),
                ("weight".into(), union(1, Value::Double(1.5))),
                ("urgent".into(), text("true")),
                ("note".into(), union(4, Value::Null)),
                ("café".into(), text("\"q\"")),
            ])),
        ),
        ("Body".into(), union(1, Value::Bytes(b"{}".to_vec()))),
    ]);
    assert_eq!(records, [expected]);
}

#[test]
fn a_retry_writes_the_same_bytes() {
    let once = encode([event(1, b"a"), event(2, b"b")]).unwrap();
    let again = encode([event(1, b"a"), event(2, b"b")]).unwrap();
    assert_eq!(once, again);
}

#[test]
fn properties_that_cannot_be_read_keep_no_event_out() {
    for bad in ["[]", "{", "", r#"{"half":"\ud800"}"#] {
        let mut event = event(41, b"body");
        event.properties = bad;
        event.system_properties = bad;
        let read = decode(&encode([event]).unwrap()).unwrap();
        assert_eq!(read[0].body, b"body", "{bad}");
    }
}

#[test]
fn values_without_a_place_in_the_schema_are_kept_as_their_json() {
    let map =
        PropertyMap::parse(r#"{"a":[1,"x"],"b":{"c":null},"d":18446744073709551615,"e":-1.5e3}"#);
    let text = |json: &str| format!("Text({json:?})");
    let shown = format!("{map:?}");
    for expected in [
        text("[1,\"x\"]"),
        text("{\"c\":null}"),
        text("18446744073709551615"),
        "Double(-1500.0)".into(),
    ] {
        assert!(shown.contains(&expected), "{expected} in {shown}");
    }
}

#[test]
fn what_is_not_a_capture_file_is_an_error() {
    for file in [
        &b""[..],
        b"Obj\x01",
        b"Obj\x01 and then nothing of the kind",
        b"PAR1",
    ] {
        let error = decode(file).unwrap_err();
        assert!(matches!(error, CaptureError::Damaged { .. }), "{error}");
    }
}

/// An Avro file without blocks.
fn header(schema: &str, codec: &str) -> Vec<u8> {
    let mut file = b"Obj\x01\x04".to_vec();
    for text in ["avro.schema", schema, "avro.codec", codec] {
        // Zigzag, in two bytes, which any length below 8,192 may have.
        let length = u16::try_from(text.len() * 2).unwrap();
        file.extend([(length & 0x7F) as u8 | 0x80, (length >> 7) as u8]);
        file.extend(text.as_bytes());
    }
    file.push(0);
    file.extend([7; 16]);
    file
}

#[test]
fn a_file_of_another_schema_or_compressed_is_not_read() {
    assert!(decode(&header(SCHEMA, "null")).unwrap().is_empty());
    for schema in [
        "",
        "\"null\"",
        "\"long\"",
        &SCHEMA.replace("\"bytes\"]}\n", "\"string\"]}\n"),
    ] {
        assert_ne!(schema, SCHEMA);
        let error = decode(&header(schema, "null")).unwrap_err();
        assert!(matches!(error, CaptureError::Schema), "{schema}: {error}");
    }
    let error = decode(&header(SCHEMA, "deflate")).unwrap_err();
    assert!(matches!(error, CaptureError::Codec), "{error}");
}

#[test]
fn a_length_is_not_believed_before_the_bytes_are_there() {
    // Half an exbibyte, as a count of records, and then as the size of a block.
    const HUGE: [u8; 9] = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    for lie in [[&HUGE[..], &[2]].concat(), [&[2], &HUGE[..]].concat()] {
        let mut file = header(SCHEMA, "null");
        file.extend(lie);
        file.extend([0; 64]);
        let error = decode(&file).unwrap_err();
        assert!(matches!(error, CaptureError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_short_is_no_shorter_file() {
    let file = encode([event(41, b"one"), event(42, b"two")]).unwrap();
    let header = header(SCHEMA, "null").len();
    // All of it is one block; before that there are no events.
    let whole: Vec<usize> = (0..=file.len())
        .filter(|end| decode(&file[..*end]).is_ok())
        .collect();
    assert_eq!(whole.last(), Some(&file.len()));
    assert!(whole.len() <= 2 && whole[0] <= header, "{whole:?}");
}

proptest! {
    #[test]
    fn every_body_comes_back_byte_for_byte(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40)
    ) {
        let file = encode(
            bodies.iter().zip(0..).map(|(body, sequence_number)| event(sequence_number, body)),
        ).unwrap();
        let read = decode(&file).unwrap();
        prop_assert_eq!(read.len(), bodies.len());
        for ((body, sequence_number), read) in bodies.iter().zip(0..).zip(&read) {
            prop_assert_eq!(&read.body, body);
            prop_assert_eq!(read.sequence_number, sequence_number);
            prop_assert_eq!(read.authenticated_device.as_deref(), Some("drone-1"));
            prop_assert_eq!(read.enqueued_at, Some(utc_datetime!(2024-05-01 12:00:00.123)));
        }
    }
}
