//! `cargo local summarize`: makes the insights' tables of an archive in this process, for hours that are long past, for a
//! copy of an archive, and for measuring.
//!
//! | module | what it is |
//! |---|---|
//! | `options`, `place` | what is asked for; where the archive and the tables are |
//! | [`directory`] | files in a directory |
//! | `view` | what the user sees |
//!
//! What makes a unit is the app's own [`Insights`]. Whoever else works on the same tables meanwhile, as the app does, is not in the
//! way: each file is replaced under the version that was read.

pub mod directory;
mod options;
mod place;
mod view;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use azure_functions_sdk::connection::ConnectionError;
use drone_delivery::domain::Intake;
use drone_delivery::domain::insights::hour::{Day, Hour};
use drone_delivery::services::insights::plan::{ALL, Plan, as_of};
use drone_delivery::services::insights::roll_up::Memory;
use drone_delivery::services::insights::unit::{Made, Unit};
use drone_delivery::services::insights::{Insights, InsightsError};
use drone_delivery::settings::{self, SettingsError};
use drone_delivery::stores::StoreError;
use drone_delivery::stores::storage::StorageConnectionError;
use futures_util::{StreamExt, stream};
use time::UtcDateTime;

pub use options::SummarizeOptions;
pub use place::Place;
pub use view::View;

use crate::build;
use crate::replay::Stop;
use crate::up::stop_requested;

/// Readings can come 72 hours late, and are then of an earlier day than their folder.
const DAYS_BEFORE: i64 = 3;

/// A clock can be fast.
const DAYS_AFTER: i64 = 1;

/// A summary could not go on. What it had made by then is made.
#[derive(Debug, thiserror::Error)]
pub enum SummarizeError {
    /// Nothing to work on.
    #[error(
        "no local system runs and FleetStorage is not set: start `cargo local up`, name the account in Azure by \
         FleetStorage__blobServiceUri, or a copy of its archive by --archive"
    )]
    NoSystem,
    /// Nobody has said which hub.
    #[error("which hub's archive? Name it by --hub or EVENT_HUB_NAME")]
    NoHub,
    /// The options choose no time.
    #[error("--from must lie before --to")]
    Backwards,
    /// A directory has no archive.
    #[error("{0} has no file named <hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/… that is asked for")]
    Nothing(String),
    /// A directory cannot be used.
    #[error("{path}: {error}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The storage connection is missing or malformed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It leads nowhere.
    #[error("FleetStorage: {0}")]
    Storage(#[from] StorageConnectionError),
    /// A setting that says which events count is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The archive cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be found out what is to be made.
    #[error(transparent)]
    Insights(#[from] InsightsError),
}

impl SummarizeError {
    /// Whether other options would do.
    #[must_use]
    pub fn is_of_options(&self) -> bool {
        matches!(self, Self::Backwards | Self::NoHub)
    }
}

/// What was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Units.
    pub made: u64,
    /// Units that were as they should be.
    pub unchanged: u64,
    /// Units that were as they should be, and whose many files of the archive are few now.
    pub compacted: u64,
    /// Units that could not be made.
    pub failed: u64,
    /// Events of those that were made.
    pub events: u64,
    /// Files of the archive that could not be read.
    pub files_passed_over: u64,
    /// Days whose figures could not be made.
    pub failed_days: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Outcome {
    /// Whether all that was chosen is made, of all that it is to be made from.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
            && self.files_passed_over == 0
            && self.failed_days == 0
            && !self.interrupted
    }
}

/// Makes what the options choose and says what was made. Returns whether that is all.
///
/// # Errors
/// Where it could not go on; the same command goes on from there.
pub fn run(options: &SummarizeOptions) -> Result<bool, SummarizeError> {
    let repository = build::repository().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| SummarizeError::Folder {
            path: "the process".to_owned(),
            error,
        })?;
    runtime.block_on(async {
        let place = Place::find(options, &repository).await?;
        let intake = settings::intake_from_env()?;
        let stop = Stop::default();
        let asked = stop.clone();
        tokio::spawn(async move {
            stop_requested().await;
            asked.request();
        });
        let mut view = View::terminal(options.at_once);
        let now = options.now.unwrap_or_else(UtcDateTime::now);
        let outcome = summarize(&place, intake, now, options.at_once, &stop, &mut view).await?;
        if outcome.interrupted {
            view.complain("Stopped; the same command goes on from here");
        }
        Ok(outcome.is_complete())
    })
}

