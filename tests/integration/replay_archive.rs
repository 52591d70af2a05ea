//! Archived events sent again: the state can be made from them at any time.

use std::path::Path;

use drone_delivery::domain::timestamp::Rfc3339;
use drone_delivery::domain::{Bucket, DeviceId};
use drone_delivery::stores::BlobStore;
use drone_delivery::stores::blob::BlobService;
use local::hub::Position;
use local::replay::{ReplayError, Stop, Summary, View, replay};
use local::system::{ARCHIVE, DATABASE, DEAD_LETTERS, DRONES};
use time::{Duration, UtcDateTime};

use crate::replay::{connections, documents, documents_of, options};
use crate::support::{Fleet, flight, status, until};

/// Replays the archive up to now.
async fn replay_archive(
    fleet: &Fleet,
    folder: &Path,
    (from, to): (UtcDateTime, UtcDateTime),
    arguments: &[&str],
    stop: &Stop,
) -> Result<Summary, (ReplayError, Summary)> {
    let (from, to) = (Rfc3339(from).to_string(), Rfc3339(to).to_string());
    let range = ["--archive", "--from", &from, "--to", &to];
    let options = options(&[&range[..], arguments].concat());
    let mut connections = connections(fleet);
    // The same system each time.
    connections.system = "fleet".to_owned();
    let view = &mut View::silent();
    let summary = replay(&options, &connections, folder, stop, view).await;
    fleet.settled().await;
    summary
}

async fn send_some(fleet: &Fleet) -> Vec<(Vec<u8>, Position)> {
    let mut sent = Vec::new();
    for second in 0..8 {
        for drone in 0..10 {
            let device = format!("drone-{drone}");
            let body = match second % 2 {
                0 => flight(&device, second, f64::from(second)),
                _ => status(&device, second, f64::from(second)),
            };
            let position = fleet.send(&device, body.clone());
            sent.push((body, position));
        }
    }
    fleet.send("drone-1", "not telemetry");
    fleet.send("thief", flight("victim", 1, 1.0));
    fleet.settled().await;
    sent
}

/// The whole run of a test, and what comes after it is not in it.
async fn range() -> (UtcDateTime, UtcDateTime) {
    let to = UtcDateTime::now();
    // The hub counts in milliseconds.
    until("the next millisecond", async || {
        UtcDateTime::now() > to + Duration::milliseconds(1)
    })
    .await;
    (to - Duration::minutes(10), to)
}

