//! The account's socket.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::account::{Account, Answer};
use crate::fault::Faults;

/// When a throttled client should come back, in milliseconds.
const RETRY_AFTER: &str = "20";

/// Serves until it is dropped, which ends the connections too.
pub(super) async fn serve(listener: TcpListener, account: Arc<Account>, faults: Arc<Faults>) {
    crate::server::serve(listener, move |request| {
        let (account, faults) = (Arc::clone(&account), Arc::clone(&faults));
        async move {
            let refuse = |status| response(failure(status));
            faults.meet(refuse, answer(request, &account)).await
        }
    })
    .await;
}

async fn answer(
    request: http::Request<Incoming>,
    account: &Account,
) -> io::Result<http::Response<Full<Bytes>>> {
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
