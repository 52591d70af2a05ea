//! What a size costs, computed from its parameters, `infra/costs.json` and what it does a second; the tables of `infra/COSTS.md` are
//! held equal to it.

use crate::insights;
use crate::load::{Load, assumed, number};
use crate::sizes::Size;
use crate::sources;
use crate::telemetry;

pub const HOURS_A_MONTH: f64 = 730.0;

/// One line of a bill.
pub struct Row {
    pub what: &'static str,
    pub how: String,
    pub usd: f64,
}

pub fn price(name: &str) -> f64 {
    number(&["prices", name, "usd"])
}

pub fn row(what: &'static str, usd: f64, how: String) -> Row {
    Row { what, how, usd }
}

/// What all of it costs.
pub fn dear(rows: &[Row]) -> f64 {
    rows.iter().map(|row| row.usd).sum()
}

/// With separators: 1,349.
pub fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In millions, with one decimal.
fn millions(value: f64) -> String {
    format!("{:.1} million", value / 1e6)
}

/// A month of the fleet, with its drones around the clock.
fn month(load: &Load<'_>) -> Vec<Row> {
    let size = load.size;
    let seconds = HOURS_A_MONTH * 3_600.0;
    let gigabytes = size.number("instanceMemoryMB") / 1_024.0;
    let redundancy = redundancy(size);
    let storage = |name: &str| price(&format!("blob.{redundancy}.{name}"));
    let mut rows = Vec::new();

    let sku = size.text("iotHubSku");
    let units = size.number("iotHubUnits");
    let a_day = load.events() * 86_400.0 / 1e6;
    rows.push(row(
        "IoT Hub",
        units * price(&format!("iotHub.{sku}.month")),
        format!("{units} x {sku}, for {a_day:.0} million messages a day"),
    ));

    let units = size.number("throughputUnits");
    let events = load.events() * seconds;
    rows.push(row(
        "Event Hubs",
        units * HOURS_A_MONTH * price("eventHubs.throughputUnit.hour")
            + events / 1e6 * price("eventHubs.million"),
        format!(
            "{units} throughput units, {} million events",
            whole(events / 1e6)
        ),
    ));

    let (ready, busy) = (load.instances(), assumed("busyInstances"));
    let calls = (load.calls() + timer_runs()) * seconds;
    // A run of the timer is billed as a second at least, on demand.
    let timer = timer_runs() * seconds * gigabytes * price("functions.onDemand.gbSecond");
    rows.push(row(
        "Functions",
        ready * gigabytes * seconds * price("functions.ready.gbSecond")
            + busy * gigabytes * seconds * price("functions.readyBusy.gbSecond")
            + calls / 1e6 * price("functions.million")
            + timer,
        format!(
            "{ready} instances of {gigabytes} GB ready, {busy} of them busy; {} calls; the timer",
            millions(calls)
        ),
    ));

    let maximum = size.number("dronesMaximumThroughput");
    // Nothing is written to it while nothing is wrong, and a tenth of the maximum is always there.
    let alerts = size.number("alertsMaximumThroughput") / 10.0;
    rows.push(row(
        "Cosmos DB",
        (maximum + alerts) / 100.0 * HOURS_A_MONTH * price("cosmos.autoscale100.hour"),
        format!(
            "{} writes/s x {} RU = {} RU/s; billed is each hour's highest second, so the maximum of {}; {} for alerts",
            whole(load.writes()),
            assumed("ruPerWrite"),
            whole(load.request_units()),
            whole(maximum),
            whole(alerts)
        ),
    ));

    let writes = [
        load.files(),
        load.checkpoints(),
        load.snapshots(),
        load.ownership_writes(),
        load.lease_renewals(),
        load.lists(),
    ];
    let [files, checkpoints, snapshots, owners, leases, lists] = writes.map(|each| each * seconds);
    rows.push(row(
        "Storage, operations",
        (files + checkpoints + snapshots + owners + leases + lists) / 1e4 * storage("write10k")
            + load.queue_polls() * seconds / 1e4 * price("queue.10k"),
        format!(
            "{} archive files, {} checkpoints, {} snapshots, {} renewals of ownership, {} of leases and lists",
            millions(files),
            millions(checkpoints),
            millions(snapshots),
            millions(owners),
            millions(leases + lists)
        ),
    ));
    let archived = events * assumed("archivedBytes") / 1e9;
    let a_month = archived * storage("hot.gbMonth");
    let kept = size.number("archiveDeleteAfterDays") / 365.0 * 12.0;
    rows.push(row(
        "Storage, a month of archive",
        a_month,
        format!(
            "{} GB at {} bytes an event; {} a month once {kept:.0} of them are kept",
            whole(archived),
            assumed("archivedBytes"),
            whole(a_month * kept)
        ),
    ));
    if size.number("archiveCoolAfterDays") > 0.5 {
        rows.push(row(
            "Storage, to the cool tier",
            files / 1e4 * storage("cool10k"),
            format!(
                "each file once; there a month of archive costs {}",
                whole(archived * storage("cool.gbMonth"))
            ),
        ));
    }

    rows.push(insights_row(load, HOURS_A_MONTH));

    let per_call = calls * assumed("logBytesPerCall");
    let idle = load.instances() * HOURS_A_MONTH * 60.0 * assumed("idleLogBytesPerMinute");
    let logs = (per_call + idle) / 1e9 + assumed("metricLogGbPerMonth");
    rows.push(row(
        "Logs",
        logs * price("logs.gb"),
        format!(
            "{} GB: {} KB a call, each line of the handler twice in it",
            whole(logs),
            assumed("logBytesPerCall") / 1e3
        ),
    ));
    rows.push(telemetry::row_of(load, HOURS_A_MONTH));
    let tests = web_tests(size) * seconds;
    let (log_rules, seldom, metric_rules) = rules();
    rows.push(row(
        "Alert rules, availability test",
        (log_rules - seldom) * price("logRule.month")
            + seldom * price("logRule15.month")
            + metric_rules * price("metricRule.month")
            + tests * price("webTest.run"),
        format!(
            "{log_rules} rules over logs, {seldom} of them every 15 minutes, {metric_rules} over metrics; {} requests",
            whole(tests)
        ),
    ));
    rows
}

