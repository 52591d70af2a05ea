//! AMQP 1.0 as Event Hubs speaks it, over plain TCP and without a password: any official client reads and writes the hub with
//! `Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=…;SharedAccessKey=…;UseDevelopmentEmulator=true;`.
//!
//! What is sent is kept as it came and goes to every reader as it is kept (`hub::message`). The types of AMQP's frames and the
//! decoding are `fe2o3-amqp-types` and `serde_amqp`; connections, sessions and links are the hub's own, and bounded ([`Limits`]): the
//! library's are made for applications, keep each message decoded, and encode it again for each reader.
//!
//! | module | what it is |
//! |---|---|
//! | `connection` | reads, writes and waits for one client |
//! | `conversation` | the same without a socket |
//! | `protocol`, `attach` | headers, SASL, open, begin, attach: what a client may have |
//! | `session`, `link`, `incoming`, `outgoing` | windows and credit, messages in and out |
//! | `frame`, `answer`, `error` | frames, and what the hub says in them |
//! | `value`, `write` | encoded values: measured and checked, written |
//! | `node`, `start`, `requests` | addresses, starting positions, `$cbs` and `$management` |
//!
//! The same port takes the send API of [`Hub::router`] over HTTP: a Functions host that reads by AMQP and a handler that sends by
//! HTTP then share one connection string.
//!
//! Not there, and refused: idempotent producers, transactions, publishers' own partitions, WebSockets, TLS.

mod answer;
mod attach;
mod connection;
mod conversation;
mod error;
mod frame;
mod incoming;
mod limits;
mod link;
mod node;
mod outgoing;
mod protocol;
mod requests;
mod session;
mod start;
pub(super) mod value;
pub(super) mod write;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::Hub;

pub use conversation::{Said, converse, performatives};
pub use limits::Limits;

/// Where everybody expects AMQP.
pub const PORT: u16 = 5672;

/// Accepts clients until it is dropped, which ends their connections too.
#[derive(Debug)]
pub struct AmqpListener {
    address: SocketAddr,
    /// Closing it ends the thread and every connection.
    _stop: oneshot::Sender<Infallible>,
}

impl AmqpListener {
    /// Listens on 127.0.0.1; 0 for any free port.
    ///
    /// # Errors
    /// Where the port is in use, or no thread can be started.
    pub async fn start(hub: &Hub, port: u16) -> std::io::Result<Self> {
        Self::start_with(hub, port, Limits::default()).await
    }

    /// As [`AmqpListener::start`], with limits of one's own.
    ///
    /// # Errors
    /// Where the port is in use, or no thread can be started.
    pub async fn start_with(hub: &Hub, port: u16, limits: Limits) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let listener = listener.into_std()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let hub = hub.clone();
        // A thread of its own: what else the process does, such as the work of Cosmos DB's emulator, keeps nobody waiting here, and
        // one is enough.
        std::thread::Builder::new()
            .name("amqp".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let Ok(runtime) = runtime else { return };
                runtime.block_on(async move {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        _ = stopped => {}
                        () = accept(listener, hub, limits) => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            _stop: stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients take for a connection string. The key opens nothing.
    #[must_use]
    pub fn connection_string(&self) -> String {
        format!(
            "Endpoint=sb://{};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;",
            self.address
        )
    }
}

/// A request begins with a method, and none of those that are used here begins as AMQP does.
async fn speaks_http(stream: &TcpStream, limits: Limits) -> bool {
    let mut first = [0];
    let peeked = tokio::time::timeout(limits.handshake, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(1))) && first[0].is_ascii_uppercase() && first[0] != b'A'
}

async fn http(stream: TcpStream, router: axum::Router) {
    let service = hyper_util::service::TowerToHyperService::new(router);
    // A connection that breaks is the client's business.
    _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn accept(listener: TcpListener, hub: Hub, limits: Limits) {
    let mut connections = JoinSet::new();
    // Those that have not opened yet, oldest first, and those that have since told so.
    let mut unopened: VecDeque<(Arc<AtomicBool>, AbortHandle)> = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, most likely; some may be free in a moment.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                unopened.retain(|(opened, task)| !task.is_finished() && !opened.load(Ordering::Acquire));
                if connections.len() >= limits.connections {
                    // Somebody who has said nothing makes room. Where everybody has, there is none.
                    let Some((_, silent)) = unopened.pop_front() else { continue };
                    silent.abort();
                }
                // Small answers must not wait for more to come.
                _ = stream.set_nodelay(true);
                let (hub, opened) = (hub.clone(), Arc::new(AtomicBool::new(false)));
                let told = Arc::clone(&opened);
                let task = connections.spawn(async move {
                    if speaks_http(&stream, limits).await {
                        http(stream, hub.router()).await;
                    } else {
                        let (reader, writer) = stream.into_split();
                        connection::serve(reader, writer, &hub, limits, &told).await;
                    }
                });
                unopened.push_back((opened, task));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
