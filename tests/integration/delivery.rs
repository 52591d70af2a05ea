//! What becomes of events: applied or dead-lettered, always archived, whatever their order.

use serde_json::json;

use crate::support::{Fleet, fixture, flight, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_articles_samples_become_state_and_archive() {
    let fleet = Fleet::start().await;
    let sent = [
        ("Simulated.drone-01.35", fixture("telemetry/flight.json")),
        ("Simulated.drone-01.61", fixture("telemetry/status.json")),
    ];
    let mut positions = Vec::new();
    for (device, body) in &sent {
        positions.push(fleet.send(device, body.clone()));
    }
    fleet.settled().await;

    let mut flight = fleet.document("Simulated.drone-01.35").await.unwrap();
    let seen = flight
        .as_object_mut()
        .unwrap()
        .remove("lastSeenAt")
        .unwrap();
    assert!(seen.as_str().unwrap().ends_with('Z'), "{seen}");
    assert_eq!(
        flight,
        json!({
            "id": "Simulated.drone-01.35",
            "bucket": "11",
            "deviceId": "Simulated.drone-01.35",
            "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
            "flight": {
                "occurredAt": "2018-04-17T20:25:09Z",
                "deliveryId": "d71df1a7-29eb-41e0-8232-030cc511ce87",
                "position": {"type": "Point", "coordinates": [-99.579919, 60.631945]},
                "altitude": 504.99,
                "velocity": 58.08,
                "acceleration": 2.52,
                "status": "inFlight",
            },
        })
    );
    let operating = fleet.document("Simulated.drone-01.61").await.unwrap();
    assert_eq!(
        operating["operating"],
        json!({
            "occurredAt": "2018-04-17T20:25:17Z",
            "deliveryId": "4527e4ef-545a-45ac-8fae-22d17d74b1c5",
            "temperature": 74.74,
            "batteryStatus": "low",
            "batteryLevel": 0.25,
        })
    );

    let (archive, repeats) = fleet.archive().await;
    assert_eq!((archive.len(), repeats), (2, 0));
    for ((device, body), position) in sent.iter().zip(positions) {
        let event = &archive[&(position.partition.to_string(), position.sequence_number)];
        assert_eq!(
            event.body, *body,
            "the archive holds what was sent, byte for byte"
        );
        assert_eq!(event.authenticated_device.as_deref(), Some(*device));
    }
    assert!(fleet.take_dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_or_repeated_event_does_not_undo_a_newer_one() {
    let fleet = Fleet::start().await;
    for body in [
        flight("drone-1", 30, 30.0),
        flight("drone-1", 10, 10.0),
        status("drone-1", 40, 74.0),
        flight("drone-1", 30, 30.0),
        status("drone-1", 20, 70.0),
        flight("drone-1", 20, 20.0),
    ] {
        fleet.send("drone-1", body);
        // One batch each, so that every merge is with what is stored.
        fleet.settled().await;
    }
    let document = fleet.document("drone-1").await.unwrap();
    assert_eq!(document["flight"]["velocity"], 30.0);
    assert_eq!(document["flight"]["occurredAt"], "2024-05-01T12:00:30Z");
    assert_eq!(document["operating"]["temperature"], 74.0);
    let (archive, _) = fleet.archive().await;
    assert_eq!(
        archive.len(),
        6,
        "late and repeated events are archived too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_come_again_with_other_boundaries_change_nothing() {
    let fleet = Fleet::start().await;
    for second in 0..20 {
        fleet.send("drone-1", flight("drone-1", second, f64::from(second)));
    }
    fleet.send("drone-1", "not telemetry");
    fleet.settled().await;
    let before = fleet.document("drone-1").await.unwrap();
    let writes = fleet.system.cosmos.writes();

    let partition = fleet.send("drone-1", "nor this").partition;
    fleet.settled().await;
    for group in ["drone-state", "telemetry-archive"] {
        fleet.system.hub.rewind(group, partition, 7);
    }
    fleet.settled().await;

    assert_eq!(fleet.document("drone-1").await.unwrap(), before);
    assert_eq!(
        fleet.system.cosmos.writes(),
        writes,
        "what is already in the state is not written again"
    );
    let mut letters: Vec<String> = fleet
        .take_dead_letters()
        .await
        .iter()
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(letters.len() > 2, "the last events were delivered twice");
    letters.sort();
    letters.dedup();
    assert_eq!(letters.len(), 2, "a repeated dead letter has the same id");
    let (archive, repeats) = fleet.archive().await;
    assert_eq!(archive.len(), 22);
    assert!(repeats > 0, "the second file repeats events of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_cosmos_db_refuses_are_stored_and_found() {
    let fleet = Fleet::start().await;
    let device = "drone#1?(*)%41,=@;$'!:+";
    fleet.send(device, flight(device, 1, 5.0));
    fleet.settled().await;
    let document = fleet.document(device).await.unwrap();
    assert_eq!(document["deviceId"], device);
    assert_eq!(document["flight"]["velocity"], 5.0);
    let encoded = "drone%231%3F(*)%2541,%3D@%3B$'!:%2B";
    let (status, _, body) = fleet.get(&format!("/drones?deviceId={encoded}")).await;
    assert_eq!(
        (status, &body["drones"][0]["deviceId"]),
        (200, &json!(device))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_drones_in_one_batch_each_get_one_write() {
    let fleet = Fleet::with_settings(&[
        (
            "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
            "400",
        ),
        (
            "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
            "00:00:01",
        ),
    ])
    .await;
    for second in 0..10 {
        for drone in 0..40 {
            let device = format!("drone-{drone}");
            fleet.send(&device, flight(&device, second, f64::from(second)));
        }
    }
    fleet.settled().await;
    assert_eq!(fleet.drones().await, 40);
    assert!(
        fleet.system.cosmos.writes() <= 80,
        "{} writes for 400 events of 40 drones in a batch or two for each of 4 partitions",
        fleet.system.cosmos.writes()
    );
    for drone in 0..40 {
        let document = fleet.document(&format!("drone-{drone}")).await.unwrap();
        assert_eq!(document["flight"]["velocity"], 9.0);
    }
}
