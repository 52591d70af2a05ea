//! Clients in great numbers and bad ones, over real sockets. The long ones are run by name:
//!
//! ```text
//! cargo test --package local --lib hub::amqp::tests::storms -- --ignored --nocapture
//! ```

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::hub::{AmqpListener, NewEvent};

/// What a reader says to be sent partition 0 from its beginning.
fn reader() -> Vec<u8> {
    let mut out = HEADER.to_vec();
    frame::write(&mut out, 0, |out| {
        out.descriptor(code::OPEN);
        out.list(3, |out| {
            out.string("reader");
            out.null();
            out.uint(65_536);
        });
    });
    frame::write(&mut out, 0, |out| {
        out.descriptor(code::BEGIN);
        out.list(4, |out| {
            out.null();
            for number in [0, 1_000_000, 1_000_000] {
                out.uint(number);
            }
        });
    });
    frame::write(&mut out, 0, |out| {
        out.descriptor(code::ATTACH);
        out.list(7, |out| {
            out.string("link");
            out.uint(0);
            out.bool(true);
            out.null();
            out.null();
            terminus(out, 0x28, Some("h/ConsumerGroups/g/Partitions/0"));
            terminus(out, 0x29, None);
        });
    });
    frame::write(&mut out, 0, |out| {
        out.descriptor(code::FLOW);
        out.list(7, |out| {
            for number in [1, 1_000_000, 0, 1_000_000, 0, 0, 1_000_000] {
                out.uint(number);
            }
        });
    });
    out
}

/// Waits until a client has read the event.
async fn gets(stream: &mut TcpStream, text: &str) {
    let mut all = Vec::new();
    while !all
        .windows(text.len())
        .any(|window| window == text.as_bytes())
    {
        assert!(
            stream.read_buf(&mut all).await.unwrap() > 0,
            "it was cut off"
        );
    }
}

async fn connect(listener: &AmqpListener, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// Waits until the hub has cut a client off: an end, or that what it has sent was thrown away.
async fn is_cut_off(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_silent_connections_make_room_for_clients() {
    let hub = hub(1);
    hub.append(NewEvent::new("first"));
    let limits = Limits {
        connections: 8,
        // Not for their silence.
        handshake: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let listener = AmqpListener::start_with(&hub, 0, limits).await.unwrap();
    let mut client = connect(&listener, &reader()).await;
    gets(&mut client, "first").await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(connect(&listener, b"AMQP").await);
    }
    let mut late = connect(&listener, &reader()).await;
    gets(&mut late, "first").await;
    // The first of them have gone; the client has not.
    is_cut_off(&mut silent[0]).await;
    hub.append(NewEvent::new("second"));
    gets(&mut client, "second").await;
    gets(&mut late, "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_send_api_is_on_the_same_port() {
    let hub = hub(1);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    let request = b"POST /h/messages HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    let mut stream = connect(&listener, request).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201"));
    assert_eq!(hub.events(0, 0)[0].body(), &b"x"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_its_senders_affair() {
    let hub = hub(1);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    let mut client = connect(&listener, &reader()).await;
    for garbage in [
        &[0xff; 64][..],
        &[HEADER, &[0xff; 64]].concat(),
        &[HEADER, &[0, 0, 0, 9, 2, 0, 0, 0, 0x45]].concat(),
        &[SASL_HEADER, &[0, 0, 0, 9, 2, 1, 0, 0, 0x45]].concat(),
    ] {
        let mut stream = connect(&listener, garbage).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"AMQP"), "{answer:?}");
    }
    hub.append(NewEvent::new("after"));
    gets(&mut client, "after").await;
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A thousand connections that say nothing, ten thousand that are cut in the middle of everything, and one client that notices
/// nothing of it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes eleven thousand connections, which a machine may not have; by name, as tests/local/EVENT_HUBS.md says"]
#[allow(
    clippy::print_stderr,
    reason = "its figures are for whoever runs it by name"
)]
async fn a_storm_of_connections_costs_no_client_its_events_and_the_hub_no_memory() {
    const LIMIT_KIB: u64 = 64 * 1024;
    let hub = hub(1);
    let listener = AmqpListener::start(&hub, 0).await.unwrap();
    let mut client = connect(&listener, &reader()).await;
    hub.append(NewEvent::new("before"));
    gets(&mut client, "before").await;
    let before = resident();

    let mut silent = Vec::new();
    for number in 0..1_000 {
        // As many as the process may have files open, less some.
        if silent.len() >= 400 {
            silent.remove(0);
        }
        let first: &[u8] = match number % 4 {
            0 => b"",
            1 => b"AMQP",
            2 => SASL_HEADER,
            _ => HEADER,
        };
        silent.push(connect(&listener, first).await);
    }
    hub.append(NewEvent::new("with a thousand silent ones"));
    gets(&mut client, "with a thousand silent ones").await;
    drop(silent);
    eprintln!(
        "{} KiB more with silent ones",
        resident().saturating_sub(before)
    );

    let whole = reader();
    for number in 0..10_000 {
        // Cut anywhere: in a header, in a frame, with a link that reads.
        let stream = connect(&listener, &whole[..number % (whole.len() + 1)]).await;
        // Half of them without a word of goodbye.
        if number % 2 == 0 {
            stream.set_zero_linger().unwrap();
        }
    }
    hub.append(NewEvent::new("after ten thousand cut ones"));
    gets(&mut client, "after ten thousand cut ones").await;
    // Readers that were cut off have left their places.
    loop {
        let mut next = connect(&listener, &whole).await;
        let read = gets(&mut next, "after ten thousand");
        if tokio::time::timeout(Duration::from_secs(1), read)
            .await
            .is_ok()
        {
            break;
        }
    }
    let grown = resident().saturating_sub(before);
    eprintln!("{grown} KiB more after everything");
    assert!(grown < LIMIT_KIB, "{grown} KiB");
}