/// An hour of a few drones in a size that costs nothing while nothing flies, but for `standing`.
fn hour(load: &Load<'_>) -> Vec<Row> {
    let size = load.size;
    let seconds = 3_600.0;
    let gigabytes = size.number("instanceMemoryMB") / 1_024.0;
    let storage = |name: &str| price(&format!("blob.{}.{name}", redundancy(size)));
    let busy = assumed("busyInstances");
    let calls = load.calls() * seconds;
    let an_hour = busy * gigabytes * seconds;
    let free = number(&["free", "gbSeconds"]) / an_hour;
    let writes = load.writes() * seconds;
    let operations = [
        load.files() * seconds,
        load.checkpoints() * seconds,
        load.snapshots() * seconds,
        (load.ownership_writes() + load.lease_renewals() + load.lists()) * seconds,
    ];
    let logs = (calls * assumed("logBytesPerCall")
        + load.instances() * 60.0 * assumed("idleLogBytesPerMinute"))
        / 1e9;
    vec![
        row(
            "Functions",
            an_hour * price("functions.onDemand.gbSecond")
                + calls / 1e6 * price("functions.million"),
            format!(
                "{busy} busy instances of {gigabytes} GB, {} calls. {free:.0} such hours a month are free",
                whole(calls)
            ),
        ),
        row(
            "Cosmos DB",
            writes * assumed("ruPerWrite") / 1e6 * price("cosmos.serverless.million"),
            format!("{} writes x {} RU", whole(writes), assumed("ruPerWrite")),
        ),
        row(
            "Storage",
            operations.iter().sum::<f64>() / 1e4 * storage("write10k"),
            format!(
                "{} archive files, {} checkpoints, {} snapshots, {} renewals of ownership and leases, and lists",
                whole(operations[0]),
                whole(operations[1]),
                whole(operations[2]),
                whole(operations[3])
            ),
        ),
        row(
            "Logs",
            logs * price("logs.gb"),
            format!("{:.0} MB", logs * 1e3),
        ),
        telemetry::row_of(load, 1.0),
        insights_row(load, 1.0),
    ]
}

