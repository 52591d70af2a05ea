//! What the handler's metrics and traces come to, in rows and money; `handlers/TELEMETRY.md` and `infra/COSTS.md` are held equal to it.

use crate::costs::{HOURS_A_MONTH, Row, price, row, whole};
use crate::load::{Load, assumed};
use crate::provided::settings;
use crate::sizes::Size;
use crate::sources;

/// What a size with so many drones sends to Application Insights.
struct Sent {
    metric_rows: f64,
    spans: f64,
}

impl Sent {
    /// Metrics once a minute, each series that has something to tell; of traces those that are kept.
    fn an_hour(load: &Load<'_>) -> Self {
        let series = load.busy_partitions() * assumed("seriesPerPartition")
            + load.instances() * assumed("seriesPerInstance");
        let ratio = load.size.text("traceRatio");
        let calls = load.calls();
        let traces = match ratio.as_str() {
            "" => calls.min(load.instances() * assumed("tracesPerSecond")),
            ratio => calls * ratio.parse::<f64>().unwrap(),
        };
        Self {
            metric_rows: series * 60.0,
            spans: traces * assumed("spansPerCall") * 3_600.0,
        }
    }

    fn gb(&self) -> [f64; 2] {
        [
            self.metric_rows * assumed("metricRowBytes") / 1e9,
            self.spans * assumed("spanBytes") / 1e9,
        ]
    }
}

/// Of a bill. Metrics are rows of a log, and cost what logs do.
pub fn row_of(load: &Load<'_>, hours: f64) -> Row {
    let [metrics, traces] = Sent::an_hour(load).gb().map(|gb| gb * hours);
    let size = |gb: f64| match gb < 1.0 {
        true => format!("{:.0} MB", gb * 1e3),
        false => format!("{} GB", whole(gb)),
    };
    row(
        "Metrics and traces",
        (metrics + traces) * price("logs.gb"),
        format!("{} and {}", size(metrics), size(traces)),
    )
}

fn sizes() -> [(Size, f64); 2] {
    [(Size::read("try"), 10.0), (Size::read("fleet"), 10_000.0)]
}

#[test]
fn the_page_says_what_a_day_of_telemetry_is() {
    let page = sources::read("handlers/TELEMETRY.md");
    for (size, drones) in sizes() {
        for ratio in [size.text("traceRatio"), String::new()] {
            let size = size.with("traceRatio", &format!("'{ratio}'"));
            let load = Load {
                size: &size,
                drones,
            };
            let sent = Sent::an_hour(&load);
            let [metrics, traces] = sent.gb().map(|gb| gb * 24.0);
            let usd = (metrics + traces) * price("logs.gb");
            let name = size.file.trim_start_matches("infra/");
            let name = name.trim_end_matches(".bicepparam");
            let kept = match ratio.as_str() {
                "" => "5 a second and process".to_owned(),
                ratio => ratio.to_owned(),
            };
            let line = format!(
                "| `{name}`, {} drones | {kept} | {} | {metrics:.2} | {} | {traces:.2} | {usd:.2} |\n",
                whole(drones),
                whole(sent.metric_rows * 24.0),
                whole(sent.spans * 24.0),
            );
            #[allow(clippy::print_stdout, reason = "to be copied into the page")]
            {
                print!("{line}");
            }
            assert!(
                page.contains(&line),
                "handlers/TELEMETRY.md does not have, as it is computed:\n{line}"
            );
        }
    }
}

/// Where the cap is reached every rule over logs is blind: a day of the fleet has to fit, and fit again.
#[test]
fn a_day_of_the_fleet_stays_below_the_cap_of_its_logs() {
    let size = Size::read("fleet");
    let load = Load {
        size: &size,
        drones: 10_000.0,
    };
    let calls = load.calls() * 86_400.0 * assumed("logBytesPerCall") / 1e9;
    let [metrics, traces] = Sent::an_hour(&load).gb().map(|gb| gb * 24.0);
    let all = calls + metrics + traces;
    assert!(
        2.0 * all < size.number("dailyLogCapGb"),
        "{all} GB a day: {HOURS_A_MONTH} hours of it are a month"
    );
}

/// The host says "not sampled" of each call, and a sampler that follows it would keep nothing.
#[test]
fn the_sampler_asks_nobody() {
    let settings = settings(&sources::template());
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "traceRatio"),
    ] {
        assert_eq!(
            settings.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
}
