//! The handler's metrics beside what was counted at the stores and at its calls.
//!
//! Where no call failed and no process ended, both are equal. Otherwise two things stand between them, and no more:
//!
//! - *Repeats.* An event is counted by each call that it is in, and comes again after a failure, a kill or a rewind. The host's
//!   ledger knows how many events were in calls, and the hub how many there are: the difference may be counted beside them.
//! - *What a process took along.* Metrics leave the process each second, so one that is killed takes what it has counted since with
//!   it. The ledger knows which calls each process has answered after it was last heard of: so many events may be missing.
//!
//! So each figure lies between what the stores hold without the latter, and what they hold with the former. A handler that does not
//! count an outcome, or counts it twice, is out of these bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Telemetry;
use super::attributes::Attributes;
use super::lines::{ALERTS, CONSUMED, DEAD_LETTERS, EVENTS, FUNCTION};
use super::metrics::Sum;
use crate::host::Ledger;
use crate::report::{NOTIFY, Report, ReportError};
use crate::system::System;

/// The functions that events go to.
pub(crate) const STATE: &str = "UpdateDroneState";
pub(crate) const ARCHIVE: &str = "ArchiveTelemetry";
pub(crate) const ALERTING: &str = "RaiseAlerts";

const METRICS: [&str; 4] = [CONSUMED, EVENTS, DEAD_LETTERS, ALERTS];

/// What was answered so shortly before a process read its metrics may not be among them, in nanoseconds: they are not read all at once.
const MARGIN: u64 = 200_000_000;

/// How long a process may take to report what it has counted: some of its reports.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the metrics say at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(super) sums: Vec<(String, Attributes, Sum)>,
    /// When each worker's metrics were last read.
    pub(super) heard: BTreeMap<String, u64>,
}

/// A number that the metrics have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Figure {
    /// Events that a function was called with.
    Consumed(&'static str),
    /// Events that came to one of these ends in a function.
    Events(&'static str, &'static [&'static str]),
    /// Dead letters with a reason.
    DeadLetters(String),
    /// Alerts that turned to a state.
    Alerts(&'static str),
}

/// What such a number has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    figure: Figure,
    least: u64,
    most: u64,
}

/// What was counted at the stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// Events in the hub, ticks included.
    pub(crate) events: u64,
    /// Events that are part of their drone's state or older.
    pub(crate) applied: u64,
    /// Different events in the archive, ticks included.
    pub(crate) archived: u64,
    /// Events with a dead letter, by its reason.
    pub(crate) dead_letters: BTreeMap<String, u64>,
    /// Alerts that were raised and cleared by the messages in the queue, where that says all of them.
    pub(crate) alerts: Option<(u64, u64)>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// How many figures were held against what was counted.
    pub figures: u64,
    /// Events in calls that their process did not live to report.
    pub unreported: u64,
    /// Events that came again.
    pub repeated: u64,
    /// What differs, one sentence each; empty is good.
    pub differences: Vec<String>,
}

impl Reading {
    /// As a process has it that has counted everything by now, or as it is where it does not say so in time.
    pub(crate) async fn after(telemetry: &Telemetry, worker: Option<String>) -> Self {
        let workers: Vec<String> = worker.into_iter().collect();
        // One that does not report shows in the figures.
        _ = telemetry
            .heard_since(&workers, super::now() + MARGIN, PATIENCE)
            .await;
        Self::now(telemetry)
    }

    /// As they are.
    pub(crate) fn now(telemetry: &Telemetry) -> Self {
        telemetry.shared.with(|state| {
            let metrics = &state.metrics;
            let sums = METRICS.iter().flat_map(|name| {
                let series = metrics.all(name);
                series.map(|(attributes, sum)| ((*name).to_owned(), attributes.clone(), sum))
            });
            let heard = metrics
                .instances()
                .filter_map(|instance| Some((instance.worker.clone()?, instance.heard_at)));
            Self {
                sums: sums.collect(),
                heard: heard.collect(),
            }
        })
    }

    fn sum(&self, metric: &str, wanted: impl Fn(&Attributes) -> bool) -> u64 {
        let wanted = |(name, attributes, sum): &(String, Attributes, Sum)| {
            (name == metric && wanted(attributes)).then_some(sum.value)
        };
        let sum: f64 = self.sums.iter().filter_map(wanted).sum();
        sum.round() as u64
    }

    fn of(&self, figure: &Figure) -> u64 {
        match figure {
            Figure::Consumed(function) => self.sum(CONSUMED, |it| it.is(FUNCTION, function)),
            Figure::Events(function, outcomes) => self.sum(EVENTS, |it| {
                it.is(FUNCTION, function)
                    && outcomes.iter().any(|outcome| it.is("outcome", outcome))
            }),
            Figure::DeadLetters(reason) => self.sum(DEAD_LETTERS, |it| it.is("reason", reason)),
            Figure::Alerts(state) => self.sum(ALERTS, |it| it.is("alert.state", state)),
        }
    }

    fn reasons(&self) -> BTreeSet<String> {
        let letters = self.sums.iter().filter(|(name, ..)| name == DEAD_LETTERS);
        letters
            .filter_map(|(_, attributes, _)| attributes.get("reason").map(str::to_owned))
            .collect()
    }

    fn answered(&self, ledger: &Ledger, function: &str) -> u64 {
        ledger.events_answered_until(function, |worker| {
            let heard = self.heard.get(worker).copied().unwrap_or_default();
            heard.saturating_sub(MARGIN)
        })
    }
}

/// Counts what is in the stores of a settled system, as [`Report::of`] does, and holds the handler's metrics against it.
///
/// # Errors
/// Where a store cannot be read. What differs is no error but told.
pub async fn count(
    telemetry: &Telemetry,
    system: &System,
    latencies: &Histogram<u64>,
) -> Result<(Report, Agreement), ReportError> {
    let first = Reading::after(telemetry, system.host.worker()).await;
    let report = Report::of(system, latencies).await?;
    let stored = report.stored(!system.host.stats().contains_key(NOTIFY));
    let agreement = Agreement::of(telemetry, &first, system.ledger(), &stored).await;
    Ok((report, agreement))
}

impl Agreement {
    /// Holds the metrics against what was counted between a `first` reading, of a settled system, and now. Ticks may have come meanwhile.
    pub(crate) async fn of(
        telemetry: &Telemetry,
        first: &Reading,
        ledger: &Ledger,
        stored: &Stored,
    ) -> Self {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let last = Reading::now(telemetry);
            let agreement = Self::between(first, &last, ledger, stored);
            // What is missing may be on its way.
            if agreement.differences.is_empty() || tokio::time::Instant::now() >= deadline {
                return agreement;
            }
            tokio::time::sleep(super::LOOK_EVERY).await;
        }
    }

    /// A figure may have grown between the readings; it must have been what was counted at some time.
    pub(super) fn between(
        first: &Reading,
        last: &Reading,
        ledger: &Ledger,
        stored: &Stored,
    ) -> Self {
        let mut agreement = Self::default();
        if last.heard.is_empty() {
            let nothing = "the handler has sent no metrics".to_owned();
            agreement.differences.push(nothing);
            return agreement;
        }
        for function in [STATE, ARCHIVE, ALERTING] {
            let answered = ledger.events_answered(function);
            agreement.unreported += answered - last.answered(ledger, function).min(answered);
            let called = ledger.events_called(function);
            if called > 0 {
                agreement.repeated += called.saturating_sub(stored.events);
            }
        }
        for claim in claims(last, ledger, stored) {
            agreement.figures += 1;
            let (before, after) = (first.of(&claim.figure), last.of(&claim.figure));
            if before > claim.most || after < claim.least {
                let wrong = if after < claim.least { after } else { before };
                agreement.differences.push(claim.against(wrong));
            }
        }
        agreement
    }
}

