//! What of the insights is counted: the figures, and whether the tables hold what the archive and the simulator say.

use std::error::Error;

use drone_delivery::domain::insights::figures::FleetDay;
use drone_delivery::domain::insights::hour::Day;
use drone_delivery::stores::FileStore;
use serde::Serialize;
use time::UtcDateTime;

use crate::insights::agreement::{Agreement, Flown, compare};
use crate::insights::{Days, deliveries, in_a_line};

/// Deliveries that are named where they do not agree; of more of them they are only counted.
const MOST_NAMED: usize = 10;

/// The outcome of a run, of the insights.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InsightsReport {
    /// The figures of each day, in a line.
    pub days: Vec<String>,
    /// Events of the tables, each once.
    pub events: u64,
    /// How often one was archived again, or sent again.
    pub repeats: u64,
    /// Events that are no telemetry.
    pub rejects: u64,
    /// Rows of deliveries.
    pub deliveries: u64,
    /// Held against what the simulator knows; absent where no drones flew.
    pub agreement: Option<Agreement>,
}

impl InsightsReport {
    /// Reads the tables of a run that began then, after they were finished.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn of(
        tables: &dyn FileStore,
        began: UtcDateTime,
        flown: &[Flown],
    ) -> Result<Self, Box<dyn Error>> {
        let days = Days::last(tables, usize::MAX).await?;
        let rows = deliveries(tables).await?;
        let quality = || days.iter().map(|day| &day.day.figures.quality);
        let line = |day: &FleetDay| {
            let line = in_a_line(&day.day.figures);
            match day.date == Day(began.date()).to_string() {
                true => line,
                false => format!("{line} ({})", day.date),
            }
        };
        Ok(Self {
            days: days.iter().map(line).collect(),
            events: quality().map(|quality| quality.events).sum(),
            repeats: quality().map(|quality| quality.repeats).sum(),
            rejects: quality().flat_map(|quality| quality.rejects.values()).sum(),
            deliveries: rows.len() as u64,
            agreement: flown
                .iter()
                .map(|flown| compare(flown, &rows))
                .reduce(Agreement::and),
        })
    }

    /// What does not add up, one sentence each.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(Agreement {
            agree,
            of,
            faults: differences,
        }) = &self.agreement
        {
            faults.extend(differences.iter().take(MOST_NAMED).cloned());
            if agree != of {
                faults.push(format!(
                    "{} of {of} deliveries are not as the simulator flew them",
                    of - agree
                ));
            }
        }
        faults
    }
}
