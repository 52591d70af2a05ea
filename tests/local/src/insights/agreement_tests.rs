//! That what was flown agrees, and that nothing else does.

#![allow(clippy::unwrap_used)]

use drone_delivery::domain::insights::hour::Hour;
use drone_delivery::domain::insights::reading::{
    FlightReading, Head, OperatingReading, Readings, micros,
};
use drone_delivery::domain::{EventContext, Intake, Reading, parse};
use drone_delivery::tables::Sources;
use simulator::{Fleet, Plan, Scenario, SimulatedEvent};
use time::macros::utc_datetime;

use super::*;

const START: UtcDateTime = utc_datetime!(2026-11-29 12:00:00.3);

/// Flies, and makes rows of what was reported.
fn flown(scenario: Scenario, minutes: i64) -> (Flown, Vec<DeliveryRow>) {
    let plan = Plan {
        scenario,
        ..Plan::new(25, 3)
    };
    let mut fleet = Fleet::new(&plan).recorded();
    let until = START + time::Duration::minutes(minutes);
    // Second by second, because what occurs in the future of its arrival is refused.
    let mut events = Vec::new();
    for second in 0..=minutes * 60 {
        let now = START + time::Duration::seconds(second);
        events.extend(fleet.due(now).map(|event| (now, event)));
    }
    let flown = Flown {
        record: fleet.take_record(),
        heard: Span { from: START, until },
        flight_every: Duration::from_secs(5),
        status_every: Duration::from_secs(20),
    };
    (flown, rows(&events))
}

fn rows(events: &[(UtcDateTime, SimulatedEvent)]) -> Vec<DeliveryRow> {
    let mut all: BTreeMap<(String, String), Readings> = BTreeMap::new();
    for (sequence_number, (now, event)) in (0..).zip(events) {
        let context = EventContext {
            authenticated_device: Some(&event.device_id),
            intake: Intake::default(),
            enqueued_at: *now,
        };
        let Ok(telemetry) = parse(&event.body, &context) else {
            continue;
        };
        let (device, delivery) = (telemetry.device_id.as_str(), telemetry.delivery_id.as_str());
        let readings = all
            .entry((device.to_owned(), delivery.to_owned()))
            .or_default();
        let head = Head {
            device: readings.devices.number(device),
            delivery: readings.deliveries.number(delivery),
            occurred_at: micros(telemetry.occurred_at),
            enqueued_at: micros(*now),
            sequence_number,
            replayed: false,
            folder: Hour::of(START),
        };
        match &telemetry.reading {
            Reading::Flight(flight) => readings.flights.push(FlightReading::new(head, flight)),
            Reading::Operating(operating) => {
                readings
                    .operating
                    .push(OperatingReading::new(head, operating));
            }
        }
    }
    let row = |((device, delivery), mut readings): ((String, String), Readings)| {
        readings.settle();
        let mut sources = Sources::default();
        sources.set(Hour::of(START), true);
        Some(DeliveryRow {
            device: device.into(),
            delivery: delivery.into(),
            facts: DeliveryFacts::of(&readings.flights, &readings.operating)?,
            sources,
            complete: true,
        })
    };
    all.into_iter().filter_map(row).collect()
}

#[test]
fn what_was_flown_agrees_whatever_goes_wrong_on_the_way() {
    for scenario in [
        Scenario::CALM,
        Scenario::MIXED,
        Scenario::named("lost").unwrap(),
    ] {
        let (flown, rows) = flown(scenario, 90);
        let agreement = compare(&flown, &rows);
        assert_eq!(agreement.faults, Vec::<String>::new());
        assert!(
            agreement.of > 100 && agreement.agree == agreement.of,
            "{agreement}"
        );
    }
    // Too short for any of them to be whole.
    let (flown, rows) = flown(Scenario::CALM, 2);
    let agreement = compare(&flown, &rows);
    assert_eq!((agreement.agree, agreement.faults), (agreement.of, vec![]));
}

#[test]
fn what_was_not_flown_so_does_not() {
    let (flown, rows) = flown(Scenario::CALM, 60);
    let whole = |row: &DeliveryRow| {
        let facts = &row.facts;
        facts
            .departed
            .is_some_and(|seen| seen.gap_s.is_none() && seen.at > micros(START) + 60_000_000)
            && facts.arrived.is_some()
    };
    let chosen = rows.iter().position(whole).unwrap();
    let wrong = |change: &dyn Fn(&mut Vec<DeliveryRow>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        let agreement = compare(&flown, &rows);
        assert_eq!(agreement.faults.len(), 1, "{:?}", agreement.faults);
        assert_eq!(agreement.agree + 1, agreement.of);
        agreement.faults[0].clone()
    };
    let of_one =
        |change: &dyn Fn(&mut DeliveryFacts)| wrong(&|rows| change(&mut rows[chosen].facts));
    let shifted = |seen: &mut Option<Seen>, seconds: i64| {
        seen.as_mut().unwrap().at += seconds * 1_000_000;
    };
    let said = [
        (of_one(&|facts| shifted(&mut facts.picked_up, 7)), "pick-up"),
        (
            of_one(&|facts| shifted(&mut facts.dropped_off, -7)),
            "drop-off",
        ),
        (of_one(&|facts| shifted(&mut facts.arrived, 60)), "arrival"),
        (of_one(&|facts| facts.picked_up = None), "has no pick-up"),
        (
            of_one(&|facts| facts.outcome = Outcome::Inferred),
            "ended as inferred",
        ),
        (of_one(&|facts| facts.distance_m *= 1.05), " m, not "),
        (of_one(&|facts| facts.distance_m *= 0.95), " m, not "),
        (
            of_one(&|facts| *facts.battery_used.as_mut().unwrap() += 0.02),
            "has used",
        ),
        (
            of_one(&|facts| *facts.battery_used.as_mut().unwrap() -= 0.09),
            "has used",
        ),
        (wrong(&|rows| _ = rows.remove(chosen)), "is missing"),
        (wrong(&|rows| rows.push(rows[chosen].clone())), "has 2 rows"),
        (
            wrong(&|rows| {
                let mut row = rows[chosen].clone();
                row.delivery = "another".into();
                rows.push(row);
            }),
            "is in no record",
        ),
    ];
    for (said, expected) in said {
        assert!(said.contains(expected), "{said}");
    }
    // Somebody else's drone is not the simulator's business.
    let mut more = rows.clone();
    more.push(DeliveryRow {
        device: "by-hand".into(),
        ..rows[chosen].clone()
    });
    assert!(compare(&flown, &more).faults.is_empty());
}
