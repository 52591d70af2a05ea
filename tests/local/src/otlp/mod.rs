//! What the handler says of itself: OpenTelemetry's spans and metrics, taken in and shown.
//!
//! A collector for this one machine. It keeps little, all of it bounded: the last value of each series, ten minutes
//! of some of them second by second, the last traces, and the slowest operations. The page "What happens" shows it,
//! and `cargo local load` and `cargo local chaos` hold it against what they have counted themselves.
//!
//! | module | what it is |
//! |---|---|
//! | `receiver` | OTLP over HTTP |
//! | `attributes` | what spans and series are told apart by |
//! | `metrics`, `lines` | series, and which of them are drawn |
//! | `history`, `durations` | the last ten minutes of a series; the last minute of a histogram |
//! | `traces` | the last traces |
//! | `view`, `page` | what the page is told, and its files |
//! | `agreement` | metrics beside what was counted |
//! | `options` | where telemetry goes |

mod agreement;
mod attributes;
mod durations;
#[cfg(test)]
mod fake_sender;
mod history;
mod lines;
mod metrics;
mod options;
mod page;
mod receiver;
#[cfg(test)]
mod tests;
mod traces;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State as Extracted};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use drone_delivery::http::page::guarded;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::metrics::Metrics;
use self::traces::Traces;

pub use self::agreement::{Agreement, count};
pub(crate) use self::agreement::{Reading, Stored};
pub use self::attributes::Attributes;
pub use self::metrics::{Instance, Sum};
pub use self::options::{OtlpOptions, OtlpTarget};
pub use self::traces::{Span, Trace};

/// Where collectors take OTLP over HTTP.
const PORT: u16 = 4318;

/// How often values that are waited for are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was received.
#[derive(Debug, Default)]
struct State {
    metrics: Metrics,
    traces: Traces,
    /// Requests that could not be read.
    refused: u64,
    /// Other pages of the system: their names and addresses.
    pages: Vec<(&'static str, String)>,
}

/// The state, and whoever takes from it or adds to it.
#[derive(Debug, Clone, Default)]
struct Shared {
    state: Arc<Mutex<State>>,
    /// Where telemetry goes instead.
    elsewhere: Option<Arc<str>>,
}

impl Shared {
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn take_spans(&mut self, sent: ExportTraceServiceRequest) -> Option<(i64, String)> {
        self.traces.take(sent, now())
    }

    fn take_metrics(&mut self, sent: ExportMetricsServiceRequest) -> Option<(i64, String)> {
        self.metrics.take(sent, now())
    }
}

/// A collector that listens on this machine, and the page that shows what it has. Dropping it ends it.
#[derive(Debug)]
pub struct Telemetry {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Telemetry {
    /// Listens on 127.0.0.1: at the port, with 0 at any free one, without one at the usual one or any free one where
    /// that is taken. `elsewhere` is what the page says where telemetry goes to another collector.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(port: Option<u16>, elsewhere: Option<&str>) -> io::Result<Self> {
        let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
        let listener = match port {
            Some(port) => bind(port).await?,
            None => match bind(PORT).await {
                Ok(listener) => listener,
                // A collector's, most likely.
                Err(_) => bind(0).await?,
            },
        };
        let address = listener.local_addr()?;
        let shared = Shared {
            state: Arc::default(),
            elsewhere: elsewhere.map(Into::into),
        };
        let router = router(shared.clone());
        let server = tokio::spawn(async move {
            // Only a broken listener ends this; exports then fail, and the page says so.
            _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Where the page is, and what OTLP is sent to: `http://127.0.0.1:4318`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the page lead to another one.
    pub fn link_to(&self, name: &'static str, address: String) {
        self.shared.with(|state| state.pages.push((name, address)));
    }

    /// Whether telemetry comes here, and not to somebody else's collector.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.shared.elsewhere.is_none()
    }

    /// What a metric comes to over all processes, those that have ended included, and over the series that are wanted.
    pub fn sum(&self, metric: &str, wanted: impl Fn(&Attributes) -> bool) -> Sum {
        self.shared.with(|state| state.metrics.sum(metric, wanted))
    }

    /// Every metric that has come, with the names of the attributes that its series have.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.shared.with(|state| {
            let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (metric, attributes) in state.metrics.names() {
                let names = metrics.entry(metric.to_owned()).or_default();
                names.extend(attributes.names().map(str::to_owned));
            }
            metrics
        })
    }

    /// The processes that have sent metrics.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        self.shared
            .with(|state| state.metrics.instances().cloned().collect())
    }

    /// The traces that are kept, the newest first.
    #[must_use]
    pub fn traces(&self) -> Vec<Trace> {
        self.shared
            .with(|state| state.traces.all().cloned().collect())
    }

    /// Waits until a condition holds, and says whether it does in time.
    pub async fn until(
        &self,
        patience: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while !condition(self) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Waits until the processes of these workers have each sent metrics that they read after `since`, in
    /// nanoseconds of Unix time.
    pub async fn heard_since(&self, workers: &[String], since: u64, patience: Duration) -> bool {
        let is_new = |telemetry: &Self| {
            let instances = telemetry.instances();
            workers.iter().all(|worker| {
                instances.iter().any(|instance| {
                    instance.worker.as_ref() == Some(worker) && instance.heard_at > since
                })
            })
        };
        self.until(patience, is_new).await
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/traces", post(receiver::traces))
        .route("/v1/metrics", post(receiver::metrics))
        .route("/state.json", get(state))
        .route("/traces/{id}", get(trace))
        .route("/", get(home))
        .route("/{file}", get(file))
        // The receiver has its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn state(Extracted(shared): Extracted<Shared>) -> Response {
    let elsewhere = shared.elsewhere.as_deref();
    json(&shared.with(|state| view::state(state, now(), elsewhere)))
}

async fn trace(Extracted(shared): Extracted<Shared>, Path(id): Path<String>) -> Response {
    // That there is none is an answer: a browser would make an error of another status.
    json(&shared.with(|state| view::trace(state, &id).unwrap_or_default()))
}

async fn home(headers: HeaderMap) -> Response {
    file(Path(String::new()), headers).await
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    page::file(&name, &headers).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn json(value: &Value) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    const NEVER: HeaderValue = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, NEVER)];
    guarded((headers, value.to_string()).into_response(), page::POLICY)
}

/// In nanoseconds of Unix time, as telemetry counts.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
