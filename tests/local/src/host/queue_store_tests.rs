//! The contract of [`QueueStore`], held by queues in memory and by Azurite alike.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::azurite::{Azurite, AzuriteOptions};
use crate::host::memory_queues::MemoryQueues;

const MINUTE: Duration = Duration::from_secs(60);

async fn keeps_the_contract(store: &dyn QueueStore) {
    assert!(store.receive("orders", 1, MINUTE).await.unwrap().is_empty());
    assert_eq!(
        store.length("orders").await.unwrap(),
        0,
        "there is no queue"
    );

    store.create("orders").await.unwrap();
    store.create("orders").await.unwrap();
    for text in ["YQ==", "not base64 <&>"] {
        store.send("orders", text.to_owned()).await.unwrap();
    }
    let mut received = store.receive("orders", 32, MINUTE).await.unwrap();
    received.sort_by(|a, b| a.text.cmp(&b.text));
    let texts: Vec<_> = received.iter().map(|message| &*message.text).collect();
    assert_eq!(texts, ["YQ==", "not base64 <&>"]);
    let [first, second] = &received[..] else {
        panic!("two messages were sent");
    };
    assert_eq!(first.dequeue_count, 1);
    assert_ne!(first.id, second.id);
    assert!(first.expires > first.next_visible && first.next_visible > first.inserted);
    assert!(
        store
            .receive("orders", 32, MINUTE)
            .await
            .unwrap()
            .is_empty(),
        "they are hidden"
    );
    assert_eq!(
        store.length("orders").await.unwrap(),
        2,
        "hidden ones count"
    );

    let receipt = store.hide("orders", first, Duration::ZERO).await.unwrap();
    assert_ne!(receipt.unwrap(), first.receipt);
    let again = store.receive("orders", 32, MINUTE).await.unwrap();
    assert_eq!(again.len(), 1, "one is shown again");
    assert_eq!(
        (&again[0].id, &again[0].text, again[0].dequeue_count),
        (&first.id, &first.text, 2)
    );

    store.delete("orders", first).await.unwrap();
    assert_eq!(store.hide("orders", first, MINUTE).await.unwrap(), None);
    assert_eq!(
        store.length("orders").await.unwrap(),
        2,
        "an old receipt is worth nothing"
    );
    store.delete("orders", &again[0]).await.unwrap();
    store.delete("orders", second).await.unwrap();
    store.delete("orders", second).await.unwrap();
    assert_eq!(store.length("orders").await.unwrap(), 0);
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(&MemoryQueues::default()).await;
}

#[tokio::test]
async fn azurite_keeps_the_contract() {
    let azurite = Azurite::start(AzuriteOptions {
        blob_port: 0,
        queue_port: 0,
        accounts: vec!["fleet".to_owned()],
    })
    .await
    .unwrap();
    keeps_the_contract(&azurite.account("fleet").unwrap()).await;
}
