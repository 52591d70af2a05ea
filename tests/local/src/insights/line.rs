//! What the fleet did, as a terminal shows it.

use drone_delivery::domain::insights::figures::Figures;

/// `312 deliveries, p50 9m05s, 0.029 battery/km, 99.2 % complete`.
#[must_use]
pub fn in_a_line(figures: &Figures) -> String {
    let mut parts = vec![match figures.deliveries.delivered {
        0 => "no deliveries yet".to_owned(),
        1 => "1 delivery".to_owned(),
        number => format!("{number} deliveries"),
    }];
    if let Some(seconds) = figures.phases.delivery.p50 {
        parts.push(format!("p50 {}", in_minutes(seconds)));
    }
    if let Some(share) = figures.battery_per_km {
        parts.push(format!("{share:.3} battery/km"));
    }
    if let Some(share) = figures.quality.completeness {
        parts.push(format!("{:.1} % complete", share * 100.0));
    }
    parts.join(", ")
}

/// `9m05s`, `45s`, `1h02m`.
#[must_use]
pub fn in_minutes(seconds: f64) -> String {
    // Of a delivery: far from what a number can hold, and never negative.
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds:02}s"),
        _ => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::in_minutes;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0.4, "0s"),
            (45.0, "45s"),
            (545.2, "9m05s"),
            (3599.6, "1h00m"),
            (7384.0, "2h03m"),
        ] {
            assert_eq!(in_minutes(seconds), text);
        }
    }
}
