//! What the rules know of one drone.
//!
//! Some of it happens by itself once the partition's time has come to it: [`next_deadline`](DroneAlerts::next_deadline)
//! says when, and [`pass`](DroneAlerts::pass) does it. At one time, in this order:
//! - a temperature window closes although no newer event has come: the drone was not heard of, nor was it the
//!   window's time, for the lateness and `WINDOW_MARGIN`;
//! - a drone in flight has been [silent](super::silence) for too long;
//! - an open alert is told [again](super::reminder);
//! - the drone was not heard of for a day: what is open is closed.

use time::{Duration, UtcDateTime};

use super::alert::{ClosedBecause, Sighting, Transition};
use super::register::Register;
use super::rule::{Observation, Rules};
use super::silence::{SilenceDeadline, is_in_flight};
use super::window::Windows;
use crate::domain::identifier::{DeliveryId, DeviceId};
use crate::domain::telemetry::{EARLIEST, Position, Reading, Telemetry};

/// How much longer than the lateness a window waits for a drone that has fallen silent: events of one drone may
/// come a little late by the hub's clock, too.
const WINDOW_MARGIN: Duration = Duration::minutes(1);

/// How long the open alerts of a drone wait for it.
const GONE: Duration = Duration::hours(24);

/// One drone: a register for each rule that has measured something, the open temperature windows, and
/// where it was last. A few hundred bytes, however long it flies.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneAlerts {
    /// Windows that ended before have closed.
    pub(super) windows_closed_to: UtcDateTime,
    /// When the hub took the last of its events: decides when it is forgotten.
    pub(super) last_seen_at: UtcDateTime,
    /// The newest flight message.
    pub(super) flight: Option<LastFlight>,
    /// Set while it is in flight and heard of.
    pub(super) silence: Option<SilenceDeadline>,
    pub(super) windows: Windows,
    /// By the rule's place in the list.
    pub(super) registers: Vec<Register>,
}

/// What is kept of a flight message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastFlight {
    /// Its time, as [`judged_at`] has it.
    pub(super) at: UtcDateTime,
    /// Where the drone was.
    pub(super) position: Position,
    /// Whether it was on its way.
    pub(super) in_flight: bool,
}

/// An event's place in time.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When this hub took it: the partition's time.
    pub enqueued_at: UtcDateTime,
    /// When a hub took it for the first time.
    pub taken_at: UtcDateTime,
}

/// The time that a reading is judged by: the drone's own, which orders what comes late; or where its clock cannot be
/// right, [`EARLIEST`], or is behind by the limit of `clock-skew`, that of its first arrival. A function of the event
/// alone, so neither repetition nor another reader changes it.
pub fn judged_at(rules: &Rules, telemetry: &Telemetry, arrival: Arrival) -> UtcDateTime {
    let at = telemetry.occurred_at;
    let skewed = rules
        .clock_skew()
        .is_some_and(|(_, _, limit)| arrival.taken_at - at >= limit);
    if at < EARLIEST || skewed {
        arrival.taken_at
    } else {
        at
    }
}

impl DroneAlerts {
    /// A drone that is heard of for the first time, with an event that is judged by `at`.
    pub fn new(at: UtcDateTime, enqueued_at: UtcDateTime, lateness: Duration) -> Self {
        Self {
            windows_closed_to: at.saturating_sub(lateness),
            last_seen_at: enqueued_at,
            flight: None,
            silence: None,
            windows: Windows::default(),
            registers: Vec::new(),
        }
    }

    /// How many alerts are open.
    pub fn open_alerts(&self) -> usize {
        let registers = self.registers.iter();
        registers.filter(|register| register.open.is_some()).count()
    }

    /// Whether an alert is open.
    pub fn has_open_alert(&self) -> bool {
        self.registers
            .iter()
            .any(|register| register.open.is_some())
    }

