//! A handler for tests of the triggers: an axum server in this process.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::function_json::Function;
use super::invoker::Invoker;
use super::journal::Journal;
use super::link::{HandlerLink, HandlerState, Kill, Reached};
use super::log::LogSink;
use super::memory_queues::MemoryQueues;
use super::queue_output::QueueOutputs;
use super::settings::Settings;

type Reply = dyn Fn(usize, Value) -> BoxFuture<'static, Response> + Send + Sync;

/// A call as the handler saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub headers: HeaderMap,
    pub body: Value,
}

/// The handler, and what a host has around it.
pub(crate) struct FakeHandler {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub invoker: Arc<Invoker>,
    pub journal: Arc<Journal>,
    pub queues: Arc<MemoryQueues>,
    pub kills: mpsc::UnboundedReceiver<Kill>,
    pub state: watch::Sender<HandlerState>,
    pub reached: Reached,
    pub log: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    reply: Arc<Reply>,
}

impl FakeHandler {
    /// `reply` is given the number of the call, from 1, and its body.
    pub(crate) async fn start<F>(
        function: &str,
        timeout: Option<Duration>,
        reply: impl Fn(usize, Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let server = Server {
            seen: Arc::default(),
            reply: Arc::new(move |count, body| Box::pin(reply(count, body))),
        };
        let seen = Arc::clone(&server.seen);
        let socket = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let reached = Reached {
            address: socket.local_addr().unwrap(),
            generation: 1,
            worker: uuid::Uuid::nil(),
        };
        let router = Router::new().fallback(answer).with_state(server);
        tokio::spawn(async move { axum::serve(socket, router).await });

        let (state, watched) = watch::channel(HandlerState::Ready(reached));
        let (kill, kills) = mpsc::unbounded_channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let log = Arc::clone(&log);
            LogSink::new(move |line| log.lock().unwrap().push(line))
        };
        let journal = Arc::new(Journal::new(
            [function.to_owned()].iter(),
            sink,
            Arc::default(),
        ));
        let queues = Arc::new(MemoryQueues::default());
        let invoker = Arc::new(Invoker::new(
            HandlerLink::new(watched, kill),
            timeout,
            Arc::clone(&journal),
            QueueOutputs::new(queues.accounts()),
        ));
        Self {
            seen,
            invoker,
            journal,
            queues,
            kills,
            state,
            reached,
            log,
        }
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let count = {
        let mut seen = server.seen.lock().unwrap();
        seen.push(Seen {
            headers,
            body: body.clone(),
        });
        seen.len()
    };
    (server.reply)(count, body).await
}

/// The answer of a call that succeeded.
pub(crate) fn envelope(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

/// A function of function.json's text, under these settings.
pub(crate) fn function(name: &str, text: &str, settings: &[(&str, &str)]) -> Arc<Function> {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Arc::new(
        Function::parse(name, text, &Settings::new(settings))
            .unwrap()
            .unwrap(),
    )
}
