//! Keeps the handler running, for as long as the restart policy wants.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::error::HostError;
use super::handler_process::{HandlerProcess, HandlerSpec};
use super::invoker::HttpClient;
use super::journal::{HostEvent, Journal};
use super::link::{HandlerState, Kill, Reached};
use super::restart_policy::{End, Next, RestartPolicy};
use super::usage::Usage;

/// Between a start that failed and the next one.
const AFTER_FAILED_START: Duration = Duration::from_millis(100);

/// What is known of the handler from outside; shared with [`super::Host`].
#[derive(Debug, Default)]
pub(crate) struct HandlerStatus {
    starts: AtomicU64,
    pid: Mutex<Option<u32>>,
    ready: Mutex<Duration>,
    pub usage: Usage,
}

impl HandlerStatus {
    /// The starts after the first one.
    pub(crate) fn restarts(&self) -> u64 {
        self.starts.load(Ordering::Acquire).saturating_sub(1)
    }

    /// The current process.
    pub(crate) fn pid(&self) -> Option<u32> {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the last process that answered took to do so.
    pub(crate) fn ready(&self) -> Duration {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, process: &HandlerProcess) {
        self.usage.attach(process.pid);
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.pid);
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = process.ready;
        self.starts.fetch_add(1, Ordering::AcqRel);
    }

    fn ended(&self) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.usage.detach();
    }
}

pub(crate) struct Supervisor {
    spec: HandlerSpec,
    client: HttpClient,
    status: Arc<HandlerStatus>,
    journal: Arc<Journal>,
    state: watch::Sender<HandlerState>,
    kills: mpsc::UnboundedReceiver<Kill>,
    generation: u64,
}

impl Supervisor {
    pub(crate) fn new(
        spec: HandlerSpec,
        client: HttpClient,
        status: Arc<HandlerStatus>,
        journal: Arc<Journal>,
        state: watch::Sender<HandlerState>,
        kills: mpsc::UnboundedReceiver<Kill>,
    ) -> Self {
        Self {
            spec,
            client,
            status,
            journal,
            state,
            kills,
            generation: 0,
        }
    }

    /// # Errors
    /// Where the handler does not start.
    pub(crate) async fn start(&self) -> Result<HandlerProcess, HostError> {
        self.spec.start(&self.client).await
    }

    /// Runs the handler, beginning with a process that has been started; returns when the host has to stop.
    pub(crate) async fn run(&mut self, first: HandlerProcess, unlimited_restarts: bool) {
        let mut policy = RestartPolicy::new(unlimited_restarts);
        let mut end = self.run_process(first).await;
        loop {
            match policy.after(end, Instant::now()) {
                Next::StopHost => return,
                Next::Refuse => self.refuse().await,
                Next::Restart => match self.start().await {
                    Ok(process) => end = self.run_process(process).await,
                    Err(error) => {
                        self.journal.log.host(&error.to_string());
                        tokio::time::sleep(AFTER_FAILED_START).await;
                        end = End::Exit(None);
                    }
                },
            }
        }
    }

    async fn refuse(&mut self) {
        self.journal.log.host(
            "the handler ended with exit code 0: it is not started again, and every call is refused",
        );
        self.state.send_replace(HandlerState::Refusing);
        std::future::pending::<()>().await;
    }

    async fn run_process(&mut self, mut process: HandlerProcess) -> End {
        self.generation += 1;
        self.status.started(&process);
        self.state.send_replace(HandlerState::Ready(Reached {
            address: process.address,
            generation: self.generation,
            worker: process.worker,
        }));
        self.journal.tell(HostEvent::HandlerReady {
            pid: process.pid,
            ready: process.ready,
        });

        let mut timed_out = false;
        let ended = loop {
            let kill = tokio::select! {
                ended = process.wait() => break ended,
                Some(kill) = self.kills.recv() => kill,
            };
            match kill {
                Kill::Timeout { generation } if generation != self.generation => continue,
                Kill::Timeout { .. } => timed_out = true,
                Kill::Crash => {}
            }
            self.status.usage.sample();
            process.kill();
        };
        self.state.send_replace(HandlerState::Starting);
        self.status.ended();
        let (status, code) = match ended {
            Ok(status) => (status.to_string(), status.code()),
            Err(error) => (error.to_string(), None),
        };
        self.journal.log.host(&format!(
            "the handler (process {}) ended: {status}",
            process.pid
        ));
        self.journal.tell(HostEvent::HandlerEnded {
            pid: process.pid,
            status,
        });
        if timed_out {
            End::TimedOut
        } else {
            End::Exit(code)
        }
    }
}
