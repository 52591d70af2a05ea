//! Opening, attaching, and what is refused.

use super::*;

#[test]
fn every_performative_has_all_its_fields() {
    let hub = hub(1);
    hub.append(crate::hub::NewEvent::new("x"));
    let mut client = Client::silent(&hub, Limits::default());
    client.bytes(SASL_HEADER);
    let mechanisms = client.only();
    let Value::Array(names) = &mechanisms.fields[0] else {
        panic!("{mechanisms:?}");
    };
    assert_eq!(names.len(), 4);
    let mut init = Vec::new();
    frame::write_sasl(&mut init, |out| {
        out.descriptor(code::SASL_INIT);
        out.list(1, |out| out.symbol("ANONYMOUS"));
    });
    client.bytes(&init);
    assert_eq!(client.only().fields[0], Value::Ubyte(0));
    client.bytes(HEADER);
    client.open(65_536);
    client.begin(0, 100);
    client.attach_sender(0, "h");
    client.attach_receiver(1, "h/ConsumerGroups/g/Partitions/0", None, None);
    client.flow(0, 100, Some((1, 0, 1)), false);
    client.transfer(0, 0, 0, false, &message(b"y"));
    client.say(0, |out| {
        out.descriptor(code::DETACH);
        out.list(2, |out| {
            out.uint(0);
            out.bool(true);
        });
    });
    for code in [code::END, code::CLOSE] {
        client.say(0, |out| {
            out.descriptor(code);
            out.list(0, |_| {});
        });
    }
    let sent = client.sent();
    let counts: Vec<(u8, usize)> = sent
        .iter()
        .map(|frame| (frame.code, frame.fields.len()))
        .collect();
    let expected = [
        (code::OPEN, 10),
        (code::BEGIN, 8),
        (code::ATTACH, 14),
        (code::FLOW, 11),
        (code::ATTACH, 14),
        (code::TRANSFER, 11),
        (code::DISPOSITION, 6),
        (code::DETACH, 3),
        (code::END, 1),
        (code::CLOSE, 1),
    ];
    assert_eq!(counts, expected);
    assert!(client.protocol.is_closed());
}

#[test]
fn somebody_without_a_mechanism_or_without_sasl_at_all_is_told_so() {
    let mut client = Client::silent(&hub(1), Limits::default());
    client.bytes(SASL_HEADER);
    client.sent();
    let mut init = Vec::new();
    frame::write_sasl(&mut init, |out| {
        out.descriptor(code::SASL_INIT);
        out.list(1, |out| out.symbol("GSSAPI"));
    });
    client.bytes(&init);
    assert_eq!(client.only().fields[0], Value::Ubyte(1));
    assert!(client.protocol.is_closed());

    for other in [&b"GET / HTTP/1.1\r\n"[..], b"AMQP\x02\x01\x00\x00", b"xx"] {
        let mut client = Client::silent(&hub(1), Limits::default());
        client.bytes(other);
        assert!(client.protocol.is_closed());
        assert_eq!(client.protocol.output().as_slice(), SASL_HEADER);
    }
    // Half a header is waited for.
    let mut client = Client::silent(&hub(1), Limits::default());
    client.bytes(&HEADER[..5]);
    assert!(!client.protocol.is_closed());
}

#[test]
fn a_refused_link_is_attached_to_nothing_and_then_detached_with_the_reason() {
    let hub = hub(2);
    let group =
        |group: &str, partition: &str| format!("h/ConsumerGroups/{group}/Partitions/{partition}");
    for (address, condition) in [
        (group("other", "0"), "amqp:not-found"),
        (group("g", "2"), "amqp:not-found"),
        ("x".to_owned(), "amqp:not-found"),
        ("h".to_owned(), "amqp:not-allowed"),
    ] {
        let mut client = Client::begun(&hub);
        client.attach_receiver(0, &address, None, None);
        let sent = client.sent();
        assert_eq!(codes(&sent), [code::ATTACH, code::DETACH], "{address}");
        assert_eq!(sent[0].fields[5], Value::Null, "the source");
        assert_eq!(sent[1].condition().as_deref(), Some(condition), "{address}");
        // The handle is the client's again once it has detached too.
        client.flow(0, 100, Some((0, 0, 10)), false);
        client.say(0, |out| {
            out.descriptor(code::DETACH);
            out.list(1, |out| out.uint(0));
        });
        client.attach_receiver(0, &group("$default", "0"), None, None);
        assert_eq!(codes(&client.sent()), [code::ATTACH]);
    }
    let mut client = Client::begun(&hub);
    client.attach_sender(0, "h/Partitions/7");
    let sent = client.sent();
    assert_eq!(codes(&sent), [code::ATTACH, code::DETACH]);
    assert_eq!(sent[0].fields[6], Value::Null, "the target");
    // What was already on its way is passed over.
    client.transfer(0, 0, 0, false, &message(b"x"));
    assert_eq!(client.sent(), []);
    assert_eq!(hub.appended(), 0);

    let target = |out: &mut Vec<u8>| terminus(out, 0x29, Some("h"));
    let capabilities = ["com.microsoft:idempotent-producer"];
    client.attach_as(
        1,
        false,
        |out| terminus(out, 0x28, None),
        target,
        None,
        &capabilities,
    );
    let refused = &client.sent()[1];
    assert_eq!(refused.condition().as_deref(), Some("amqp:not-implemented"));
}

