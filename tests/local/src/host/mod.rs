//! The Functions host as a custom handler sees it: it starts the handler, calls it for events and HTTP requests, delivers its
//! outputs, and kills and restarts it as the real host does, quirks included.
//!
//! The facts behind it are those of host 4.1037 and the Event Hubs extension. The host reads host.json and function.json by
//! itself, without the SDK that the handler uses, so that the two cannot share a mistake.
//!
//! | module | what it is |
//! |---|---|
//! | `app`, `host_json`, `function_json`, `settings`, `timespan` | the configuration |
//! | `handler_process`, `supervisor`, `restart_policy`, `usage` | the handler's process |
//! | `link` | what calls know of it |
//! | `event_hub_listener`, `partition_reader`, `retry` | the Event Hubs trigger |
//! | `http_front`, `routes` | HTTP triggers |
//! | `envelope`, `clock`, `json_text` | what a call looks like |
//! | `invoker`, `answer` | a call, and what its answer amounts to |
//! | `queue_output`, `queue_store` | queue outputs |
//! | `journal`, `log`, `error` | what happened |

mod answer;
mod app;
mod clock;
mod envelope;
mod error;
mod event_hub_listener;
mod function_json;
mod handler_process;
mod host_json;
mod http_front;
mod invoker;
mod journal;
mod json_text;
mod link;
mod log;
mod partition_reader;
mod queue_output;
mod queue_store;
mod restart_policy;
mod retry;
mod routes;
mod settings;
mod supervisor;
mod timespan;
mod usage;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::app::App;
use self::event_hub_listener::EventHubListener;
use self::function_json::{Function, Trigger};
use self::handler_process::{HandlerProcess, HandlerSpec};
use self::host_json::EventHubsOptions;
use self::http_front::HttpFront;
use self::invoker::Invoker;
use self::journal::Journal;
use self::link::{HandlerLink, HandlerState, Kill};
use self::queue_output::QueueOutputs;
use self::queue_store::QueueAccounts;
use self::routes::Routes;
use self::settings::Settings;
use self::supervisor::{HandlerStatus, Supervisor};
use crate::hub::Hub;

pub use self::error::{CallFailure, HostError, NotSettled};
pub use self::journal::{BatchDone, CallFailed, FunctionStats, HostEvent};
pub use self::log::LogSink;

pub(crate) use self::envelope::event_hub::EncodedEvent;

/// Between the third error, which stops the host, and the platform's new one.
const PLATFORM_RESTART_DELAY: Duration = Duration::from_secs(1);

/// A time as annotations hold it.
pub(crate) fn write_time(out: &mut String, time: time::UtcDateTime) {
    clock::write_fraction(out, time, clock::Zone::Z);
}

/// What a host runs, and where.
pub struct HostOptions {
    /// The script root: host.json, and a folder with a function.json for each function.
    pub app_root: PathBuf,
    /// The app settings; all of them go into the handler's environment. A local.settings.json is not read.
    pub settings: BTreeMap<String, String>,
    /// The port of the HTTP functions on 127.0.0.1; 0 for any free one.
    pub http_port: u16,
    /// The hub that every Event Hubs trigger reads.
    pub hub: Hub,
    /// Takes log lines.
    pub log: LogSink,
    /// Whether the handler may crash as often as it likes. Otherwise the third crash within 30 minutes stops the host, and a new one
    /// starts a second later, as the platform would do it.
    pub unlimited_restarts: bool,
}

/// The handler's process.
#[derive(Debug, Clone, Copy)]
pub struct HandlerInfo {
    /// The current process; `None` while there is none.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// From the start of the latest process to its first answer.
    pub ready: Duration,
    /// CPU time of all processes so far. What a process that died used in its last half second may be missing.
    pub cpu: Duration,
    /// Resident memory of the current process; 0 while there is none.
    pub rss_bytes: u64,
    /// The largest resident memory of any process so far.
    pub peak_rss_bytes: u64,
}

/// A running host. Dropping it ends its tasks and the handler.
pub struct Host {
    http_address: SocketAddr,
    hub: Hub,
    journal: Arc<Journal>,
    link: HandlerLink,
    status: Arc<HandlerStatus>,
    tasks: Vec<JoinHandle<()>>,
}

impl Host {
    /// Reads the app, starts the handler, and returns once the handler has answered and every trigger is being listened to.
    ///
    /// # Errors
    /// Where the app's files are wrong, the port is taken, or the handler does not start.
    pub async fn start(options: HostOptions) -> Result<Self, HostError> {
        Self::start_with(options, queue_store::azurite()).await
    }

