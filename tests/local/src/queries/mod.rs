//! `cargo local queries`: asks a running system what people and maps ask it, and times the answers.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

mod fleet;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use drone_delivery::domain::timestamp::Rfc3339;
use drone_delivery::functions::list_drones::{COLUMNS, JSON, MOST_IN_COLUMNS};
use drone_delivery::tls;
use hdrhistogram::Histogram;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use reqwest::{Client, StatusCode};
use time::UtcDateTime;

use fleet::KnownFleet;

/// An answer that has not come by then counts as a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Drones on a page, as somebody asks for who reads all of them.
const PAGE: u16 = 500;

/// What a map asks for at every poll: who has reported since the poll before, and a little earlier.
const SINCE: Duration = Duration::from_secs(15);

/// Answers with the whole fleet are as heavy as many others, so one of them is asked for this many.
const WHOLE_FLEET_ONE_IN: u32 = 10;

/// See `cargo local queries --help`.
#[derive(Debug, Clone, Args)]
pub struct QueriesOptions {
    /// Where the functions are, as `cargo local up` prints it.
    #[arg(long, default_value = "http://127.0.0.1:7071/api")]
    pub url: String,
    /// How many requests of each kind; of those that answer with the whole fleet, a tenth.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub requests: u32,
}

/// There are no figures, or not of every request.
#[derive(Debug, thiserror::Error)]
pub enum QueriesError {
    /// Nobody answers.
    #[error("{0} does not answer; is `cargo local up` running there?")]
    Unreachable(String),
    /// The answer is not a page of drones.
    #[error("{url} answered {status} instead of a page of drones")]
    NoPage {
        /// What was asked for.
        url: String,
        /// Its status.
        status: StatusCode,
    },
    /// Nothing has reported yet.
    #[error("there are no drones: fly some with `cargo local up --drones 10000`")]
    NoDrones,
    /// Some requests were not answered, or with an error.
    #[error("{failed} requests failed, the first of them {first}")]
    Failed {
        /// How many.
        failed: u64,
        /// Which, and how.
        first: String,
    },
    /// The client or the runtime could not be made.
    #[error("{0}")]
    Setup(String),
}

/// One kind of request.
struct Kind<'a> {
    title: &'static str,
    accept: &'static str,
    times: u32,
    /// Whether what is asked for may have ended since the fleet was read, and 404 is an answer then.
    may_be_over: bool,
    /// The path of the request of this number.
    path: Box<dyn Fn(u32) -> String + 'a>,
}

/// What the answers of one kind were like.
#[derive(Debug)]
pub struct Figures {
    title: &'static str,
    /// In microseconds.
    taken: Histogram<u64>,
    /// As they came, compressed.
    bytes: Histogram<u64>,
    failed: u64,
    first_failure: Option<String>,
}

/// Asks, prints the figures, and fails where a request has failed.
///
/// # Errors
/// Where the system cannot be reached, has no drones, or a request failed.
pub fn run(options: &QueriesOptions) -> Result<(), QueriesError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| QueriesError::Setup(error.to_string()))?;
    let figures = runtime.block_on(measure(options, |text| eprintln!("{text}")))?;
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>14}",
        "one request at a time",
        "requests",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "max, ms",
        "answer, bytes"
    );
    for kind in &figures {
        println!("{kind}");
    }
    match figures.iter().find_map(|kind| kind.first_failure.clone()) {
        None => Ok(()),
        Some(first) => Err(QueriesError::Failed {
            failed: figures.iter().map(|kind| kind.failed).sum(),
            first,
        }),
    }
}

/// The figures of every kind of request, one request at a time.
///
/// # Errors
/// Where the system cannot be reached or has no drones.
pub async fn measure(
    options: &QueriesOptions,
    tell: impl Fn(&str),
) -> Result<Vec<Figures>, QueriesError> {
    tls::choose();
    let client = Client::builder()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| QueriesError::Setup(error.to_string()))?;
    let root = options.url.trim_end_matches('/');
    // Reading the fleet once tells what can be asked, and warms up what an idle app has let go.
    let fleet = KnownFleet::read(&client, root, PAGE).await?;
    tell(&format!("{} drones at {root}", fleet.drones()));
    let mut figures = Vec::new();
    for kind in kinds(&fleet, options.requests) {
        let mut of_kind = Figures::new(kind.title);
        for number in 0..kind.times {
            let path = (kind.path)(number);
            let start = Instant::now();
            match get(&client, &format!("{root}/{path}"), kind.accept, "gzip").await {
                Ok((StatusCode::OK, body)) => of_kind.record(start.elapsed(), body.len()),
                Ok((StatusCode::NOT_FOUND, body)) if kind.may_be_over => {
                    of_kind.record(start.elapsed(), body.len());
                }
                Ok((status, _)) => of_kind.fail(format!("/{path}: {status}")),
                Err(error) => of_kind.fail(format!("/{path}: {}", error.without_url())),
            }
        }
        figures.push(of_kind);
    }
    Ok(figures)
}