/// Summarising, which has a table of its own.
fn insights_row(load: &Load<'_>, hours: f64) -> Row {
    let usd = dear(&insights::rows(load, hours));
    row("Insights", usd, insights::link())
}

/// What a day of a size costs where nothing happens.
fn standing(size: &Size) -> f64 {
    let hub = size.number("iotHubUnits")
        * price(&format!("iotHub.{}.month", size.text("iotHubSku")))
        / HOURS_A_MONTH;
    let units = size.number("throughputUnits") * price("eventHubs.throughputUnit.hour");
    (hub + units) * 24.0
        + assumed("metricLogGbPerMonth") / 30.0 * price("logs.gb")
        + insights::standing(size)
}

/// The part of a storage SKU by which it is priced.
pub fn redundancy(size: &Size) -> String {
    let sku = size.text("redundantSku");
    sku.trim_start_matches("Standard_").to_owned()
}

/// AdvanceWatermarks looks twice a minute.
fn timer_runs() -> f64 {
    2.0 / 60.0
}

/// How many alert rules there are, over logs, of these looking seldom, and over metrics.
fn rules() -> (f64, f64, f64) {
    let text = ["alert-rules", "availability"]
        .map(|name| sources::read(&format!("infra/modules/{name}.bicep")))
        .concat();
    let over_logs = text.matches("query: loadTextContent(").count();
    // Those of the IoT hub are made in one loop.
    let over_metrics = text.matches("'Microsoft.Insights/metricAlerts@").count() - 1
        + text.matches("    metric: '").count();
    let seldom = text.matches("    every: 'PT15M'").count();
    (over_logs as f64, seldom as f64, over_metrics as f64)
}

/// Requests a second of the availability test.
fn web_tests(size: &Size) -> f64 {
    let minutes = size.number("availabilityTestMinutes");
    let text = sources::read("infra/modules/availability.bicep");
    let places = text.matches("Id: 'emea-").count() + text.matches("Id: 'us-").count();
    if minutes < 0.5 {
        return 0.0;
    }
    places as f64 / (minutes * 60.0)
}

fn table(rows: &[Row], cents: bool) -> String {
    let amount = |usd: f64| match cents {
        true => format!("{usd:.2}"),
        false => whole(usd),
    };
    let lines = rows
        .iter()
        .map(|Row { what, how, usd }| format!("| {what} | {how} | {} |\n", amount(*usd)));
    let sum = dear(rows);
    let hub: f64 = rows
        .iter()
        .filter(|row| row.what == "IoT Hub")
        .map(|row| row.usd)
        .sum();
    let last = match hub > 0.0 {
        true => format!(
            "| | with IoT Hub {}; without (`ingress=eventHubs`) {} | |\n",
            amount(sum),
            amount(sum - hub)
        ),
        false => format!("| | | {} |\n", amount(sum)),
    };
    lines.chain([last]).collect()
}

fn fleet_table(size: &Size) -> String {
    let load = Load {
        size,
        drones: 10_000.0,
    };
    table(&month(&load), false)
}

fn try_table(size: &Size) -> String {
    let load = Load { size, drones: 10.0 };
    table(&hour(&load), true)
}

/// Where the tables are.
const PAGE: &str = "infra/COSTS.md";

/// Prints what is computed, and fails where `infra/COSTS.md` says something else.
pub fn assert_on_the_page(text: &str) {
    #[allow(clippy::print_stdout, reason = "to be copied into the page")]
    {
        println!("{text}");
    }
    assert!(
        sources::read(PAGE).contains(text),
        "{PAGE} does not have, as it is computed:\n{text}"
    );
}

#[test]
fn the_page_says_what_a_month_of_the_fleet_costs() {
    assert_on_the_page(&fleet_table(&Size::read("fleet")));
}

