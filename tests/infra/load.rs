//! What a size does a second under a load: writes, calls, files, checkpoints, leases and request units.

use crate::costs::{assert_on_the_page, whole};
use crate::sizes::Size;
use crate::sources;

/// Functions that read the hub.
pub const READERS: f64 = 3.0;

/// Each drone reports its position every 5 seconds and its state every 20.
const FLIGHT_SECONDS: f64 = 5.0;
const STATUS_SECONDS: f64 = 20.0;
pub const EVENTS_PER_DRONE: f64 = 1.0 / FLIGHT_SECONDS + 1.0 / STATUS_SECONDS;

/// A size with so many drones; what is computed is a second's.
pub struct Load<'a> {
    pub size: &'a Size,
    pub drones: f64,
}

/// A number that `infra/costs.json` assumes.
pub fn assumed(name: &str) -> f64 {
    number(&["assumed", name, "value"])
}

/// A number of `infra/costs.json`.
pub fn number(path: &[&str]) -> f64 {
    let costs: serde_json::Value =
        serde_json::from_str(&sources::read("infra/costs.json")).unwrap();
    let found = path.iter().fold(&costs, |value, key| &value[key]);
    found
        .as_f64()
        .unwrap_or_else(|| panic!("infra/costs.json has no number {path:?}"))
}

impl Load<'_> {
    pub fn events(&self) -> f64 {
        self.drones * EVENTS_PER_DRONE
    }

    /// Partitions that have drones: few drones share none, at worst.
    pub fn busy_partitions(&self) -> f64 {
        self.size.number("partitions").min(self.drones)
    }

    fn partition_events(&self) -> f64 {
        self.events() / self.busy_partitions()
    }

    /// From one batch of a partition to its next: the wait after its first event, or until it is full.
    pub fn interval(&self) -> f64 {
        let waited = self.size.seconds("batchWait") + 1.0 / self.partition_events();
        waited.min(self.size.number("batchSize") / self.partition_events())
    }

    /// Batches of one function.
    pub fn batches(&self) -> f64 {
        self.busy_partitions() / self.interval()
    }

    pub fn calls(&self) -> f64 {
        READERS * self.batches()
    }

    /// How large a part of the drones reports within one batch: each of them is one write.
    pub fn writes(&self) -> f64 {
        let heard = |every: f64| (self.interval() / every).min(1.0);
        let share = 1.0 - (1.0 - heard(FLIGHT_SECONDS)) * (1.0 - heard(STATUS_SECONDS));
        let drones = self.drones / self.busy_partitions() * share;
        (self.batches() * drones * assumed("rewritten")).min(self.events())
    }

    pub fn request_units(&self) -> f64 {
        self.writes() * assumed("ruPerWrite")
    }

    /// One a batch.
    pub fn files(&self) -> f64 {
        self.batches()
    }

    /// What the rules know of a partition, saved at each of their batches.
    pub fn snapshots(&self) -> f64 {
        self.batches()
    }

    pub fn checkpoints(&self) -> f64 {
        self.calls()
    }

    /// Ownership of each partition, by each of the readers, twice a minute.
    pub fn ownership_writes(&self) -> f64 {
        READERS * self.size.number("partitions") * 2.0 / 60.0
    }

    pub fn instances(&self) -> f64 {
        self.size.always_ready().max(READERS)
    }

    pub fn lease_renewals(&self) -> f64 {
        self.instances() * assumed("leaseWritesPerMinute") / 60.0
    }

    pub fn lists(&self) -> f64 {
        self.instances() * assumed("listsPerMinute") / 60.0
    }

    pub fn queue_polls(&self) -> f64 {
        assumed("queuePollsPerMinute") / 60.0
    }
}

fn fleet() -> Size {
    Size::read("fleet")
}

/// The size and the drones that it is for.
fn sizes() -> [(Size, f64); 2] {
    [(Size::read("try"), 10.0), (fleet(), 10_000.0)]
}