/// Makes every unit of a place that is not as it should be, the earliest first, and the figures of the days that they touch.
///
/// # Errors
/// Where it cannot be found out what is to be made. A unit that cannot be made stops no other.
pub async fn summarize(
    place: &Place,
    intake: Intake,
    now: UtcDateTime,
    at_once: usize,
    stop: &Stop,
    view: &mut View,
) -> Result<Outcome, SummarizeError> {
    // The hour under way as well: who asks for it wants what there is.
    let mut insights = Insights::new(
        Arc::clone(&place.archive),
        Arc::clone(&place.tables),
        intake,
        true,
    );
    if !place.is_of_the_app {
        insights = insights.reading_only();
    }
    let mut summary = Summary {
        insights,
        now,
        at_once,
        stop,
        view,
        outcome: Outcome::default(),
    };
    for (hub, hours) in &place.hubs {
        for (first, last) in by_day(*hours) {
            let plan = summary.insights.plan(hub, first..=last, now).await?;
            summary.units(plan).await;
        }
    }
    summary.view.units(&summary.outcome);
    if stop.is_requested() {
        summary.outcome.interrupted = true;
        return Ok(summary.outcome);
    }
    if place.hubs.len() > 1 {
        let hubs: Vec<&str> = place.hubs.keys().map(String::as_str).collect();
        let last = hubs.last().copied().unwrap_or_default();
        summary.view.complain(&format!(
            "{} are in one folder: what days say of their events' quality is of {last}",
            hubs.join(" and ")
        ));
    }
    for (hub, hours) in &place.hubs {
        summary.days(hub, *hours, place.is_of_the_app).await?;
    }
    Ok(summary.outcome)
}

struct Summary<'a> {
    insights: Insights,
    now: UtcDateTime,
    at_once: usize,
    stop: &'a Stop,
    view: &'a mut View,
    outcome: Outcome,
}

impl Summary<'_> {
    async fn units(&mut self, plan: Plan) {
        let (insights, now, stop) = (&self.insights, self.now, self.stop);
        let earliest_first = plan.units.into_iter().rev().map(|due| due.unit);
        let make = |unit: Unit| async move {
            // Looked at again for each: a unit may take minutes.
            match stop.is_requested() {
                true => (unit, None),
                false => {
                    let made = insights.summarize(&unit, now).await;
                    (unit, Some(made))
                }
            }
        };
        let mut begun = self.view.begin();
        let mut made = stream::iter(earliest_first.map(make)).buffer_unordered(self.at_once);
        while let Some((unit, made)) = made.next().await {
            match made {
                None => self.outcome.interrupted = true,
                Some(Ok(Made::Unchanged | Made::Empty)) => self.outcome.unchanged += 1,
                Some(Ok(Made::Compacted(_))) => self.outcome.compacted += 1,
                Some(Ok(Made::Anew(manifest))) => {
                    self.outcome.made += 1;
                    self.outcome.events += manifest.quality.events;
                    self.outcome.files_passed_over += manifest.skipped.len() as u64;
                    self.view.made(&unit, &manifest, &begun);
                }
                Some(Err(error)) => {
                    self.outcome.failed += 1;
                    self.view.failed(&unit, &error);
                }
            }
            begun = self.view.begin();
        }
    }

    /// The figures of a hub's days, as of when nothing is missing.
    async fn days(
        &mut self,
        hub: &str,
        (first, last): (Hour, Hour),
        goes_on: bool,
    ) -> Result<(), SummarizeError> {
        let mut looks: Vec<_> = by_day((first, last)).collect();
        let this = Hour::of(self.now);
        if goes_on && last < this {
            // What came after them is not looked at further back than the app does.
            looks.push((last.plus(1).max(this.plus(1 - ALL)), this));
        }
        let mut all = Plan::default();
        let mut partitions = BTreeSet::new();
        for (first, last) in looks {
            let plan = self.insights.plan(hub, first..=last, self.now).await?;
            let outstanding = all.first_outstanding.into_iter();
            all.first_outstanding = outstanding.chain(plan.first_outstanding).min();
            partitions.extend(plan.partitions);
        }
        let partitions: Vec<String> = partitions.into_iter().collect();
        let as_of = as_of(&all, self.now);
        let memory = Memory::default();
        let mut day = Day(first.date()).plus(-DAYS_BEFORE);
        while day <= Day(last.date()).plus(DAYS_AFTER) {
            let made = self
                .insights
                .roll_up(&memory, hub, &partitions, day, as_of, self.now)
                .await;
            match made {
                Ok(Some(figures)) => self.view.day(&figures),
                Ok(None) => {}
                Err(error) => {
                    self.outcome.failed_days += 1;
                    self.view.complain(&format!("{day}  not made: {error}"));
                }
            }
            day = day.plus(1);
        }
        Ok(())
    }
}

/// Hours day by day, so that no more than a day's lists are held.
fn by_day((first, last): (Hour, Hour)) -> impl Iterator<Item = (Hour, Hour)> {
    let mut next = first;
    std::iter::from_fn(move || {
        let from = next;
        let of_its_day = i64::from(from.of_day());
        let to = from.plus(23 - of_its_day).min(last);
        next = to.plus(1);
        (from <= last).then_some((from, to))
    })
}
