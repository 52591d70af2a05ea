//! Drones whose events wait in the hub are not silent: the real process, and the contract of its notes.

use std::cell::Cell;

use azure_functions_sdk::connection::{Connection, ConnectionString};
use drone_delivery::stores::backlog::{Note, NoteStore};
use drone_delivery::stores::blob::BlobService;
use drone_delivery::stores::memory::MemoryNotes;
use local::fault::Fault;
use local::system::ALERT_STATE;
use serde_json::Value;
use time::macros::utc_datetime;

use crate::silence::{DRONE, SETTINGS, episodes, look, look_until_raised};
use crate::support::{Fleet, flight, storage, until};

/// Where the notes are in the container.
const NOTES: &str = "~backlog/";

async fn notes(fleet: &Fleet) -> Vec<String> {
    let storage = &fleet.system.storage;
    storage.blob_names(ALERT_STATE, NOTES).await.unwrap()
}

fn failures(fleet: &Fleet) -> u64 {
    fleet.system.host.stats()["UpdateDroneState"].failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_drones_that_wait_in_the_hub_are_not_missed() {
    let fleet = Fleet::with_settings(&SETTINGS).await;
    fleet.send(DRONE, flight(DRONE, 0, 20.0));
    fleet.settled().await;
    assert_eq!(notes(&fleet).await, Vec::<String>::new());

    let second = Cell::new(0);
    let go_on = || {
        second.set(second.get() + 1);
        fleet.send(DRONE, flight(DRONE, second.get(), 20.0));
    };
    fleet.system.cosmos.set_fault(Some(Fault::Status(503)));
    // By then the last event that was applied is older than the silence that makes an alert, and the batch
    // that fails is old enough to be behind even if an attempt at it succeeds before the look.
    until("a call fails for the fourth time", async || {
        go_on();
        failures(&fleet) >= 4
    })
    .await;
    until("the backlog is noted", async || {
        !notes(&fleet).await.is_empty()
    })
    .await;
    fleet.system.cosmos.set_fault(None);
    look(&fleet).await.unwrap();
    assert_eq!(episodes(&fleet).await, Vec::<Value>::new());

    until("the note is gone", async || {
        go_on();
        fleet.settled().await;
        notes(&fleet).await.is_empty()
    })
    .await;
    // Now nothing more comes.
    look_until_raised(&fleet).await;
}

async fn keeps_the_note_contract(store: &dyn NoteStore) {
    let note = |second| Note {
        reached: utc_datetime!(2024-05-01 12:00:00.1234567)
            .replace_second(second)
            .unwrap(),
        noted_at: utc_datetime!(2024-05-01 12:10),
    };
    let all = async || {
        let mut all = store.all().await.unwrap();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    assert_eq!(all().await, []);
    store.remove("telemetry/0").await.unwrap();
    for (name, second) in [("telemetry/0", 1), ("telemetry/10", 2), ("telemetry/0", 3)] {
        store.put(name, note(second)).await.unwrap();
    }
    let expected = [("telemetry/0", 3), ("telemetry/10", 2)];
    let expected = expected.map(|(name, second)| (name.to_owned(), note(second)));
    assert_eq!(all().await, expected);
    store.remove("telemetry/0").await.unwrap();
    assert_eq!(all().await, expected[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_in_memory_and_in_blob_storage_keep_the_contract() {
    keeps_the_note_contract(&MemoryNotes::default()).await;
    let account = storage();
    account.create_container(ALERT_STATE).await.unwrap();
    let connection = ConnectionString::parse("FleetStorage", account.connection_string()).unwrap();
    let blobs = BlobService::connect(&Connection::ConnectionString(connection)).unwrap();
    keeps_the_note_contract(&blobs.container(ALERT_STATE).unwrap()).await;
    let missing = blobs.container("no-such-container").unwrap();
    assert!(
        missing.all().await.is_err(),
        "nobody could leave a note there"
    );
}
