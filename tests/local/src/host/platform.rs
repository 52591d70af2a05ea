//! The platform under the host: runs one host after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::error::HostError;
use super::event_hub_listener::EventHubListener;
use super::function_json::{Function, Trigger};
use super::handler_process::HandlerProcess;
use super::host_json::{EventHubsOptions, QueuesOptions};
use super::invoker::Invoker;
use super::journal::HostEvent;
use super::queue_listener::QueueListener;
use super::queue_store::QueueStore;
use super::supervisor::Supervisor;
use super::timer::Timer;
use crate::hub::Hub;

/// Between the third error, which stops the host, and the platform's new one.
const PLATFORM_RESTART_DELAY: Duration = Duration::from_secs(1);

/// A queue that a function is triggered by.
pub(crate) struct TriggerQueue {
    pub store: Arc<dyn QueueStore>,
    pub name: String,
}

/// The timers of all functions that have one.
pub(crate) fn timers(functions: &[Arc<Function>], invoker: &Arc<Invoker>) -> Vec<Arc<Timer>> {
    functions
        .iter()
        .filter_map(|function| match &function.trigger {
            Trigger::Timer(trigger) => Some(Arc::new(Timer::new(function, trigger, invoker))),
            _ => None,
        })
        .collect()
}

/// The queues that functions are triggered by.
///
/// # Errors
/// Where a connection leads to no account.
pub(crate) fn trigger_queues(
    functions: &[Arc<Function>],
    invoker: &Invoker,
) -> Result<Vec<TriggerQueue>, HostError> {
    let mut queues = Vec::new();
    for function in functions {
        if let Trigger::Queue(trigger) = &function.trigger {
            let store = invoker.queues().store(&trigger.connection);
            let store = store.map_err(|problem| HostError::Storage {
                function: function.name.clone(),
                problem,
            })?;
            queues.push(TriggerQueue {
                store,
                name: trigger.queue.clone(),
            });
        }
    }
    Ok(queues)
}

/// Runs one host after the other. Checkpoints are the hub's, so they outlive a host; calls do not.
pub(crate) struct Platform {
    pub functions: Vec<Arc<Function>>,
    pub hub: Hub,
    pub event_hubs: EventHubsOptions,
    pub queues: QueuesOptions,
    pub timers: Vec<Arc<Timer>>,
    pub invoker: Arc<Invoker>,
    pub supervisor: Supervisor,
    pub unlimited_restarts: bool,
}

impl Platform {
    pub(crate) async fn run(mut self, first: HandlerProcess) {
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
    pub(crate) fn join_groups(&self) {
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
            match &function.trigger {
                Trigger::EventHub(trigger) => {
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
                Trigger::Queue(trigger) => {
                    match QueueListener::new(function, trigger, self.queues, &self.invoker) {
                        Ok(listener) => _ = listeners.spawn(listener.run()),
                        Err(problem) => self.invoker.journal().log.host(&problem),
                    }
                }
                Trigger::Http(_) | Trigger::Timer(_) => {}
            }
        }
        for timer in &self.timers {
            listeners.spawn(Arc::clone(timer).listen());
        }
        listeners
    }
}