#[test]
fn the_page_says_what_availability_zones_cost() {
    let total = |size: &Size| -> f64 {
        let load = Load {
            size,
            drones: 10_000.0,
        };
        dear(&month(&load))
    };
    let size = Size::read("fleet");
    let more = total(&size.with("zoneRedundant", "true")) - total(&size);
    assert_on_the_page(&format!("{} a month more for the fleet", whole(more)));
}

/// An operation of the service for each registration.
#[test]
fn the_page_says_what_registrations_cost() {
    let usd = 10.0 * price("provisioning.thousand");
    assert_on_the_page(&format!("{usd:.2} once for 10,000 of them"));
}

#[test]
fn the_page_says_what_an_hour_of_a_few_drones_costs() {
    let size = Size::read("try");
    assert_on_the_page(&try_table(&size));
    let a_day = format!("{:.2} a day while nothing flies", standing(&size));
    assert_on_the_page(&a_day);
    // The front page names this one figure, too.
    let front = sources::read("README.md");
    let front: Vec<&str> = front.split_whitespace().collect();
    let a_day = format!(
        "While nothing flies, this size is {:.2} USD a day",
        standing(&size)
    );
    assert!(front.join(" ").contains(&a_day), "{a_day}");
}

/// A parameter that changes nothing is not computed from.
#[test]
fn a_changed_parameter_changes_the_costs() {
    let size = Size::read("fleet");
    let before = fleet_table(&size);
    for (name, value) in [
        ("iotHubUnits", "2"),
        ("iotHubSku", "'S2'"),
        ("throughputUnits", "5"),
        ("dronesMaximumThroughput", "16000"),
        ("alertsMaximumThroughput", "8000"),
        ("storageSku", "'Standard_LRS'"),
        ("instanceMemoryMB", "4096"),
        ("alwaysReady", "[{ name: 'http', instanceCount: 9 }]"),
        ("batchWait", "'00:00:05'"),
        ("largestEventKb", "50"),
        ("partitions", "16"),
        ("availabilityTestMinutes", "15"),
        ("zoneRedundant", "true"),
        ("archiveCoolAfterDays", "30"),
        ("archiveDeleteAfterDays", "30"),
        ("insightsSchedule", "'0 * * * * *'"),
        ("insightsLive", "true"),
        ("traceRatio", "'0.5'"),
        ("traceRatio", "''"),
    ] {
        assert_ne!(
            fleet_table(&size.with(name, value)),
            before,
            "{name} changes nothing"
        );
    }
}

/// Moving a file costs an operation, and the files are small: over the whole time that one is kept it has to save more.
#[test]
fn files_are_moved_to_the_cool_tier_only_where_that_saves() {
    let size = Size::read("fleet");
    let load = Load {
        size: &size,
        drones: 10_000.0,
    };
    let file = load.events() / load.files() * assumed("archivedBytes") / 1e9;
    let months = size.number("archiveDeleteAfterDays") / 365.0 * 12.0 - 1.0;
    let saved = file * months * (price("blob.ZRS.hot.gbMonth") - price("blob.ZRS.cool.gbMonth"));
    // What is in the cool tier costs more to read, too.
    let pays = saved > 1.5 * price("blob.ZRS.cool10k") / 1e4;
    assert_eq!(pays, size.number("archiveCoolAfterDays") > 0.5);
}

/// Every price says where it is from, and what nobody could look up says so.
#[test]
fn prices_have_a_source_and_assumptions_a_reason() {
    let costs: serde_json::Value =
        serde_json::from_str(&sources::read("infra/costs.json")).unwrap();
    for (part, word) in [("prices", "source"), ("assumed", "why")] {
        for (name, entry) in costs[part].as_object().unwrap() {
            assert!(
                entry[word].as_str().is_some_and(|text| text.len() > 3),
                "{name} has no {word}"
            );
        }
    }
    assert!(costs["asOf"].is_string());
    if costs["verified"] == false {
        assert!(sources::read(PAGE).contains("nobody could look up"));
    }
}
