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
const READ_AHEAD: usize = 48 * 1024;

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

    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

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
}
