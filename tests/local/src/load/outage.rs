//! The outage in the middle of a load: what it did to the handler, and how long it took to get over it.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::host::usage::PeakMemory;
use crate::system::System;

/// How Cosmos DB is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OutageKind {
    /// Requests get no answer, for as long as the client waits: the network swallows them.
    Hang,
    /// Connections end without an answer: nobody is there.
    Reset,
}

/// What an outage did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutageFigures {
    /// How Cosmos DB was out of reach.
    pub kind: OutageKind,
    /// For how long.
    pub seconds: f64,
    /// The handler's resident memory when it began.
    pub memory_before_mi_b: f64,
    /// The most from then on until everything was drained.
    pub memory_peak_mi_b: f64,
    /// The difference of the two.
    pub memory_rise_mi_b: f64,
    /// The most events that the slowest function was behind before the outage.
    pub behind_before: u64,
    /// How many it was behind when the outage ended.
    pub behind_at_end: u64,
    /// From the end of the outage until it was no further behind than before; absent where that never came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_after_seconds: Option<f64>,
    /// Calls that failed from the beginning of the outage on, over all functions.
    pub failed_calls: u64,
    /// How often the handler was started again, over the whole run.
    pub restarts: u64,
}

/// What has to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Begin,
    End,
}

/// The system at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The handler's resident memory.
    pub(super) memory: u64,
    /// Events that the slowest function is behind.
    pub(super) behind: u64,
    pub(super) failed_calls: u64,
    pub(super) restarts: u64,
}

impl Seen {
    fn of(system: &System) -> Self {
        let handler = system.host.handler();
        let groups = system.hub.groups();
        let behind = groups.iter().map(|group| system.hub.lag(group)).max();
        let stats = system.host.stats();
        Self {
            memory: handler.rss_bytes,
            behind: behind.unwrap_or_default(),
            failed_calls: stats.values().map(|function| function.failures).sum(),
            restarts: handler.restarts,
        }
    }
}

/// An outage with a system to strike.
pub(super) struct Outage {
    course: Course,
    kind: OutageKind,
    peak: Option<PeakMemory>,
}

impl Outage {
    /// In the middle of the measured time.
    pub(super) fn new(
        kind: OutageKind,
        lasts: Duration,
        measured_from: Instant,
        measured: Duration,
    ) -> Self {
        let begins = measured_from + measured.saturating_sub(lasts) / 2;
        Self {
            course: Course::new(measured_from, begins, lasts),
            kind,
            peak: None,
        }
    }

    /// Looks at the system, and strikes or ends where it is time to.
    pub(super) fn look(&mut self, system: &System) {
        match self.course.look(Instant::now(), Seen::of(system)) {
            None => {}
            Some(Turn::Begin) => {
                self.peak = system.host.handler().pid.map(PeakMemory::from_now_on);
                system.cosmos.set_fault(Some(match self.kind {
                    OutageKind::Hang => Fault::Hang,
                    OutageKind::Reset => Fault::Reset,
                }));
            }
            Some(Turn::End) => system.cosmos.set_fault(None),
        }
        if let Some(peak) = self.peak.as_ref().and_then(PeakMemory::bytes) {
            self.course.saw_memory(peak);
        }
    }

    /// The figures, once everything is drained; `None` where it has not ended yet.
    pub(super) fn figures(&self) -> Option<OutageFigures> {
        self.course.figures(self.kind)
    }
}

/// When an outage begins and ends, and what was seen on the way.
struct Course {
    measured_from: Instant,
    begins: Instant,
    lasts: Duration,
    behind_before: u64,
    begun: Option<Begun>,
}

struct Begun {
    at: Instant,
    before: Seen,
    peak: u64,
    last: Seen,
    ended: Option<Ended>,
}

struct Ended {
    at: Instant,
    behind: u64,
    drained_after: Option<Duration>,
}

impl Course {
    fn new(measured_from: Instant, begins: Instant, lasts: Duration) -> Self {
        Self {
            measured_from,
            begins,
            lasts,
            behind_before: 0,
            begun: None,
        }
    }

