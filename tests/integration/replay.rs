//! Dead letters sent again: the state is then what it would have been, and nothing is lost on the way.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser;
use drone_delivery::domain::timestamp::Rfc3339;
use drone_delivery::domain::{DroneDocument, FIRST_ENQUEUED_AT, Intake, ReceivedEvent, fold};
use drone_delivery::stores::BlobStore;
use drone_delivery::stores::blob::BlobService;
use local::hub::Position;
use local::replay::{Connections, ReplayError, ReplayOptions, Stop, Summary, View, Why, replay};
use local::running::RunningSystem;
use local::system::{DATABASE, DEAD_LETTERS, DRONES};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Fleet, flight, status};

/// A latitude that no drone can have, and what mends it.
const POISON: &str = "90.4";
const MEND: &str = "sed s/90.4/45.0/";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    replay: ReplayOptions,
}

/// The options, as a user would write them.
pub fn options(arguments: &[&str]) -> ReplayOptions {
    let arguments = std::iter::once("replay").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
    cli.replay
}

pub fn connections(fleet: &Fleet) -> Connections {
    Connections::of(&RunningSystem::of(&fleet.system)).unwrap()
}

/// Replays dead letters until the functions have seen what came of it.
async fn replay_letters(fleet: &Fleet, arguments: &[&str]) -> Summary {
    let arguments = [&["--dead-letters"], arguments].concat();
    let summary = run(&connections(fleet), &arguments, &Stop::default()).await;
    fleet.settled().await;
    summary.unwrap_or_else(|(error, _)| panic!("{error}"))
}

pub async fn run(
    connections: &Connections,
    arguments: &[&str],
    stop: &Stop,
) -> Result<Summary, (ReplayError, Summary)> {
    let nowhere = Path::new("/nonexistent");
    let view = &mut View::silent();
    replay(&options(arguments), connections, nowhere, stop, view).await
}

/// How many letters can be seen, in however many messages.
async fn letters(fleet: &Fleet) -> u64 {
    let messages = fleet.system.storage.peek_queue_messages(DEAD_LETTERS).await;
    let messages = messages.unwrap();
    assert!(messages.len() < 32, "there may be more");
    messages
        .iter()
        .map(|text| local::letters::count(text))
        .sum()
}

/// A flight event at the latitude that no drone can have.
fn poisoned(device: &str, second: u32) -> Vec<u8> {
    let body = String::from_utf8(flight(device, second, f64::from(second))).unwrap();
    body.replace("47.476075|", &format!("{POISON}|"))
        .into_bytes()
}

fn mended(body: &[u8]) -> Vec<u8> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    body.replace(POISON, "45.0").into_bytes()
}

/// The documents of a system that has seen these events at these times, and never any poison.
pub fn documents_of(events: &[(Vec<u8>, Position)]) -> BTreeMap<String, String> {
    let received = events.iter().map(|(body, position)| ReceivedEvent {
        body,
        sequence_number: position.sequence_number,
        offset: &position.offset,
        enqueued_at: position.enqueued_at,
        first_enqueued_at: None,
        authenticated_device: None,
        marked_as_tick: false,
        partition_key: None,
    });
    let changes = fold(Intake::default(), "0", received);
    assert_eq!(changes.dead_letters, []);
    changes
        .drones
        .iter()
        .map(|(device, state)| {
            let document = serde_json::to_string(&DroneDocument::from(state)).unwrap();
            (device.to_string(), document)
        })
        .collect()
}

/// Every stored document as the handler writes it, without what Cosmos DB adds.
pub async fn documents(fleet: &Fleet) -> BTreeMap<String, String> {
    let items = fleet.system.cosmos.items(DATABASE, DRONES).await;
    items
        .into_iter()
        .map(|item| {
            let device = item["deviceId"].as_str().unwrap().to_owned();
            // The emulator writes 5 for 5.0.
            let document: DroneDocument = serde_json::from_value(item).unwrap();
            (device, serde_json::to_string(&document).unwrap())
        })
        .collect()
}

