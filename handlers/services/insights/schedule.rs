//! What SummarizeDeliveries does each time: looks which units are due, and makes the figures of days anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::{Date, Duration, UtcDateTime};
use tracing::warn;

use super::plan::{ALL, Due, Plan, RECENT, as_of, hours_until};
use super::roll_up::Memory;
use super::unit::Unit;
use super::{Insights, InsightsError};
use crate::domain::insights::figures::FleetDay;
use crate::domain::insights::hour::Day;

/// Units that are put on the queue at a time: what the two of a process make in some minutes.
const MOST: usize = 128;

/// A unit that was put on the queue is left to it for so long. Where SummarizeHour is switched off, or has given it up,
/// it is put there again.
const LEFT_TO_THE_QUEUE: Duration = Duration::minutes(30);

/// Looks again and again.
pub struct Schedule {
    insights: Arc<Insights>,
    hub: String,
    memory: Memory,
    state: Mutex<State>,
}

/// Another process looks at all of it once.
#[derive(Default)]
struct State {
    /// When a unit was put on the queue, and for what.
    queued: HashMap<Unit, (String, UtcDateTime)>,
    /// The day of the last look at everything.
    looked_at_all: Option<Date>,
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct Looked {
    /// Units for the queue.
    pub units: Vec<Unit>,
    /// All that are due, those on the queue among them.
    pub due: usize,
    /// Of these, the ones that the figures lack.
    pub outstanding: usize,
    /// Days whose figures were made anew.
    pub days: Vec<FleetDay>,
    /// Days whose figures could not be made.
    pub failed: usize,
}

impl Schedule {
    /// For the units of a hub.
    pub fn new(insights: Arc<Insights>, hub: String) -> Self {
        Self {
            insights,
            hub,
            memory: Memory::default(),
            state: Mutex::default(),
        }
    }

    /// Looks once: at the last [`RECENT`] hours; the first time of each day, and until nothing is left to do there, at the last
    /// [`ALL`].
    ///
    /// # Errors
    /// Where the archive or the manifests cannot be read. A day whose figures cannot be made stops nothing else.
    pub async fn look(&self, now: UtcDateTime) -> Result<Looked, InsightsError> {
        let today = now.date();
        let all = self.state().looked_at_all != Some(today);
        let hours = hours_until(now, if all { ALL } else { RECENT });
        let days = Day(hours.start().date())..=Day(today);
        let plan = self.insights.plan(&self.hub, hours.clone(), now).await?;
        let (units, left_out) = self.to_queue(&plan, now);
        let mut looked = Looked {
            due: plan.units.len(),
            outstanding: plan.units.iter().filter(|due| due.outstanding).count(),
            units,
            ..Looked::default()
        };
        let as_of = as_of(&plan, now);
        let mut day = *days.start();
        while day <= *days.end() {
            let made = self
                .insights
                .roll_up(&self.memory, &self.hub, &plan.partitions, day, as_of, now)
                .await;
            match made {
                Ok(figures) => looked.days.extend(figures),
                Err(error) => {
                    warn!(%day, %error, "the figures of a day cannot be made");
                    looked.failed += 1;
                }
            }
            day = day.plus(1);
        }
        let oldest = *hours.start();
        let is_old = |due: &Due| due.outstanding && due.unit.hour == oldest;
        let mut state = self.state();
        if all && looked.outstanding == 0 && !left_out {
            state.looked_at_all = Some(today);
        } else if plan.units.iter().any(is_old) {
            // What is not made by now would not be seen the next time.
            state.looked_at_all = None;
        }
        drop(state);
        Ok(looked)
    }

    /// Units for the queue, and whether some are left for the next time.
    fn to_queue(&self, plan: &Plan, now: UtcDateTime) -> (Vec<Unit>, bool) {
        let mut state = self.state();
        state
            .queued
            .retain(|_, (_, at)| *at + LEFT_TO_THE_QUEUE > now);
        let mut units = Vec::new();
        let mut left_out = false;
        for due in &plan.units {
            let Due {
                unit, fingerprint, ..
            } = due;
            let is_queued = state
                .queued
                .get(unit)
                .is_some_and(|(queued, _)| queued == fingerprint);
            if !is_queued && units.len() == MOST {
                left_out = true;
            } else if !is_queued {
                state
                    .queued
                    .insert(unit.clone(), (fingerprint.clone(), now));
                units.push(unit.clone());
            }
        }
        (units, left_out)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
