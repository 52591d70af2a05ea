//! Events in and out: settlement, credit, windows, frames, positions, questions.

use super::*;
use crate::hub::NewEvent;
use crate::hub::message::Message;

const ADDRESS: &str = "h/ConsumerGroups/g/Partitions/0";

fn fill(hub: &Hub, texts: impl IntoIterator<Item = &'static str>) {
    for text in texts {
        hub.append(NewEvent::new(text));
    }
}

/// The bodies of the deliveries among the frames, each in one frame.
fn bodies(sent: &[Sent]) -> Vec<String> {
    sent.iter()
        .filter(|frame| frame.code == code::TRANSFER)
        .map(|frame| {
            let message = Message::parse(frame.payload.clone().into()).unwrap();
            String::from_utf8(message.body().to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn an_event_is_settled_once_it_is_in_the_log_byte_for_byte() {
    let hub = hub(4);
    let mut client = Client::begun(&hub);
    client.attach_sender(0, "h/Partitions/2");
    client.sent();
    client.transfer(0, 7, 0, false, &message(b"\xff\x00"));
    let settled = client.only();
    assert_eq!(settled.code, code::DISPOSITION);
    assert_eq!(
        settled.fields[..4],
        [
            Value::Bool(true),
            Value::Uint(7),
            Value::Uint(7),
            Value::Bool(true)
        ]
    );
    assert_eq!(hub.events(2, 0)[0].body(), &b"\xff\x00"[..]);
    // In three frames, and taken back in the middle.
    let whole = message(b"in pieces");
    for (id, aborted) in [(8, false), (9, true)] {
        client.transfer(0, id, 0, true, &whole[..4]);
        client.transfer(0, id, 0, true, &whole[4..6]);
        if aborted {
            client.say(0, |out| {
                out.descriptor(code::TRANSFER);
                out.list(10, |out| {
                    out.uint(0);
                    for _ in 0..8 {
                        out.null();
                    }
                    out.bool(true);
                });
            });
            assert_eq!(client.sent(), []);
        } else {
            client.transfer(0, id, 0, false, &whole[6..]);
            assert_eq!(client.only().uint(1), id);
        }
    }
    let events = hub.events(2, 0);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].body(), &b"in pieces"[..]);
}

#[test]
fn a_batch_is_together_under_its_key_and_taken_whole_or_not_at_all() {
    let hub = hub(8);
    let mut client = Client::begun(&hub);
    client.attach_sender(0, "h");
    client.sent();
    let keyed = |out: &mut Vec<u8>| {
        out.descriptor(0x72);
        out.map(2, |out| {
            out.symbol("x-opt-partition-key");
            out.string("drone-1");
        });
    };
    let mut batch = Vec::new();
    keyed(&mut batch);
    for text in [&b"a"[..], b"b"] {
        batch.descriptor(0x75);
        batch.binary(&message(text));
    }
    client.transfer(0, 0, 0x8001_3700, false, &batch);
    assert_eq!(client.only().condition(), None);
    let partition = hub.partition_for_key("drone-1");
    let events = hub.events(partition, 0);
    assert_eq!(events.len(), 2);
    assert!(
        events
            .iter()
            .all(|event| event.partition_key.as_deref() == Some("drone-1"))
    );

    batch.descriptor(0x75);
    batch.binary(b"no message");
    client.transfer(0, 1, 0x8001_3700, false, &batch);
    assert_eq!(
        client.only().condition().as_deref(),
        Some("amqp:decode-error")
    );
    // One alone, with its own key.
    let mut single = Vec::new();
    keyed(&mut single);
    single.extend(message(b"c"));
    client.transfer(0, 2, 0, false, &single);
    client.sent();
    assert_eq!(hub.events(partition, 0).len(), 3);
    assert_eq!(hub.appended(), 3);
}

#[test]
fn a_larger_event_than_there_may_be_is_rejected_and_the_link_goes_on() {
    let hub = hub(1);
    let mut client = Client::begun(&hub);
    client.attach_sender(0, "h");
    client.sent();
    let piece = [0; 60_000];
    for number in 0..18 {
        client.transfer(0, 0, 0, number < 17, &piece);
    }
    let rejected = client.only();
    assert_eq!(
        rejected.condition().as_deref(),
        Some("amqp:link:message-size-exceeded")
    );
    client.transfer(0, 1, 0, false, &message(b"x"));
    assert_eq!(client.only().condition(), None);
    assert_eq!(hub.appended(), 1);
}

#[test]
fn a_sender_gets_new_credit_before_the_answer() {
    let hub = hub(1);
    let mut client = Client::begun(&hub);
    client.attach_sender(0, "h");
    let sent = client.sent();
    let credit = sent[1].uint(6);
    let mut left = credit;
    for id in 0..3 * credit {
        client.transfer(0, id, 0, false, &message(b"x"));
        let sent = client.sent();
        assert_eq!(sent.last().unwrap().code, code::DISPOSITION);
        left -= 1;
        for flow in sent.iter().filter(|frame| frame.code == code::FLOW) {
            if flow.fields[4] != Value::Null {
                assert_eq!(flow.uint(5), id + 1);
                left = flow.uint(6);
            }
        }
        assert!(left > 0, "{id}");
    }
}

#[test]
fn a_reader_gets_what_it_has_credit_for_in_order_and_new_events_as_they_come() {
    let hub = hub(1);
    fill(&hub, ["a", "b", "c"]);
    let mut client = Client::begun(&hub);
    client.attach_receiver(0, ADDRESS, None, None);
    client.flow(0, 1_000, Some((0, 0, 2)), false);
    assert_eq!(bodies(&client.sent()), ["a", "b"]);
    client.flow(2, 1_000, Some((0, 2, 10)), false);
    assert_eq!(bodies(&client.sent()), ["c"]);
    fill(&hub, ["d"]);
    client.protocol.rung();
    client.protocol.deliver();
    let sent = client.sent();
    assert_eq!(bodies(&sent), ["d"]);
    assert_eq!(sent[0].uint(1), 3, "deliveries count up");
    assert_eq!(sent[0].fields[4], Value::Bool(true), "and are settled");
}

/// As IoT Hub's own readers get it: the device that it has authenticated, and when, as a time.
#[test]
fn what_a_device_sends_over_mqtt_bears_iot_hubs_annotations() {
    let hub = hub(1);
    let enqueued_at = time::macros::utc_datetime!(2024-05-01 12:00:00.5);
    let mut event = NewEvent::new("{}").with_iot_hub_device("drone-7", enqueued_at);
    event.properties.insert("kind".to_owned(), "flight".into());
    hub.append(event);
    let mut client = Client::begun(&hub);
    client.attach_receiver(0, ADDRESS, None, None);
    client.flow(0, 1_000, Some((0, 0, 1)), false);
    let delivery = client.sent().pop().unwrap();
    let mut encoded = Vec::new();
    encoded.symbol("iothub-connection-device-id");
    encoded.string("drone-7");
    encoded.symbol("iothub-enqueuedtime");
    encoded.timestamp(1_714_564_800_500);
    encoded.symbol("iothub-message-source");
    encoded.string("Telemetry");
    let payload = &delivery.payload;
    assert!(
        payload
            .windows(encoded.len())
            .any(|window| window == encoded)
    );
    let message = Message::parse(payload.clone().into()).unwrap();
    assert_eq!(message.properties()["kind"], "flight");
    assert_eq!(message.partition_key(), None);
}

#[test]
fn draining_answers_after_what_is_there() {
    let hub = hub(1);
    fill(&hub, ["a", "b"]);
    let mut client = Client::begun(&hub);
    client.attach_receiver(0, ADDRESS, None, None);
    client.sent();
    client.flow(0, 1_000, Some((0, 0, 5)), true);
    let sent = client.sent();
    assert_eq!(codes(&sent), [code::TRANSFER, code::TRANSFER, code::FLOW]);
    assert_eq!((sent[2].uint(5), sent[2].uint(6)), (5, 0));
    assert_eq!(sent[2].fields[8], Value::Bool(true));
    fill(&hub, ["c"]);
    client.protocol.rung();
    client.protocol.deliver();
    assert_eq!(client.sent(), [], "the credit is void");
    client.flow(2, 1_000, Some((0, 5, 1)), false);
    assert_eq!(bodies(&client.sent()), ["c"]);
}

#[test]
fn no_more_frames_are_sent_than_the_window_lets_through() {
    let hub = hub(1);
    fill(&hub, ["a", "b", "c", "d"]);
    let mut client = Client::begun_with(&hub, Limits::default(), 65_536, 2);
    client.attach_receiver(0, ADDRESS, None, None);
    client.flow(0, 2, Some((0, 0, 100)), false);
    assert_eq!(bodies(&client.sent()), ["a", "b"]);
    client.flow(2, 1, None, false);
    assert_eq!(bodies(&client.sent()), ["c"]);
    // A flow that was on its way when more was sent gives no more than it says.
    client.flow(2, 1, None, false);
    assert_eq!(client.sent(), []);
}

#[test]
fn a_large_event_comes_in_the_frames_that_the_client_takes() {
    let hub = hub(1);
    let body: Vec<u8> = (0..10_000).map(|byte| byte as u8).collect();
    hub.append(NewEvent::new(body.clone()).with_key("k"));
    fill(&hub, ["small"]);
    let mut client = Client::begun_with(&hub, Limits::default(), 512, 1_000);
    client.attach_receiver(0, ADDRESS, None, None);
    client.flow(0, 1_000, Some((0, 0, 2)), false);
    let mut sent: Vec<_> = client
        .sent()
        .into_iter()
        .filter(|frame| frame.code == code::TRANSFER)
        .collect();
    // One delivery in many frames, and then the next one.
    let next = sent.pop().unwrap();
    assert_eq!(next.uint(1), sent[0].uint(1) + 1);
    assert!(sent.len() > 20);
    let (last, before) = sent.split_last().unwrap();
    assert!(
        before
            .iter()
            .all(|frame| frame.fields[5] == Value::Bool(true))
    );
    assert_eq!(last.fields[5], Value::Bool(false));
    let whole: Vec<u8> = sent
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect();
    let message = Message::parse(whole.into()).unwrap();
    assert_eq!(message.body(), &body[..]);
    assert_eq!(message.partition_key(), Some("k"));
}

#[test]
fn a_position_beyond_the_end_is_refused() {
    let hub = hub(1);
    fill(&hub, ["a", "b"]);
    let mut client = Client::begun(&hub);
    let selector = "amqp.annotation.x-opt-sequence-number > '7'";
    client.attach_receiver(0, ADDRESS, Some(selector), None);
    let refused = &client.sent()[1];
    assert_eq!(
        refused.condition().as_deref(),
        Some("com.microsoft:argument-out-of-range")
    );
    let selector = "amqp.annotation.x-opt-sequence-number > '0'";
    client.attach_receiver(1, ADDRESS, Some(selector), None);
    client.flow(0, 1_000, Some((1, 0, 5)), false);
    assert_eq!(bodies(&client.sent()), ["b"]);
}

/// A question to a node, as a message.
fn question(reply_to: Option<&str>, properties: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.descriptor(0x73);
    out.list(5, |out| {
        out.ulong(42);
        for _ in 0..3 {
            out.null();
        }
        match reply_to {
            Some(address) => out.string(address),
            None => out.null(),
        }
    });
    out.descriptor(0x74);
    out.map(u32::try_from(properties.len() * 2).unwrap(), |out| {
        for (name, value) in properties {
            out.string(name);
            out.string(value);
        }
    });
    out.descriptor(0x77);
    out.null();
    out
}

#[test]
fn questions_are_answered_on_the_clients_link_with_or_without_an_address() {
    let hub = hub(3);
    fill(&hub, ["a"]);
    for reply_to in [Some("here"), None] {
        let mut client = Client::begun(&hub);
        client.attach_sender(0, "$management");
        client.attach(1, true, Some("$management"), Some("here"), None);
        client.sent();
        let ask = |client: &mut Client, id, properties: &[(&str, &str)]| {
            client.flow(0, 1_000, Some((1, id, 1)), false);
            client.transfer(0, id, 0, false, &question(reply_to, properties));
            let sent = client.sent();
            assert_eq!(codes(&sent), [code::DISPOSITION, code::TRANSFER]);
            let message = Message::parse(sent[1].payload.clone().into()).unwrap();
            assert_eq!(message.system_properties()["correlation-id"], 42);
            let status = message.properties()["status-code"].clone();
            let body: Value = from_slice(&message.body()).unwrap();
            (status, format!("{body:?}"))
        };
        let read = ("operation", "READ");
        let (status, body) = ask(
            &mut client,
            0,
            &[read, ("type", "com.microsoft:eventhub"), ("name", "h")],
        );
        assert_eq!(status, 200);
        assert!(body.contains("partition_ids"), "{body}");
        let partition = [
            read,
            ("type", "com.microsoft:partition"),
            ("name", "H"),
            ("partition", "0"),
        ];
        let (status, body) = ask(&mut client, 1, &partition);
        assert_eq!(status, 200);
        assert!(body.contains("last_enqueued_sequence_number"), "{body}");
        let partition = [
            read,
            ("type", "com.microsoft:partition"),
            ("name", "h"),
            ("partition", "9"),
        ];
        assert_eq!(ask(&mut client, 2, &partition).0, 404);
        let other = [read, ("type", "com.microsoft:eventhub"), ("name", "other")];
        assert_eq!(ask(&mut client, 3, &other).0, 404);
        assert_eq!(ask(&mut client, 4, &[("operation", "DELETE")]).0, 501);
    }
}

#[test]
fn a_token_is_accepted_whatever_it_is() {
    let mut client = Client::begun(&hub(1));
    client.attach_sender(0, "$cbs");
    client.attach(1, true, Some("$cbs"), Some("cbs"), None);
    client.flow(0, 1_000, Some((1, 0, 10)), false);
    client.sent();
    client.transfer(
        0,
        0,
        0,
        false,
        &question(None, &[("operation", "put-token")]),
    );
    let sent = client.sent();
    let message = Message::parse(sent[1].payload.clone().into()).unwrap();
    assert_eq!(message.properties()["status-code"], 202);
    // Without a link for the answer there is none.
    let mut client = Client::begun(&hub(1));
    client.attach_sender(0, "$cbs");
    client.sent();
    client.transfer(
        0,
        0,
        0,
        false,
        &question(None, &[("operation", "put-token")]),
    );
    assert_eq!(client.only().condition().as_deref(), Some("amqp:not-found"));
}
