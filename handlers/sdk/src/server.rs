//! The server: HTTP/1.1 for the one client there is, the Functions host on the same machine.
//!
//! `axum::serve` would do but for one thing: it lets hyper read up to 400 KiB of a request ahead. Calls that
//! wait for their turn leave their bodies unread so that a backlog stays in the sockets, and with some
//! hundred connections of the host's that is only so where little is read ahead.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tracing::{debug, warn};

/// How much of a request is read ahead, on each connection. Its head has to fit: Kestrel, which the host
/// runs on, takes 8 KiB of request line and 32 KiB of headers at most, and forwards them.
const READ_AHEAD: usize = 41 * 1024;

/// Before the next attempt where no connection can be accepted, most likely for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small: held back by Nagle's algorithm they would wait for the host's
                // delayed acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, "cannot set TCP_NODELAY");
                }
                tokio::spawn(connection(stream, router.clone()));
            }
            Err(error) if is_of_one_connection(error.kind()) => {
                debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        // Such as a host that gave a call up; what became of the call is logged where it is made.
        debug!(%error, "a connection broke");
    }
}

fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use axum::body::{Body, to_bytes};
    use axum::extract::State;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;
    use crate::{EventHubBatch, FunctionApp, FunctionDefinition, HostConfig, TimerInfo};

    const LARGE: usize = 4 * 1024 * 1024;

    /// What the connection itself holds: more than hyper reads at once when left to itself.
    const IN_TRANSIT: usize = 1024 * 1024;

    fn connected(router: Router) -> DuplexStream {
        let (client, server) = duplex(IN_TRANSIT);
        tokio::spawn(connection(server, router));
        client
    }

    async fn begin(client: &mut DuplexStream, header: &str, length: usize) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nx: {header}\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
    }

    async fn is_answered(client: &mut DuplexStream) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    /// In paused time a time-out means that nobody can do anything any more.
    #[tokio::test(start_paused = true)]
    async fn of_a_body_that_nobody_reads_little_is_taken() {
        let turns = Arc::new(Semaphore::new(1));
        let gate = Arc::clone(&turns);
        let read = async move |body: Body| {
            gate.acquire().await.unwrap().forget();
            assert_eq!(to_bytes(body, LARGE).await.unwrap().len(), LARGE);
            axum::http::StatusCode::NO_CONTENT
        };
        let mut client = connected(Router::new().route("/", post(read)));
        let body = vec![b'x'; LARGE];
        // hyper reads more at once where reads have been large.
        begin(&mut client, "", LARGE).await;
        client.write_all(&body).await.unwrap();
        is_answered(&mut client).await;

        begin(&mut client, "", LARGE).await;
        let mut taken = 0;
        let second = Duration::from_secs(1);
        while let Ok(written) = timeout(second, client.write(&body[taken..])).await {
            taken += written.unwrap();
        }
        assert!(taken <= READ_AHEAD + IN_TRANSIT, "{taken} bytes were taken");
        turns.add_permits(1);
        client.write_all(&body[taken..]).await.unwrap();
        is_answered(&mut client).await;
    }

    #[tokio::test]
    async fn a_head_as_large_as_the_host_takes_is_taken_and_the_connection_kept() {
        let answer = async || axum::http::StatusCode::NO_CONTENT;
        let mut client = connected(Router::new().route("/", post(answer)));
        for _ in 0..2 {
            begin(&mut client, &"x".repeat(40 * 1024), 0).await;
            is_answered(&mut client).await;
        }
    }

    const TIMER: FunctionDefinition = FunctionDefinition::new(
        "Tick",
        "timerTrigger",
        r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 * * * * *"}]}"#,
    );

    fn keeps(name: &'static str) -> FunctionDefinition {
        FunctionDefinition::new(
            name,
            "eventHubTrigger",
            r#"{"bindings":[{"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub",
            "eventHubName":"telemetry","consumerGroup":"g","cardinality":"many","dataType":"binary"}]}"#,
        )
    }

    /// A batch of one event whose body is half of `size`.
    fn batch(size: usize) -> Vec<u8> {
        let body = "eHh4".repeat(size / 6);
        let call = serde_json::json!({
            "Data": {"events": format!("[\"{body}\"]")},
            "Metadata": {"PartitionContext": {"PartitionId": "0"}, "SequenceNumberArray": "[1]",
                "EnqueuedTimeUtcArray": "[\"2024-05-01T12:00:00\"]"},
        });
        call.to_string().into_bytes()
    }

    /// Writes until nothing more is taken, and returns how much was.
    async fn write(client: &mut DuplexStream, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match timeout(Duration::from_secs(1), client.write(&bytes[taken..])).await {
                Ok(written) => taken += written.unwrap(),
                Err(_) => break,
            }
        }
        taken
    }

    fn request(function: &str, body: &[u8], announced: bool) -> Vec<u8> {
        let head = format!("POST /{function} HTTP/1.1\r\nhost: x\r\n");
        if announced {
            let head = format!("{head}content-length: {}\r\n\r\n", body.len());
            return [head.as_bytes(), body].concat();
        }
        let mut request = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
        // As the host's client does.
        for chunk in body.chunks(1024) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        request
    }

    async fn succeeds(client: &mut DuplexStream) {
        let mut status = [0; 12];
        let read = client.read_exact(&mut status);
        timeout(Duration::from_secs(1), read)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status, *b"HTTP/1.1 200");
    }

    /// What functions keep of their batches counts, over all of them; and small calls go on.
    #[tokio::test(start_paused = true)]
    async fn a_large_batch_waits_for_what_others_hold() {
        type Kept = Arc<Mutex<Vec<EventHubBatch>>>;
        let kept = Kept::default();
        let keep = async |State(kept): State<Kept>, batch: EventHubBatch| {
            kept.lock().unwrap().push(batch);
        };
        let router = FunctionApp::new(Arc::clone(&kept), HostConfig::default())
            .max_body_bytes(2 * LARGE)
            .function(keeps("First"), keep)
            .function(keeps("Second"), keep)
            .function(TIMER, async |_: TimerInfo| {})
            .into_router()
            .unwrap();
        for announced in [true, false] {
            let mut first = connected(router.clone());
            let large = batch(LARGE * 3 / 2);
            let call = request("First", &large, announced);
            assert_eq!(write(&mut first, &call).await, call.len());
            succeeds(&mut first).await;

            let mut second = connected(router.clone());
            let call = request("Second", &large, announced);
            let taken = write(&mut second, &call).await;
            // Without an announcement, as much as there is room for.
            let room = if announced { 0 } else { LARGE / 2 };
            assert!(taken <= room + READ_AHEAD + IN_TRANSIT, "{taken} bytes");

            let mut small = connected(router.clone());
            let timer = br#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#;
            for call in [
                request("Tick", timer, announced),
                request("First", &batch(99_999), announced),
            ] {
                write(&mut small, &call).await;
                succeeds(&mut small).await;
                small = connected(router.clone());
            }

            kept.lock().unwrap().clear();
            assert_eq!(write(&mut second, &call[taken..]).await, call.len() - taken);
            succeeds(&mut second).await;
            kept.lock().unwrap().clear();

            // Larger than all that may be held, so alone.
            let mut alone = connected(router.clone());
            let call = request("First", &batch(LARGE * 5), announced);
            assert_eq!(write(&mut alone, &call).await, call.len());
            succeeds(&mut alone).await;
            let mut next = connected(router.clone());
            let call = request("Second", &batch(LARGE), announced);
            let taken = write(&mut next, &call).await;
            assert!(
                taken <= READ_AHEAD + IN_TRANSIT + 1024 * 1024,
                "{taken} bytes"
            );
            kept.lock().unwrap().clear();
            assert_eq!(write(&mut next, &call[taken..]).await, call.len() - taken);
            succeeds(&mut next).await;
            kept.lock().unwrap().clear();
        }
    }
}