/// Good and bad events of ten drones, one of them too large for a queue message; returns them mended, with where
/// and when they came in.
async fn send_a_poisoned_batch(fleet: &Fleet) -> Vec<(Vec<u8>, Position)> {
    let mut events = Vec::new();
    for second in 0..6 {
        for drone in 0..10 {
            let device = format!("drone-{drone}");
            let body = match (second + drone) % 3 {
                0 => flight(&device, second, f64::from(second)),
                1 => status(&device, second, 50.0),
                _ => poisoned(&device, second),
            };
            events.push((device, body));
        }
    }
    let mut large = poisoned("drone-3", 59);
    large.extend(vec![b' '; 70 * 1024]);
    events.push(("drone-3".to_owned(), large));
    let sent = events
        .into_iter()
        .map(|(device, body)| {
            let position = fleet.send(&device, body.clone());
            (mended(&body), position)
        })
        .collect();
    fleet.settled().await;
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repaired_batch_leaves_the_state_that_would_have_been_and_a_second_replay_nothing() {
    let fleet = Fleet::start().await;
    let sent = send_a_poisoned_batch(&fleet).await;
    let expected = documents_of(&sent);
    assert_ne!(documents(&fleet).await, expected, "the poison was applied");
    assert_eq!(letters(&fleet).await, 21);
    // Those of many letters stay for as long as the account's rules let them.
    let blobs = async || {
        let names = fleet.system.storage.blob_names(DEAD_LETTERS, "").await;
        let names = names.unwrap();
        names.iter().filter(|name| name.ends_with(".bin")).count()
    };
    assert_eq!(blobs().await, 1);

    let summary = replay_letters(&fleet, &["--repair", MEND]).await;
    assert!(summary.is_complete(), "{summary}");
    let counts = (
        summary.read,
        summary.chosen,
        summary.sent,
        summary.taken_off,
    );
    assert_eq!(counts, (21, 21, 21, 21));
    assert_eq!(documents(&fleet).await, expected);
    assert_eq!((letters(&fleet).await, blobs().await), (0, 0));

    let (appended, writes) = (fleet.system.hub.appended(), fleet.system.cosmos.writes());
    let second = replay_letters(&fleet, &["--repair", MEND]).await;
    assert_eq!(second, Summary::default());
    assert_eq!(fleet.system.hub.appended(), appended);
    assert_eq!(fleet.system.cosmos.writes(), writes);
    assert_eq!(documents(&fleet).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_again_after_newer_ones_makes_no_drone_look_younger() {
    let fleet = Fleet::start().await;
    let position = fleet.send("drone-1", poisoned("drone-1", 10));
    fleet.settled().await;
    replay_letters(&fleet, &["--repair", MEND]).await;
    let seen = fleet.document("drone-1").await.unwrap()["lastSeenAt"].clone();
    assert_eq!(seen, Rfc3339(position.enqueued_at).to_string());
    let replayed = (0..4).flat_map(|partition| fleet.system.hub.events(partition, 0));
    let times: Vec<_> = replayed
        .filter_map(|event| event.properties().get(FIRST_ENQUEUED_AT).cloned())
        .collect();
    assert_eq!(times, [seen]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_takes_nothing_off_and_sends_nothing() {
    let fleet = Fleet::start().await;
    // More than one look at the queue shows.
    for second in 0..40 {
        fleet.send("drone-1", poisoned("drone-1", second));
    }
    fleet.settled().await;
    let appended = fleet.system.hub.appended();
    for _ in 0..2 {
        let summary = replay_letters(&fleet, &["--dry-run", "--repair", MEND]).await;
        assert_eq!((summary.read, summary.sent, summary.taken_off), (40, 40, 0));
        assert_eq!(
            summary.reasons,
            BTreeMap::from([("out-of-range".to_owned(), 40)])
        );
    }
    assert_eq!(fleet.system.hub.appended(), appended);
    let still_there = fleet.take_dead_letters().await;
    assert_eq!(
        still_there.len(),
        40,
        "all of them can be seen again at once"
    );
    let summary = replay_letters(&fleet, &[]).await;
    let hidden: Vec<_> = summary.passed_over.into_iter().collect();
    assert!(
        matches!(hidden[..], [(what, 1..40)] if what.starts_with("hidden")),
        "{hidden:?}"
    );
    assert!(still_there.iter().all(|letter| letter["body"].is_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_chosen_or_cannot_be_mended_stays() {
    let fleet = Fleet::start().await;
    fleet.send("drone-1", poisoned("drone-1", 1));
    fleet.send("drone-2", poisoned("drone-2", 2));
    fleet.send("drone-2", "not telemetry");
    fleet.settled().await;

    let summary =
        replay_letters(&fleet, &["--reason", "out-of-range", "--device", "drone-1"]).await;
    assert_eq!((summary.read, summary.chosen, summary.sent), (3, 1, 0));
    let why: Vec<_> = summary.left.keys().map(ToString::to_string).collect();
    assert_eq!(why, ["would be dead-lettered again as out-of-range"]);
    assert!(!summary.is_complete());

    let summary = replay_letters(&fleet, &["--repair", "exit 1"]).await;
    assert_eq!(summary.left, BTreeMap::from([(Why::NotMended, 3)]));
    assert_eq!(letters(&fleet).await, 3);

    let summary = replay_letters(
        &fleet,
        &["--limit", "1", "--reason", "out-of-range", "--repair", MEND],
    )
    .await;
    assert_eq!((summary.chosen, summary.sent), (1, 1));
    assert!(summary.is_complete(), "{summary}");
    let summary = replay_letters(&fleet, &["--device", "drone-2", "--repair", MEND]).await;
    assert_eq!(summary.left.values().sum::<u64>(), 1, "{summary}");
    let mut left = fleet.take_dead_letters().await;
    left.retain(|letter| letter["reason"] == "out-of-range");
    assert!(left.len() <= 1, "{left:?}");
}

/// Thirty letters of two drones in turn, in one message, and one line that a newer version may have written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_letters_in_one_blob_those_that_stay_get_a_message_of_their_own() {
    let fleet = Fleet::start().await;
    let storage = &fleet.system.storage;
    let sent: Vec<_> = (0..30)
        .map(|second| {
            let device = format!("drone-{}", second % 2);
            let body = poisoned(&device, second);
            let position = fleet.send_as(Some(&device), "one partition", body.clone());
            (mended(&body), position)
        })
        .collect();
    fleet.settled().await;
    let messages = storage.take_queue_messages(DEAD_LETTERS).await.unwrap();
    let lines = messages.iter().map(async |message| {
        let letters = local::letters::read(storage, message).await.unwrap();
        let lines = letters.iter().map(|letter| format!("{letter}\n"));
        lines.collect::<String>()
    });
    let lines: String = futures_util::future::join_all(lines).await.concat();
    let blob = "telemetry/0/many.jsonl";
    let newer = "{\"of\":\"a newer version\"}\n";
    let body = format!("{newer}{lines}").into_bytes();
    let container = BlobService::connect(&connections(&fleet).storage)
        .unwrap()
        .container(DEAD_LETTERS)
        .unwrap();
    container.put(blob, body.into()).await.unwrap();
    let message =
        json!({"id": "0:0-30", "letters": 31, "reasons": {}, "lettersBlob": blob, "note": 7});
    let message = message.to_string();
    storage
        .send_queue_message(DEAD_LETTERS, &message)
        .await
        .unwrap();

    let some = replay_letters(
        &fleet,
        &["--limit", "4", "--device", "drone-1", "--repair", MEND],
    )
    .await;
    assert_eq!(
        (some.chosen, some.sent, some.taken_off),
        (4, 4, 4),
        "{some}"
    );
    assert_eq!(letters(&fleet).await, 27);
    let rest = storage.peek_queue_messages(DEAD_LETTERS).await.unwrap();
    let rest: Vec<Value> = rest
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!((&rest[0]["note"], rest.len()), (&json!(7), 1), "{rest:?}");
    assert_eq!(rest[0]["reasons"], json!({"": 1, "out-of-range": 26}));

    let others = replay_letters(&fleet, &["--device", "drone-1", "--repair", MEND]).await;
    assert_eq!((others.sent, letters(&fleet).await), (11, 16));
    let all = replay_letters(&fleet, &["--repair", MEND]).await;
    assert_eq!(
        (all.sent, all.left),
        (15, BTreeMap::from([(Why::Unreadable, 1)]))
    );
    assert_eq!(documents(&fleet).await, documents_of(&sent));

    let message = storage
        .take_queue_messages(DEAD_LETTERS)
        .await
        .unwrap()
        .concat();
    let blob: Value = serde_json::from_str(&message).unwrap();
    let blob = blob["lettersBlob"].as_str().unwrap();
    let kept = storage.read_blob(DEAD_LETTERS, blob).await.unwrap();
    assert_eq!(kept, newer, "what cannot be read is kept as it is");
}

/// Replayed through Event Hubs, an event no longer carries the device that IoT Hub has authenticated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_launders_no_spoofed_event() {
    let fleet = Fleet::start().await;
    fleet.send("thief", flight("victim", 1, 1.0));
    // The sender is known, but no device can be read until it is mended.
    let broken = flight("victim", 2, 2.0)[1..].to_vec();
    fleet.send("thief", broken);
    fleet.settled().await;
    let appended = fleet.system.hub.appended();

    for _ in 0..2 {
        // Makes the second one whole, and the first one malformed.
        let summary = replay_letters(&fleet, &["--repair", "printf '{'; cat"]).await;
        assert_eq!((summary.read, summary.chosen, summary.sent), (2, 1, 0));
        assert_eq!(summary.left, BTreeMap::from([(Why::AnotherDevice, 1)]));
        assert_eq!(summary.passed_over.values().sum::<u64>(), 1);
    }
    let summary = replay_letters(&fleet, &[]).await;
    assert_eq!(summary.sent, 0);
    assert_eq!(fleet.system.hub.appended(), appended);
    assert_eq!(fleet.drones().await, 0);
    assert_eq!(letters(&fleet).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_ends_in_the_middle_loses_nothing() {
    let fleet = Fleet::start().await;
    let sent = send_a_poisoned_batch(&fleet).await;
    let expected = documents_of(&sent);

    // Stopped before it begins: everything is put back.
    let stopped = Stop::default();
    stopped.request();
    let arguments = ["--dead-letters", "--repair", MEND];
    let summary = run(&connections(&fleet), &arguments, &stopped)
        .await
        .unwrap();
    assert!(summary.interrupted && !summary.is_complete());
    assert_eq!(letters(&fleet).await, 21);

    // Stopped while letters are mended: what is in hand goes out, the rest is put back.
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let command = format!("touch {}; {MEND}", begun.display());
    let stop = Stop::default();
    let connected = connections(&fleet);
    let arguments = ["--dead-letters", "--repair", &command];
    let running = run(&connected, &arguments, &stop);
    let watching = async {
        while !begun.exists() {
            tokio::task::yield_now().await;
        }
        stop.request();
    };
    let (summary, ()) = tokio::join!(running, watching);
    let summary = summary.unwrap();
    assert!(summary.interrupted, "{summary}");
    assert_eq!(summary.sent, summary.taken_off);
    assert_eq!(letters(&fleet).await, 21 - summary.taken_off);

    // The hub has the events, and the letters are still there: as after a kill between sending and taking off.
    let left = letters(&fleet).await;
    let twins = fleet.take_dead_letters().await;
    assert_eq!(
        twins.len() as u64,
        left,
        "what was put back can be seen at once"
    );
    for letter in &twins {
        let text = letter.to_string();
        for _ in 0..2 {
            fleet
                .system
                .storage
                .send_queue_message(DEAD_LETTERS, &text)
                .await
                .unwrap();
        }
    }
    let summary = replay_letters(&fleet, &["--repair", MEND]).await;
    assert!(summary.is_complete(), "{summary}");
    assert_eq!(
        summary.sent, left,
        "an event whose letter is there twice is sent once"
    );
    assert_eq!(summary.taken_off, 2 * left);
    assert_eq!(documents(&fleet).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hub_does_not_accept_stays() {
    let fleet = Fleet::start().await;
    for drone in 0..3 {
        let device = format!("drone-{drone}");
        fleet.send(&device, poisoned(&device, 1));
    }
    fleet.settled().await;
    // A hub that refuses everything at once.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/telemetry", listener.local_addr().unwrap());
    let refusing = tokio::spawn(axum::serve(listener, axum::Router::new()).into_future());
    let connections = Connections::of(&RunningSystem {
        hub_url: url,
        ..RunningSystem::of(&fleet.system)
    })
    .unwrap();
    let arguments = ["--dead-letters", "--repair", MEND];
    let outcome = run(&connections, &arguments, &Stop::default()).await;
    refusing.abort();
    let (error, summary) = outcome.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!((summary.sent, summary.taken_off), (0, 0));
    assert_eq!(summary.left, BTreeMap::from([(Why::NotAccepted, 3)]));
    assert_eq!(fleet.take_dead_letters().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gains_by_a_forged_first_time() {
    let fleet = Fleet::start().await;
    let send = async |first: Value, body: Vec<u8>| {
        let client = reqwest::Client::new();
        let item = json!([{"Body": String::from_utf8(body).unwrap(), "UserProperties": {FIRST_ENQUEUED_AT: first}}]);
        let answer = client
            .post(fleet.system.hub_url())
            .header("Content-Type", "application/vnd.microsoft.servicebus.json")
            .header("BrokerProperties", r#"{"PartitionKey":"drone-1"}"#)
            .body(item.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        fleet.settled().await;
        fleet
            .document("drone-1")
            .await
            .map(|document| document["lastSeenAt"].clone())
    };
    let older = send(json!("2024-05-01T12:00:00Z"), flight("drone-1", 0, 1.0)).await;
    assert_eq!(older, Some(json!("2024-05-01T12:00:00Z")));
    let mut before = older;
    for garbage in [
        json!("2999-01-01T00:00:00Z"),
        json!("soon"),
        json!(7),
        Value::Null,
    ] {
        let seen = send(garbage.clone(), flight("drone-1", 1, 2.0)).await;
        let seen = seen.unwrap();
        assert!(
            seen.as_str() > before.as_ref().and_then(Value::as_str),
            "{garbage}"
        );
        assert!(seen.as_str().unwrap() < "2999", "{garbage}");
        before = Some(seen);
    }
    // It claims more of the future for nobody.
    send(json!("2024-05-01T12:00:00Z"), flight("drone-1", 301, 9.0)).await;
    let letters = fleet.take_dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["reason"], "occurred-in-future");
    assert_eq!(letters[0]["firstEnqueuedAt"], "2024-05-01T12:00:00Z");
}