    /// Takes one event; it must be of this drone. Tells what changes by `tell`, in order.
    ///
    /// An event that was taken before changes nothing.
    pub fn observe(
        &mut self,
        rules: &Rules,
        telemetry: &Telemetry,
        arrival: Arrival,
        mut tell: impl FnMut(Transition),
    ) {
        let now = arrival.enqueued_at;
        let at = judged_at(rules, telemetry, arrival);
        self.last_seen_at = self.last_seen_at.max(now);
        self.windows_closed_to = self
            .windows_closed_to
            .max(at.saturating_sub(rules.lateness));

        let (observation, position) = match telemetry.reading {
            Reading::Flight(flight) => {
                if self.flight.is_none_or(|newest| at >= newest.at) {
                    self.flight = Some(LastFlight {
                        at,
                        position: flight.position,
                        in_flight: is_in_flight(flight.status),
                    });
                }
                (Observation::Flight(flight), Some(flight.position))
            }
            Reading::Operating(operating) => {
                let late = super::window::end_of(at).is_none_or(|end| end < self.windows_closed_to);
                if !late {
                    // Without room it is left out, which the window's bounds say.
                    self.windows
                        .add(&telemetry.delivery_id, at, operating.temperature);
                }
                (Observation::Operating(operating), self.position())
            }
        };
        let sighting = |at, position| {
            move |value| Sighting {
                device_id: &telemetry.device_id,
                delivery_id: &telemetry.delivery_id,
                at,
                value,
                position,
            }
        };
        let judged = sighting(at, position);
        self.judge(rules, &observation, judged, now, &mut tell);
        self.judge_clock(rules, telemetry, arrival, sighting, &mut tell);
        self.hear(rules, telemetry, arrival, sighting, &mut tell);
        self.close_windows(rules, &telemetry.device_id, now, &mut tell);
    }

    /// When something happens by itself next, in the partition's time; `None` for a drone of which nothing is
    /// waited for.
    pub fn next_deadline(&self, rules: &Rules) -> Option<UtcDateTime> {
        let silence = self.silence.as_ref().map(|silence| silence.at);
        let mut next = [self.window_deadline(rules), silence]
            .into_iter()
            .flatten()
            .min();
        for open in self.registers.iter().filter_map(|rule| rule.open.as_ref()) {
            let gone = self.last_seen_at.saturating_add(GONE);
            let remind = rules
                .reminders
                .and_then(|reminders| open.remind_at(reminders));
            let due = remind.map_or(gone, |remind| remind.min(gone));
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        next
    }

    /// Does what is due at `now`, which is the [`next_deadline`](Self::next_deadline). Tells what changes by `tell`,
    /// in order.
    pub fn pass(
        &mut self,
        rules: &Rules,
        device_id: &DeviceId,
        now: UtcDateTime,
        mut tell: impl FnMut(Transition),
    ) {
        if self.window_deadline(rules).is_some_and(|due| due <= now) {
            let patience = rules.lateness.saturating_add(WINDOW_MARGIN);
            // No further than to the windows that there are: a clock that is slow may go on with the next.
            let over = self.windows.last_end(now.saturating_sub(patience));
            if let Some(end) = over {
                let after = end.saturating_add(Duration::NANOSECOND);
                self.windows_closed_to = self.windows_closed_to.max(after);
            }
            self.close_windows(rules, device_id, now, &mut tell);
        }
        if let Some(silence) = self.silence.take_if(|silence| silence.at <= now) {
            self.miss(rules, device_id, &silence, &mut tell);
        }
        if let Some(reminders) = rules.reminders {
            let silence = rules.silence().map(|(place, ..)| place);
            for (place, register) in self.registers.iter_mut().enumerate() {
                // What is told of silence is how long it lasts.
                let lasts =
                    (Some(place) == silence).then(|| (now - self.last_seen_at).as_seconds_f64());
                register.remind(reminders, now, lasts, &mut tell);
            }
        }
        if self.last_seen_at.saturating_add(GONE) <= now {
            self.close_all(ClosedBecause::DroneGone, now, tell);
        }
    }

    /// Closes every open alert.
    pub fn close_all(
        &mut self,
        because: ClosedBecause,
        now: UtcDateTime,
        mut tell: impl FnMut(Transition),
    ) {
        for register in &mut self.registers {
            register.close(because, now, &mut tell);
        }
    }

    fn window_deadline(&self, rules: &Rules) -> Option<UtcDateTime> {
        let end = self.windows.first_end()?;
        let patience = rules.lateness.saturating_add(WINDOW_MARGIN);
        Some(end.max(self.last_seen_at).saturating_add(patience))
    }

    fn position(&self) -> Option<Position> {
        self.flight.map(|flight| flight.position)
    }

    /// The register of the rule at a place.
    pub(super) fn register(&mut self, place: usize) -> &mut Register {
        if self.registers.len() <= place {
            self.registers.resize_with(place + 1, Register::default);
        }
        &mut self.registers[place]
    }

    fn has_open(&self, place: usize) -> bool {
        self.registers
            .get(place)
            .is_some_and(|register| register.open.is_some())
    }

    /// Shows an observation to every rule.
    fn judge<'a>(
        &mut self,
        rules: &Rules,
        observation: &Observation,
        seen: impl Fn(f64) -> Sighting<'a>,
        now: UtcDateTime,
        tell: &mut impl FnMut(Transition),
    ) {
        for (place, rule) in rules.iter().enumerate() {
            if let Some(value) = rule.measure(observation) {
                let register = self.register(place);
                register.judge(rule, &seen(value), now, &mut *tell);
            }
        }
    }

