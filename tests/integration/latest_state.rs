//! Drones that are written together, against the real Cosmos DB emulator.

use std::sync::Arc;
use std::time::Duration;

use drone_delivery::domain::fleet::DroneFilter;
use drone_delivery::domain::{Bucket, DeviceId, DroneState};
use drone_delivery::services::latest_state::{Applied, LatestState};
use drone_delivery::stores::DroneStore;
use drone_delivery::stores::cosmos::drones::CosmosDrones;
use drone_delivery::stores::fleet::FleetReader;
use local::cosmos::CosmosEmulator;
use local::fault::Fault;
use local::system::{DATABASE, DRONES};
use serde_json::json;

use crate::contract::{cosmos, state, together};

async fn stored(store: &CosmosDrones, drones: &[DroneState]) -> Vec<Option<DroneState>> {
    let ids: Vec<&DeviceId> = drones.iter().map(|drone| &drone.device_id).collect();
    let found = store.load(Bucket::of(ids[0]), &ids).await.unwrap();
    found.into_iter().map(|found| found?.state).collect()
}

/// Applies them while a fault lasts, which ends once it has met so many requests.
async fn apply_under(
    emulator: &CosmosEmulator,
    states: &LatestState,
    drones: &[DroneState],
    fault: Fault,
    requests: u64,
) -> Applied {
    let met = emulator.faults() + requests;
    emulator.set_fault(Some(fault));
    let over = async {
        while emulator.faults() < met {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        emulator.set_fault(None);
    };
    let (applied, ()) = tokio::join!(states.apply(drones.to_vec()), over);
    applied.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_throttled_three_times_comes_through() {
    let (emulator, store) = cosmos().await;
    let states = LatestState::new(Arc::clone(&store) as _);
    let drones = together(100);
    states.apply(drones.clone()).await.unwrap();
    let later: Vec<DroneState> = drones
        .iter()
        .map(|drone| state(drone.device_id.as_str(), 2, 2.0))
        .collect();
    let applied = apply_under(&emulator, &states, &later, Fault::Status(429), 3).await;
    assert_eq!(applied.written, 100);
    let expected: Vec<_> = later.iter().cloned().map(Some).collect();
    assert_eq!(stored(&store, &later).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_after_a_whole_batch_was_written_ends_in_the_same_state() {
    let (emulator, store) = cosmos().await;
    let states = LatestState::new(Arc::clone(&store) as _);
    let drones = together(100);
    states.apply(drones.clone()).await.unwrap();
    let writes = emulator.writes();
    let later: Vec<DroneState> = drones
        .iter()
        .map(|drone| state(drone.device_id.as_str(), 2, 2.0))
        .collect();
    // The client sends it again by itself, and is told that every version is stale.
    apply_under(&emulator, &states, &later, Fault::LostAnswer, 1).await;
    let expected: Vec<_> = later.iter().cloned().map(Some).collect();
    assert_eq!(stored(&store, &later).await, expected);
    assert_eq!(emulator.writes(), writes + 100, "written once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_be_read_stops_neither_its_batch_nor_a_list() {
    let (emulator, store) = cosmos().await;
    let states = LatestState::new(Arc::clone(&store) as _);
    let drones = together(5);
    states.apply(drones[..4].to_vec()).await.unwrap();
    // A newer version's, an edit by hand, and one that was never a drone.
    let odd = &drones[2..];
    let of_newer_version = json!({
        "id": odd[0].device_id.item_id(), "deviceId": odd[0].device_id,
        "lastSeenAt": "2024-05-01T12:00:01Z",
        "flight": {"occurredAt": "2024-05-01T12:00:01Z", "deliveryId": "d", "altitude": 1.0,
            "position": {"type": "Point", "coordinates": [0.0, 0.0]}, "velocity": 1.0,
            "acceleration": 1.0, "status": "hovering"},
    });
    let by_hand =
        json!({"id": odd[1].device_id.item_id(), "deviceId": odd[1].device_id, "lastSeenAt": 7});
    let stranger = json!({"id": odd[2].device_id.item_id(), "deviceId": "a/b", "note": "keep out"});
    let key = Bucket::of(&odd[0].device_id).key();
    for mut item in [of_newer_version, by_hand, stranger] {
        item["bucket"] = key.clone().into();
        assert!(emulator.upsert_item(DATABASE, DRONES, &key, &item).await);
    }
    let all = DroneFilter::default();
    for limit in [1, 2, 100] {
        let mut listed = Vec::new();
        let mut from = None;
        loop {
            let page = store.list(&all, from.as_ref(), limit).await.unwrap().value;
            listed.extend(page.drones);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        listed.sort_by(|one, other| one.device_id.cmp(&other.device_id));
        let mut expected = drones[..2].to_vec();
        expected.sort_by(|one, other| one.device_id.cmp(&other.device_id));
        assert_eq!(listed, expected, "{limit} at a time");
    }
    assert_eq!(store.find(&odd[0].device_id).await.unwrap().value, None);

    let fresh = LatestState::new(Arc::clone(&store) as _);
    let later: Vec<DroneState> = drones
        .iter()
        .map(|drone| state(drone.device_id.as_str(), 2, 2.0))
        .collect();
    assert_eq!(fresh.apply(later.clone()).await.unwrap().written, 5);
    let expected: Vec<_> = later.iter().cloned().map(Some).collect();
    assert_eq!(stored(&store, &later).await, expected);
}