    fn look(&mut self, now: Instant, seen: Seen) -> Option<Turn> {
        let Some(begun) = &mut self.begun else {
            if now >= self.measured_from {
                self.behind_before = self.behind_before.max(seen.behind);
            }
            if now < self.begins {
                return None;
            }
            self.begun = Some(Begun {
                at: now,
                before: seen,
                peak: seen.memory,
                last: seen,
                ended: None,
            });
            return Some(Turn::Begin);
        };
        begun.peak = begun.peak.max(seen.memory);
        begun.last = seen;
        match &mut begun.ended {
            None if now < begun.at + self.lasts => None,
            None => {
                begun.ended = Some(Ended {
                    at: now,
                    behind: seen.behind,
                    drained_after: None,
                });
                Some(Turn::End)
            }
            Some(ended) => {
                if ended.drained_after.is_none() && seen.behind <= self.behind_before {
                    ended.drained_after = Some(now - ended.at);
                }
                None
            }
        }
    }

    fn saw_memory(&mut self, bytes: u64) {
        if let Some(begun) = &mut self.begun {
            begun.peak = begun.peak.max(bytes);
        }
    }

    fn figures(&self, kind: OutageKind) -> Option<OutageFigures> {
        let begun = self.begun.as_ref()?;
        let ended = begun.ended.as_ref()?;
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let mebibytes = |bytes: u64| tenths(bytes as f64 / f64::from(1 << 20));
        Some(OutageFigures {
            kind,
            seconds: tenths((ended.at - begun.at).as_secs_f64()),
            memory_before_mi_b: mebibytes(begun.before.memory),
            memory_peak_mi_b: mebibytes(begun.peak),
            memory_rise_mi_b: mebibytes(begun.peak.saturating_sub(begun.before.memory)),
            behind_before: self.behind_before,
            behind_at_end: ended.behind,
            drained_after_seconds: ended.drained_after.map(|after| tenths(after.as_secs_f64())),
            failed_calls: begun.last.failed_calls - begun.before.failed_calls,
            restarts: begun.last.restarts,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const MIB: u64 = 1 << 20;

    fn seen(memory: u64, behind: u64, failed_calls: u64) -> Seen {
        Seen {
            memory: memory * MIB,
            behind,
            failed_calls,
            restarts: 0,
        }
    }

    #[test]
    fn the_figures_tell_what_the_outage_did_and_how_long_the_rest_took() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut course = Course::new(at(10), at(40), Duration::from_secs(60));
        for (second, seen, turn) in [
            // Of the ramp-up nothing counts.
            (5, seen(90, 9_000, 1), None),
            (20, seen(40, 5_000, 1), None),
            (30, seen(44, 4_000, 1), None),
            (40, seen(42, 4_500, 2), Some(Turn::Begin)),
            (70, seen(50, 90_000, 60), None),
            (100, seen(45, 155_000, 90), Some(Turn::End)),
            (105, seen(49, 100_000, 92), None),
            (110, seen(46, 5_001, 92), None),
            (112, seen(46, 5_000, 92), None),
            (115, seen(40, 5_500, 92), None),
        ] {
            assert_eq!(course.look(at(second), seen), turn, "second {second}");
        }
        course.saw_memory(51 * MIB);
        let expected = OutageFigures {
            kind: OutageKind::Hang,
            seconds: 60.0,
            memory_before_mi_b: 42.0,
            memory_peak_mi_b: 51.0,
            memory_rise_mi_b: 9.0,
            behind_before: 5_000,
            behind_at_end: 155_000,
            drained_after_seconds: Some(12.0),
            failed_calls: 90,
            restarts: 0,
        };
        assert_eq!(course.figures(OutageKind::Hang), Some(expected));
    }

    #[test]
    fn what_never_drained_has_no_time_and_an_outage_that_goes_on_no_figures() {
        let start = Instant::now();
        let mut course = Course::new(start, start, Duration::from_secs(1));
        assert_eq!(course.look(start, seen(1, 10, 0)), Some(Turn::Begin));
        assert_eq!(course.figures(OutageKind::Reset), None);
        let end = start + Duration::from_secs(1);
        assert_eq!(course.look(end, seen(1, 20, 0)), Some(Turn::End));
        assert_eq!(course.look(end, seen(1, 11, 0)), None);
        let figures = course.figures(OutageKind::Reset).unwrap();
        assert_eq!(figures.drained_after_seconds, None);
    }
}
