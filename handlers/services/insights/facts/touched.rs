//! What a unit touches, and what is wanted for it.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::domain::insights::drone_hour::MARGIN;
use crate::domain::insights::hour::Hour;
use crate::domain::insights::names::Name;
use crate::domain::insights::reading::{Head, LATEST, Readings};
use crate::tables::read::owners;
use crate::tables::{Sources, Table, TableError};

/// What a unit has readings of now, or had when it was made before.
pub(in crate::services::insights) struct Touched {
    pub(super) hour: Hour,
    /// Ids, and no rows.
    pub(super) names: Readings,
    /// Whether it has some now.
    pub(super) deliveries: HashMap<(Name, Name), bool>,
    /// Whether it has some now.
    pub(super) hours: HashMap<(Name, Hour), bool>,
}

impl Touched {
    pub(in crate::services::insights) fn by(hour: Hour, readings: Readings) -> Self {
        let (mut deliveries, mut hours) = (HashMap::new(), HashMap::new());
        let flights = readings.flights.iter().map(|reading| &reading.head);
        let operating = readings.operating.iter().map(|reading| &reading.head);
        for head in flights.chain(operating).filter(|head| !head.is_stale()) {
            deliveries.insert((head.device, head.delivery), true);
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
            if enqueued_at.saturating_sub(occurred_at) > LATEST {
                return;
            }
            let device = self.names.devices.number(device);
            let delivery = self.names.deliveries.number(delivery);
            self.deliveries.entry((device, delivery)).or_insert(false);
            self.hours
                .entry((device, Hour::of_micros(occurred_at)))
                .or_insert(false);
        })
    }
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

    /// The delivery that a reading of a folder is wanted for; `None` where it is not wanted.
    pub(super) fn delivery(&self, head: &Head, folder: Hour, no_delivery: Name) -> Option<Name> {
        if head.is_stale() {
            return None;
        }
        let of_delivery = self.deliveries.get(&(head.device, head.delivery));
        if of_delivery.is_some_and(|sources| sources.contains(folder)) {
            return Some(head.delivery);
        }
        let hour = Hour::of_micros(head.occurred_at);
        let of_hour = self.hours.get(&(head.device, hour));
        let next = Hour::of_micros(head.occurred_at.saturating_add(MARGIN));
        let is_made = |hour| self.made.contains(&(head.device, hour));
        let wanted = of_hour.is_some_and(|sources| sources.contains(folder))
            && (is_made(hour) || is_made(next));
        wanted.then_some(no_delivery)
    }
}