/// Empties the container of states, and makes the handler forget what it has written.
async fn lose_the_state(fleet: &Fleet) {
    for item in fleet.system.cosmos.items(DATABASE, DRONES).await {
        let device: DeviceId = item["deviceId"].as_str().unwrap().parse().unwrap();
        let cosmos = &fleet.system.cosmos;
        let id = device.item_id();
        assert!(
            cosmos
                .delete_item(DATABASE, DRONES, &Bucket::of(&device).key(), &id)
                .await
        );
    }
    let restarts = fleet.system.host.handler().restarts;
    fleet.system.host.kill_handler();
    until("the handler is back", async || {
        fleet.system.host.handler().restarts > restarts
    })
    .await;
    assert_eq!(fleet.drones().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_rebuilds_what_was_lost_and_a_second_replay_changes_nothing() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let sent = send_some(&fleet).await;
    let expected = documents_of(&sent);
    assert_eq!(documents(&fleet).await, expected);
    // The archive has events twice, in files with other boundaries.
    for partition in 0..4 {
        fleet.system.hub.rewind("telemetry-archive", partition, 7);
    }
    fleet.settled().await;
    let (_, repeats) = fleet.archive().await;
    assert!(repeats > 0);
    let range = range().await;
    lose_the_state(&fleet).await;

    let stop = Stop::default();
    let run = async |arguments: &[&str]| {
        let outcome = replay_archive(&fleet, folder.path(), range, arguments, &stop);
        outcome.await.unwrap_or_else(|(error, _)| panic!("{error}"))
    };
    let preview = run(&["--dry-run"]).await;
    assert_eq!(preview.sent, 80, "{preview}");
    assert_eq!(fleet.drones().await, 0);

    let summary = run(&[]).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!((summary.read, summary.chosen, summary.sent), (82, 80, 80));
    assert_eq!(summary.passed_over["malformed-json"], 1);
    assert_eq!(summary.passed_over["device-mismatch"], 1);
    assert_eq!(documents(&fleet).await, expected);
    let letters = fleet
        .system
        .storage
        .queue_length(DEAD_LETTERS)
        .await
        .unwrap();
    assert_eq!(letters, 2, "poison was not put aside once more");

    let (appended, writes) = (fleet.system.hub.appended(), fleet.system.cosmos.writes());
    let second = run(&[]).await;
    assert!(second.done_before && second.is_complete());
    assert_eq!((second.read, second.sent), (0, 0));
    assert_eq!(fleet.system.hub.appended(), appended);

    let again = run(&["--again"]).await;
    assert_eq!(again.sent, 80);
    assert_eq!(fleet.system.cosmos.writes(), writes);
    assert_eq!(documents(&fleet).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_replay_goes_on_where_it_was() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let expected = documents_of(&send_some(&fleet).await);
    let range = range().await;
    lose_the_state(&fleet).await;

    // Slow enough that it is stopped in the middle: a portion of five events and then a pause.
    let stop = Stop::default();
    let appended = fleet.system.hub.appended();
    let running = replay_archive(&fleet, folder.path(), range, &["--rate", "10"], &stop);
    let watching = async {
        until("the first portion has arrived", async || {
            fleet.system.hub.appended() > appended
        })
        .await;
        stop.request();
    };
    let (first, ()) = tokio::join!(running, watching);
    let first = first.unwrap_or_else(|(error, _)| panic!("{error}"));
    assert!(first.interrupted && !first.is_complete());
    assert!(first.sent > 0 && first.sent < 80, "{first}");

    // Killed, which is to say dropped, while a portion is on its way.
    let appended = fleet.system.hub.appended();
    let running = async {
        let stop = Stop::default();
        replay_archive(&fleet, folder.path(), range, &["--rate", "10"], &stop).await
    };
    let watching = until("another portion has arrived", async || {
        fleet.system.hub.appended() > appended
    });
    tokio::select! {
        _ = running => panic!("it has ended"),
        () = watching => {}
    }

    let appended = fleet.system.hub.appended();
    let last = replay_archive(&fleet, folder.path(), range, &[], &Stop::default()).await;
    let last = last.unwrap_or_else(|(error, _)| panic!("{error}"));
    assert!(last.is_complete() && !last.done_before, "{last}");
    assert!(last.sent <= 80 - first.sent, "it began anew: {last}");
    assert_eq!(fleet.system.hub.appended() - appended, last.sent);
    assert_eq!(documents(&fleet).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_events_that_are_asked_for_are_sent() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let sent = send_some(&fleet).await;
    let (from, to) = range().await;
    let stop = Stop::default();
    let run = async |range, arguments: &[&str]| {
        let outcome = replay_archive(&fleet, folder.path(), range, arguments, &stop);
        outcome
            .await
            .unwrap_or_else(|(error, _)| panic!("{error}"))
            .sent
    };
    assert_eq!(run((from, to), &["--device", "drone-7"]).await, 8);
    let of_partition = sent.iter().filter(|(_, at)| at.partition == 2).count() as u64;
    assert_eq!(run((from, to), &["--partition", "2"]).await, of_partition);
    // The end is not in it, the beginning is.
    let middle = sent[40].1.enqueued_at;
    let before = sent
        .iter()
        .filter(|(_, at)| at.enqueued_at < middle)
        .count() as u64;
    assert_eq!(run((from, middle), &[]).await, before);
    assert_eq!(run((middle, to), &[]).await, 80 - before);
    assert_eq!(run((from - Duration::days(400), from), &[]).await, 0);

    let file = folder.path().join("progress.json");
    let file = file.to_str().unwrap();
    assert_eq!(run((from, middle), &["--progress", file]).await, before);
    let other = ["--progress", file];
    let outcome = replay_archive(&fleet, folder.path(), (from, to), &other, &stop);
    let (error, _) = outcome.await.unwrap_err();
    assert!(
        error.to_string().contains("is of another replay"),
        "{error}"
    );
}

/// The name of one of the archive's files, and what it holds.
async fn some_file(fleet: &Fleet) -> (String, bytes::Bytes) {
    let storage = &fleet.system.storage;
    let names = storage.blob_names(ARCHIVE, "").await.unwrap();
    let name = names.into_iter().next().unwrap();
    let body = storage.read_blob(ARCHIVE, &name).await.unwrap();
    (name, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_passed_over_and_told_of_and_strict_stops_at_it() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    send_some(&fleet).await;
    let range = range().await;
    let (name, whole) = some_file(&fleet).await;
    let in_it = drone_delivery::capture::decode(&whole).unwrap().len() as u64;
    let container = BlobService::connect(&connections(&fleet).storage)
        .unwrap()
        .container(ARCHIVE)
        .unwrap();
    BlobStore::put(&container, &name, whole.slice(..whole.len() - 1))
        .await
        .unwrap();

    let stop = Stop::default();
    let strict = replay_archive(&fleet, folder.path(), range, &["--strict"], &stop).await;
    let (error, _) = strict.unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");

    let summary = replay_archive(&fleet, folder.path(), range, &[], &stop).await;
    let summary = summary.unwrap_or_else(|(error, _)| panic!("{error}"));
    assert_eq!(summary.files_passed_over, 1, "{summary}");
    assert_eq!(summary.read, 82 - in_it, "{summary}");
    assert!(!summary.is_complete() && !summary.interrupted);
    assert!(summary.to_string().contains("--again"), "{summary}");

    BlobStore::put(&container, &name, whole).await.unwrap();
    let summary = replay_archive(&fleet, folder.path(), range, &["--again"], &stop).await;
    let summary = summary.unwrap_or_else(|(error, _)| panic!("{error}"));
    assert_eq!((summary.read, summary.is_complete()), (82, true));
}
