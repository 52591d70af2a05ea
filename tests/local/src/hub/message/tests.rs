//! Messages there and back.

#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};
use time::macros::utc_datetime;

use super::json::{decoded, json as to_json, name};
use super::*;
use crate::hub::NewEvent;

const PLACE: Place<'_> = Place {
    sequence_number: 7,
    offset: 1_790_000_000_000_007,
    enqueued_at: utc_datetime!(2024-05-01 12:00:00.123),
    partition_key: Some("drone-1"),
};

fn delivered(message: &Message, place: &Place<'_>) -> Message {
    let mut out = Vec::new();
    message.write(&mut out, place, Some(&PLACE));
    Message::parse(out.into()).unwrap()
}

fn annotations(message: &Message) -> Map<String, Value> {
    keys(message.annotation_items())
        .map(|(key, value)| (name(decoded(key)), to_json(decoded(value))))
        .collect()
}

fn device_event() -> NewEvent {
    let mut event = NewEvent::new(&b"\xff\x00{"[..])
        .with_iot_hub_device("drone-7", utc_datetime!(2024-05-01 12:00:00.5));
    for (name, value) in [("content-type", "application/json"), ("message-id", "m-1")] {
        event
            .system_properties
            .insert(name.to_owned(), value.into());
    }
    event
        .system_properties
        .insert("user-id".to_owned(), "grüße".into());
    event.properties =
        json!({"kind": "flight", "n": 7, "f": 1.5, "flag": true, "none": null, "big": u64::MAX})
            .as_object()
            .unwrap()
            .clone();
    event
}

#[test]
fn what_a_device_sent_reads_the_same_from_amqp() {
    let event = device_event();
    let message = Message::encode(&event);
    for message in [
        &message,
        &Message::parse(message.bytes.clone()).unwrap(),
        &delivered(&message, &PLACE),
    ] {
        assert_eq!(message.body(), &event.body[..]);
        assert_eq!(message.properties(), event.properties);
        assert_eq!(message.system_properties(), event.system_properties);
        assert!(!message.is_value());
    }
}

#[test]
fn a_reader_gets_the_hubs_annotations_and_not_the_senders_in_their_place() {
    let mut event = device_event();
    for name in [SEQUENCE_NUMBER, OFFSET, PARTITION_KEY] {
        event
            .system_properties
            .insert(name.to_owned(), "forged".into());
    }
    let message = delivered(&Message::encode(&event), &PLACE);
    let annotations = annotations(&message);
    assert_eq!(annotations[SEQUENCE_NUMBER], 7);
    assert_eq!(annotations[OFFSET], "1790000000000007");
    assert_eq!(annotations[ENQUEUED_TIME], "2024-05-01T12:00:00.123Z");
    assert_eq!(annotations[PARTITION_KEY], "drone-1");
    assert_eq!(annotations["iothub-enqueuedtime"], "2024-05-01T12:00:00.5Z");
    assert_eq!(annotations.len(), 9);
    assert_eq!(message.partition_key(), Some("drone-1"));
    assert_eq!(message.system_properties().len(), 8);
}

#[test]
fn an_event_without_a_key_has_none_for_its_readers() {
    let place = Place {
        partition_key: None,
        ..PLACE
    };
    let message = delivered(&Message::encode(&NewEvent::new("x")), &place);
    assert_eq!(message.partition_key(), None);
    assert_eq!(annotations(&message).len(), 3);
    assert_eq!(message.body(), &b"x"[..]);
}

#[test]
fn any_body_is_kept_as_it_came() {
    let header: &[u8] = &[0, 0x53, 0x70, 0xc0, 2, 1, 0x41];
    for (body, value, text) in [
        (&[0, 0x53, 0x75, 0xa0, 1, b'x'][..], false, &b"x"[..]),
        (
            &[0, 0x53, 0x75, 0xa0, 1, b'x', 0, 0x53, 0x75, 0xa0, 1, b'y'],
            false,
            b"xy",
        ),
        (&[0, 0x53, 0x77, 0x40], true, &[0x40]),
        (&[0, 0x53, 0x75, 0x40], false, b""),
        (&[0, 0x53, 0x77, 0xa1, 1, b'x'], true, b"x"),
        (&[0, 0x53, 0x77, 0x54, 7], true, &[0x54, 7]),
        (
            &[0, 0x53, 0x76, 0xc0, 2, 1, 0x40],
            true,
            &[0xc0, 2, 1, 0x40],
        ),
        (&[], false, b""),
    ] {
        let bytes = [header, body].concat();
        let message = Message::parse(bytes.into()).unwrap();
        assert_eq!(message.is_value(), value, "{body:02x?}");
        assert_eq!(message.body(), text);
        let mut out = Vec::new();
        message.write(&mut out, &PLACE, None);
        assert!(out.starts_with(header) && out.ends_with(body));
        assert_eq!(delivered(&message, &PLACE).body(), text);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for bytes in [
        &b"hello"[..],
        // Annotations after the body.
        &[0, 0x53, 0x75, 0xa0, 0, 0, 0x53, 0x72, 0xc1, 1, 0],
        // Properties twice.
        &[
            0, 0x53, 0x73, 0x45, 0, 0x53, 0x73, 0x45, 0, 0x53, 0x77, 0x40,
        ],
        // Data that is a text; application properties that are one.
        &[0, 0x53, 0x75, 0xa1, 1, b'x'],
        &[0, 0x53, 0x74, 0xa1, 1, b'x'],
        &[0, 0x53, 0x75, 0xa0, 9, b'x'],
        &[0, 0x53, 0x72, 0xc1, 9, 200, 0x40],
        // No section.
        &[0, 0x53, 0x10, 0x45],
    ] {
        Message::parse(Bytes::from_static(bytes)).unwrap_err();
    }
}

#[test]
fn a_batch_is_its_messages_in_order_without_copies() {
    let mut batch = Vec::new();
    for text in ["a", "b"] {
        batch.descriptor(section::DATA);
        batch.binary(&Message::encode(&NewEvent::new(text)).bytes);
    }
    let batch = Bytes::from(batch);
    let messages = Message::parse_batch(&batch).unwrap();
    let bodies: Vec<_> = messages.iter().map(Message::body).collect();
    assert_eq!(bodies, [&b"a"[..], b"b"]);
    let within = batch.as_ptr_range();
    assert!(
        messages
            .iter()
            .all(|message| within.contains(&message.bytes.as_ptr()))
    );
    let mut broken = batch.to_vec();
    broken.descriptor(section::DATA);
    broken.binary(b"no message");
    Message::parse_batch(&broken.into()).unwrap_err();
}
