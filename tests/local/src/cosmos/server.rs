//! The socket: HTTP/1.1, and HTTP/2 without an upgrade, as clients choose.

use std::future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::account::{Account, Answer};
use super::fault::{CosmosFault, Faults};

/// When a throttled client should come back, in milliseconds.
const RETRY_AFTER: &str = "20";

/// Serves until it is dropped, which ends the connections too.
pub(super) async fn serve(listener: TcpListener, account: Arc<Account>, faults: Arc<Faults>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Small answers must not wait for more to come.
                    _ = stream.set_nodelay(true);
                    let (account, faults) = (Arc::clone(&account), Arc::clone(&faults));
                    connections.spawn(connection(stream, account, faults));
                }
                // Out of file descriptors, most likely; some may be free in a moment.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, account: Arc<Account>, faults: Arc<Faults>) {
    let service = service_fn(move |request| {
        let (account, faults) = (Arc::clone(&account), Arc::clone(&faults));
        async move { answer(request, &account, &faults).await }
    });
    // An error is a connection that broke, which is the client's business.
    _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An error ends the connection, or on HTTP/2 the stream, without an answer.
async fn answer(
    request: http::Request<Incoming>,
    account: &Account,
    faults: &Faults,
) -> io::Result<http::Response<Full<Bytes>>> {
    match faults.next() {
        None => {}
        Some(CosmosFault::Status(status)) => return Ok(response(failure(status))),
        Some(CosmosFault::Hang) => future::pending().await,
        Some(CosmosFault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(CosmosFault::Slow(delay)) => tokio::time::sleep(delay).await,
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = http::Request::from_parts(parts, ());
    Ok(response(account.answer(&request, body).await))
}

fn failure(status: u16) -> Answer {
    let mut answer = Answer::error(status, "Fault", "a fault was asked for");
    if status == 429 {
        answer.headers.insert("x-ms-retry-after-ms", RETRY_AFTER);
        // 3200: the request rate is too large.
        answer.headers.insert("x-ms-substatus", "3200");
    }
    answer
}

fn response(answer: Answer) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(answer.body));
    // The emulator and the faults know no status or header that HTTP does not.
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name.as_str().as_bytes()),
            HeaderValue::from_str(value.as_str()),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
