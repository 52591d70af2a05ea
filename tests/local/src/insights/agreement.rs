//! Deliveries as the tables have them, against the simulator's own record of what the drones did.
//!
//! What differs and may: of a delivery that was under way when the first event was sent or the last one, only what lies
//! between is in the tables; of a drone that was silent, only what lies before and after. Times can be a second early,
//! because half of the drones send whole seconds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use drone_delivery::domain::insights::delivery::{DeliveryFacts, Outcome, Seen};
use drone_delivery::tables::deliveries::DeliveryRow;
use serde::Serialize;
use simulator::{Delivery, Span};
use time::UtcDateTime;

/// What was sent, as the simulator knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Flown {
    /// All deliveries that were under way at some time.
    pub record: Vec<Delivery>,
    /// From the first event to the last.
    pub heard: Span,
    /// How often each drone reports its flight, at least.
    pub flight_every: Duration,
    /// And its battery.
    pub status_every: Duration,
}

impl Flown {
    /// The article's cadence.
    pub const FLIGHT_EVERY: Duration = Duration::from_secs(5);
    /// And that of the battery.
    pub const STATUS_EVERY: Duration = Duration::from_secs(20);

    /// How often each of so many drones reports its flight and its battery at least, where they report so many events a second
    /// in turn; without a number by the article's cadence.
    #[must_use]
    pub fn cadence(drones: u32, rate: Option<f64>) -> (Duration, Duration) {
        let Some(rate) = rate else {
            return (Self::FLIGHT_EVERY, Self::STATUS_EVERY);
        };
        let every = f64::from(drones) / rate;
        // One report in five is of the battery: of two in a row one at least is of the flight.
        (
            Duration::from_secs_f64(2.0 * every),
            Duration::from_secs_f64(5.0 * every),
        )
    }
}

/// How many deliveries are as the record has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Those that are.
    pub agree: u64,
    /// All that were compared.
    pub of: u64,
    /// What is wrong with the others, a sentence each.
    pub faults: Vec<String>,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agree, of, .. } = self;
        write!(
            f,
            "deliveries agree with the simulator's record: {agree} of {of}"
        )
    }
}

/// So many reports in a row that each is lost or still on its way are as good as impossible.
const SURE: u32 = 4;

/// By how much a time can be too early: half of the drones send whole seconds.
const EARLY: time::Duration = time::Duration::SECOND;

/// Times are compared to a millisecond: the record has fractions of a tick.
const TOLERANCE: time::Duration = time::Duration::MILLISECOND;

/// Meters, and a share, by which a distance may be another: positions have six decimals, and the earth is a sphere here and there.
const METERS: f64 = 20.0;
const SHARE: f64 = 0.01;

/// A level is rounded to hundredths, twice.
const LEVEL: f64 = 0.0101;

/// Where drones report less often than this, they cut corners.
const OFTEN: Duration = Duration::from_secs(10);

/// Compares rows with what was flown. Rows of other drones than those of the record are somebody else's.
#[must_use]
pub fn compare(flown: &Flown, rows: &[DeliveryRow]) -> Agreement {
    let mut found: HashMap<(&str, &str), Vec<&DeliveryRow>> = HashMap::new();
    for row in rows {
        let key = (&*row.device, &*row.delivery);
        found.entry(key).or_default().push(row);
    }
    let devices: HashSet<&str> = flown.record.iter().map(|it| &*it.device_id).collect();
    let mut agreement = Agreement::default();
    for delivery in &flown.record {
        let key = (&*delivery.device_id, &*delivery.delivery_id);
        let wrong = match found.remove(&key).as_deref() {
            None if !flown.surely_heard(delivery, delivery.whole()) => continue,
            None => vec!["is missing".to_owned()],
            Some([row]) => flown.differences(delivery, &row.facts),
            Some(rows) => vec![format!("has {} rows", rows.len())],
        };
        agreement.of += 1;
        match wrong.is_empty() {
            true => agreement.agree += 1,
            false => agreement.faults.push(format!(
                "delivery {} of {} {}",
                delivery.delivery_id,
                delivery.device_id,
                wrong.join(", ")
            )),
        }
    }
    let unknown: BTreeMap<_, _> = found
        .keys()
        .filter(|(device, _)| devices.contains(device))
        .map(|(device, delivery)| (device, delivery))
        .collect();
    for (device, delivery) in unknown {
        agreement.of += 1;
        agreement
            .faults
            .push(format!("delivery {delivery} of {device} is in no record"));
    }
    agreement
}

impl Agreement {
    /// Both together, of fleets that have no drone in common.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.agree += other.agree;
        self.of += other.of;
        self.faults.extend(other.faults);
        self
    }
}

