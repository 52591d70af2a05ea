//! Why a host does not start, and why a call fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// The host did not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A configuration file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A configuration file holds what the host does not understand.
    #[error("{file}: {problem}")]
    Configuration {
        /// Which file.
        file: PathBuf,
        /// What is wrong, and how it should be.
        problem: String,
    },
    /// The port of the HTTP functions is not free.
    #[error(
        "port {port} is in use: stop what uses it, or choose another port for the HTTP functions"
    )]
    Port {
        /// Which port.
        port: u16,
        /// What the system said.
        error: std::io::Error,
    },
    /// The handler's executable cannot be started.
    #[error("the handler {executable} cannot be started: {problem}")]
    Spawn {
        /// What `customHandler.description.defaultExecutablePath` led to.
        executable: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The handler ended before it answered for the first time.
    #[error("the handler ended while it was starting ({status}){}", quoted(.last_lines))]
    EndedEarly {
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote to stderr.
        last_lines: Vec<String>,
    },
    /// The handler lives, but does not answer.
    #[error("the handler did not answer GET http://{address}/ within {} s{}", .waited.as_secs(), quoted(.last_lines))]
    NotReady {
        /// Where the host asked.
        address: SocketAddr,
        /// `customHandler.initializationTimeout`.
        waited: Duration,
        /// The last lines that it wrote to stderr.
        last_lines: Vec<String>,
    },
    /// A queue trigger's connection leads nowhere.
    #[error("the queue trigger of {function}: {problem}")]
    Storage {
        /// The function.
        function: String,
        /// What is wrong with its connection.
        problem: String,
    },
    /// Something of the operating system, such as no free port.
    #[error("the host cannot start: {0}")]
    Io(#[from] std::io::Error),
}

fn quoted(lines: &[String]) -> String {
    if lines.is_empty() {
        ", and wrote nothing to stderr".to_owned()
    } else {
        format!("; it said:\n  {}", lines.join("\n  "))
    }
}

/// Why a call failed. The text is for people; it holds at most the first 200 characters of what the handler answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// An answer other than 2xx.
    #[error("the handler answered {status}: {body}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The first 200 characters of the body.
        body: String,
    },
    /// A 2xx answer that is not the JSON envelope.
    #[error("the handler's answer is no envelope: {0}")]
    NoEnvelope(String),
    /// The call took longer than `functionTimeout`.
    #[error("the call took longer than functionTimeout, {} s; the handler is killed", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection to the handler broke, mostly because the handler died.
    #[error("the handler went away during the call: {0}")]
    HandlerGone(String),
    /// The handler has ended with exit code 0, and is not started again.
    #[error(
        "the handler has ended by itself with exit code 0; the host starts it no more and refuses every call"
    )]
    Refused,
    /// The call could not be made: the events are not what the binding asks for.
    #[error("the trigger's data does not fit its binding: {0}")]
    Input(String),
    /// An event has a body that cannot be bound, and the handler was not called. In the words of the real host, which says no more.
    #[error("Exception binding parameter '{0}'")]
    Binding(String),
    /// An output could not be delivered.
    #[error("output '{binding}' could not be delivered: {problem}")]
    Output {
        /// The binding's name.
        binding: String,
        /// Why not.
        problem: String,
    },
}

impl CallFailure {
    /// The handler's HTTP status, where the status is what made the call fail.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A timer's function was not run to a good end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunTimerError {
    /// No function of this name has a timer, or it is disabled.
    #[error("there is no timer function {0}, or it is disabled")]
    NoTimer(String),
    /// The call failed, and the retry policy allows no other.
    #[error(transparent)]
    Failed(CallFailure),
}

/// Not every event was dealt with in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not settled after {} s: {calls_in_flight} calls in flight; events not checkpointed: {}; messages in queues: {}{}", .waited.as_secs_f64(), listed(.lag), listed(.queued), last(.last_failure))]
pub struct NotSettled {
    /// How long the host was given.
    pub waited: Duration,
    /// Calls that had not ended.
    pub calls_in_flight: usize,
    /// Consumer groups, and the events that each has not checkpointed.
    pub lag: Vec<(String, u64)>,
    /// Queues that trigger a function, and the messages in each; the largest number for one that could not be asked.
    pub queued: Vec<(String, u64)>,
    /// The function that failed last, and why.
    pub last_failure: Option<(String, String)>,
}

fn listed(lag: &[(String, u64)]) -> String {
    let parts: Vec<_> = lag
        .iter()
        .map(|(group, events)| format!("{group} {events}"))
        .collect();
    match parts.is_empty() {
        true => "none".to_owned(),
        false => parts.join(", "),
    }
}

fn last(failure: &Option<(String, String)>) -> String {
    failure
        .as_ref()
        .map_or_else(String::new, |(function, text)| {
            format!("; the last failure was of {function}: {text}")
        })
}
