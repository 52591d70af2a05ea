#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Reader, Schema, Writer};
use proptest::prelude::*;
use time::macros::utc_datetime;

use super::schema::SCHEMA;
use super::writer::capture_time;
use super::*;

/// Three events as the first release wrote them: its blocks were not deflated.
pub(super) const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/archive/plain.avro");

/// The same three as they are written since.
const DEFLATED: &[u8] = include_bytes!("../../tests/fixtures/archive/deflated.avro");

pub(super) fn event<'a>(sequence_number: i64, body: &'a [u8]) -> CapturedEvent<'a> {
    CapturedEvent {
        sequence_number,
        offset: "4294970632",
        enqueued_at: utc_datetime!(2024-05-01 12:00:00.123),
        system_properties: r#"{"iothub-connection-device-id":"drone-1","SequenceNumber":41,"PartitionKey":null,"x-opt-partition-id":7}"#.into(),
        properties: r#"{"kind":"flight","weight":1.5,"urgent":true,"note":null,"caf\u00e9":"\"q\""}"#.into(),
        body,
    }
}

#[test]
fn the_name_comes_from_the_data_and_sorts_as_the_events_do() {
    let at = utc_datetime!(2024-05-01 09:07:05.5);
    let name = file_name("telemetry", "3", at, 41, 1042);
    assert_eq!(
        name,
        "telemetry/3/2024/05/01/09/0705.500-00000000000000000041-00000000000000001042.avro"
    );
    let next = file_name("telemetry", "3", at, 1043, 1044);
    // Of a hub that was made anew, with the numbers of the first.
    let anew = file_name(
        "telemetry",
        "3",
        utc_datetime!(2024-05-01 09:07:05.501),
        41,
        1042,
    );
    let later = file_name("telemetry", "3", utc_datetime!(2024-05-01 09:10:00), 2, 3);
    assert!([name, next, anew, later].is_sorted_by(|a, b| a < b));
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
        let mut text = "what was there before".to_owned();
        capture_time(at, &mut text);
        assert_eq!(text, expected);
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
        event.properties = bad.into();
        event.system_properties = bad.into();
        let file = encode([event]).unwrap();
        assert_eq!(decode(&file).unwrap()[0].body, b"body", "{bad}");
        let record = records(&file).remove(0);
        let kept = |bag| property(&record, bag, UNREADABLE);
        let expected = Some(Value::Union(2, Box::new(Value::String(bad.to_owned()))));
        assert_eq!(kept("Properties"), expected, "{bad}");
        assert_eq!(kept("SystemProperties"), expected, "{bad}");
    }
}

#[test]
fn values_without_a_place_in_the_schema_are_kept_as_their_json() {
    let mut event = event(41, b"");
    event.properties =
        r#"{"a":[1,"x"],"b":{"c":null},"d":18446744073709551615,"e":-1.5e3,"f":false}"#.into();
    let record = records(&encode([event]).unwrap()).remove(0);
    let text = |json: &str| Value::Union(2, Box::new(Value::String(json.to_owned())));
    for (name, expected) in [
        ("a", text("[1,\"x\"]")),
        ("b", text("{\"c\":null}")),
        ("d", text("18446744073709551615")),
        ("e", Value::Union(1, Box::new(Value::Double(-1500.0)))),
        ("f", text("false")),
    ] {
        assert_eq!(property(&record, "Properties", name), Some(expected));
    }
}

#[test]
fn the_exact_time_is_the_one_that_the_hub_gave_whatever_the_host_says() {
    let mut event = event(41, b"");
    event.system_properties =
        r#"{"x-opt-enqueued-time":"2001-01-01T00:00:00+00:00","n":null}"#.into();
    let file = encode([event]).unwrap();
    let Some((_, Value::Map(system))) = fields(records(&file).remove(0)).nth(3) else {
        panic!("no map");
    };
    let expected = Value::Union(0, Box::new(Value::Long(1_714_564_800_123)));
    assert_eq!(system, HashMap::from([(ENQUEUED_TIME.into(), expected)]));
}

/// A map's count has one byte up to 63 entries.
#[test]
fn bags_of_any_number_of_properties_are_kept() {
    for count in [0, 1, 62, 63, 64, 65, 9_000] {
        let members: Vec<String> = (0..count).map(|n| format!("\"p{n}\":{n}")).collect();
        let json = format!("{{{}}}", members.join(","));
        let mut event = event(41, b"body");
        event.properties = json.clone().into();
        event.system_properties = json.into();
        let file = encode([event]).unwrap();
        let mut bags = fields(records(&file).remove(0)).filter_map(|(_, value)| match value {
            Value::Map(bag) => Some(bag.len()),
            _ => None,
        });
        assert_eq!(bags.next(), Some(count + 1));
        assert_eq!(bags.next(), Some(count));
        assert_eq!(decode(&file).unwrap()[0].body, b"body");
    }
}

