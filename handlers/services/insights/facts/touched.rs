//! What a unit touches, and what is wanted for it.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::domain::insights::drone_hour::MARGIN;
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::names::Name;
use crate::domain::insights::reading::{Head, Readings, is_stale};
use crate::tables::read::owners;
use crate::tables::{Sources, Table, TableError};

/// What a unit has readings of now, or had when it was made before.
pub(in crate::services::insights) struct Touched {
    pub(super) hour: Hour,
    /// Ids, and no rows.
    pub(super) names: Readings,
    pub(super) deliveries: HashMap<(Name, Name), TouchedDelivery>,
    /// Whether it has some now.
    pub(super) hours: HashMap<(Name, Hour), bool>,
}

/// A delivery that a unit has readings of, or had.
#[derive(Default)]
pub(super) struct TouchedDelivery {
    /// Whether it has some now.
    pub(super) has_some: bool,
    /// On which days these were enqueued, the first time; nearly always one.
    pub(super) days: Vec<Day>,
}

impl TouchedDelivery {
    fn on(&mut self, day: Day) {
        if self.days.last() != Some(&day) && !self.days.contains(&day) {
            self.days.push(day);
        }
    }
}

impl Touched {
    pub(in crate::services::insights) fn by(hour: Hour, readings: Readings) -> Self {
        let mut deliveries: HashMap<_, TouchedDelivery> = HashMap::new();
        let mut hours = HashMap::new();
        let flights = readings.flights.iter().map(|reading| &reading.head);
        let operating = readings.operating.iter().map(|reading| &reading.head);
        for head in flights.chain(operating).filter(|head| !head.is_stale()) {
            let delivery = deliveries.entry((head.device, head.delivery)).or_default();
            delivery.has_some = true;
            delivery.on(day_of(head.enqueued_at));
            hours.insert((head.device, Hour::of_micros(head.occurred_at)), true);
        }
        let names = Readings {
            devices: readings.devices,
            deliveries: readings.deliveries,
            ..Readings::default()
        };
        Self {
            hour,
            names,
            deliveries,
            hours,
        }
    }

    /// Adds what an earlier version of the unit's rows had.
    pub(in crate::services::insights) fn by_earlier(
        &mut self,
        table: Table,
        rows: Bytes,
    ) -> Result<(), TableError> {
        owners(table, rows, |device, delivery, occurred_at, enqueued_at| {
            if is_stale(occurred_at, enqueued_at, self.hour) {
                return;
            }
            let device = self.names.devices.number(device);
            let delivery = self.names.deliveries.number(delivery);
            let delivery = self.deliveries.entry((device, delivery)).or_default();
            delivery.on(day_of(enqueued_at));
            self.hours
                .entry((device, Hour::of_micros(occurred_at)))
                .or_insert(false);
        })
    }
}

/// The day of a time in microseconds since 1970.
pub(super) fn day_of(micros: i64) -> Day {
    Day(Hour::of_micros(micros).date())
}

/// What facts are to be made from.
#[derive(Default)]
pub(super) struct Wanted {
    /// The folders of each delivery.
    pub(super) deliveries: HashMap<(Name, Name), Sources>,
    /// The folders of each drone's hour, those of the hours before among them.
    pub(super) hours: HashMap<(Name, Hour), Sources>,
    /// Which of these are to be made.
    pub(super) made: BTreeSet<(Name, Hour)>,
}

impl Wanted {
    pub(super) fn folders(&self) -> BTreeSet<Hour> {
        let sources = self.deliveries.values().chain(self.hours.values());
        sources.flat_map(Sources::iter).collect()
    }

    /// Whether a reading is wanted for its delivery or for its drone's hour.
    pub(super) fn has(&self, head: &Head) -> bool {
        !head.is_stale() && (self.for_delivery(head) || self.for_hour(head))
    }

    /// Whether a reading is of a wanted delivery, and of one of the folders that this is made from.
    pub(super) fn for_delivery(&self, head: &Head) -> bool {
        let sources = self.deliveries.get(&(head.device, head.delivery));
        sources.is_some_and(|sources| sources.contains(head.folder))
    }

    /// Whether a reading is of a wanted hour or just before one, and of one of the folders that this is made from.
    pub(super) fn for_hour(&self, head: &Head) -> bool {
        let hour = Hour::of_micros(head.occurred_at);
        let next = Hour::of_micros(head.occurred_at.saturating_add(MARGIN));
        let sources = self.hours.get(&(head.device, hour));
        let is_made = |hour| self.made.contains(&(head.device, hour));
        sources.is_some_and(|sources| sources.contains(head.folder))
            && (is_made(hour) || is_made(next))
    }
}