#[test]
fn each_size_stays_below_what_it_has_paid_for() {
    for (size, drones) in sizes() {
        let load = Load {
            size: &size,
            drones,
        };
        let file = &size.file;
        let units = size.number("throughputUnits");
        let events = load.events();
        assert!(events <= units * 1_000.0, "{file}: events in");
        assert!(events * READERS <= units * 4_096.0, "{file}: events out");
        let megabytes = events * assumed("eventKb") / 1_024.0;
        assert!(megabytes <= units, "{file}: {megabytes} MB/s in");
        let quota = match size.text("iotHubSku").as_str() {
            "S1" => 400e3,
            "S2" => 6e6,
            "S3" => 300e6,
            other => panic!("{other}"),
        };
        let a_day = events * 86_400.0;
        assert!(
            a_day <= quota * size.number("iotHubUnits"),
            "{file}: {a_day} messages a day"
        );
        let maximum = size.number("dronesMaximumThroughput");
        let asked = load.request_units() * assumed("burst");
        assert!(
            maximum < 0.5 || asked <= maximum,
            "{file}: {asked} RU/s, and dronesMaximumThroughput is {maximum}"
        );
        let under_way = events * size.seconds("batchWait");
        assert!(
            2.0 * under_way <= size.number("eventsPerInstance"),
            "{file}: {under_way} events are always on their way: eventsPerInstance"
        );
    }
}

/// A batch that is full before its wait is over goes at once: more batches, more writes, more request units.
#[test]
fn a_batch_of_the_fleet_waits_as_long_as_it_was_told_to() {
    let size = fleet();
    // Drones are spread by a hash: the fullest partitions have three standard deviations more than the mean.
    let mean = 10_000.0 / size.number("partitions");
    let fullest = mean + 3.0 * mean.sqrt();
    let gathered = fullest * EVENTS_PER_DRONE * size.seconds("batchWait");
    let batch = size.number("batchSize");
    assert!(
        gathered <= batch,
        "{gathered} events come within the wait, and batchSize is {batch}"
    );
    let load = Load {
        size: &size,
        drones: 10_000.0,
    };
    let writes = load.writes() / load.events();
    assert!(writes <= 0.42 + 1e-3, "{writes} writes an event");
}

/// Minimum, maximum and prefetch are one number wherever they are set, and the wait goes with them.
#[test]
fn minimum_maximum_and_prefetch_of_a_batch_are_set_as_one() {
    const OPTIONS: [&str; 3] = ["minEventBatchSize", "maxEventBatchSize", "prefetchCount"];
    let host: serde_json::Value = serde_json::from_str(drone_delivery::HOST_JSON).unwrap();
    let options = &host["extensions"]["eventHubs"];
    let settings = crate::provided::settings(&sources::template());
    for name in OPTIONS {
        assert_eq!(
            options[name], options[OPTIONS[0]],
            "host.json: {name} is not {}",
            OPTIONS[0]
        );
        let setting = format!("AzureFunctionsJobHost__extensions__eventHubs__{name}");
        assert_eq!(
            settings.get(&setting).map(String::as_str),
            Some("string(batchSize)"),
            "{setting}"
        );
    }
    let wait = "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime";
    assert_eq!(settings.get(wait).map(String::as_str), Some("batchWait"));
}

/// What a host with 12 partition readers held in 2,048 MB, and what it died of.
#[test]
fn the_batch_is_what_the_memory_of_an_instance_was_seen_to_hold() {
    // Four partitions of three functions.
    let measured = fleet()
        .with("partitions", "12")
        .with("instanceMemoryMB", "2048");
    let holds = |kilobytes: i64| {
        measured
            .with("largestEventKb", &kilobytes.to_string())
            .int("batchSize")
    };
    for (kilobytes, held, died) in [(10, 1_000, i64::MAX), (50, 200, 1_000), (250, 20, 1_000)] {
        let batch = holds(kilobytes);
        assert!(
            (held..died).contains(&batch),
            "events of {kilobytes} KB: {batch}, where {held} were held and {died} were not"
        );
    }
    // 20 of 250 KB did not pass in 784 MB.
    let smaller = measured.with("instanceMemoryMB", "784");
    assert!(smaller.with("largestEventKb", "250").int("batchSize") < 20);
    // However large, one event has to pass.
    let smallest = Size::read("try").with("largestEventKb", "1024");
    assert_eq!(smallest.int("batchSize"), 1);
}

/// The table of what a larger `largestEventKb` does to the fleet.
#[test]
fn the_page_says_what_larger_events_do() {
    let rows: String = [4, 10, 50, 250]
        .into_iter()
        .map(|kilobytes| {
            let size = fleet().with("largestEventKb", &kilobytes.to_string());
            let load = Load {
                size: &size,
                drones: 10_000.0,
            };
            format!(
                "| {kilobytes} KB | {} | {:.1} s | {} | {} |\n",
                whole(size.number("batchSize")),
                load.interval(),
                whole(load.writes()),
                whole(load.request_units())
            )
        })
        .collect();
    assert_on_the_page(&rows);
}