#[test]
fn what_repeats_from_event_to_event_costs_little() {
    let bodies: Vec<String> = (0..500)
        .map(|n| format!("{{\"deviceId\":\"drone-{n}\",\"velocity\":\"{}\"}}", n * 7))
        .collect();
    let events = (41..)
        .zip(&bodies)
        .map(|(n, body)| event(n, body.as_bytes()));
    let file = encode(events).unwrap();
    let each = file.len() / bodies.len();
    assert!(each < 60, "{each} bytes an event");
}

/// Blocks end at some 256 KiB, and none of their buffers is in the way of a later file.
#[test]
fn large_events_fill_blocks_of_their_own() {
    let noise: Vec<u8> = (0_u64..)
        .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .take(5 * 1024 * 1024)
        .collect();
    let bodies: Vec<&[u8]> = noise
        .chunks(1_300_000)
        .chain(noise.chunks(70_000))
        .collect();
    let small = encode([event(1, b"a"), event(2, b"b")]).unwrap();
    let events = (1..).zip(&bodies).map(|(n, body)| event(n, body));
    let file = encode(events).unwrap();
    // Noise is stored as it is.
    assert!(file.len() < noise.len() * 2 + 64 * 1024, "{}", file.len());
    for (read, body) in decode(&file).unwrap().iter().zip(&bodies) {
        assert_eq!(&read.body, body);
    }
    assert_eq!(records(&file).len(), bodies.len());
    assert_eq!(encode([event(1, b"a"), event(2, b"b")]).unwrap(), small);
}

fn of_the_fixtures() -> Vec<CapturedEvent<'static>> {
    let bodies: [&[u8]; 3] = [
        b"{\"deviceId\":\"Simulated.drone-01.35\"}",
        &[0xff, 0xfe, 0],
        b"",
    ];
    (41..)
        .zip(bodies)
        .map(|(number, body)| CapturedEvent {
            system_properties: r#"{"content-type":"application/json","iothub-connection-device-id":"Simulated.drone-01.35","SequenceNumber":41,"PartitionKey":null,"EnqueuedTimeUtc":"2024-05-01T12:00:00.123"}"#.into(),
            properties: r#"{"kind":"flight","weight":1.5,"urgent":true,"note":null,"list":[1,"x"],"first-enqueued-at":"2024-05-01T11:59:58Z"}"#.into(),
            ..event(number, body)
        })
        .collect()
}

#[test]
fn files_of_the_first_release_are_read_as_those_of_today() {
    let today = encode(of_the_fixtures()).unwrap();
    let read = decode(PLAIN).unwrap();
    assert_eq!(read.len(), 3);
    assert_eq!(
        read[0].first_enqueued_at,
        Some(utc_datetime!(2024-05-01 11:59:58))
    );
    assert_eq!(read, decode(&today).unwrap());
    assert_eq!(read, decode(DEFLATED).unwrap());
    // Every field of every record, not only those that our own reader asks for.
    assert_eq!(records(PLAIN), records(&today));
    assert_eq!(records(PLAIN), records(DEFLATED));
}

/// All but what DEFLATE makes of a block, which another release of its library may make another way.
#[test]
fn the_container_is_written_as_it_was() {
    let today = encode(of_the_fixtures()).unwrap();
    let header = header(SCHEMA, "deflate").len();
    assert_eq!(today[..header], DEFLATED[..header]);
    assert_eq!(today[today.len() - 16..], DEFLATED[DEFLATED.len() - 16..]);
}

/// What any other program may have written in this schema, by its codecs.
#[test]
fn files_of_another_writer_are_read() {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let ours = encode((0..40).map(|n| event(n, b"{}"))).unwrap();
    for codec in [Codec::Null, Codec::Deflate(DeflateSettings::default())] {
        let mut writer = Writer::builder()
            .schema(&schema)
            .writer(Vec::new())
            .codec(codec)
            .block_size(4096)
            .build()
            .unwrap();
        for record in records(&ours) {
            writer.append_value(record).unwrap();
        }
        let theirs = writer.into_inner().unwrap();
        assert_eq!(decode(&theirs).unwrap(), decode(&ours).unwrap());
    }
}

