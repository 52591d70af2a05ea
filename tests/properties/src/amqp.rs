//! AMQP: whatever a client says to the local hub.

use local::hub::amqp::{Said, converse, performatives};
use local::hub::{ConsumerGroups, Hub};

/// What one conversation may be answered with, for each byte of it and besides: a flow of ten bytes asks for as many events as there
/// are.
const SAID_FOR_A_BYTE: usize = 4_096;

/// The codes of a transfer and of an attach.
const TRANSFER: u8 = 0x14;
const ATTACH: u8 = 0x12;

/// Holds what `bytes` lead to against these, as all that one client says:
/// - the hub answers in whole frames of AMQP, and not without end;
/// - said in small pieces it leads to the same events and the same end;
/// - whatever has become an event is shown to the host, and another client reads all of them.
///
/// # Panics
/// Where one of them does not hold.
pub fn check(bytes: &[u8]) {
    let hub = hub();
    let said = converse(&hub, [bytes]);
    check_said(bytes, &said);

    let in_pieces = self::hub();
    let pieces = bytes.chunks(7);
    let again = converse(&in_pieces, pieces);
    check_said(bytes, &again);
    assert_eq!(again.closed, said.closed, "in pieces");
    assert_eq!(bodies(&in_pieces), bodies(&hub), "in pieces");

    check_readable(&hub);
}

fn hub() -> Hub {
    let hub = Hub::new("telemetry", 2);
    hub.set_consumer_groups(ConsumerGroups::Any);
    hub
}

fn check_said(bytes: &[u8], said: &Said) {
    assert!(performatives(&said.bytes).is_some(), "{:02x?}", said.bytes);
    let most = (bytes.len() + 1) * SAID_FOR_A_BYTE;
    assert!(said.bytes.len() <= most, "{} bytes", said.bytes.len());
}

fn bodies(hub: &Hub) -> Vec<Vec<u8>> {
    (0..hub.partitions())
        .flat_map(|partition| hub.events(partition, 0))
        .map(|event| {
            // Whoever looks at them must not stumble.
            _ = (
                event.properties(),
                event.system_properties(),
                event.is_amqp_value(),
            );
            event.body().into_owned()
        })
        .collect()
}

/// A good client gets every event, whatever it is.
fn check_readable(hub: &Hub) {
    for partition in 0..hub.partitions() {
        let events = hub.events(partition, 0).len();
        let said = converse(hub, [&reader(partition)[..]]);
        let codes = performatives(&said.bytes).expect("AMQP");
        assert!(codes.contains(&ATTACH));
        // An event that fits into no frame comes in several.
        let transfers = codes.iter().filter(|code| **code == TRANSFER).count();
        assert!(transfers >= events, "{transfers} of {events}");
    }
}

/// A client that opens, begins, and reads a partition from its beginning.
fn reader(partition: u16) -> Vec<u8> {
    let address = format!("telemetry/ConsumerGroups/$Default/Partitions/{partition}");
    let string = |text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        [&[0xa1, length], text.as_bytes()].concat()
    };
    let terminus = |code: u8, address: &str| {
        let address = string(address);
        let length = u8::try_from(address.len() + 1).expect("a short text");
        [&[0, 0x53, code, 0xc0, length, 1], &address[..]].concat()
    };
    let wide = [0x70, 0, 0xff, 0xff, 0xff];
    let open = [string("reader"), vec![0x40], wide.to_vec()].concat();
    let begin = [&[0x40, 0x43][..], &wide, &wide].concat();
    let attach = [
        string("link"),
        vec![0x43, 0x41, 0x40, 0x40],
        terminus(0x28, &address),
        terminus(0x29, "here"),
    ]
    .concat();
    let flow = [&[0x52, 1][..], &wide, &[0x43], &wide, &[0x43, 0x43], &wide].concat();
    let mut all = b"AMQP\x00\x01\x00\x00".to_vec();
    for (code, count, fields) in [
        (0x10, 3, open),
        (0x11, 4, begin),
        (0x12, 7, attach),
        (0x13, 7, flow),
    ] {
        let length = u32::try_from(fields.len()).expect("short fields");
        all.extend((length + 8 + 12).to_be_bytes());
        all.extend([2, 0, 0, 0, 0, 0x53, code, 0xd0]);
        all.extend((length + 4).to_be_bytes());
        all.extend([0, 0, 0, count]);
        all.extend(fields);
    }
    all
}