#[test]
fn consumer_groups_of_any_name_are_there_where_that_was_asked_for() {
    let hub = hub(1);
    hub.join("drone-state");
    let address = |group: &str| format!("h/ConsumerGroups/{group}/Partitions/0");
    let attached = |group: &str| {
        let mut client = Client::begun(&hub);
        client.attach_receiver(0, &address(group), None, None);
        client.sent().len() == 1
    };
    for group in ["$Default", "g", "Drone-State"] {
        assert!(attached(group), "{group}");
    }
    assert!(!attached("made-up"));
    hub.set_consumer_groups(ConsumerGroups::Any);
    assert!(attached("made-up"));
}

#[test]
fn owner_levels_decide_across_connections() {
    let hub = hub(1);
    let address = "h/ConsumerGroups/g/Partitions/0";
    let [mut low, mut high, mut plain] = [(); 3].map(|()| Client::begun(&hub));
    plain.attach_receiver(0, address, None, None);
    assert_eq!(codes(&plain.sent()), [code::ATTACH]);
    low.attach_receiver(3, address, None, Some(1));
    assert_eq!(codes(&low.sent()), [code::ATTACH]);
    // The one without a level is put out, on its own connection.
    plain.protocol.rung();
    plain.protocol.deliver();
    assert_eq!(
        plain.only().condition().as_deref(),
        Some("amqp:link:stolen")
    );
    high.attach_receiver(0, address, None, Some(2));
    assert_eq!(codes(&high.sent()), [code::ATTACH]);
    low.protocol.rung();
    low.protocol.deliver();
    assert_eq!(low.only().condition().as_deref(), Some("amqp:link:stolen"));
    for epoch in [Some(1), None] {
        let mut late = Client::begun(&hub);
        late.attach_receiver(0, address, None, epoch);
        let refused = &late.sent()[1];
        assert_eq!(refused.condition().as_deref(), Some("amqp:link:stolen"));
    }
    // Whoever is cut off leaves.
    drop(high);
    plain.attach_receiver(1, address, None, None);
    assert_eq!(codes(&plain.sent()), [code::ATTACH]);
}

#[test]
fn a_sixth_reader_is_one_too_many() {
    let hub = hub(1);
    let mut client = Client::begun(&hub);
    for handle in 0..5 {
        client.attach_receiver(handle, "h/ConsumerGroups/g/Partitions/0", None, None);
    }
    assert_eq!(codes(&client.sent()), [code::ATTACH; 5]);
    client.attach_receiver(5, "h/ConsumerGroups/g/Partitions/0", None, None);
    let refused = &client.sent()[1];
    assert_eq!(
        refused.condition().as_deref(),
        Some("amqp:resource-limit-exceeded")
    );
}

#[test]
fn what_does_not_belong_ends_the_session_or_the_connection_with_the_reason() {
    type Say = fn(&mut Client);
    let cases: [(Say, u8, &str); 7] = [
        (|client| client.begin(0, 1), code::CLOSE, "amqp:not-allowed"),
        (
            |client| client.begin(9_999, 1),
            code::CLOSE,
            "amqp:not-allowed",
        ),
        (
            |client| client.open(65_536),
            code::CLOSE,
            "amqp:not-allowed",
        ),
        (
            |client| client.bytes(&[0, 0, 0, 9, 2, 0, 0, 0, 0x99]),
            code::CLOSE,
            "amqp:decode-error",
        ),
        (
            |client| client.bytes(&[0xff; 8]),
            code::CLOSE,
            "amqp:connection:framing-error",
        ),
        (
            |client| client.transfer(7, 0, 0, false, b""),
            code::END,
            "amqp:session:unattached-handle",
        ),
        (
            |client| {
                client.attach_sender(0, "h");
                client.sent();
                client.attach_sender(0, "h");
            },
            code::END,
            "amqp:session:handle-in-use",
        ),
    ];
    for (say, last, condition) in cases {
        let mut client = Client::begun(&hub(1));
        say(&mut client);
        let said = client.only();
        assert_eq!(said.code, last);
        assert_eq!(said.condition().as_deref(), Some(condition));
        assert_eq!(client.protocol.is_closed(), last == code::CLOSE);
        if last == code::END {
            // What comes before the client knows is passed over, and then the channel is free.
            client.transfer(7, 1, 0, false, b"");
            client.say(0, |out| {
                out.descriptor(code::END);
                out.list(0, |_| {});
            });
            client.begin(0, 1);
            assert_eq!(client.only().code, code::BEGIN);
        }
    }
    let mut client = Client::silent(&hub(1), Limits::default());
    client.bytes(HEADER);
    client.begin(0, 1);
    assert_eq!(codes(&client.sent()), [code::OPEN, code::CLOSE]);
}
