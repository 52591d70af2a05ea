//! The timer trigger. There is one listener for each function, and one call at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::UtcDateTime;

use super::attempts::Attempts;
use super::envelope::timer::{ScheduleStatus, envelope};
use super::error::CallFailure;
use super::function_json::{Function, TimerTrigger};
use super::invoker::{Call, Invoker};

/// A function's timer. Outlives a host that stops, as what the real one writes down does.
pub(crate) struct Timer {
    function: Arc<Function>,
    trigger: TimerTrigger,
    invoker: Arc<Invoker>,
    monitored: bool,
    status: Mutex<Option<ScheduleStatus>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Timer {
    pub(crate) fn new(
        function: &Arc<Function>,
        trigger: &TimerTrigger,
        invoker: &Arc<Invoker>,
    ) -> Self {
        let monitored = trigger.use_monitor && trigger.schedule.is_monitored(UtcDateTime::now());
        Self {
            function: Arc::clone(function),
            trigger: trigger.clone(),
            invoker: Arc::clone(invoker),
            monitored,
            status: Mutex::new(None),
            one_at_a_time: tokio::sync::Mutex::new(()),
        }
    }

    /// The function's name.
    pub(crate) fn name(&self) -> &str {
        &self.function.name
    }

    /// Calls the function whenever it is due, for ever; at once where a run was missed while no host was there, or where the function
    /// wants to run on startup.
    pub(crate) async fn listen(self: Arc<Self>) {
        let now = UtcDateTime::now();
        let missed = self.monitored && self.status().is_some_and(|status| status.next < now);
        let mut next = if missed || self.trigger.run_on_startup {
            self.run_and_plan(now, missed).await
        } else {
            self.plan(None, now)
        };
        // A schedule without a next time is over.
        while let Some(due) = next {
            // The system's clock may be set; then it is looked at again.
            while let Ok(wait) = Duration::try_from(due - UtcDateTime::now())
                && !wait.is_zero()
            {
                tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
            }
            // Woken a little early, the run still counts as that of its time, or it would come twice.
            next = self.run_and_plan(due.max(UtcDateTime::now()), false).await;
        }
    }

    /// Calls the function now, after the call that may be in flight.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub(crate) async fn run(&self, is_past_due: bool) -> Result<(), CallFailure> {
        let _alone = self.one_at_a_time.lock().await;
        let mut attempts = Attempts::new(&self.function, None, &self.invoker);
        loop {
            let Err(failure) = self.attempt(&attempts, is_past_due).await else {
                return Ok(());
            };
            if !attempts.again_after(failure.clone()).await {
                return Err(failure);
            }
        }
    }

    async fn attempt(&self, attempts: &Attempts<'_>, is_past_due: bool) -> Result<(), CallFailure> {
        let status = self.status().filter(|_| self.monitored);
        let call = Call {
            invocation_id: attempts.invocation_id,
            envelope: envelope(
                &self.trigger.binding,
                status.as_ref(),
                is_past_due,
                &attempts.context(),
            ),
            events: 0,
        };
        self.invoker.invoke(&self.function, call).await.map(drop)
    }

    /// A failed run is not made up for: the next one comes at its time.
    async fn run_and_plan(&self, at: UtcDateTime, is_past_due: bool) -> Option<UtcDateTime> {
        if self.status().is_none() {
            self.plan(None, at);
        }
        // What failed is in the journal already.
        _ = self.run(is_past_due).await;
        self.plan(Some(at), at)
    }

    /// The next run after `from`. Counted from when the run before began: one that took longer than the interval is followed at once.
    fn plan(&self, last: Option<UtcDateTime>, from: UtcDateTime) -> Option<UtcDateTime> {
        let next = self.trigger.schedule.next_after(from)?;
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ScheduleStatus { last, next });
        Some(next)
    }

    fn status(&self) -> Option<ScheduleStatus> {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After this long the clock is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
