//! The Functions host as a custom handler sees it: it starts the handler, calls it for events and HTTP requests, delivers its
//! outputs, and kills and restarts it as the real host does, quirks included.
//!
//! The facts behind it are those of host 4.1037 and of its Event Hubs, Storage and Timer extensions. The host reads host.json and function.json by
//! itself, without the SDK that the handler uses, so that the two cannot share a mistake.
//!
//! | module | what it is |
//! |---|---|
//! | `app`, `host_json`, `function_json`, `settings`, `timespan` | the configuration |
//! | `handler_process`, `supervisor`, `restart_policy`, `usage` | the handler's process |
//! | `link` | what calls know of it |
//! | `platform` | the listeners of all triggers, and a new host after one that gave up |
//! | `event_hub_listener`, `partition_reader` | the Event Hubs trigger |
//! | `queue_listener` | the queue trigger |
//! | `timer`, `schedule` | the timer trigger |
//! | `attempts`, `retry` | calls made again |
//! | `http_front`, `routes` | HTTP triggers |
//! | `envelope`, `clock`, `json_text` | what a call looks like |
//! | `invoker`, `answer` | a call, and what its answer amounts to |
//! | `queue_output` | queue outputs |
//! | `queue_store` | queue storage, for outputs and triggers |
//! | `journal`, `ledger`, `log`, `error` | what happened |

mod answer;
mod app;
mod attempts;
mod clock;
mod envelope;
mod error;
mod event_hub_listener;
#[cfg(test)]
mod fake_handler;
mod function_json;
mod handler_process;
mod host_json;
mod http_front;
mod invoker;
mod journal;
mod json_text;
mod ledger;
mod link;
mod log;
#[cfg(test)]
mod memory_queues;
mod partition_reader;
mod platform;
mod queue_listener;
mod queue_output;
mod queue_store;
mod restart_policy;
mod retry;
mod routes;
mod schedule;
mod settings;
mod supervisor;
mod target;
mod timer;
mod timespan;
pub(crate) mod usage;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use self::app::App;
use self::function_json::Function;
use self::handler_process::HandlerSpec;
use self::http_front::HttpFront;
use self::invoker::Invoker;
use self::journal::Journal;
use self::link::{HandlerLink, HandlerState, Kill};
use self::platform::{Platform, TriggerQueue};
use self::queue_output::QueueOutputs;
use self::queue_store::QueueAccounts;
use self::routes::Routes;
use self::settings::Settings;
use self::supervisor::{HandlerStatus, Supervisor};
use self::timer::Timer;
use crate::hub::Hub;

pub use self::error::{CallFailure, HostError, NotSettled, RunTimerError};
pub use self::journal::{BatchDone, CallFailed, FunctionStats, HostEvent};
pub use self::ledger::Ledger;
pub use self::log::LogSink;

pub(crate) use self::envelope::event_hub::EncodedEvent;

/// How often the length of a triggering queue is asked for while somebody waits for it.
const LOOK_AT_QUEUES: Duration = Duration::from_millis(100);

/// A time as annotations hold it.
pub(crate) fn write_time(out: &mut String, time: time::UtcDateTime) {
    clock::write_fraction(out, time, clock::Zone::Z);
}

