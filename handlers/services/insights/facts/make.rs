//! Makes facts from rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use super::touched::{Wanted, day_of};
use crate::domain::insights::delivery::DeliveryFacts;
use crate::domain::insights::drone_hour::{DroneHourFacts, MARGIN};
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::names::Name;
use crate::domain::insights::reading::{
    FlightReading, OperatingReading, Reading, Readings, by_time, settle,
};

/// What was made.
pub(super) struct Facts {
    /// And on which day the first of its readings was enqueued.
    pub(super) deliveries: HashMap<(Name, Name), (DeliveryFacts, Day)>,
    pub(super) hours: HashMap<(Name, Hour), DroneHourFacts>,
}

/// Makes the wanted facts. Takes the processor.
pub(super) fn make(mut readings: Readings, wanted: &Wanted) -> (Readings, Facts) {
    by_time(&mut readings.flights);
    by_time(&mut readings.operating);
    let (flights, operating) = (
        mem::take(&mut readings.flights),
        mem::take(&mut readings.operating),
    );
    let mut facts = Facts {
        deliveries: HashMap::new(),
        hours: HashMap::new(),
    };
    let mut made: BTreeMap<Name, Vec<Hour>> = BTreeMap::new();
    for (device, hour) in &wanted.made {
        made.entry(*device).or_default().push(*hour);
    }
    let of_device = |device: Name| {
        let flights = slice_of(&flights, device, |reading: &FlightReading| {
            reading.head.device
        });
        let operating = slice_of(&operating, device, |reading: &OperatingReading| {
            reading.head.device
        });
        (flights, operating)
    };
    for (device, hours) in made {
        let (flights, operating) = of_device(device);
        // Of equal readings one stays in each fact, and only of those that it is made from.
        let flights = &settled(
            flights
                .iter()
                .filter(|reading| wanted.for_hour(&reading.head)),
        );
        let operating = &settled(
            operating
                .iter()
                .filter(|reading| wanted.for_hour(&reading.head)),
        );
        for hour in hours {
            let from = hour.begin() - MARGIN;
            let flights = within(flights, from, hour.end(), |reading| {
                reading.head.occurred_at
            });
            let operating = within(operating, from, hour.end(), |reading| {
                reading.head.occurred_at
            });
            if let Some(made) = DroneHourFacts::of(hour, flights, operating) {
                facts.hours.insert((device, hour), made);
            }
        }
    }
    let devices: BTreeSet<Name> = wanted
        .deliveries
        .keys()
        .map(|(device, _)| *device)
        .collect();
    for device in devices {
        let mut by_delivery: HashMap<Name, (Vec<FlightReading>, Vec<OperatingReading>)> =
            HashMap::new();
        let (flights, operating) = of_device(device);
        for reading in flights
            .iter()
            .filter(|reading| wanted.for_delivery(&reading.head))
        {
            by_delivery
                .entry(reading.head.delivery)
                .or_default()
                .0
                .push(*reading);
        }
        for reading in operating
            .iter()
            .filter(|reading| wanted.for_delivery(&reading.head))
        {
            by_delivery
                .entry(reading.head.delivery)
                .or_default()
                .1
                .push(*reading);
        }
        for (delivery, (flights, operating)) in by_delivery {
            let (flights, operating) = (settled(&flights), settled(&operating));
            let heads = flights.iter().map(|reading| &reading.head);
            let heads = heads.chain(operating.iter().map(|reading| &reading.head));
            let first = heads.map(|head| head.enqueued_at).min();
            if let Some((made, first)) = DeliveryFacts::of(&flights, &operating).zip(first) {
                facts
                    .deliveries
                    .insert((device, delivery), (made, day_of(first)));
            }
        }
    }
    (readings, facts)
}

/// Rows in the order in which facts take them, one of equal ones.
fn settled<'a, R: Reading + 'a>(rows: impl IntoIterator<Item = &'a R>) -> Vec<R> {
    let mut rows: Vec<R> = rows.into_iter().copied().collect();
    settle(&mut rows);
    by_time(&mut rows);
    rows
}

/// The rows of a device, of rows in the order of devices.
fn slice_of<R>(rows: &[R], device: Name, of: impl Fn(&R) -> Name) -> &[R] {
    let begin = rows.partition_point(|row| of(row) < device);
    let end = begin + rows[begin..].partition_point(|row| of(row) == device);
    &rows[begin..end]
}

/// The rows of a time, of rows in the order of times.
fn within<R>(rows: &[R], from: i64, to: i64, at: impl Fn(&R) -> i64) -> &[R] {
    let begin = rows.partition_point(|row| at(row) < from);
    let end = begin + rows[begin..].partition_point(|row| at(row) < to);
    &rows[begin..end]
}
