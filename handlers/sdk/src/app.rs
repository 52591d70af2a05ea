//! The app: functions by name, and the server that the host calls.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::routing::{self, MethodRouter};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::{info, warn};

use crate::budget::ByteBudget;
use crate::call::{Function, Handler};
use crate::definition::{DefinitionError, DefinitionProblem, FunctionDefinition};
use crate::error::StartError;
use crate::forwarded::{as_known, unknown};
use crate::function_json::FunctionConfig;
use crate::host_json::HostConfig;
use crate::telemetry::FunctionTelemetry;
use crate::{parent, route, server, signal};

const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Enough for the partitions that one instance usually has; more would only hold more batches in memory.
const DEFAULT_CONCURRENT_CALLS: usize = 8;

/// Enough for a full set of calls with batches of usual size; one that is larger goes through alone.
const DEFAULT_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A batch that has not come through in a minute is better begun again.
const LONGEST_DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A custom handler: functions, the state that they share, and the server.
///
/// `S` is what handlers extract with [`State`](axum::extract::State).
pub struct FunctionApp<S> {
    state: S,
    host: HostConfig,
    functions: Vec<Registered>,
    errors: Vec<DefinitionError>,
    concurrent_calls: usize,
    body_bytes: usize,
    deadline: Option<Duration>,
}

struct Registered {
    config: FunctionConfig,
    handler: Handler,
    forwarded: bool,
    deadline: Option<Duration>,
    concurrent_calls: Option<usize>,
    most_events: Option<usize>,
}

/// What a function may take.
#[derive(Clone)]
struct Limits {
    deadline: Duration,
    concurrent_calls: usize,
    /// One for all functions.
    budget: Arc<ByteBudget>,
}

