//! One process of the handler: its start, up to the first answer, and its console.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Uri;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::app::App;
use super::error::HostError;
use super::invoker::HttpClient;
use super::log::LogSink;
use super::settings::Settings;
use crate::child::Child;

/// The real host asks every 25 ms. Here the answer is a measurement, so it is asked as often as the clock allows.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// Lines of stderr that a failed start is explained by.
const LINES_KEPT: usize = 20;

/// What the handler gets of this process's environment: enough to find programs, folders and the time zone, and to be debugged.
///
/// Not `RUST_BACKTRACE`: the Cosmos DB client then walks the stack for requests too, and costs twice as much as it does in Azure. As
/// an app setting it gets through.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TMP",
    "TEMP",
    "SystemRoot",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_LOG",
    "LLVM_PROFILE_FILE",
];

/// Where ports for handlers are looked for: below what systems give to outgoing connections, which could take the port between
/// the choice and its use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What OpenTelemetry says of the process that sends.
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// How the handler is started.
pub(crate) struct HandlerSpec {
    executable: PathBuf,
    arguments: Vec<String>,
    working_directory: PathBuf,
    environment: Vec<(String, String)>,
    initialization_timeout: Duration,
    log: LogSink,
}

/// A handler that has answered.
pub(crate) struct HandlerProcess {
    child: Child,
    console: JoinSet<()>,
    pub pid: u32,
    pub address: SocketAddr,
    pub worker: Uuid,
    /// From the start of the process to its first answer.
    pub ready: Duration,
}

type LastLines = Arc<Mutex<VecDeque<String>>>;

impl HandlerSpec {
    /// # Errors
    /// Where an argument names a setting that does not exist.
    pub(crate) fn new(app: &App, settings: &Settings, log: LogSink) -> Result<Self, HostError> {
        let wrong = |setting: String| HostError::Configuration {
            file: app.root.join("host.json"),
            problem: format!("customHandler names the setting {setting}, which does not exist"),
        };
        let executable = settings.expand(&app.host.executable).map_err(wrong)?;
        let in_root = app.root.join(&executable);
        let arguments = app
            .host
            .arguments
            .iter()
            .map(|argument| settings.expand(argument))
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let given = settings
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        Ok(Self {
            // A name that is no file of the app is a program of the system, such as `node`.
            executable: if in_root.is_file() {
                in_root
            } else {
                executable.into()
            },
            arguments,
            working_directory: app.root.join(&app.host.working_directory),
            environment: inherited.chain(given).collect(),
            initialization_timeout: app.host.initialization_timeout,
            log,
        })
        .map(|mut spec| {
            spec.environment.push((
                "FUNCTIONS_APP_ROOT_PATH".to_owned(),
                app.root.display().to_string(),
            ));
            spec
        })
    }

    /// Starts a process and waits for its first answer.
    ///
    /// # Errors
    /// Where the process cannot be started, ends, or does not answer in time.
    pub(crate) async fn start(&self, client: &HttpClient) -> Result<HandlerProcess, HostError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let worker = Uuid::new_v4();
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .current_dir(&self.working_directory)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", address.port().to_string())
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker.to_string())
            .env(RESOURCE, self.resource(worker));

        let started = Instant::now();
        let mut child = Child::spawn(command, "handler").map_err(|error| HostError::Spawn {
            executable: self.executable.clone(),
            problem: error.to_string(),
        })?;
        let last_lines = LastLines::default();
        let mut console = JoinSet::new();
        if let Some(stdout) = child.take_stdout() {
            console.spawn(read_stdout(stdout, self.log.clone()));
        }
        if let Some(stderr) = child.take_stderr() {
            console.spawn(read_stderr(
                stderr,
                self.log.clone(),
                Arc::clone(&last_lines),
            ));
        }

        let waited = self.initialization_timeout;
        let answered = tokio::time::timeout(waited, first_answer(client, address));
        tokio::select! {
            answered = answered => match answered {
                Ok(()) => Ok(HandlerProcess {
                    pid: child.id(),
                    child,
                    console,
                    address,
                    worker,
                    ready: started.elapsed(),
                }),
                Err(_) => Err(HostError::NotReady { address, waited, last_lines: taken(&last_lines) }),
            },
            status = child.wait() => {
                let status = status?;
                drain(&mut console).await;
                Err(HostError::EndedEarly { status, last_lines: taken(&last_lines) })
            }
        }
    }
}

impl HandlerSpec {
    /// By `faas.instance` the process's telemetry can be told from that of others. No setting of the real host's, and without
    /// effect where nothing is sent.
    fn resource(&self, worker: Uuid) -> String {
        let own = self.environment.iter().rev();
        let mut own = own.filter(|(name, value)| name == RESOURCE && !value.trim().is_empty());
        match own.next() {
            Some((_, own)) => format!("{own},faas.instance={worker}"),
            None => format!("faas.instance={worker}"),
        }
    }
}

impl HandlerProcess {
    /// Waits for the process to end, and for its last words.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        drain(&mut self.console).await;
        status
    }

    /// SIGKILL, as the host does it.
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }
}

/// What the process started itself may hold its console open, so this does not wait for ever.
async fn drain(console: &mut JoinSet<()>) {
    const LAST_WORDS: Duration = Duration::from_millis(500);
    _ = tokio::time::timeout(LAST_WORDS, async {
        while console.join_next().await.is_some() {}
    })
    .await;
}

/// Any status counts.
async fn first_answer(client: &HttpClient, address: SocketAddr) {
    const ANSWER_WITHIN: Duration = Duration::from_secs(1);
    let root = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query("/")
        .build()
        .unwrap_or_default();
    loop {
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = root.clone();
        if let Ok(Ok(_)) = tokio::time::timeout(ANSWER_WITHIN, client.request(request)).await {
            return;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn free_port() -> std::io::Result<u16> {
    const TRIES: usize = 64;
    for _ in 0..TRIES {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()
        .map(|address| address.port())
}

async fn read_stdout(stdout: impl AsyncRead + Unpin, log: LogSink) {
    for_each_line(stdout, |line| log.line("handler", &line)).await;
}

async fn read_stderr(stderr: impl AsyncRead + Unpin, log: LogSink, last_lines: LastLines) {
    for_each_line(stderr, |line| {
        let warns = line.to_lowercase().contains("warn");
        log.line(
            if warns {
                "handler, warning"
            } else {
                "handler, error"
            },
            &line,
        );
        let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    })
    .await;
}

async fn for_each_line(stream: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // A console that cannot be read has nothing more to say.
    while stream
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        take(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

fn taken(lines: &LastLines) -> Vec<String> {
    lines
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .drain(..)
        .collect()
}
