//! What it costs to summarise what the fleet did, which `infra/INSIGHTS.md` says as it is computed here; and what must not be
//! deleted.

use drone_delivery::services::insights::plan::ALL;

use crate::costs::{HOURS_A_MONTH, Row, dear, price, redundancy, row, whole};
use crate::load::{Load, assumed};
use crate::sizes::Size;
use crate::sources;

const PAGE: &str = "infra/INSIGHTS.md";

/// What SummarizeDeliveries and SummarizeHour do in an hour.
struct Work<'a> {
    load: &'a Load<'a>,
}

impl Work<'_> {
    fn live(&self) -> bool {
        self.load.size.flag("insightsLive")
    }

    /// By the minutes of the schedule: `0 */5 * * * *`.
    fn looks(&self) -> f64 {
        let schedule = self.load.size.text("insightsSchedule");
        let minutes = schedule.split(' ').nth(1).unwrap();
        match minutes.strip_prefix("*/") {
            Some(every) => 60.0 / every.parse::<f64>().unwrap(),
            None if minutes == "*" => 60.0,
            None => minutes.split(',').count() as f64,
        }
    }

    /// Hours of partitions: once when it is over, and at each look where the hour under way counts.
    fn units(&self) -> f64 {
        let each = if self.live() { 1.0 + self.looks() } else { 1.0 };
        self.load.busy_partitions() * each
    }

    /// How often an event is read. The hour under way is half full in the mean.
    fn passes(&self) -> f64 {
        if self.live() {
            1.0 + self.looks() / 2.0
        } else {
            1.0
        }
    }

    fn files(&self) -> f64 {
        self.load.files() * 3_600.0
    }

    /// How often the figures of the day are made.
    fn roll_ups(&self) -> f64 {
        if self.live() {
            self.looks()
        } else {
            assumed("insightRollUps")
        }
    }

    fn reads(&self) -> f64 {
        // Once more, a day later, where few files are made of them.
        let files = self.files() * (self.passes() + 1.0);
        let units = files + self.units() * assumed("insightReadsPerUnit");
        let partitions = self.load.busy_partitions();
        let looks = self.looks() * partitions * assumed("insightManifestsPerPartition");
        // Of the hours so far, half of the day in the mean, the manifest and the cells; of the day deliveries and drones' hours.
        let day = self.roll_ups() * partitions * (12.0 * 2.0 + 2.0);
        units + looks + day
    }

    /// With the blocks of the few files that the archive's of an hour become.
    fn writes(&self) -> f64 {
        let blocks =
            (self.archived() / self.load.busy_partitions() / assumed("archiveBlockMb")).ceil();
        self.units() * assumed("insightWritesPerUnit")
            + self.load.busy_partitions() * (blocks + 1.0)
    }

    fn lists(&self) -> f64 {
        let busy = self.load.busy_partitions();
        let each = busy * assumed("insightListsPerPartition")
            + (self.load.size.number("partitions") - busy)
                * assumed("insightIdleListsPerPartition");
        self.looks() * (each + assumed("insightListsPerLook"))
    }

    fn events(&self) -> f64 {
        self.load.events() * 3_600.0
    }

    /// Megabytes.
    fn archived(&self) -> f64 {
        self.events() * assumed("archivedBytes") / 1e6
    }

    /// Megabytes of what is written over: a partition's day, half of it in the mean, and where the hour under way counts its
    /// tables.
    fn rewritten(&self) -> f64 {
        let drones = self.load.drones / self.load.busy_partitions();
        let day = drones * assumed("insightKbPerDroneDay") / 1e3;
        let hour = self.events() * assumed("insightBytesPerEvent") / 1e6;
        let live = if self.live() {
            self.looks() / 2.0 * hour
        } else {
            0.0
        };
        self.units() * day / 2.0 + live
    }

    /// Gigabytes that soft delete keeps: of tables that were written over, and of archive files that became few.
    fn kept(&self) -> [f64; 2] {
        [self.rewritten(), self.archived()]
            .map(|megabytes| megabytes * 24.0 * assumed("softDeleteDays") / 1e3)
    }

    fn gb_seconds(&self) -> f64 {
        let size = self.load.size;
        let busy = self.events() * self.passes() * assumed("insightMicrosPerEvent") / 1e6;
        // A look is billed as a second at least.
        busy * assumed("gbPerProcessor") + self.looks() * size.number("instanceMemoryMB") / 1_024.0
    }

    fn calls(&self) -> f64 {
        self.units() + self.looks()
    }
}