/// All that can be said of the metrics.
fn claims(reading: &Reading, ledger: &Ledger, stored: &Stored) -> Vec<Claim> {
    let called = |function| ledger.events_called(function);
    let unreported = |function| {
        let answered = ledger.events_answered(function);
        answered.saturating_sub(reading.answered(ledger, function))
    };
    let repeated = |function| called(function).saturating_sub(stored.events);
    let about = |function, figure, least: u64, most: u64| Claim {
        figure,
        least: least.saturating_sub(unreported(function)),
        most: most + repeated(function),
    };
    let mut claims = Vec::new();
    for function in [STATE, ARCHIVE, ALERTING] {
        claims.push(Claim {
            figure: Figure::Consumed(function),
            least: reading.answered(ledger, function),
            most: called(function),
        });
    }
    let dead: u64 = stored.dead_letters.values().sum();
    if called(STATE) > 0 {
        let ends = Figure::Events(STATE, &["applied"]);
        claims.push(about(STATE, ends, stored.applied, stored.applied));
        let ends = Figure::Events(STATE, &["dead_lettered"]);
        claims.push(about(STATE, ends, dead, dead));
        let reasons = stored.dead_letters.keys().cloned();
        for reason in reasons.chain(reading.reasons()).collect::<BTreeSet<_>>() {
            let letters = stored.dead_letters.get(&reason).copied().unwrap_or(0);
            let figure = Figure::DeadLetters(reason);
            // A reason that no letter has is no event's.
            let repeats = if letters > 0 { repeated(STATE) } else { 0 };
            claims.push(Claim {
                figure,
                least: letters.saturating_sub(unreported(STATE)),
                most: letters + repeats,
            });
        }
    }
    if called(ARCHIVE) > 0 {
        let ends = Figure::Events(ARCHIVE, &["archived", "tick"]);
        claims.push(about(ARCHIVE, ends, stored.archived, stored.archived));
    }
    if called(ALERTING) > 0 {
        let ends = Figure::Events(ALERTING, &["judged"]);
        let judged = stored.applied + dead;
        claims.push(about(ALERTING, ends, judged, judged));
        let is_certain = repeated(ALERTING) == 0 && unreported(ALERTING) == 0;
        if let Some((raised, cleared)) = stored.alerts.filter(|_| is_certain) {
            for (state, count) in [("raised", raised), ("cleared", cleared)] {
                claims.push(Claim {
                    figure: Figure::Alerts(state),
                    least: count,
                    most: count,
                });
            }
        }
    }
    claims
}

impl Claim {
    fn against(&self, metric: u64) -> String {
        let Self {
            figure,
            least,
            most,
        } = self;
        match least == most {
            true => format!("the metrics say {metric} {figure}, and {least} were counted"),
            false => format!(
                "the metrics say {metric} {figure}, and what was counted allows {least} to {most}"
            ),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumed(function) => write!(f, "events in calls of {function}"),
            Self::Events(function, outcomes) => {
                write!(f, "events {} by {function}", outcomes.join(" or "))
            }
            Self::DeadLetters(reason) => write!(f, "dead letters for {reason}"),
            Self::Alerts(state) => write!(f, "alerts {state}"),
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            figures,
            unreported,
            repeated,
            differences,
        } = self;
        match differences.len() {
            0 => write!(f, "{figures} figures agree with what was counted")?,
            wrong => write!(
                f,
                "{wrong} of {figures} figures contradict what was counted"
            )?,
        }
        if *repeated > 0 {
            write!(f, "; {repeated} events came again")?;
        }
        if *unreported > 0 {
            write!(f, "; {unreported} events' calls were not reported any more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
