//! The last ten minutes, second by second, of what the page draws.
//!
//! What a counter has gained between two reports is spread over the seconds between them, so that a rate does not
//! depend on how often is reported, and does not jump where two reports fall into one second.

use std::collections::BTreeMap;

/// How long it is, in seconds.
pub(super) const SECONDS: usize = 600;

/// Further lines are left out.
const MOST_LINES: usize = 128;

/// What a line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Calls of a function.
    Calls,
    /// Events that a function was called with.
    Events,
    /// The largest lag of a function's partitions, in seconds.
    Lag,
    /// Request units of Cosmos DB.
    RequestUnits,
    /// Requests that Cosmos DB has answered with 429.
    Throttled,
    /// Dead letters.
    DeadLetters,
}

/// A line: its kind, and of which function where it is one's.
pub(super) type Line = (Kind, String);

/// The lines.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: BTreeMap<Line, Ring>,
    /// Up to where it goes, as a Unix time in seconds.
    until: u64,
}

/// One value a second; the slot of a second is its remainder.
#[derive(Debug)]
struct Ring {
    values: Vec<f64>,
    newest: u64,
}

impl History {
    /// Spreads what was gained between two times, in nanoseconds of Unix time.
    pub(super) fn spread(&mut self, line: Line, from: u64, to: u64, gained: f64) {
        let second = to / 1_000_000_000;
        self.until = self.until.max(second);
        let Some(ring) = self.ring(line, second) else {
            return;
        };
        // A report of a process that has been silent for long, or that has just begun, and whose clock is any.
        let longest = (SECONDS as u64 - 1) * 1_000_000_000;
        let from = from.clamp(to.saturating_sub(longest), to);
        let span = to - from;
        if span == 0 {
            ring.add(second, gained);
            return;
        }
        let mut at = from;
        while at < to {
            let second = at / 1_000_000_000;
            let end = ((second + 1) * 1_000_000_000).min(to);
            ring.add(second, gained * (end - at) as f64 / span as f64);
            at = end;
        }
    }

    /// The largest value of a second, and of those that follow until there is another.
    pub(super) fn raise(&mut self, line: Line, at: u64, value: f64) {
        let second = at / 1_000_000_000;
        self.until = self.until.max(second);
        if let Some(ring) = self.ring(line, second) {
            ring.raise(second, value);
        }
    }

    /// The last complete second.
    pub(super) fn until(&self) -> u64 {
        self.until.saturating_sub(1)
    }

    /// The average of the last seconds that are complete.
    pub(super) fn rate(&self, line: &Line, seconds: u64) -> f64 {
        let Some(ring) = self.lines.get(line) else {
            return 0.0;
        };
        let until = self.until();
        let sum: f64 = (0..seconds)
            .map(|back| ring.at(until.saturating_sub(back)))
            .sum();
        sum / seconds as f64
    }

    /// All of them, the oldest first.
    pub(super) fn values(&self, line: &Line) -> Vec<f64> {
        let until = self.until();
        let ring = self.lines.get(line);
        (0..SECONDS as u64 - 1)
            .rev()
            .map(|back| ring.map_or(0.0, |ring| ring.at(until.saturating_sub(back))))
            .collect()
    }

    fn ring(&mut self, line: Line, second: u64) -> Option<&mut Ring> {
        if !self.lines.contains_key(&line) && self.lines.len() >= MOST_LINES {
            return None;
        }
        let ring = self.lines.entry(line).or_insert_with(|| Ring {
            values: vec![0.0; SECONDS],
            newest: second,
        });
        ring.advance(second);
        Some(ring)
    }
}

impl Ring {
    fn slot(second: u64) -> usize {
        (second % SECONDS as u64) as usize
    }

    fn advance(&mut self, second: u64) {
        let gone = second.saturating_sub(self.newest).min(SECONDS as u64);
        for passed in 0..gone {
            self.values[Self::slot(second - passed)] = 0.0;
        }
        self.newest = self.newest.max(second);
    }

    fn holds(&self, second: u64) -> bool {
        second <= self.newest && self.newest - second < SECONDS as u64
    }

    fn add(&mut self, second: u64, value: f64) {
        if self.holds(second) {
            self.values[Self::slot(second)] += value;
        }
    }

    fn raise(&mut self, second: u64, value: f64) {
        if self.holds(second) {
            let known = &mut self.values[Self::slot(second)];
            *known = known.max(value);
        }
    }

    fn at(&self, second: u64) -> f64 {
        match self.holds(second) {
            true => self.values[Self::slot(second)],
            false => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn line() -> Line {
        (Kind::Calls, "Fly".to_owned())
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn what_was_gained_is_spread_over_the_time_it_took() {
        let mut history = History::default();
        let start = 1_000_000 * SECOND;
        // As exporters do: not quite on the second.
        history.spread(line(), start + SECOND / 2, start + SECOND * 5 / 2, 20.0);
        history.spread(line(), start + SECOND * 5 / 2, start + SECOND * 9 / 2, 20.0);
        let values = history.values(&line());
        let last = &values[values.len() - 4..];
        for (value, expected) in last.iter().zip([5.0, 10.0, 10.0, 10.0]) {
            assert!(near(*value, expected), "{last:?}");
        }
        assert!(near(history.rate(&line(), 3), 10.0));
        assert!(near(history.rate(&(Kind::Calls, "Other".into()), 3), 0.0));
    }

    #[test]
    fn what_is_older_than_ten_minutes_is_gone() {
        let mut history = History::default();
        let start = 1_000_000 * SECOND;
        history.spread(line(), start, start + SECOND, 7.0);
        history.spread(line(), start + 700 * SECOND, start + 701 * SECOND, 1.0);
        let sum: f64 = history.values(&line()).iter().sum();
        assert!(near(sum, 1.0), "{sum}");
        // A clock that goes back, or a report from before: neither panics nor shows.
        history.spread(line(), 0, SECOND, 5.0);
        history.spread(line(), 2 * SECOND, SECOND, 5.0);
        let sum: f64 = history.values(&line()).iter().sum();
        assert!(near(sum, 1.0), "{sum}");
    }

    #[test]
    fn lines_are_bounded() {
        let mut history = History::default();
        for number in 0..MOST_LINES + 10 {
            history.raise((Kind::Lag, number.to_string()), 5 * SECOND, 1.0);
        }
        assert_eq!(history.lines.len(), MOST_LINES);
    }
}