impl<S: Clone + Send + Sync + 'static> FunctionApp<S> {
    /// An app without functions.
    pub fn new(state: S, host: HostConfig) -> Self {
        Self {
            state,
            host,
            functions: Vec::new(),
            errors: Vec::new(),
            concurrent_calls: DEFAULT_CONCURRENT_CALLS,
            body_bytes: DEFAULT_BODY_BYTES,
            deadline: None,
        }
    }

    /// Registers a function that the host calls with an envelope, `POST /<name>`. The handler is any
    /// axum handler that takes a trigger and returns [`Outputs`](crate::Outputs), nothing, or an error.
    ///
    /// What is wrong with the definition is reported by [`into_router`](Self::into_router).
    #[must_use]
    pub fn function<H, T>(self, definition: FunctionDefinition, handler: H) -> Self
    where
        H: axum::handler::Handler<T, S>,
        T: 'static,
    {
        self.register(definition, handler, false)
    }

    /// Registers an HTTP function whose requests the host forwards as they are: an axum route at the
    /// path of its function.json. Methods that are not listed there get a 405.
    ///
    /// What is wrong with the definition is reported by [`into_router`](Self::into_router).
    #[must_use]
    pub fn http<H, T>(self, definition: FunctionDefinition, handler: H) -> Self
    where
        H: axum::handler::Handler<T, S>,
        T: 'static,
    {
        self.register(definition, handler, true)
    }

    /// How many calls of one function run at a time, at least 1; 8 by default. Further calls wait,
    /// their bodies unread. Forwarded HTTP functions are not limited. A function may declare a number of its own:
    /// [`FunctionDefinition::with_concurrent_calls`].
    #[must_use]
    pub fn max_concurrent_calls(mut self, per_function: usize) -> Self {
        self.concurrent_calls = per_function.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How many bytes of bodies are held at a time, over all functions that are called with an envelope; 64 MiB by
    /// default. Further calls wait, their bodies unread, in the order in which they came. A body that is larger than
    /// all of it is read when there is no other; one of up to 256 KiB never waits.
    ///
    /// A body counts until the last slice of it is dropped: an [`Event`](crate::Event) that a handler keeps holds the
    /// whole call. Forwarded HTTP requests do not count; axum's limit on their bodies stands.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// How long a call may take from its arrival; by default half of functionTimeout, at most 60 s.
    /// Past it the call is answered with a 500, so that the host repeats it: at functionTimeout the
    /// host would restart the process instead, and every other call with it.
    ///
    /// A function may declare one of its own, [`FunctionDefinition::with_deadline`]. The start is refused where a deadline is not before
    /// functionTimeout. More than a day is taken as a day. Work is stopped at an `await`; a handler that computes without one is not interrupted.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline.min(A_DAY));
        self
    }

    /// The routes, for tests and for a server of one's own.
    ///
    /// # Errors
    /// Every definition that is wrong, or two functions that claim one path.
    pub fn into_router(self) -> Result<Router, StartError> {
        let defaults = Limits {
            deadline: self
                .deadline
                .unwrap_or_else(|| default_deadline(&self.host)),
            concurrent_calls: self.concurrent_calls,
            budget: Arc::new(ByteBudget::new(self.body_bytes)),
        };
        let mut errors = self.errors;
        let mut routes: Vec<(String, String, MethodRouter)> = Vec::new();
        let mut forwarded: Vec<String> = Vec::new();
        for registered in self.functions {
            let name = registered.config.name.clone();
            let is_forwarded = registered.forwarded;
            match routes_of(registered, &self.host, &defaults) {
                Ok((paths, methods)) => {
                    if is_forwarded {
                        forwarded.extend(paths.iter().cloned());
                    }
                    routes.extend(
                        paths
                            .into_iter()
                            .map(|path| (name.clone(), path, methods.clone())),
                    );
                }
                Err(problem) => errors.push(DefinitionError {
                    function: name,
                    problem,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(StartError::Definitions(errors));
        }
        let health = routing::get(async || "The handler is running.\n");
        let prefix = self.host.route_prefix;
        let unknown = async move |method: Method, uri: Uri| unknown(&prefix, &method, &uri);
        let mut router = Router::new().route("/", health).fallback(unknown);
        let known = route::Paths::new(forwarded.iter().map(String::as_str));
        for (function, path, methods) in routes {
            // axum panics where two routes collide; it has no form that reports it.
            let extended = catch_unwind(AssertUnwindSafe(|| router.clone().route(&path, methods)));
            router = match extended {
                Ok(extended) => extended,
                Err(_) => return Err(StartError::PathTaken { function, path }),
            };
        }
        let as_known = move |request| as_known(&known, request);
        Ok(Router::new().fallback_service(router.map_request(as_known)))
    }

    /// Serves on 127.0.0.1, at the port that the host names in `FUNCTIONS_CUSTOMHANDLER_PORT`.
    ///
    /// The host ends the process, without warning. Where the host itself was killed, or this process is told to end
    /// (SIGTERM, SIGINT), this returns: nobody will call again.
    ///
    /// # Errors
    /// Those of [`into_router`](Self::into_router); no port, a wrong one, or one that is taken.
    pub async fn serve(self) -> Result<(), StartError> {
        let router = self.into_router()?;
        let port = port(std::env::var(PORT).ok())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|error| StartError::Listen { port, error })?;
        info!(port, "listening for the Functions host");
        tokio::select! {
            never = server::serve(listener, router) => match never {},
            () = parent::gone() => {
                warn!("the Functions host that started this program is gone, so it ends");
                Ok(())
            }
            () = signal::told_to_end() => Ok(()),
        }
    }

    fn register<H, T>(mut self, definition: FunctionDefinition, handler: H, forwarded: bool) -> Self
    where
        H: axum::handler::Handler<T, S>,
        T: 'static,
    {
        let config = match definition.config() {
            Ok(config) => config,
            Err(error) => {
                self.errors.push(error);
                return self;
            }
        };
        let problem = if self
            .functions
            .iter()
            .any(|other| other.config.name == config.name)
        {
            Some(DefinitionProblem::RegisteredTwice)
        } else {
            let forwards = self.host.enable_forwarding_http_request && config.is_plain_http();
            match (forwarded, forwards) {
                (true, false) => Some(DefinitionProblem::NotForwarded),
                (false, true) => Some(DefinitionProblem::Forwarded),
                _ => None,
            }
        };
        match problem {
            Some(problem) => self.errors.push(DefinitionError {
                function: definition.name.to_owned(),
                problem,
            }),
            None => self.functions.push(Registered {
                config,
                handler: BoxCloneSyncService::new(handler.with_state(self.state.clone())),
                forwarded,
                deadline: definition.deadline,
                concurrent_calls: definition.concurrent_calls,
                most_events: definition.most_events,
            }),
        }
        self
    }
}

/// Whether the host is told to leave a function alone: `AzureWebJobs.<name>.Disabled`, or with underscores, where names of
/// settings may hold no dots.
fn is_switched_off(function: &str) -> bool {
    [".", "_", "__"].iter().any(|dot| {
        std::env::var(format!("AzureWebJobs{dot}{function}{dot}Disabled"))
            .is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1"))
    })
}

impl Registered {
    /// What is declared, else what the app has for all; held against what the host is told.
    fn limits(&self, host: &HostConfig, defaults: &Limits) -> Result<Limits, DefinitionProblem> {
        let deadline = self.deadline.unwrap_or(defaults.deadline);
        if let Some(function_timeout) = host.function_timeout
            && deadline >= function_timeout
            && !is_switched_off(&self.config.name)
        {
            return Err(DefinitionProblem::Deadline {
                deadline,
                function_timeout,
            });
        }
        let asked = host.max_event_batch_size;
        if let Some(most) = self.most_events
            && asked > most
            && self.config.trigger.is("eventHubTrigger")
            && !is_switched_off(&self.config.name)
        {
            return Err(DefinitionProblem::BatchTooLarge { most, asked });
        }
        let declared = self.concurrent_calls;
        let running = declared
            .unwrap_or(defaults.concurrent_calls)
            .clamp(1, Semaphore::MAX_PERMITS);
        let started = host.queue_calls();
        // Without a declaration the app's number is a default, which says nothing of this function's work.
        if declared.is_some() && self.config.trigger.is("queueTrigger") && running < started {
            return Err(DefinitionProblem::TooFewTurns { running, started });
        }
        Ok(Limits {
            deadline,
            concurrent_calls: running,
            budget: Arc::clone(&defaults.budget),
        })
    }
}

fn routes_of(
    registered: Registered,
    host: &HostConfig,
    defaults: &Limits,
) -> Result<(Vec<String>, MethodRouter), DefinitionProblem> {
    let limits = registered.limits(host, defaults)?;
    let Registered {
        config,
        handler,
        forwarded,
        ..
    } = registered;
    let function = |turns| {
        Arc::new(Function {
            body_limit: host.body_limit(&config),
            telemetry: FunctionTelemetry::new(&config),
            config: Arc::new(config.clone()),
            handler,
            deadline: limits.deadline,
            budget: Arc::clone(&limits.budget),
            turns,
        })
    };
    if !forwarded {
        let function = function(Some(Semaphore::new(limits.concurrent_calls)));
        let path = format!("/{}", config.name);
        let call = move |request: Request| Arc::clone(&function).call(request);
        return Ok((vec![path], routing::post(call)));
    }
    let paths = route::paths(&host.route_prefix, &config)?;
    let methods = route::methods(&config)?;
    let function = function(None);
    let forward = move |request: Request| Arc::clone(&function).forward(request);
    let methods: MethodRouter<(), Infallible> = match methods {
        Some(filter) => routing::on(filter, forward),
        None => routing::any(forward),
    };
    Ok((paths, methods))
}

fn default_deadline(host: &HostConfig) -> Duration {
    match host.function_timeout {
        Some(timeout) => (timeout / 2).min(LONGEST_DEFAULT_DEADLINE),
        None => LONGEST_DEFAULT_DEADLINE,
    }
}

fn port(value: Option<String>) -> Result<u16, StartError> {
    let text = value
        .filter(|text| !text.is_empty())
        .ok_or(StartError::NoPort)?;
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(StartError::BadPort(text)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_missing_or_wrong_port_is_explained() {
        assert_eq!(
            port(None).unwrap_err().to_string(),
            "FUNCTIONS_CUSTOMHANDLER_PORT is not set: start this program through the Functions host, `func start`"
        );
        for text in ["0", "65536", "x", "-1"] {
            assert!(
                matches!(port(Some(text.to_owned())), Err(StartError::BadPort(_))),
                "{text}"
            );
        }
        assert_eq!(port(Some("7071".to_owned())).unwrap(), 7071);
    }

    #[test]
    fn the_deadline_comes_before_the_hosts() {
        let with = |function_timeout| {
            default_deadline(&HostConfig {
                function_timeout,
                ..HostConfig::default()
            })
        };
        assert_eq!(with(Some(Duration::from_secs(30))), Duration::from_secs(15));
        assert_eq!(
            with(Some(Duration::from_secs(300))),
            Duration::from_secs(60)
        );
        assert_eq!(with(None), Duration::from_secs(60));
    }
}
