//! One rule on one drone: whether an alert is open, and what a judgement changes.
//!
//! Telemetry comes late and twice, so arrival decides nothing here but the drone's own time does. The
//! register holds the newest breach and the newest clear reading; an alert is open exactly while the
//! breach is the newer one, or as new. That is a function of the set of readings. What depends on the
//! order of arrival is only how a run of breaches is cut into episodes, and which of them names the
//! episode: an alert cannot be raised before it is known, and cannot be taken back.

use time::{Duration, UtcDateTime};

use super::alert::{Alert, Cleared, Kind, Reminded, Sighting, Transition};
use super::rule::{Judgement, Rule};

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Register {
    /// The newest reading that broke the limit.
    pub(super) breached_at: Option<UtcDateTime>,
    /// The newest reading that was clear of it.
    pub(super) clear: Option<Cleared>,
    /// The open alert; there is one exactly while the breach is not older than the clear reading.
    pub(super) open: Option<Box<Alert>>,
}

impl Register {
    /// Takes one measured value. Tells what changes by `tell`, in order.
    pub fn judge(
        &mut self,
        rule: &Rule,
        seen: &Sighting<'_>,
        reminder: Option<Duration>,
        mut tell: impl FnMut(Transition),
    ) {
        match rule.limit.judge(seen.value) {
            Judgement::Breach => self.breach(rule, seen, &mut tell),
            Judgement::Clear => self.clear(seen, &mut tell),
            Judgement::Between => {}
        }
        if let Some(every) = reminder {
            self.remind(seen, every, &mut tell);
        }
    }

    fn breach(&mut self, rule: &Rule, seen: &Sighting<'_>, tell: &mut impl FnMut(Transition)) {
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
            _ => self.open = Some(Box::new(alert)),
        }
    }

    fn clear(&mut self, seen: &Sighting<'_>, tell: &mut impl FnMut(Transition)) {
        let clear = Cleared {
            at: seen.at,
            value: seen.value,
        };
        if self.clear.is_none_or(|newest| seen.at > newest.at) {
            self.clear = Some(clear);
        }
        if self.breached_at.is_some_and(|breach| seen.at <= breach) {
            return;
        }
        if let Some(alert) = self.open.take() {
            tell(alert.clear(clear));
        }
    }

    fn remind(&mut self, seen: &Sighting<'_>, every: Duration, tell: &mut impl FnMut(Transition)) {
        let Some(alert) = &mut self.open else {
            return;
        };
        if seen.at < alert.last_told_at().saturating_add(every) {
            return;
        }
        let times = alert.reminded.map_or(0, |reminded| reminded.times);
        alert.reminded = Some(Reminded {
            times: times + 1,
            at: seen.at,
        });
        tell(Transition {
            kind: Kind::Reminded,
            at: seen.at,
            value: seen.value,
            alert: (**alert).clone(),
        });
    }
}
