//! Hours and the day below them, as a table.

use std::fmt::Write;

use drone_delivery::domain::insights::figures::{Figures, FleetDay};
use drone_delivery::domain::timestamp::Rfc3339;

use super::line::in_minutes;

const COLUMNS: [&str; 14] = [
    "",
    "delivered",
    "inferred",
    "returned",
    "open",
    "lost",
    "p50",
    "p95",
    "km",
    "battery/km",
    "drones",
    "in use",
    "complete",
    "lag p99",
];

/// A day. An hour that is not complete has a star.
pub(super) fn of(day: &FleetDay) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for hour in &day.hours {
        let star = if hour.complete { "" } else { "*" };
        rows.push(row(
            format!("{:02}:00{star}", hour.hour.hour()),
            &hour.figures,
        ));
    }
    let star = if day.complete { "" } else { "*" };
    rows.push(row(format!("all{star}"), &day.day.figures));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let as_of = day.as_of.map_or_else(
        || "nothing is complete yet".to_owned(),
        |as_of| format!("as of {}", Rfc3339(as_of)),
    );
    let mut out = String::new();
    // Writing into a string does not fail.
    _ = writeln!(out, "{}  {as_of}  {} slow", day.date, day.day.slow);
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        _ = writeln!(out, "  {}", line.join("  "));
    }
    if !day.complete {
        _ = writeln!(out, "  * not over, or not complete");
    }
    out
}

fn row(name: String, figures: &Figures) -> [String; COLUMNS.len()] {
    let maybe = |value: Option<f64>, show: &dyn Fn(f64) -> String| {
        value.map_or_else(|| "-".to_owned(), show)
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let deliveries = &figures.deliveries;
    let phase = &figures.phases.delivery;
    [
        name,
        deliveries.delivered.to_string(),
        deliveries.inferred.to_string(),
        deliveries.returned.to_string(),
        deliveries.open.to_string(),
        deliveries.lost.to_string(),
        maybe(phase.p50, &in_minutes),
        maybe(phase.p95, &in_minutes),
        format!("{:.1}", figures.distance_km),
        maybe(figures.battery_per_km, &|share| format!("{share:.4}")),
        figures.drones.to_string(),
        maybe(figures.utilisation, &percent),
        maybe(figures.quality.completeness, &percent),
        maybe(figures.quality.lag_p99, &|seconds| {
            format!("{seconds:.1} s")
        }),
    ]
}