fn records(file: &[u8]) -> Vec<Value> {
    Reader::new(file).unwrap().map(Result::unwrap).collect()
}

fn fields(record: Value) -> impl Iterator<Item = (String, Value)> {
    match record {
        Value::Record(fields) => fields.into_iter(),
        other => panic!("{other:?} is not a record"),
    }
}

fn property(record: &Value, bag: &str, name: &str) -> Option<Value> {
    let mut fields = fields(record.clone());
    match fields.find(|(field, _)| field == bag) {
        Some((_, Value::Map(mut bag))) => bag.remove(name),
        other => panic!("{other:?} is not a map"),
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
fn a_file_of_another_schema_or_compressed_in_another_way_is_not_read() {
    assert!(decode(&header(SCHEMA, "null")).unwrap().is_empty());
    assert!(decode(&header(SCHEMA, "deflate")).unwrap().is_empty());
    for schema in [
        "",
        "\"null\"",
        "\"long\"",
        &SCHEMA.replace("\"bytes\"]}]", "\"string\"]}]"),
    ] {
        assert_ne!(schema, SCHEMA);
        let error = decode(&header(schema, "null")).unwrap_err();
        assert!(matches!(error, CaptureError::Schema), "{schema}: {error}");
    }
    for codec in ["snappy", "zstandard", "Deflate", ""] {
        let error = decode(&header(SCHEMA, codec)).unwrap_err();
        assert!(matches!(error, CaptureError::Codec), "{codec}: {error}");
    }
}

#[test]
fn a_length_is_not_believed_before_the_bytes_are_there() {
    // Half an exbibyte, as a count of records, and then as the size of a block.
    const HUGE: [u8; 9] = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    for lie in [[&HUGE[..], &[2]].concat(), [&[2], &HUGE[..]].concat()] {
        for codec in ["null", "deflate"] {
            let mut file = header(SCHEMA, codec);
            file.extend(&lie);
            file.extend([0; 64]);
            let error = decode(&file).unwrap_err();
            assert!(matches!(error, CaptureError::Damaged { .. }), "{error}");
        }
    }
}

/// A deflated block of `content`, which says that it holds `count` records.
fn deflated_file(count: i64, content: &[u8], trailing: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(content.len() / 500 + 1024);
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let finish = flate2::FlushCompress::Finish;
    let status = deflate.compress_vec(content, &mut block, finish).unwrap();
    assert_eq!(status, flate2::Status::StreamEnd);
    block.extend(trailing);
    let mut file = header(SCHEMA, "deflate");
    writer::append_long(count, &mut file);
    writer::append_bytes(&block, &mut file);
    file.extend([7; 16]);
    file
}

/// Zeros are empty events: no number, no offset, no properties, no body.
#[test]
fn a_block_that_grows_beyond_all_measure_is_damaged() {
    const EMPTY: [u8; 6] = [0; 6];
    assert_eq!(decode(&deflated_file(1, &EMPTY, b"")).unwrap().len(), 1);
    for (count, size, trailing) in [
        // More events than bytes.
        (10_000, 60_000, &b""[..]),
        // One large one.
        (1, 65 * 1024 * 1024, b""),
        // Bytes after the records, and after the stream.
        (1, 7, b""),
        (1, 6, b"\0"),
        (2, 6, b""),
    ] {
        let file = deflated_file(count, &vec![0; size], trailing);
        let error = decode(&file).unwrap_err();
        assert!(matches!(error, CaptureError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_deflated_block_that_is_altered_gives_no_events_that_nobody_sent() {
    let file = encode((0..50).map(|n| event(n, b"{\"deviceId\":\"drone-1\"}"))).unwrap();
    let whole = decode(&file).unwrap();
    for at in header(SCHEMA, "deflate").len()..file.len() {
        let mut file = file.clone();
        file[at] ^= 0x10;
        // An altered character of a text cannot be noticed: Avro has no checksum.
        match decode(&file) {
            Ok(read) => assert_eq!(read.len(), whole.len(), "{at}"),
            Err(error) => assert!(matches!(error, CaptureError::Damaged { .. }), "{error}"),
        }
    }
}

#[test]
fn a_file_that_is_cut_short_is_no_shorter_file() {
    let file = encode([event(41, b"one"), event(42, b"two")]).unwrap();
    let header = header(SCHEMA, "deflate").len();
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
