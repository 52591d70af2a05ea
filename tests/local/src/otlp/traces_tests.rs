#![allow(clippy::expect_used)]

use super::super::fake_sender::{SECOND, call, client, failed, linked, pairs, span, spans};
use super::*;

const T: u64 = 1_700_000_000 * SECOND;
const NOW: u64 = T + 100 * SECOND;

fn id(trace: u8) -> String {
    hex(&[trace; 16])
}

#[test]
fn spans_of_a_trace_come_together_in_the_order_in_which_they_began() {
    let mut traces = Traces::default();
    let read = client(span(1, 2, 1, "read drones", (T + 5, 20)));
    let write = failed(client(span(1, 3, 1, "batch drones", (T + 30, 40))));
    // A call ends after what it has done, and so is sent last.
    assert_eq!(
        traces.take(spans("a", vec![read.clone(), write]), NOW),
        None
    );
    let root = linked(call(span(1, 1, 9, "UpdateDroneState", (T, 100)), "3"), 7, 8);
    assert_eq!(traces.take(spans("a", vec![root, read]), NOW), None);

    let trace = traces.get(&id(1)).expect("it is there");
    let names: Vec<_> = trace.spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["UpdateDroneState", "read drones", "batch drones"]);
    let root = trace.root().expect("it has one");
    assert_eq!(root.name, "UpdateDroneState");
    assert_eq!(root.parent_id, hex(&[9; 8]));
    assert_eq!(root.links, [(id(7), hex(&[8; 8]))]);
    assert_eq!(trace.follows().into_iter().collect::<Vec<_>>(), [id(7)]);
    assert_eq!(trace.time(), (T, 100));
    assert!(trace.spans[2].failed);
    assert!(!trace.failed(), "the call got over it");
}

#[test]
fn what_is_asked_for_is_no_failure() {
    let mut traces = Traces::default();
    let answers = [("404", false), ("412", false), ("429", true), ("503", true)];
    for (number, (status, is_failure)) in answers.into_iter().enumerate() {
        let mut one = failed(client(span(1, number as u8 + 1, 0, "GET blob", (T, 1))));
        one.attributes = pairs(&[
            ("http.response.status_code", status),
            ("error.type", status),
        ]);
        traces.take(spans("a", vec![one]), NOW);
        let trace = traces.get(&id(1)).expect("it is there");
        let last = trace
            .spans
            .iter()
            .find(|span| span.attributes.is("error.type", status));
        assert_eq!(last.map(|span| span.failed), Some(is_failure), "{status}");
    }
}

#[test]
fn ids_that_are_none_are_rejected() {
    let mut traces = Traces::default();
    let mut short = span(1, 1, 0, "a", (T, 1));
    short.trace_id.pop();
    let mut long = span(1, 2, 0, "b", (T, 1));
    long.span_id.push(0);
    let none = span(0, 1, 0, "c", (T, 1));
    let good = span(2, 1, 0, "d", (T, 1));
    let rejected = traces.take(spans("a", vec![short, long, none, good]), NOW);
    assert_eq!(rejected.map(|(spans, _)| spans), Some(3));
    assert_eq!(traces.all().count(), 1);
}

#[test]
fn the_last_traces_are_kept_and_those_that_failed_longer() {
    let mut traces = Traces::default();
    let mut number = 0_u32;
    let mut take = |broken: bool| {
        number += 1;
        let mut one = span(1, 1, 0, "Fly", (T, 1));
        one.trace_id[..4].copy_from_slice(&number.to_be_bytes());
        let one = if broken { failed(one) } else { one };
        traces.take(spans("a", vec![one]), NOW);
    };
    for _ in 0..MOST_FAILED + 50 {
        take(true);
    }
    for _ in 0..MOST_TRACES {
        take(false);
    }
    assert_eq!(traces.all().count(), MOST_TRACES + MOST_FAILED);
    assert_eq!(traces.traces.len(), MOST_TRACES + MOST_FAILED);
    assert_eq!(
        traces.all().filter(|trace| trace.failed()).count(),
        MOST_FAILED
    );
    assert!(!traces.all().next().expect("the newest").failed());
}

#[test]
fn a_trace_is_bounded() {
    let mut traces = Traces::default();
    let many = (0..MOST_SPANS as u64 + 5).map(|number| {
        let mut one = span(1, 1, 0, "Fly", (T + number, 1));
        one.span_id = number.to_be_bytes().to_vec();
        one.span_id[0] = 1;
        one
    });
    let rejected = traces.take(spans("a", many.collect()), NOW);
    assert_eq!(rejected.map(|(spans, _)| spans), Some(5));
}

#[test]
fn the_slowest_operations_are_known_for_ten_minutes() {
    let mut traces = Traces::default();
    for number in 0..MOST_SLOW as u8 + 10 {
        let took = u64::from(number) * 1_000;
        let one = client(span(number + 1, 1, 0, "read drones", (T, took)));
        // A call is slow because of what it does.
        let call = call(span(number + 1, 2, 0, "Fly", (T, took * 2)), "0");
        let again = client(span(number + 1, 3, 0, "read drones", (T, took / 2)));
        traces.take(spans("a", vec![one, call, again]), NOW);
    }
    let slow: Vec<_> = traces.slow(NOW).collect();
    assert_eq!(slow.len(), MOST_SLOW);
    assert!(slow.is_sorted_by_key(|slow| std::cmp::Reverse(slow.span.took)));
    assert_eq!(slow[0].trace, id(MOST_SLOW as u8 + 10));
    assert_eq!(slow[0].span.took, (MOST_SLOW as u64 + 9) * 1_000);
    assert_eq!(traces.slow(T + SLOW_KEPT + SECOND).count(), 0);
}