/// What a host runs, and where.
#[derive(Clone)]
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
    /// Takes down how many events were called with and answered.
    pub ledger: Arc<Ledger>,
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
    batch_wait: Duration,
    hub: Hub,
    journal: Arc<Journal>,
    link: HandlerLink,
    status: Arc<HandlerStatus>,
    timers: Vec<Arc<Timer>>,
    queues: Vec<TriggerQueue>,
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

        let journal = Arc::new(Journal::new(
            app.functions.keys(),
            options.log,
            options.ledger,
        ));
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
        let timers = platform::timers(&functions, &invoker);
        let queues = platform::trigger_queues(&functions, &invoker)?;
        let front = Arc::new(HttpFront {
            routes: Routes::new(&app.host.route_prefix, functions.iter()),
            forward: app.host.forward_http,
            invoker: Arc::clone(&invoker),
            timers: timers.clone(),
            functions: functions.clone(),
        });
        let platform = Platform {
            functions,
            hub: options.hub.clone(),
            event_hubs: app.host.event_hubs,
            queues: app.host.queues,
            timers: timers.clone(),
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
            batch_wait: app.host.event_hubs.max_wait,
            hub: options.hub,
            journal,
            link,
            status,
            timers,
            queues,
            tasks,
        })
    }

    /// Where the HTTP functions are.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// How long an Event Hubs batch waits for more events, at most: `maxWaitTime` in host.json, or the app setting in its place.
    #[must_use]
    pub fn batch_wait(&self) -> Duration {
        self.batch_wait
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

    /// By what the handler's process is known to its telemetry, as `faas.instance`; `None` while there is none.
    #[must_use]
    pub fn worker(&self) -> Option<String> {
        match self.link.now() {
            HandlerState::Ready(reached) => Some(reached.worker.to_string()),
            HandlerState::Starting | HandlerState::Refusing => None,
        }
    }

    /// Kills the handler's process with SIGKILL, in the middle of whatever it does. Counts as a crash.
    pub fn kill_handler(&self) {
        self.link.kill(Kill::Crash);
    }

    /// Runs a timer's function now, as `POST /admin/functions/{name}` of the real host does, and waits for the end of the call. A call
    /// that is in flight comes first.
    ///
    /// # Errors
    /// Where there is no such timer, or the call failed.
    pub async fn run_timer(&self, function: &str) -> Result<(), RunTimerError> {
        let timer = self.timers.iter().find(|timer| timer.name() == function);
        let timer = timer.ok_or_else(|| RunTimerError::NoTimer(function.to_owned()))?;
        timer.run(false).await.map_err(RunTimerError::Failed)
    }

    /// Waits until there is nothing left to do: every consumer group has checkpointed everything that the hub has taken, every queue
    /// that triggers a function is empty, and no call is in flight. Timers go on.
    ///
    /// # Errors
    /// Where that is not so within `timeout`; the error says what is left.
    pub async fn settled(&self, timeout: Duration) -> Result<(), NotSettled> {
        let mut progress = self.hub.watch_progress();
        let mut in_flight = self.journal.watch_in_flight();
        let wait = async {
            loop {
                progress.borrow_and_update();
                in_flight.borrow_and_update();
                let idle =
                    || *self.journal.watch_in_flight().borrow() == 0 && self.lag().is_empty();
                // A message is in its queue until its call has succeeded, so the queues are looked at last, and then whether their
                // messages have led to more.
                if idle() && self.queued().await.is_empty() && idle() {
                    return;
                }
                let look_again = async {
                    match self.queues.is_empty() {
                        true => std::future::pending().await,
                        false => tokio::time::sleep(LOOK_AT_QUEUES).await,
                    }
                };
                // Neither channel closes while the host is there.
                tokio::select! {
                    _ = progress.changed() => {}
                    _ = in_flight.changed() => {}
                    () = look_again => {}
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
            queued: self.queued().await,
            last_failure: self.journal.last_failure(),
        })
    }

    /// The triggering queues that are not known to be empty.
    async fn queued(&self) -> Vec<(String, u64)> {
        let mut queued = Vec::new();
        for TriggerQueue { store, name } in &self.queues {
            // A queue that cannot be asked may hold anything.
            let length = store.length(name).await.unwrap_or(u64::MAX);
            if length > 0 {
                queued.push((name.clone(), length));
            }
        }
        queued
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
        self.end().await;
    }

    /// As [`Host::stop`], for a place that must not be empty. Nothing but the figures is of use afterwards.
    pub(crate) async fn end(&mut self) {
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

#[cfg(test)]
mod tests;
