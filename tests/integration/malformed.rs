//! Malformed input of every kind, among good events: each becomes one dead letter with its reason.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drone_delivery::domain::timestamp::Compact;
use local::letters::event as event_of;
use serde_json::{Value, json};

use crate::support::{Fleet, flight};

#[path = "../fixtures/telemetry/malformed.rs"]
mod table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_input_becomes_one_dead_letter_with_its_reason() {
    let table = table::table();
    // Large batches, so that bad events share theirs with good ones.
    let fleet = Fleet::with_settings(&[
        (
            "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
            "50",
        ),
        (
            "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
            "00:00:00.500",
        ),
    ])
    .await;
    let mut sent = Vec::new();
    for (input, number) in table.iter().zip(0..) {
        let good = format!("good-{number}");
        // The same partition key puts the good one beside the bad one.
        fleet.send_as(Some(&good), "one partition", flight(&good, number, 1.0));
        let position = fleet.send_as(
            input.authenticated_device.as_deref(),
            "one partition",
            input.bytes(),
        );
        let id = format!("{}:{}", position.partition, position.sequence_number);
        sent.push((input, id));
    }
    fleet.settled().await;

    let letters = fleet.take_dead_letters().await;
    for (input, id) in &sent {
        let found: Vec<&Value> = letters
            .iter()
            .filter(|letter| event_of(letter).as_ref() == Some(id))
            .collect();
        assert_eq!(found.len(), 1, "{}: dead letters", input.name);
        let letter = found[0];
        assert_eq!(letter["reason"], input.reason, "{}: {letter}", input.name);
        let body = match letter["bodyBlob"].as_str() {
            Some(blob) => fleet
                .system
                .storage
                .read_blob(local::system::DEAD_LETTERS, blob)
                .await
                .unwrap()
                .to_vec(),
            None => STANDARD.decode(letter["body"].as_str().unwrap()).unwrap(),
        };
        assert_eq!(body, input.bytes(), "{}: the body", input.name);
    }
    assert_eq!(letters.len(), sent.len(), "a dead letter for nothing");
    for (number, input) in table.iter().enumerate() {
        let document = fleet.document(&format!("good-{number}")).await;
        assert!(
            document.is_some(),
            "the good neighbor of {} is lost",
            input.name
        );
    }
    assert_eq!(
        fleet.drones().await,
        table.len(),
        "no bad event became a drone"
    );
    let stats = fleet.system.host.stats();
    for function in ["UpdateDroneState", "ArchiveTelemetry"] {
        assert_eq!(stats[function].failures, 0, "{function} failed a call");
    }
    assert_eq!(fleet.system.host.handler().restarts, 0, "the handler died");
    let (archive, _) = fleet.archive().await;
    assert_eq!(
        archive.len(),
        2 * table.len(),
        "bad events are archived too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_too_large_for_a_queue_message_is_kept_in_a_blob() {
    let fleet = Fleet::start().await;
    let body = vec![b'x'; 70 * 1024];
    let position = fleet.send("drone-1", body.clone());
    fleet.settled().await;
    let letters = fleet.take_dead_letters().await;
    assert_eq!(letters.len(), 1);
    let blob = letters[0]["bodyBlob"].as_str().expect("a blob's name");
    let expected = json!({
        "id": format!(
            "{}:{}:{}",
            position.partition,
            position.sequence_number,
            Compact(position.enqueued_at)
        ),
        "reason": "malformed-json",
        "detail": letters[0]["detail"],
        "partitionId": position.partition.to_string(),
        "sequenceNumber": position.sequence_number,
        "offset": letters[0]["offset"],
        "enqueuedAt": letters[0]["enqueuedAt"],
        "authenticatedDevice": "drone-1",
        "bodyBlob": blob,
    });
    assert_eq!(letters[0], expected);
    let kept = fleet
        .system
        .storage
        .read_blob(local::system::DEAD_LETTERS, blob)
        .await
        .unwrap();
    assert_eq!(kept, body);
}
