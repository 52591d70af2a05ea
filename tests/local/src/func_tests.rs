//! What the real host is told, and what its checkpoints say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::azurite::{Azurite, AzuriteOptions};
use crate::hub::NewEvent;
use crate::system::Ports;
use drone_delivery::stores::event_hubs::TickSender as _;

async fn services() -> (Azurite, Services) {
    let azurite = Azurite::start(AzuriteOptions {
        blob_port: 0,
        queue_port: 0,
        accounts: vec!["fleet".to_owned()],
    })
    .await
    .unwrap();
    let storage = azurite.account("fleet").unwrap();
    let services = Services::start(storage, 2, Ports::default()).await.unwrap();
    (azurite, services)
}

#[test]
fn the_groups_are_those_of_the_functions() {
    let functions = crate::build::repository()
        .unwrap()
        .join("handlers/functions");
    let mut groups: Vec<String> = std::fs::read_dir(functions)
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("function.json")).ok())
        .flat_map(|text| {
            let function: serde_json::Value = serde_json::from_slice(&text).unwrap();
            function["bindings"].as_array().unwrap().clone()
        })
        .filter_map(|binding| Some(binding["consumerGroup"].as_str()?.to_owned()))
        .collect();
    groups.sort();
    let mut expected = GROUPS.map(str::to_owned);
    expected.sort();
    assert_eq!(groups, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_settled_when_its_checkpoints_are_at_the_end() {
    let (_azurite, services) = services().await;
    settled(&services, true, Duration::from_secs(30))
        .await
        .unwrap();
    let mut event = NewEvent::new("x");
    event.partition = Some(1);
    services.hub.append(event.clone());
    services.hub.append(event);
    let error = settled(&services, false, Duration::ZERO).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("drone-state lags behind by 2 events"),
        "{error}"
    );

    services
        .storage
        .create_container(CHECKPOINTS)
        .await
        .unwrap();
    let container = checkpoints(&services).unwrap();
    for group in GROUPS {
        let name = format!("127.0.0.1/telemetry/{group}/checkpoint/1");
        let metadata = [("sequencenumber", "1"), ("offset", "7")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = azure_storage_blob::models::BlobClientUploadOptions {
            metadata: Some(metadata.into()),
            ..Default::default()
        };
        let blob = container.client().blob_client(&name);
        blob.upload(bytes::Bytes::new().into(), Some(options))
            .await
            .unwrap();
    }
    settled(&services, false, Duration::from_secs(30))
        .await
        .unwrap();
}

/// Host and handler share one connection string: the one reads by AMQP, the other sends ticks by HTTP, to the same port.
#[tokio::test(flavor = "multi_thread")]
async fn the_settings_lead_to_this_machine_and_the_handlers_ticks_to_the_hub() {
    let (_azurite, services) = services().await;
    let settings = settings(&services, &[("Extra".to_owned(), "1".to_owned())]);
    for name in [
        "AzureWebJobsStorage",
        "FleetStorage",
        "CosmosDb",
        "TelemetryHub",
    ] {
        assert!(settings[name].contains("127.0.0.1"), "{name}");
    }
    assert_eq!(settings["Extra"], "1");
    assert_eq!(settings["AzureWebJobs.NotifyAlert.Disabled"], "true");

    let connection = Connection::resolve("TelemetryHub", |name: &str| settings.get(name).cloned());
    let namespace =
        drone_delivery::stores::event_hubs::EventHubsNamespace::connect(&connection.unwrap());
    namespace.unwrap().unwrap().tick(HUB, "1").await.unwrap();
    assert_eq!(services.hub.events(1, 0).len(), 1);

    let folder = tempfile::tempdir().unwrap();
    let file = write_settings(folder.path(), &settings).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["Values"]["TelemetryHubName"], HUB);
}
