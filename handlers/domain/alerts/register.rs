//! One rule on one drone: whether an alert is open, and what a judgement changes.
//!
//! Telemetry comes late and twice, so arrival decides nothing here but the drone's own time does. The
//! register holds the newest breach and the newest clear reading; an alert is open exactly while the
//! breach is the newer one, or as new. That is a function of the set of readings. What depends on the
//! order of arrival is only how a run of breaches is cut into episodes, and which of them names the
//! episode: an alert cannot be raised before it is known, and cannot be taken back.
//!
//! Reminders, and the end of an alert whose drone is gone, are deadlines in the partition's time.

use time::UtcDateTime;

use super::alert::{Alert, Cleared, ClosedBecause, Kind, Reminded, Sighting, Transition};
use super::reminder::Reminders;
use super::rule::{Judgement, Rule};

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Register {
    /// The newest reading that broke the limit.
    pub(super) breached_at: Option<UtcDateTime>,
    /// The newest reading that was clear of it.
    pub(super) clear: Option<Cleared>,
    /// The open alert; there is one exactly while the breach is not older than the clear reading.
    pub(super) open: Option<Box<Open>>,
}

/// An open alert, and what its reminders need.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// The alert.
    pub(super) alert: Alert,
    /// When it was raised, in the partition's time.
    pub(super) since: UtcDateTime,
    /// The newest value that the rule measured, and when.
    pub(super) latest: (UtcDateTime, f64),
}

impl Open {
    /// An alert that was raised by what `alert` says, at `since` in the partition's time.
    pub(super) fn new(alert: Alert, since: UtcDateTime) -> Box<Self> {
        let latest = (alert.raised_at, alert.value);
        Box::new(Self {
            alert,
            since,
            latest,
        })
    }

    /// When it is to be told again, in the partition's time.
    pub(super) fn remind_at(&self, reminders: Reminders) -> Option<UtcDateTime> {
        let times = self.alert.reminded.map_or(0, |reminded| reminded.times);
        reminders.next(self.since, times)
    }
}

impl Register {
    /// Takes one measured value, at `now` in the partition's time. Tells what changes by `tell`, in order.
    pub fn judge(
        &mut self,
        rule: &Rule,
        seen: &Sighting<'_>,
        now: UtcDateTime,
        mut tell: impl FnMut(Transition),
    ) {
        if let Some(open) = &mut self.open
            && seen.at > open.latest.0
        {
            open.latest = (seen.at, seen.value);
        }
        match rule.limit.judge(seen.value) {
            Judgement::Breach => self.breach(rule, seen, now, &mut tell),
            Judgement::Clear => self.clear(seen, &mut tell),
            Judgement::Between => {}
        }
    }

    fn breach(
        &mut self,
        rule: &Rule,
        seen: &Sighting<'_>,
        now: UtcDateTime,
        tell: &mut impl FnMut(Transition),
    ) {
        if self.breached_at.is_some_and(|newest| seen.at <= newest) {
            // Part of an episode that was told already, be it open or over.
            return;
        }
        self.breached_at = Some(seen.at);
        if self.open.is_some() {
            return;
        }
        let alert = Alert::raise(rule, seen);
        tell(Transition {
            kind: Kind::Raised,
            at: seen.at,
            value: seen.value,
            alert: alert.clone(),
        });
        match self.clear {
            // A breach that nobody knew of, and over already: told all the same, or it would be lost.
            Some(clear) if clear.at > seen.at => tell(alert.clear(clear)),
            _ => self.open = Some(Open::new(alert, now)),
        }
    }

    fn clear(&mut self, seen: &Sighting<'_>, tell: &mut impl FnMut(Transition)) {
        let clear = Cleared {
            at: seen.at,
            value: seen.value,
            reason: None,
        };
        if self.clear.is_none_or(|newest| seen.at > newest.at) {
            self.clear = Some(clear);
        }
        if self.breached_at.is_some_and(|breach| seen.at <= breach) {
            return;
        }
        if let Some(open) = self.open.take() {
            tell(open.alert.clear(clear));
        }
    }

    /// Tells the open alert again where that is due at `now`. `value` is what to tell; by itself, the newest that was
    /// measured.
    pub fn remind(
        &mut self,
        reminders: Reminders,
        now: UtcDateTime,
        value: Option<f64>,
        mut tell: impl FnMut(Transition),
    ) {
        let Some(open) = &mut self.open else {
            return;
        };
        if open.remind_at(reminders).is_none_or(|due| due > now) {
            return;
        }
        let times = open.alert.reminded.map_or(0, |reminded| reminded.times);
        open.alert.reminded = Some(Reminded {
            times: times + 1,
            at: now,
        });
        tell(Transition {
            kind: Kind::Reminded,
            at: now,
            value: value.unwrap_or(open.latest.1),
            alert: open.alert.clone(),
        });
    }

    /// Closes the open alert for another reason than a clear reading.
    pub fn close(
        &mut self,
        because: ClosedBecause,
        at: UtcDateTime,
        mut tell: impl FnMut(Transition),
    ) {
        if let Some(open) = self.open.take() {
            let cleared = Cleared {
                at,
                value: open.latest.1,
                reason: Some(because),
            };
            tell(open.alert.clear(cleared));
        }
    }
}
