#![allow(clippy::unwrap_used)]

use super::*;
use crate::azurite::{Azurite, AzuriteOptions};

const PLACE: &str = "drones.example/telemetry/drone-state";

fn options(to_after: i64) -> SkipOptions {
    SkipOptions {
        namespace: "Drones.example".to_owned(),
        hub: "Telemetry".to_owned(),
        group: "drone-state".to_owned(),
        partition: 3,
        to_after,
        record: None,
        dry_run: false,
    }
}

async fn write(container: &BlobContainer, name: &str, metadata: &[(&str, &str)]) {
    let metadata = metadata
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = BlobClientUploadOptions {
        metadata: Some(metadata.collect()),
        ..Default::default()
    };
    let blob = container.client().blob_client(name);
    blob.upload(bytes::Bytes::new().into(), Some(options))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_goes_past_the_event_once_nobody_holds_the_partition() {
    let azurite = Azurite::start(AzuriteOptions {
        blob_port: 0,
        queue_port: 0,
        accounts: vec!["host".to_owned()],
    })
    .await
    .unwrap();
    let account = azurite.account("host").unwrap();
    let storage = Connection::resolve(HOST_STORAGE, |name| {
        (name == "AzureWebJobsStorage").then(|| account.connection_string().to_owned())
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("new/record.json");

    // A storage account that is not the host's.
    let error = skip(&options(41), &storage, &record).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    assert!(!record.exists());

    account.create_container(CONTAINER).await.unwrap();
    let container = BlobService::connect(&storage)
        .unwrap()
        .container(CONTAINER)
        .unwrap();
    let checkpoint = format!("{PLACE}/checkpoint/3");
    let before = [
        ("offset", "9001"),
        ("sequencenumber", "39"),
        ("clientidentifier", "host-1"),
    ];
    write(&container, &checkpoint, &before).await;
    let blob = container.client().blob_client(&checkpoint);
    let now = async || {
        metadata(&container, &blob, "read")
            .await
            .unwrap()
            .unwrap()
            .0
    };

    // Held by a host, then let go.
    let ownership = format!("{PLACE}/ownership/3");
    write(&container, &ownership, &[("ownerid", "host-1")]).await;
    let error = skip(&options(41), &storage, &record).await.unwrap_err();
    assert!(
        matches!(error, SkipError::Held { partition: 3, .. }),
        "{error}"
    );
    write(&container, &ownership, &[("other", "x")]).await;

    let dry = SkipOptions {
        dry_run: true,
        ..options(41)
    };
    assert_eq!(skip(&dry, &storage, &record).await.unwrap().first, Some(40));
    assert!(!record.exists());
    assert_eq!(now().await["sequencenumber"], "39");

    let skipped = skip(&options(41), &storage, &record).await.unwrap();
    assert_eq!((skipped.first, skipped.last), (Some(40), 41));
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    assert_eq!(written["metadataBefore"]["offset"], "9001");
    let after = now().await;
    // An offset would count before the number.
    assert_eq!(
        (&*after["offset"], &*after["sequencenumber"]),
        ("no offset", "41")
    );
    assert_eq!(after["clientidentifier"], "host-1");

    // Neither back, nor over what was written down.
    let error = skip(&options(41), &storage, &record).await.unwrap_err();
    assert!(
        matches!(error, SkipError::NotBefore { at: 41, .. }),
        "{error}"
    );
    let error = skip(&options(50), &storage, &record).await.unwrap_err();
    assert!(matches!(error, SkipError::Record { .. }), "{error}");
    assert_eq!(now().await["sequencenumber"], "41");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_was_no_checkpoint_there_is_one() {
    let azurite = Azurite::start(AzuriteOptions {
        blob_port: 0,
        queue_port: 0,
        accounts: vec!["host".to_owned()],
    })
    .await
    .unwrap();
    let account = azurite.account("host").unwrap();
    account.create_container(CONTAINER).await.unwrap();
    let storage = Connection::resolve(HOST_STORAGE, |name| {
        (name == HOST_STORAGE).then(|| account.connection_string().to_owned())
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.json");
    let skipped = skip(&options(0), &storage, &record).await.unwrap();
    assert_eq!((skipped.first, skipped.last), (None, 0));
    let container = BlobService::connect(&storage)
        .unwrap()
        .container(CONTAINER)
        .unwrap();
    let name = format!("{PLACE}/checkpoint/3");
    let blob = container.client().blob_client(&name);
    let found = metadata(&container, &blob, "read").await.unwrap().unwrap();
    assert_eq!(found.0["sequencenumber"], "0");
}