/// What `hours` of it cost.
pub fn rows(load: &Load<'_>, hours: f64) -> Vec<Row> {
    let work = Work { load };
    let storage = |name: &str| price(&format!("blob.{}.{name}", redundancy(load.size)));
    let millions = |value: f64| format!("{:.2} million", value / 1e6);
    let times = |value: f64| value * hours;
    let (reads, writes, lists) = (
        times(work.reads()),
        times(work.writes()),
        times(work.lists()),
    );
    let calls = times(work.calls());
    let tables = times(work.events() * assumed("insightBytesPerEvent") / 1e9);
    let [rewritten, compacted] = work.kept();
    // Deleting is free, the line that says so is not.
    let deleted = times(work.files());
    let logs = (calls * assumed("logBytesPerCall") + deleted * assumed("deletionLogBytes")) / 1e9;
    vec![
        row(
            "Functions",
            times(work.gb_seconds()) * price("functions.onDemand.gbSecond")
                + calls / 1e6 * price("functions.million"),
            format!(
                "{} units, {} looks; {} us an event, on demand",
                whole(times(work.units())),
                whole(times(work.looks())),
                assumed("insightMicrosPerEvent")
            ),
        ),
        row(
            "Storage, operations",
            reads / 1e4 * storage("read10k") + (writes + lists) / 1e4 * storage("write10k"),
            format!(
                "{} reads, {} writes, {} lists",
                millions(reads),
                millions(writes),
                millions(lists)
            ),
        ),
        row(
            "Storage, tables",
            tables * storage("hot.gbMonth") * hours / HOURS_A_MONTH,
            format!(
                "{tables:.0} GB at {} bytes an event, which stay",
                assumed("insightBytesPerEvent")
            ),
        ),
        row(
            "Storage, soft delete",
            (rewritten + compacted) * storage("hot.gbMonth") * hours / HOURS_A_MONTH,
            format!(
                "{rewritten:.0} GB of tables that were rewritten, {compacted:.0} GB of archive files that became few"
            ),
        ),
        row(
            "Logs",
            logs * price("logs.gb"),
            format!("{logs:.1} GB, nearly all of it a line for each archive file that is deleted"),
        ),
    ]
}

/// From the page with the other costs, which lies beside it.
pub fn link() -> String {
    let page = PAGE.trim_start_matches("infra/");
    format!("[{page}]({page}#what-it-costs)")
}

/// A day's looks where nothing flies.
pub fn standing(size: &Size) -> f64 {
    let load = Load { size, drones: 0.0 };
    let lists = Work { load: &load }.lists() * 24.0;
    lists / 1e4 * price(&format!("blob.{}.write10k", redundancy(size)))
}

fn fleet_month(size: &Size) -> f64 {
    let load = Load {
        size,
        drones: 10_000.0,
    };
    dear(&rows(&load, HOURS_A_MONTH))
}

#[track_caller]
fn assert_on_the_page(text: &str) {
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
fn the_page_says_what_a_month_of_insights_costs() {
    let fleet = Size::read("fleet");
    let load = Load {
        size: &fleet,
        drones: 10_000.0,
    };
    let rows = rows(&load, HOURS_A_MONTH);
    let lines: String = rows
        .iter()
        .map(|Row { what, how, usd }| format!("| {what} | {how} | {usd:.2} |\n"))
        .collect();
    assert_on_the_page(&format!("{lines}| | | {:.2} |\n", dear(&rows)));
    let live = fleet_month(&fleet.with("insightsLive", "true")) - fleet_month(&fleet);
    assert_on_the_page(&format!("{} a month more for the fleet", whole(live)));
    assert_on_the_page(&format!("{:.2} a day", standing(&Size::read("try"))));
}

#[test]
fn a_changed_setting_changes_the_costs_of_insights() {
    let fleet = Size::read("fleet");
    let before = fleet_month(&fleet);
    for (name, value) in [
        ("insightsSchedule", "'0 * * * * *'"),
        ("insightsLive", "true"),
    ] {
        let after = fleet_month(&fleet.with(name, value));
        assert!(after > before + 1.0, "{name}: {after} instead of {before}");
    }
}

/// The tables lie where soft delete keeps what was written over. Of snapshots it would keep a terabyte; of these a hundredth.
#[test]
fn what_soft_delete_keeps_of_the_tables_is_little() {
    let fleet = Size::read("fleet");
    let load = Load {
        size: &fleet,
        drones: 10_000.0,
    };
    let [rewritten, _] = Work { load: &load }.kept();
    assert!(rewritten < 25.0, "{rewritten} GB");
    let module = sources::read("infra/modules/data-storage.bicep");
    let days = format!(
        "deleteRetentionPolicy: {{ enabled: true, days: {} }}",
        assumed("softDeleteDays")
    );
    assert!(module.contains(&days), "{days}");
}

/// A look goes back three days: an hour that has lost its files by then would be summarised without them.
#[test]
fn the_archive_outlives_the_time_in_which_an_hour_is_looked_at() {
    let main = sources::read("infra/main.bicep");
    let (before, _) = main.split_once("\nparam archiveDeleteAfterDays").unwrap();
    let least = before.rsplit("@minValue(").next().unwrap();
    let least: i64 = least.trim_end_matches(')').parse().unwrap();
    assert!(least > ALL / 24 + 1, "{least}");
    for size in ["try", "fleet"] {
        assert!(
            Size::read(size).int("archiveDeleteAfterDays") >= least,
            "{size}"
        );
    }
}

/// What is left when the archive has gone.
#[test]
fn no_rule_of_the_account_deletes_tables_or_manifests() {
    let template = sources::template();
    let policies: Vec<_> = template
        .of("Microsoft.Storage/storageAccounts/managementPolicies")
        .collect();
    assert!(!policies.is_empty());
    for policy in policies {
        let rules = policy.body.at("properties.policy.rules").unwrap().list();
        for rule in rules {
            let prefixes = rule
                .at("definition.filters.prefixMatch")
                .expect("a rule for all containers")
                .list();
            assert!(!prefixes.is_empty());
            for prefix in prefixes {
                let prefix = prefix.text().unwrap();
                let container = prefix.split('/').next().unwrap();
                assert!(
                    ["telemetry-archive", "telemetry-dead-letters"].contains(&container),
                    "{prefix}"
                );
            }
        }
    }
}
