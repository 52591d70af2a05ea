use super::super::fake_sender::{SECOND, counter, delta, gauge, histogram, metrics};
use super::super::lines::{CALLS, CONSUMED, LAG};
use super::*;

const T: u64 = 1_700_000_000 * SECOND;
const FLY: [(&str, &str); 1] = [("faas.name", "Fly")];

fn total(metrics: &Metrics, name: &str) -> f64 {
    metrics.sum(name, |_| true).value
}

#[test]
fn the_last_value_of_each_process_counts_those_that_ended_included() {
    let mut known = Metrics::default();
    let mut take = |instance: &str, value: f64, at: u64| {
        let sent = metrics(instance, vec![counter(CONSUMED, &FLY, value, (T, at))]);
        assert_eq!(known.take(sent, T + 100 * SECOND), None);
    };
    take("a", 5.0, T + SECOND);
    take("a", 8.0, T + 2 * SECOND);
    // As an exporter that tries again may.
    take("a", 5.0, T + SECOND);
    // The process was killed, and another began.
    take("b", 3.0, T + 3 * SECOND);
    take("b", 4.0, T + 4 * SECOND);
    assert_eq!(total(&known, CONSUMED), 12.0);
    let instances: Vec<_> = known.instances().collect();
    assert_eq!(instances.len(), 2);
    assert_eq!(instances[1].worker.as_deref(), Some("worker-b"));
    assert_eq!(instances[1].heard_at, T + 4 * SECOND);
    // What was read first is the oldest.
    let read = |at: u64| counter(CONSUMED, &FLY, 9.0, (T, T + at * SECOND));
    known.take(metrics("b", vec![read(7), read(6)]), T + 100 * SECOND);
    assert_eq!(
        known.instances().last().map(|it| it.heard_at),
        Some(T + 6 * SECOND)
    );
}

#[test]
fn a_process_that_begins_anew_under_its_old_name_takes_nothing_away() {
    let mut known = Metrics::default();
    for (begun, value) in [(T, 8.0), (T + 5 * SECOND, 2.0), (T + 5 * SECOND, 3.0)] {
        let at = begun + SECOND * value as u64;
        let sent = metrics("a", vec![counter(CONSUMED, &FLY, value, (begun, at))]);
        known.take(sent, T + 100 * SECOND);
    }
    assert_eq!(total(&known, CONSUMED), 11.0);
}

#[test]
fn differences_are_added_up_where_they_are_what_is_sent() {
    let mut known = Metrics::default();
    for (from, value) in [(0, 2.0), (1, 3.0)] {
        let time = (T + from * SECOND, T + (from + 1) * SECOND);
        known.take(
            metrics("a", vec![delta(CONSUMED, &FLY, value, time)]),
            T + 9 * SECOND,
        );
    }
    assert_eq!(total(&known, CONSUMED), 5.0);
    let line = (super::super::history::Kind::Events, "Fly".to_owned());
    let drawn: f64 = known.history.values(&line).iter().sum();
    assert!((2.0..=5.0).contains(&drawn), "{drawn}");
}

#[test]
fn of_a_gauge_the_newest_value_counts() {
    let mut known = Metrics::default();
    let partition = [("faas.name", "Fly"), (lines::PARTITION, "0")];
    for (instance, value, at) in [("a", 9.0, 1), ("b", 2.0, 3), ("a", 7.0, 2)] {
        let at = T + at * SECOND;
        known.take(
            metrics(instance, vec![gauge(LAG, &partition, value, at)]),
            T + 9 * SECOND,
        );
    }
    assert_eq!(total(&known, LAG), 2.0);
}

#[test]
fn calls_are_counted_by_the_histogram_of_their_durations() {
    let mut known = Metrics::default();
    let failed = [("faas.name", "Fly"), ("error.type", "timeout")];
    let time = (T, T + SECOND);
    let sent = metrics(
        "a",
        vec![
            histogram(CALLS, &FLY, [8, 1, 0, 0], time),
            histogram(CALLS, &failed, [0, 0, 0, 1], time),
        ],
    );
    assert_eq!(known.take(sent, T + SECOND), None);
    assert_eq!(known.sum(CALLS, |_| true).count, 10);
    assert_eq!(known.sum(CALLS, |it| it.has("error.type")).count, 1);
    let group = super::super::durations::Group::Function("Fly".to_owned());
    let spread = known.durations.spread(&group, (T + SECOND) / SECOND);
    assert_eq!((spread.count, spread.failed), (10, 1));
    assert!(spread.p50.is_some_and(|p50| p50 < 0.01), "{spread:?}");
    assert_eq!(spread.p99, Some(1.0));
}

#[test]
fn what_makes_no_sense_is_rejected_and_the_rest_is_taken() {
    let mut known = Metrics::default();
    let time = (T, T + SECOND);
    let mut wrong = histogram(CALLS, &FLY, [1, 0, 0, 0], time);
    if let Some(Data::Histogram(histogram)) = &mut wrong.data {
        histogram.data_points[0].bucket_counts.pop();
    }
    let sent = metrics(
        "a",
        vec![
            counter(CONSUMED, &FLY, f64::NAN, time),
            wrong,
            counter(CONSUMED, &FLY, 2.0, time),
            Metric::default(),
        ],
    );
    let rejected = known.take(sent, T + SECOND);
    assert_eq!(rejected.map(|(points, _)| points), Some(2));
    assert_eq!(total(&known, CONSUMED), 2.0);
}

#[test]
fn series_and_processes_are_bounded_and_nothing_is_lost_of_the_sum() {
    let mut known = Metrics::default();
    for number in 0..MOST_INSTANCES as u64 + 20 {
        let time = (T, T + number * SECOND);
        let sent = metrics(
            &number.to_string(),
            vec![counter(CONSUMED, &FLY, 1.0, time)],
        );
        known.take(sent, T + 10_000 * SECOND);
    }
    assert_eq!(known.instances.len(), MOST_INSTANCES);
    assert_eq!(total(&known, CONSUMED), MOST_INSTANCES as f64 + 20.0);

    let mut known = Metrics::default();
    for number in 0..MOST_SERIES + 10 {
        let text = number.to_string();
        let one = counter("any", &[("number", &text)], 1.0, (T, T + SECOND));
        let rejected = known.take(metrics("a", vec![one]), T + SECOND);
        assert_eq!(rejected.is_some(), number >= MOST_SERIES, "{number}");
    }
    assert_eq!(known.series.len(), MOST_SERIES);
}

#[test]
fn a_clock_ahead_of_ours_does_not_move_ours() {
    let mut known = Metrics::default();
    let ahead = T + 1_000_000 * SECOND;
    known.take(
        metrics("a", vec![counter(CONSUMED, &FLY, 5.0, (T, ahead))]),
        T + SECOND,
    );
    assert_eq!(known.history.until(), T / SECOND);
}