    async fn start_with(options: HostOptions, queues: QueueAccounts) -> Result<Self, HostError> {
        let settings = Settings::new(options.settings);
        let app = App::load(&options.app_root, &settings, options.hub.name())?;
        let spec = HandlerSpec::new(&app, &settings, options.log.clone())?;
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, options.http_port))
            .await
            .map_err(|error| HostError::Port {
                port: options.http_port,
                error,
            })?;
        let http_address = http.local_addr()?;

        let journal = Arc::new(Journal::new(app.functions.keys(), options.log));
        let (state, watched) = watch::channel(HandlerState::Starting);
        let (kill, kills) = mpsc::unbounded_channel();
        let link = HandlerLink::new(watched, kill);
        let invoker = Arc::new(Invoker::new(
            link.clone(),
            app.host.function_timeout,
            Arc::clone(&journal),
            QueueOutputs::new(queues),
        ));
        let status = Arc::new(HandlerStatus::default());
        let supervisor = Supervisor::new(
            spec,
            invoker.client().clone(),
            Arc::clone(&status),
            Arc::clone(&journal),
            state,
            kills,
        );
        let first = supervisor.start().await?;

        let functions: Vec<Arc<Function>> = app.functions.into_values().map(Arc::new).collect();
        let front = Arc::new(HttpFront {
            routes: Routes::new(&app.host.route_prefix, functions.iter()),
            forward: app.host.forward_http,
            invoker: Arc::clone(&invoker),
        });
        let platform = Platform {
            functions,
            hub: options.hub.clone(),
            event_hubs: app.host.event_hubs,
            invoker,
            supervisor,
            unlimited_restarts: options.unlimited_restarts,
        };
        platform.join_groups();
        let router = Router::new().fallback(http_front::serve).with_state(front);
        let tasks = vec![
            tokio::spawn(platform.run(first)),
            tokio::spawn(async move {
                // Only a broken listener ends this; requests then fail, which nobody can overlook.
                _ = axum::serve(http, router).await;
            }),
            tokio::spawn(sample_usage(Arc::clone(&status))),
        ];
        // From here on requests are answered, and the handler's process is known. Refusing is an answer too.
        _ = link.ready().await;
        Ok(Self {
            http_address,
            hub: options.hub,
            journal,
            link,
            status,
            tasks,
        })
    }

    /// Where the HTTP functions are.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// News from now on. Whoever reads slowly loses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<HostEvent> {
        self.journal.subscribe()
    }

    /// The figures of every function that is not disabled.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<String, FunctionStats> {
        self.journal.stats()
    }

    /// The handler's process, as it is now.
    #[must_use]
    pub fn handler(&self) -> HandlerInfo {
        let sample = self.status.usage.sample();
        HandlerInfo {
            pid: self.status.pid(),
            restarts: self.status.restarts(),
            ready: self.status.ready(),
            cpu: sample.cpu,
            rss_bytes: sample.rss_bytes,
            peak_rss_bytes: sample.peak_rss_bytes,
        }
    }

    /// Kills the handler's process with SIGKILL, in the middle of whatever it does. Counts as a crash.
    pub fn kill_handler(&self) {
        self.link.kill(Kill::Crash);
    }

    /// Waits until every consumer group has checkpointed everything that the hub has taken, and no call is in flight.
    ///
    /// # Errors
    /// Where that is not so within `timeout`; the error says what is left.
    pub async fn settled(&self, timeout: Duration) -> Result<(), NotSettled> {
        let mut progress = self.hub.watch_progress();
        let mut in_flight = self.journal.watch_in_flight();
        let wait = async {
            loop {
                progress.borrow_and_update();
                let calls = *in_flight.borrow_and_update();
                if calls == 0 && self.lag().is_empty() {
                    return;
                }
                // Neither channel closes while the host is there.
                tokio::select! {
                    _ = progress.changed() => {}
                    _ = in_flight.changed() => {}
                }
            }
        };
        if tokio::time::timeout(timeout, wait).await.is_ok() {
            return Ok(());
        }
        Err(NotSettled {
            waited: timeout,
            calls_in_flight: *self.journal.watch_in_flight().borrow(),
            lag: self.lag(),
            last_failure: self.journal.last_failure(),
        })
    }

    /// The groups that lag behind.
    fn lag(&self) -> Vec<(String, u64)> {
        self.hub
            .groups()
            .into_iter()
            .map(|group| {
                let lag = self.hub.lag(&group);
                (group, lag)
            })
            .filter(|(_, lag)| *lag > 0)
            .collect()
    }

    /// Ends the handler and every task, and returns when they have ended. Calls in flight are lost, without a checkpoint.
    pub async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // The only error is the abortion itself.
            _ = task.await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn sample_usage(status: Arc<HandlerStatus>) {
    loop {
        tokio::time::sleep(usage::SAMPLE_EVERY).await;
        status.usage.sample();
    }
}

/// Runs one host after the other. Checkpoints are the hub's, so they outlive a host; calls do not.
struct Platform {
    functions: Vec<Arc<Function>>,
    hub: Hub,
    event_hubs: EventHubsOptions,
    invoker: Arc<Invoker>,
    supervisor: Supervisor,
    unlimited_restarts: bool,
}

impl Platform {
    async fn run(mut self, first: HandlerProcess) {
        let mut started: Result<_, HostError> = Ok(first);
        loop {
            match started {
                Ok(process) => {
                    let listeners = self.listen();
                    self.supervisor.run(process, self.unlimited_restarts).await;
                    drop(listeners);
                    let journal = self.invoker.journal();
                    journal.log.host("the handler crashed for the third time: the host stops, and a new one starts soon");
                    journal.tell(HostEvent::HostStopped);
                }
                Err(error) => self.invoker.journal().log.host(&error.to_string()),
            }
            tokio::time::sleep(PLATFORM_RESTART_DELAY).await;
            started = self.supervisor.start().await;
        }
    }

    /// Makes the consumer groups known before the first event can be appended, so that none is forgotten before it was read.
    fn join_groups(&self) {
        for function in &self.functions {
            if let Trigger::EventHub(trigger) = &function.trigger {
                self.hub.join(&trigger.consumer_group);
            }
        }
    }

    /// Starts every listener; dropping the set ends them.
    fn listen(&self) -> JoinSet<()> {
        let mut listeners = JoinSet::new();
        for function in &self.functions {
            if let Trigger::EventHub(trigger) = &function.trigger {
                for partition in 0..self.hub.partitions() {
                    let listener = EventHubListener::new(
                        function,
                        trigger,
                        partition,
                        &self.hub,
                        self.event_hubs,
                        &self.invoker,
                    );
                    if let Some(listener) = listener {
                        listeners.spawn(listener.run());
                    }
                }
            }
        }
        listeners
    }
}

#[cfg(test)]
mod tests;