fn kinds<'a>(fleet: &'a KnownFleet, requests: u32) -> Vec<Kind<'a>> {
    let few = (requests / WHOLE_FLEET_ONE_IN).max(1);
    let kind = |title, times, path: Box<dyn Fn(u32) -> String + 'a>| Kind {
        title,
        accept: JSON,
        times,
        may_be_over: false,
        path,
    };
    let whole = format!("drones?limit={MOST_IN_COLUMNS}");
    let since = whole.clone();
    let mut kinds = vec![kind(
        "one drone",
        requests,
        Box::new(move |number| format!("drones/{}", fleet.drone(number, requests))),
    )];
    if fleet.has_deliveries() {
        // Drones deliver meanwhile.
        kinds.push(Kind {
            may_be_over: true,
            ..kind(
                "one delivery",
                requests,
                Box::new(move |number| format!("deliveries/{}", fleet.delivery(number, requests))),
            )
        });
    }
    kinds.push(kind(
        "a page of 500",
        requests,
        Box::new(move |number| format!("drones?limit={PAGE}{}", fleet.page(number))),
    ));
    if let Some(area) = fleet.middle() {
        kinds.push(kind(
            "a page of 500 in a box",
            requests,
            Box::new(move |_| format!("drones?limit={PAGE}&bbox={area}")),
        ));
    }
    kinds.push(Kind {
        accept: COLUMNS,
        ..kind(
            "a map's poll",
            requests,
            Box::new(move |_| {
                let time = Rfc3339(UtcDateTime::now() - SINCE);
                format!("{since}&seenSince={time}")
            }),
        )
    });
    kinds.push(Kind {
        accept: COLUMNS,
        ..kind("a map's first poll", few, Box::new(move |_| whole.clone()))
    });
    kinds
}

/// One answer, to its last byte, and as it came: nothing is decompressed here.
async fn get(
    client: &Client,
    url: &str,
    accept: &str,
    encoding: &str,
) -> reqwest::Result<(StatusCode, Bytes)> {
    let response = client
        .get(url)
        .header(ACCEPT, accept)
        .header(ACCEPT_ENCODING, encoding)
        .send()
        .await?;
    let status = response.status();
    Ok((status, response.bytes().await?))
}

impl Figures {
    fn new(title: &'static str) -> Self {
        // A library histogram that grows by itself does not do so where it saturates, and counts what is too
        // large as next to nothing: so the bounds are given, and generous.
        #[allow(clippy::expect_used, reason = "the bounds are constants")]
        let up_to = |most| Histogram::new_with_max(most, 3).expect("constant bounds");
        Self {
            title,
            taken: up_to(2 * PATIENCE.as_micros() as u64),
            bytes: up_to(1_000_000_000),
            failed: 0,
            first_failure: None,
        }
    }

    fn record(&mut self, taken: Duration, bytes: usize) {
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        self.taken.saturating_record(micros);
        self.bytes.saturating_record(bytes as u64);
    }

    fn fail(&mut self, what: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(what);
    }

    /// The name of the kind.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// How many requests were answered.
    pub fn answered(&self) -> u64 {
        self.taken.len()
    }

    /// How many were not.
    pub fn failed(&self) -> u64 {
        self.failed
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |quantile| self.taken.value_at_quantile(quantile) as f64 / 1e3;
        write!(
            f,
            "{:<24} {:>9} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>14}",
            self.title,
            self.answered(),
            millis(0.5),
            millis(0.95),
            millis(0.99),
            self.taken.max() as f64 / 1e3,
            self.bytes.value_at_quantile(0.5),
        )?;
        match self.failed {
            0 => Ok(()),
            failed => write!(f, "  and {failed} failed"),
        }
    }
}

#[cfg(test)]
mod tests;
