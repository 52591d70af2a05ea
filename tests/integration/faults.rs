//! Crashes and outages: nothing is lost, nothing is dead-lettered that was only unlucky.

use std::time::Duration;

use local::fault::{Fault, FaultPlan};
use serde_json::Value;

use crate::support::{Fleet, flight, until};

/// Sends `drones` x `seconds` events, calling `after_second` between seconds.
async fn fly(fleet: &Fleet, drones: u32, seconds: u32, mut after_second: impl FnMut(u32)) {
    for second in 0..seconds {
        for drone in 0..drones {
            let device = format!("drone-{drone}");
            fleet.send(&device, flight(&device, second, f64::from(second)));
        }
        after_second(second);
        tokio::task::yield_now().await;
    }
}

/// Every drone has its last event, and every event is archived once at least.
async fn everything_arrived(fleet: &Fleet, drones: u32, seconds: u32) {
    for drone in 0..drones {
        let document = fleet.document(&format!("drone-{drone}")).await.unwrap();
        assert_eq!(
            document["flight"]["velocity"],
            f64::from(seconds - 1),
            "drone-{drone}"
        );
    }
    let (archive, _) = fleet.archive().await;
    assert_eq!(archive.len(), (drones * seconds) as usize);
    assert_eq!(fleet.take_dead_letters().await, Vec::<Value>::new());
}

fn failures(fleet: &Fleet) -> u64 {
    fleet.system.host.stats()["UpdateDroneState"].failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_killed_in_mid_batch_loses_nothing() {
    let fleet = Fleet::start().await;
    // Slow writes, so that the kill finds a call in flight.
    fleet
        .system
        .cosmos
        .set_fault(Some(Fault::Slow(Duration::from_millis(50))));
    fly(&fleet, 20, 20, |_| {}).await;
    for _ in 0..3 {
        let writes = fleet.system.cosmos.writes();
        until("some writes of a batch are done", async || {
            fleet.system.cosmos.writes() > writes + 3
        })
        .await;
        let restarts = fleet.system.host.handler().restarts;
        fleet.system.host.kill_handler();
        until("the host restarts the handler", async || {
            fleet.system.host.handler().restarts > restarts
        })
        .await;
        fly(&fleet, 20, 20, |_| {}).await;
    }
    fleet.system.cosmos.set_fault(None);
    fleet.settled().await;
    assert!(
        failures(&fleet) > 0,
        "no call was in flight when the handler was killed"
    );
    let (archive, _) = fleet.archive().await;
    assert_eq!(archive.len(), 4 * 400);
    for drone in 0..20 {
        let document = fleet.document(&format!("drone-{drone}")).await.unwrap();
        assert_eq!(document["flight"]["velocity"], 19.0);
    }
    assert!(fleet.take_dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_waited_out() {
    let fleet = Fleet::start().await;
    fleet.system.cosmos.set_fault_plan(Some(FaultPlan {
        fault: Fault::Status(429),
        one_in: 2,
    }));
    fly(&fleet, 10, 20, |_| {}).await;
    fleet.settled().await;
    assert!(fleet.system.cosmos.faults() > 0, "nothing was throttled");
    everything_arrived(&fleet, 10, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_retried_until_it_ends() {
    for fault in [Fault::Status(503), Fault::Reset, Fault::Hang] {
        let name = format!("{fault:?}");
        let fleet = Fleet::start().await;
        fly(&fleet, 5, 3, |_| {}).await;
        fleet.settled().await;
        fleet.system.cosmos.set_fault(Some(fault));
        fly(&fleet, 5, 6, |_| {}).await;
        until(&format!("a call fails under {name}"), async || {
            failures(&fleet) > 0
        })
        .await;
        assert!(
            fleet.system.hub.lag("drone-state") > 0,
            "{name}: the events wait in the hub"
        );
        until(&format!("the archive goes on under {name}"), async || {
            fleet.system.hub.lag("telemetry-archive") == 0
        })
        .await;
        fleet.system.cosmos.set_fault(None);
        fleet.settled().await;
        for drone in 0..5 {
            let document = fleet.document(&format!("drone-{drone}")).await.unwrap();
            assert_eq!(document["flight"]["velocity"], 5.0, "{name}");
        }
        assert!(fleet.take_dead_letters().await.is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cosmos_db_that_hangs_never_makes_the_host_kill_the_handler() {
    // The host kills at functionTimeout; one operation alone would take longer.
    let limits = [
        ("AzureFunctionsJobHost__functionTimeout", "00:00:06"),
        // Those that say themselves how long they take would not start.
        ("AzureWebJobs.NotifyAlert.Disabled", "true"),
        ("AzureWebJobs.SummarizeHour.Disabled", "true"),
    ];
    let fleet = Fleet::with_settings(&limits).await;
    fleet.system.cosmos.set_fault(Some(Fault::Hang));
    fly(&fleet, 5, 9, |_| {}).await;
    until("calls fail again and again", async || failures(&fleet) >= 8).await;
    let late = fleet.system.host.stats()["UpdateDroneState"]
        .last_failure
        .clone();
    let late = late.unwrap();
    assert!(late.contains("did not finish within 3 s"), "{late}");
    fleet.system.cosmos.set_fault(None);
    fleet.settled().await;
    assert_eq!(fleet.system.host.handler().restarts, 0);
    everything_arrived(&fleet, 5, 9).await;
}