impl Flown {
    /// Whether a drone cannot have been overheard for all of a time.
    fn surely_heard(&self, delivery: &Delivery, span: Span) -> bool {
        let from = span.from.max(self.heard.from);
        let until = span.until.min(self.heard.until);
        let long_enough =
            |from: UtcDateTime, until: UtcDateTime| until - from >= self.flight_every * SURE;
        match delivery.silent {
            None => long_enough(from, until),
            Some(silent) => {
                long_enough(from, until.min(silent.from))
                    || long_enough(from.max(silent.until), until)
            }
        }
    }

    /// Whether anything of a time can have been heard. A drone's first report always is.
    fn maybe_heard(&self, span: Span) -> bool {
        span.from < self.heard.until && self.heard.from < span.until
    }

    /// What is otherwise than the record has it.
    fn differences(&self, delivery: &Delivery, facts: &DeliveryFacts) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, span, seen) in [
            ("departure", delivery.departed, facts.departed),
            ("pick-up", delivery.picked_up, facts.picked_up),
            ("drop-off", delivery.dropped_off, facts.dropped_off),
            ("arrival", delivery.arrived, facts.arrived),
        ] {
            match seen {
                None if self.surely_heard(delivery, span) => {
                    wrong.push(format!("has no {name}, which was at {}", span.from));
                }
                None => {}
                Some(_) if !self.maybe_heard(span) => {
                    wrong.push(format!("has a {name} that nobody can have heard of"));
                }
                Some(seen) => wrong.extend(
                    time_difference(span, seen)
                        .map(|difference| format!("has a {name} {difference}")),
                ),
            }
        }
        let expected = self.outcome(delivery);
        if expected.is_some_and(|expected| expected != facts.outcome) {
            wrong.push(format!("ended as {}", facts.outcome.name()));
        }
        wrong.extend(self.distance_difference(delivery, facts));
        wrong.extend(self.battery_difference(delivery, facts));
        wrong
    }

    /// How it must have ended; `None` where that depends on single reports.
    fn outcome(&self, delivery: &Delivery) -> Option<Outcome> {
        let heard = |span| match (self.surely_heard(delivery, span), self.maybe_heard(span)) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        };
        let dropped_off = heard(delivery.dropped_off)?;
        Some(
            match (
                heard(delivery.picked_up)?,
                dropped_off,
                heard(delivery.arrived)?,
            ) {
                (_, true, _) => Outcome::Delivered,
                (true, false, true) => Outcome::Inferred,
                (false, false, true) => Outcome::Returned,
                (_, false, false) => Outcome::Open,
            },
        )
    }

    /// Whether all of the flight was heard of.
    fn is_whole(&self, delivery: &Delivery, facts: &DeliveryFacts) -> bool {
        self.heard.from <= delivery.departed.from
            && delivery.silent.is_none()
            && facts.arrived.is_some()
            && facts.departed.is_some()
    }

    fn distance_difference(&self, delivery: &Delivery, facts: &DeliveryFacts) -> Option<String> {
        let measured = facts.distance_m + facts.chord_m;
        let allowed = METERS + SHARE * delivery.distance_m;
        let is_dense = self.flight_every <= OFTEN
            && (facts.max_gap_s).is_some_and(|gap| gap <= 3.0 * self.flight_every.as_secs_f64());
        let too_short = is_dense
            && self.is_whole(delivery, facts)
            && facts.jumps == 0
            && measured < delivery.distance_m - allowed;
        (too_short || measured > delivery.distance_m + allowed)
            .then(|| format!("is {measured:.0} m, not {:.0} m", delivery.distance_m))
    }

    fn battery_difference(&self, delivery: &Delivery, facts: &DeliveryFacts) -> Option<String> {
        let measured = facts.battery_used?;
        let seconds = (delivery.arrived.until.min(self.heard.until) - delivery.departed.from)
            .as_seconds_f64();
        let every = self.status_every.as_secs_f64();
        let missing = (seconds / every).floor() - facts.operating_readings as f64;
        // What went before the first reading and after the last, and what was charged already when the arrival was seen.
        let unseen = delivery.battery_a_second * every * (2.0 + missing.max(0.0))
            + delivery.charge_a_second * facts.arrived?.gap_s.unwrap_or(0.0);
        let too_little =
            self.is_whole(delivery, facts) && measured < delivery.battery_used - LEVEL - unseen;
        (too_little || measured > delivery.battery_used + LEVEL)
            .then(|| format!("has used {measured:.3}, not {:.3}", delivery.battery_used))
    }
}

/// What is wrong with a transition's time: it must lie in [the true one, the true one + the silence before it].
fn time_difference(span: Span, seen: Seen) -> Option<String> {
    let at = UtcDateTime::from_unix_timestamp_nanos(i128::from(seen.at) * 1_000).ok()?;
    let latest = match seen.gap_s {
        Some(gap) => span.until.min(span.from + time::Duration::seconds_f64(gap)),
        None => span.until,
    };
    if at < span.from - EARLY - TOLERANCE {
        Some(format!("at {at}, before it was, at {}", span.from))
    } else if at > latest + TOLERANCE {
        Some(format!("at {at}, too long after it was, at {}", span.from))
    } else {
        None
    }
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