    /// Holds the drone's clock against the hub's, while it flies or is known to be wrong. Nothing is kept of a clock
    /// that is right.
    fn judge_clock<'a, S: Fn(f64) -> Sighting<'a>>(
        &mut self,
        rules: &Rules,
        telemetry: &Telemetry,
        arrival: Arrival,
        sighting: impl Fn(UtcDateTime, Option<Position>) -> S,
        tell: &mut impl FnMut(Transition),
    ) {
        let Some((place, rule, limit)) = rules.clock_skew() else {
            return;
        };
        let behind = arrival.taken_at - telemetry.occurred_at;
        let in_flight = self.flight.is_some_and(|flight| flight.in_flight);
        if !(self.has_open(place) || in_flight && behind >= limit) {
            return;
        }
        if let Some(value) = rule.measure(&Observation::ClockBehind(behind)) {
            let seen = sighting(arrival.taken_at, self.position())(value);
            let register = self.register(place);
            register.judge(rule, &seen, arrival.enqueued_at, tell);
        }
    }

    /// The drone is heard of: its silence ends, and is waited for anew.
    fn hear<'a, S: Fn(f64) -> Sighting<'a>>(
        &mut self,
        rules: &Rules,
        telemetry: &Telemetry,
        arrival: Arrival,
        sighting: impl Fn(UtcDateTime, Option<Position>) -> S,
        tell: &mut impl FnMut(Transition),
    ) {
        let Some((place, rule, limit)) = rules.silence() else {
            return;
        };
        let (heard_at, now) = (arrival.taken_at, arrival.enqueued_at);
        if self.flight.is_none_or(|flight| !flight.in_flight) {
            self.silence = None;
        } else if let Some(next) =
            SilenceDeadline::after(heard_at, now, limit, &telemetry.delivery_id)
            && self.silence.as_ref().is_none_or(|set| set.at <= next.at)
        {
            self.silence = Some(next);
        }
        if self.has_open(place)
            && let Some(value) = rule.measure(&Observation::Silence(Duration::ZERO))
        {
            let seen = sighting(heard_at, self.position())(value);
            self.register(place).judge(rule, &seen, now, tell);
        }
    }

    /// The drone was not heard of.
    fn miss(
        &mut self,
        rules: &Rules,
        device_id: &DeviceId,
        silence: &SilenceDeadline,
        tell: &mut impl FnMut(Transition),
    ) {
        let Some((place, rule, limit)) = rules.silence() else {
            return;
        };
        let Some(value) = rule.measure(&Observation::Silence(limit)) else {
            return;
        };
        let seen = Sighting {
            device_id,
            delivery_id: &silence.delivery_id,
            at: silence.at,
            value,
            position: self.position(),
        };
        self.register(place).judge(rule, &seen, silence.at, tell);
    }

    /// Closes the windows that ended before [`windows_closed_to`](Self::windows_closed_to), and judges them.
    fn close_windows(
        &mut self,
        rules: &Rules,
        device_id: &DeviceId,
        now: UtcDateTime,
        tell: &mut impl FnMut(Transition),
    ) {
        let before = self.windows_closed_to;
        if self.windows.first_end().is_none_or(|end| end >= before) {
            return;
        }
        let position = self.position();
        let closed: Vec<_> = self.windows.close_before(before).collect();
        for window in closed {
            let delivery_id: &DeliveryId = &window.delivery_id;
            let seen = |value| Sighting {
                device_id,
                delivery_id,
                at: window.end,
                value,
                position,
            };
            let observation = Observation::AverageTemperature(window.average);
            self.judge(rules, &observation, seen, now, tell);
        }
    }
}
