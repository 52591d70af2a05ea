use uuid::Uuid;

use super::*;

/// A metric, attributes and a value.
type Series<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

const SECOND: u64 = 1_000_000_000;
const PROCESS: Uuid = Uuid::from_u128(7);

/// 100 events, 2 of them ticks: 90 applied, 8 dead-lettered, all archived and judged.
fn stored() -> Stored {
    Stored {
        events: 100,
        applied: 90,
        archived: 100,
        dead_letters: [("out-of-range".to_owned(), 5), ("not-json".to_owned(), 3)].into(),
        alerts: Some((4, 2)),
    }
}

fn ledger(answered: &[(u64, u64)]) -> Ledger {
    let ledger = Ledger::default();
    for function in [STATE, ARCHIVE, ALERTING] {
        for (at, events) in answered {
            ledger.called(function, *events);
            ledger.answered(PROCESS, function, *events, at * SECOND);
        }
    }
    ledger
}

/// Metrics in which everything is as it has to be, but for those that are given.
fn reading(heard: u64, others: &[Series<'_>]) -> Reading {
    let right: [Series<'_>; 13] = [
        (CONSUMED, &[(FUNCTION, STATE)], 100.0),
        (CONSUMED, &[(FUNCTION, ARCHIVE)], 100.0),
        (CONSUMED, &[(FUNCTION, ALERTING)], 100.0),
        (EVENTS, &[(FUNCTION, STATE), ("outcome", "applied")], 90.0),
        (EVENTS, &[(FUNCTION, STATE), ("outcome", "tick")], 2.0),
        (
            EVENTS,
            &[(FUNCTION, STATE), ("outcome", "dead_lettered")],
            8.0,
        ),
        (
            EVENTS,
            &[(FUNCTION, ARCHIVE), ("outcome", "archived")],
            98.0,
        ),
        (EVENTS, &[(FUNCTION, ARCHIVE), ("outcome", "tick")], 2.0),
        (EVENTS, &[(FUNCTION, ALERTING), ("outcome", "judged")], 98.0),
        (DEAD_LETTERS, &[("reason", "out-of-range")], 5.0),
        (DEAD_LETTERS, &[("reason", "not-json")], 3.0),
        (ALERTS, &[("alert.state", "raised")], 4.0),
        (ALERTS, &[("alert.state", "cleared")], 2.0),
    ];
    let mut sums: BTreeMap<(String, Attributes), Sum> = BTreeMap::new();
    for (name, attributes, value) in right.iter().chain(others) {
        let pairs: Vec<_> = attributes.to_vec();
        let attributes = match pairs[..] {
            [one] => Attributes::from([one]),
            [one, other] => Attributes::from([one, other]),
            _ => Attributes::default(),
        };
        let sum = Sum {
            value: *value,
            count: 0,
        };
        sums.insert(((*name).to_owned(), attributes), sum);
    }
    Reading {
        sums: sums
            .into_iter()
            .map(|((name, attributes), sum)| (name, attributes, sum))
            .collect(),
        heard: [(PROCESS.to_string(), heard * SECOND)].into(),
    }
}

fn differences(reading: &Reading, ledger: &Ledger, stored: &Stored) -> Vec<String> {
    Agreement::between(reading, reading, ledger, stored).differences
}

#[test]
fn where_nothing_failed_all_figures_are_equal() {
    let ledger = ledger(&[(10, 60), (20, 40)]);
    let right = reading(30, &[]);
    let agreement = Agreement::between(&right, &right, &ledger, &stored());
    let expected = Agreement {
        figures: 11,
        ..Agreement::default()
    };
    assert_eq!(agreement, expected);
    assert_eq!(
        agreement.to_string(),
        "11 figures agree with what was counted"
    );
}

#[test]
fn one_too_few_or_too_many_of_any_figure_is_told() {
    let ledger = ledger(&[(10, 60), (20, 40)]);
    let wrong: [(Series<'_>, &str); 7] = [
        (
            (CONSUMED, &[(FUNCTION, ARCHIVE)], 100.0),
            "events in calls of ArchiveTelemetry",
        ),
        (
            (
                EVENTS,
                &[(FUNCTION, STATE), ("outcome", "dead_lettered")],
                8.0,
            ),
            "events dead_lettered",
        ),
        (
            (
                EVENTS,
                &[(FUNCTION, ARCHIVE), ("outcome", "archived")],
                98.0,
            ),
            "events archived",
        ),
        (
            (DEAD_LETTERS, &[("reason", "not-json")], 3.0),
            "dead letters for not-json",
        ),
        (
            (DEAD_LETTERS, &[("reason", "no-such")], 1.0),
            "dead letters for no-such",
        ),
        ((ALERTS, &[("alert.state", "raised")], 4.0), "alerts raised"),
        (
            (ALERTS, &[("alert.state", "cleared")], 2.0),
            "alerts cleared",
        ),
    ];
    for ((name, attributes, value), told) in wrong {
        for off in [-1.0, 1.0] {
            if value + off < 1.0 {
                continue;
            }
            let reading = reading(30, &[(name, attributes, value + off)]);
            let all = differences(&reading, &ledger, &stored());
            assert_eq!(all.len(), 1, "{name} {attributes:?} {off}: {all:?}");
            assert!(all[0].contains(told), "{all:?}");
        }
    }
    // Ticks are none of either's events.
    for (function, outcome, right) in [(STATE, "applied", 90.0), (ALERTING, "judged", 98.0)] {
        let end: &[(&str, &str)] = &[(FUNCTION, function), ("outcome", outcome)];
        for (more, faults) in [(-1.0, 1), (0.0, 0), (1.0, 1)] {
            let reading = reading(30, &[(EVENTS, end, right + more)]);
            let all = differences(&reading, &ledger, &stored());
            assert_eq!(all.len(), faults, "{outcome} {more}: {all:?}");
        }
    }
}

#[test]
fn a_killed_process_may_have_taken_its_last_second_along_and_no_more() {
    // The last 40 events were answered after it was last heard of.
    let ledger = ledger(&[(10, 60), (20, 40)]);
    let archived = |value: f64| {
        let attributes: &[(&str, &str)] = &[(FUNCTION, ARCHIVE), ("outcome", "archived")];
        // With the two ticks.
        let reading = reading(15, &[(EVENTS, attributes, value - 2.0)]);
        differences(&reading, &ledger, &stored())
    };
    assert_eq!(archived(60.0), Vec::<String>::new());
    assert_eq!(archived(100.0), Vec::<String>::new());
    assert_eq!(
        archived(59.0),
        [
            "the metrics say 59 events archived or tick by ArchiveTelemetry, and what was counted allows 60 to 100"
        ]
    );
    let consumed: &[(&str, &str)] = &[(FUNCTION, STATE)];
    let reading = reading(15, &[(CONSUMED, consumed, 59.0)]);
    assert_eq!(differences(&reading, &ledger, &stored()).len(), 1);
}

#[test]
fn what_came_again_may_be_counted_again_and_no_more() {
    let ledger = ledger(&[(10, 60), (20, 40), (21, 30)]);
    let archived = |value: f64| {
        let outcome: &[(&str, &str)] = &[(FUNCTION, ARCHIVE), ("outcome", "archived")];
        let reading = reading(
            30,
            &[
                // With the two ticks.
                (EVENTS, outcome, value - 2.0),
                (CONSUMED, &[(FUNCTION, STATE)], 130.0),
                (CONSUMED, &[(FUNCTION, ARCHIVE)], 130.0),
                (CONSUMED, &[(FUNCTION, ALERTING)], 130.0),
                // Not looked at where events came again.
                (ALERTS, &[("alert.state", "raised")], 9.0),
            ],
        );
        differences(&reading, &ledger, &stored())
    };
    for value in [100.0, 130.0] {
        assert_eq!(archived(value), Vec::<String>::new(), "{value}");
    }
    for value in [99.0, 131.0] {
        assert_eq!(archived(value).len(), 1, "{value}");
    }
}

#[test]
fn a_figure_may_grow_while_it_is_counted() {
    let ledger = ledger(&[(10, 60), (20, 40)]);
    let (first, last) = (
        reading(30, &[(ALERTS, &[("alert.state", "raised")], 3.0)]),
        reading(31, &[(ALERTS, &[("alert.state", "raised")], 5.0)]),
    );
    let agreement = Agreement::between(&first, &last, &ledger, &stored());
    assert_eq!(agreement.differences, Vec::<String>::new());
    let late = reading(31, &[(ALERTS, &[("alert.state", "raised")], 6.0)]);
    let agreement = Agreement::between(&last, &late, &ledger, &stored());
    assert_eq!(agreement.differences.len(), 1);
}

#[test]
fn silence_is_a_difference() {
    let nothing = Reading::default();
    let all = differences(&nothing, &ledger(&[(10, 100)]), &stored());
    assert_eq!(all, ["the handler has sent no metrics"]);
}
