//! Time, which costs nothing here: the clock goes on by itself where everybody waits.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::hub::amqp::connection;

/// A served connection; what is said first has been sent.
fn connect(hub: &Hub, first: &[u8]) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let (hub, first) = (hub.clone(), first.to_vec());
    let serving = tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(far);
        connection::serve(
            reader,
            writer,
            &hub,
            Limits::default(),
            &AtomicBool::new(false),
        )
        .await;
    });
    futures_util::FutureExt::now_or_never(near.write_all(&first))
        .expect("there is room")
        .unwrap();
    (near, serving)
}

/// Header and open, with an idle time-out.
fn opening(idle_millis: Option<u32>) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    frame::write(&mut out, 0, |out| {
        out.descriptor(code::OPEN);
        out.list(5, |out| {
            out.string("client");
            out.null();
            out.uint(65_536);
            out.ushort(100);
            match idle_millis {
                Some(millis) => out.uint(millis),
                None => out.null(),
            }
        });
    });
    out
}

async fn until_closed(stream: &mut DuplexStream) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    (all, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_hears_something_often_enough_for_an_hour() {
    let hub = hub(1);
    for (idle_millis, longest) in [(60_000, 10), (15_000, 5), (240_000, 10)] {
        let (mut stream, serving) = connect(&hub, &opening(Some(idle_millis)));
        let (begun, mut beats) = (Instant::now(), 0);
        let mut buffer = vec![0; 4_096];
        while begun.elapsed() < Duration::from_secs(3_600) {
            let wait = Duration::from_millis(longest * 1_000 + 100);
            let count = timeout(wait, stream.read(&mut buffer))
                .await
                .expect("a beat in time");
            assert!(count.unwrap() > 0, "it goes on");
            beats += 1;
            // Which the client answers with one of its own.
            stream.write_all(&[0, 0, 0, 8, 2, 0, 0, 0]).await.unwrap();
        }
        assert!(beats >= 3_600 / longest, "{beats}");
        drop(stream);
        serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_cut_off_with_the_reason() {
    let (mut stream, serving) = connect(&hub(1), &opening(None));
    let (all, after) = until_closed(&mut stream).await;
    assert_eq!(after.as_secs(), 120);
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("amqp:resource-limit-exceeded"), "{text:?}");
    drop(stream);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_say_what_it_wants_is_cut_off() {
    for first in [&b""[..], b"AMQP", SASL_HEADER, HEADER] {
        let (mut stream, serving) = connect(&hub(1), first);
        let (_, after) = until_closed(&mut stream).await;
        assert_eq!(after.as_secs(), 30, "{first:?}");
        drop(stream);
        serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_gets_an_event_at_once() {
    let hub = hub(1);
    let mut first = opening(None);
    frame::write(&mut first, 0, |out| {
        out.descriptor(code::BEGIN);
        out.list(4, |out| {
            out.null();
            for number in [0, 100, 100] {
                out.uint(number);
            }
        });
    });
    frame::write(&mut first, 0, |out| {
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
    frame::write(&mut first, 0, |out| {
        out.descriptor(code::FLOW);
        out.list(7, |out| {
            for number in [1, 100, 0, 100, 0, 0, 10] {
                out.uint(number);
            }
        });
    });
    let (mut stream, serving) = connect(&hub, &first);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    hub.append(crate::hub::NewEvent::new("now"));
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains("now") {
        stream.read_buf(&mut all).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(stream);
    serving.await.unwrap();
}
