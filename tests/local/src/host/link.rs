//! Whether and where the handler can be reached, as calls see it.

use std::net::SocketAddr;

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// The handler, seen from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerState {
    /// Not there, but it will be.
    Starting,
    /// It answers.
    Ready(Reached),
    /// It ended with exit code 0 and stays ended.
    Refusing,
}

/// One process of the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub address: SocketAddr,
    /// Grows with every start.
    pub generation: u64,
    /// Its `FUNCTIONS_CUSTOMHANDLER_WORKER_ID`.
    pub worker: Uuid,
}

/// A wish to have the handler killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// A call has outlived functionTimeout in this process: another process is not meant.
    Timeout {
        /// See [`Reached::generation`].
        generation: u64,
    },
    /// A test plays a crash.
    Crash,
}

/// What calls hold of the handler.
#[derive(Debug, Clone)]
pub(crate) struct HandlerLink {
    state: watch::Receiver<HandlerState>,
    kills: mpsc::UnboundedSender<Kill>,
}

/// The handler will not come back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl HandlerLink {
    pub(crate) fn new(
        state: watch::Receiver<HandlerState>,
        kills: mpsc::UnboundedSender<Kill>,
    ) -> Self {
        Self { state, kills }
    }

    /// Waits until the handler answers, as the host's dispatcher does during a restart.
    pub(crate) async fn ready(&self) -> Result<Reached, Refused> {
        let mut state = self.state.clone();
        let state = state
            .wait_for(|state| *state != HandlerState::Starting)
            .await
            .map(|state| *state);
        match state {
            Ok(HandlerState::Ready(reached)) => Ok(reached),
            // A closed channel is a host that has ended, and this call with it.
            Ok(_) | Err(_) => Err(Refused),
        }
    }

    /// The handler as it is now.
    pub(crate) fn now(&self) -> HandlerState {
        *self.state.borrow()
    }

    /// Waits until this process is gone.
    pub(crate) async fn gone(&self, reached: Reached) {
        let mut state = self.state.clone();
        _ = state
            .wait_for(|state| *state != HandlerState::Ready(reached))
            .await;
    }

    pub(crate) fn kill(&self, kill: Kill) {
        // Without a supervisor there is no process to kill.
        _ = self.kills.send(kill);
    }
}
