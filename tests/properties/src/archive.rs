//! The archive: [`capture::decode`] of any file, [`capture::encode`] of any event.

use std::collections::HashMap;

use apache_avro::Reader;
use apache_avro::types::Value;
use drone_delivery::capture::{self, ArchivedEvent, CapturedEvent, ENQUEUED_TIME};
use drone_delivery::domain::{FIRST_ENQUEUED_AT, first_enqueued_at};
use time::{Duration, UtcDateTime};

use crate::events;

/// What DEFLATE can make of a byte: 258 for each two bits.
const LARGEST_RATIO: usize = 1032;

/// Holds `bytes` against these, as a file and as the raw material of events:
/// - a file is read or refused; a refusal is one short line that quotes nothing;
/// - what was read is no larger than DEFLATE can make of the file, and has no more events than a byte each allows;
/// - a file that was read, written again without the senders' properties and read again has the same events;
/// - a file that was read and is cut short is refused, or has the first of the same events;
/// - whatever an event holds, it can be written, and comes back byte for byte;
/// - a general Avro reader finds the same in what was written.
///
/// # Panics
/// Where one of them does not hold.
pub fn check(bytes: &[u8]) {
    match capture::decode(bytes) {
        Err(error) => {
            let line = error.to_string();
            assert!(line.len() <= 100 && line.is_ascii(), "{line}");
        }
        Ok(read) => check_read(bytes, &read),
    }
    check_written(bytes);
}

fn check_read(file: &[u8], read: &[ArchivedEvent]) {
    assert!(read.len() <= file.len());
    let held = read.iter().map(|event| {
        let device = event.authenticated_device.as_ref().map_or(0, String::len);
        event.body.len() + event.offset.len() + device
    });
    assert!(held.sum::<usize>() <= file.len() * LARGEST_RATIO);

    let systems: Vec<String> = read.iter().map(system_properties).collect();
    let again = read
        .iter()
        .zip(&systems)
        .map(|(event, system_properties)| CapturedEvent {
            sequence_number: event.sequence_number,
            offset: &event.offset,
            enqueued_at: event.enqueued_at.unwrap_or(UtcDateTime::UNIX_EPOCH),
            system_properties: system_properties.into(),
            properties: "{}".into(),
            body: &event.body,
        });
    let written = capture::encode(again).expect("any event can be written");
    let mut expected = read.to_vec();
    for event in &mut expected {
        event.enqueued_at.get_or_insert(UtcDateTime::UNIX_EPOCH);
        event.first_enqueued_at = None;
    }
    assert_eq!(
        capture::decode(&written).expect("what was written"),
        expected
    );

    for end in [file.len() / 2, file.len() - 1] {
        if let Ok(fewer) = capture::decode(&file[..end]) {
            assert!(read.starts_with(&fewer), "cut at {end}");
        }
    }
}

fn system_properties(event: &ArchivedEvent) -> String {
    match &event.authenticated_device {
        Some(device) => serde_json::json!({"iothub-connection-device-id": device}).to_string(),
        None => "{}".to_owned(),
    }
}

fn check_written(bytes: &[u8]) {
    let pieces = events::split(bytes);
    let texts: Vec<_> = pieces
        .iter()
        .map(|piece| String::from_utf8_lossy(piece))
        .collect();
    let sent: Vec<CapturedEvent<'_>> = pieces
        .iter()
        .zip(&texts)
        .zip(0_i64..)
        .map(|((piece, text), number)| CapturedEvent {
            sequence_number: number.wrapping_sub(1).wrapping_mul(0x0123_4567_89AB_CDEF),
            offset: text,
            enqueued_at: UtcDateTime::UNIX_EPOCH + Duration::milliseconds(number * 977 - 1_000),
            system_properties: (&**text).into(),
            properties: (&**text).into(),
            body: piece,
        })
        .collect();
    let file = capture::encode(sent.iter().cloned()).expect("any event can be written");
    let read = capture::decode(&file).expect("what was written can be read");
    assert_eq!(read.len(), sent.len());
    for (read, sent) in read.iter().zip(&sent) {
        assert_eq!(read.body, sent.body);
        assert_eq!(read.offset, sent.offset);
        assert_eq!(read.sequence_number, sent.sequence_number);
        assert_eq!(read.enqueued_at, Some(sent.enqueued_at));
    }
    assert_eq!(by_a_general_reader(&file), read);
}

/// The same file by the library. It keeps to what it reads of its own files.
fn by_a_general_reader(file: &[u8]) -> Vec<ArchivedEvent> {
    let records = Reader::new(file).expect("an Avro file");
    records
        .map(|record| archived(record.expect("a record")))
        .collect()
}

fn archived(record: Value) -> ArchivedEvent {
    let Value::Record(fields) = record else {
        panic!("{record:?} is not a record");
    };
    let mut fields: HashMap<String, Value> = fields.into_iter().collect();
    let mut field = |name: &str| fields.remove(name).unwrap_or(Value::Null);
    let (
        Value::Long(sequence_number),
        Value::String(offset),
        Value::Map(mut system),
        Value::Map(mut application),
        Value::Union(1, body),
    ) = (
        field("SequenceNumber"),
        field("Offset"),
        field("SystemProperties"),
        field("Properties"),
        field("Body"),
    )
    else {
        panic!("a field is not of its type");
    };
    let Value::Bytes(body) = *body else {
        panic!("{body:?} is not a body");
    };
    let first_enqueued_at = match property(&mut application, FIRST_ENQUEUED_AT) {
        Value::String(time) => first_enqueued_at(&time),
        _ => None,
    };
    let mut property = |name: &str| property(&mut system, name);
    ArchivedEvent {
        sequence_number,
        offset,
        enqueued_at: match property(ENQUEUED_TIME) {
            Value::Long(millis) => Some(UtcDateTime::UNIX_EPOCH + Duration::milliseconds(millis)),
            _ => None,
        },
        first_enqueued_at,
        authenticated_device: match property("iothub-connection-device-id") {
            Value::String(device) => Some(device),
            _ => None,
        },
        body,
    }
}

fn property(bag: &mut HashMap<String, Value>, name: &str) -> Value {
    match bag.remove(name) {
        Some(Value::Union(_, value)) => *value,
        _ => Value::Null,
    }
}
