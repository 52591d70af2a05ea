//! What one client can make grow.

use super::*;

fn small() -> Limits {
    Limits {
        sessions: 4,
        links: 3,
        partial_bytes: 10_000,
        output_bytes: 64 * 1024,
        frame_bytes: 4_096,
        ..Limits::default()
    }
}

#[test]
fn sessions_and_links_are_as_many_as_was_said() {
    let mut client = Client::begun_with(&hub(1), small(), 65_536, 100);
    for channel in 1..4 {
        client.begin(channel, 100);
        assert_eq!(client.only().code, code::BEGIN);
    }
    for handle in 0..3 {
        client.attach_sender(handle, "h");
    }
    assert_eq!(client.sent().len(), 6);
    client.say(0, |out| {
        out.descriptor(code::DETACH);
        out.list(1, |out| out.uint(1));
    });
    client.attach_sender(1, "h");
    assert_eq!(
        codes(&client.sent()),
        [code::DETACH, code::ATTACH, code::FLOW]
    );
    client.attach_sender(3, "h");
    assert_eq!(
        client.only().condition().as_deref(),
        Some("amqp:not-allowed")
    );
}

#[test]
fn links_are_counted_over_all_sessions() {
    let mut client = Client::begun_with(&hub(1), small(), 65_536, 100);
    for handle in 0..3 {
        client.attach_sender(handle, "h");
    }
    client.begin(1, 100);
    client.sent();
    client.say(1, |out| {
        out.descriptor(code::ATTACH);
        out.list(3, |out| {
            out.string("more");
            out.uint(0);
            out.bool(false);
        });
    });
    let ended = client.only();
    assert_eq!((ended.channel, ended.code), (1, code::END));
    assert_eq!(
        ended.condition().as_deref(),
        Some("amqp:resource-limit-exceeded")
    );
}

#[test]
fn events_that_never_end_cost_the_link_and_are_forgotten() {
    let hub = hub(1);
    let mut client = Client::begun_with(&hub, small(), 65_536, 100);
    client.attach_sender(0, "h");
    client.attach_sender(1, "h");
    client.sent();
    for handle in [0, 1, 0] {
        client.transfer(handle, handle, 0, true, &[0; 4_000]);
    }
    assert_eq!(
        client.only().condition().as_deref(),
        Some("amqp:resource-limit-exceeded")
    );
    client.transfer(1, 1, 0, true, &[0; 4_000]);
    assert_eq!(client.sent(), [], "the other link has room again");
}

#[test]
fn a_frame_that_is_too_large_is_refused_before_it_comes() {
    let mut client = Client::begun_with(&hub(1), small(), 65_536, 100);
    client.bytes(&4_097_u32.to_be_bytes());
    assert_eq!(
        client.only().condition().as_deref(),
        Some("amqp:connection:framing-error")
    );
}

/// Whoever asks and never reads is not read from any more.
#[test]
fn what_waits_for_a_client_is_bounded() {
    let hub = hub(1);
    for _ in 0..1_000 {
        hub.append(crate::hub::NewEvent::new(vec![0; 1_000]));
    }
    let mut client = Client::begun_with(&hub, small(), 65_536, 100_000);
    client.attach_receiver(0, "h/ConsumerGroups/g/Partitions/0", None, None);
    client.flow(0, 100_000, Some((0, 0, 100_000)), false);
    assert!(client.protocol.output().len() < 32 * 1024);
    let mut echoes = Vec::new();
    for _ in 0..10_000 {
        frame::write(&mut echoes, 0, |out| {
            out.descriptor(code::FLOW);
            out.list(10, |out| {
                out.uint(1);
                out.uint(100_000);
                out.uint(0);
                out.uint(1_000);
                for _ in 0..4 {
                    out.null();
                }
                out.bool(false);
                out.bool(true);
            });
        });
    }
    client.bytes(&echoes);
    assert!(client.protocol.output().len() < 80 * 1024);
    assert!(!client.rest.is_empty());
    // The rest is answered once the client reads.
    let mut rounds = 0;
    while !client.rest.is_empty() {
        client.sent();
        client.bytes(&[]);
        rounds += 1;
    }
    assert!(rounds > 2);
}

#[test]
fn answers_that_nobody_takes_are_as_many_as_fit() {
    let mut client = Client::begun(&hub(1));
    client.attach_sender(0, "$cbs");
    client.attach(1, true, Some("$cbs"), Some("cbs"), None);
    client.sent();
    let mut refused = 0;
    for id in 0..100 {
        client.transfer(0, id, 0, false, &message(b""));
        refused += usize::from(client.only().condition().is_some());
    }
    assert_eq!(refused, 100 - 64);
}
