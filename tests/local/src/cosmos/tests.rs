//! Seen through the SDK's own client, over the socket, with a key.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use azure_core::http::Etag;
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::TransactionalBatch;
use azure_data_cosmos::options::{
    BinaryEncodingOptions, ConnectionPoolOptions, EndToEndOperationLatencyPolicy, ItemWriteOptions,
    OperationOptions, Precondition, RoutingStrategy,
};
use azure_data_cosmos::{AccountReference, CosmosClient, CosmosRuntime, Query};
use drone_delivery::tls;
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::*;

const DATABASE: &str = "fleet";
const CONTAINER: &str = "drones";

/// How long a client waits under a fault that never answers.
const LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Http {
    One,
    Two,
}

async fn start() -> CosmosEmulator {
    tls::choose();
    let emulator = CosmosEmulator::start(0).await.unwrap();
    for _ in 0..2 {
        emulator
            .create_container(DATABASE, CONTAINER, "/deviceId")
            .await
            .unwrap();
    }
    emulator
}

async fn connect(emulator: &CosmosEmulator, http: Http) -> ContainerClient {
    let pool = ConnectionPoolOptions::builder()
        .with_is_http2_allowed(matches!(http, Http::Two))
        .build()
        .unwrap();
    let mut defaults = OperationOptions::default();
    defaults.end_to_end_latency_policy = Some(EndToEndOperationLatencyPolicy::new(LIMIT));
    let runtime = CosmosRuntime::builder()
        .with_connection_pool(pool)
        .with_default_operation_options(defaults)
        .build()
        .await
        .unwrap();
    let part = |name: &str| {
        let text = emulator.connection_string();
        let found = text
            .split(';')
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap().to_owned()
    };
    let account = AccountReference::with_authentication_key(
        part("AccountEndpoint").parse().unwrap(),
        part("AccountKey"),
    );
    // Binary on HTTP/2, text on HTTP/1.1: both encodings come through.
    let binary = BinaryEncodingOptions::new().with_enabled(matches!(http, Http::Two));
    let client = CosmosClient::builder()
        .with_runtime(runtime)
        .with_binary_encoding_options(binary)
        .build(account, RoutingStrategy::PreferredRegions(Vec::new()))
        .await
        .unwrap();
    client
        .database_client(DATABASE)
        .container_client(CONTAINER, None)
        .await
        .unwrap()
}

fn drone(id: &str, altitude: f64) -> Value {
    json!({"id": id, "deviceId": id, "altitude": altitude})
}

async fn create(container: &ContainerClient, id: &str) -> azure_data_cosmos::Result<Etag> {
    let response = container
        .create_item(id.to_owned(), id, drone(id, 1.0), None)
        .await?;
    Ok(response.headers().etag().unwrap().clone())
}

async fn replace(
    container: &ContainerClient,
    id: &str,
    altitude: f64,
    etag: Etag,
) -> azure_data_cosmos::Result<Etag> {
    let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag));
    let response = container
        .replace_item(id.to_owned(), id, drone(id, altitude), Some(options))
        .await?;
    Ok(response.headers().etag().unwrap().clone())
}

async fn read(container: &ContainerClient, id: &str) -> azure_data_cosmos::Result<Value> {
    container
        .read_item(id.to_owned(), id, None)
        .await?
        .into_model()
}

async fn query(container: &ContainerClient, text: &str, scope: FeedScope) -> Vec<Value> {
    container
        .query_items::<Value>(Query::from(text), scope, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_sdk_creates_replaces_reads_and_queries_over_both_protocols() {
    for http in [Http::One, Http::Two] {
        let emulator = start().await;
        let container = connect(&emulator, http).await;

        let first = create(&container, "drone-1").await.unwrap();
        let again = create(&container, "drone-1").await.unwrap_err();
        assert!(again.status().is_conflict(), "{http:?}");
        let second = replace(&container, "drone-1", 2.0, first.clone())
            .await
            .unwrap();
        assert_ne!(first, second);
        let stale = replace(&container, "drone-1", 3.0, first)
            .await
            .unwrap_err();
        assert!(stale.status().is_precondition_failed(), "{http:?}");
        let read_back = read(&container, "drone-1").await.unwrap();
        assert_eq!(read_back["altitude"], 2.0);
        assert_eq!(read_back["_etag"], second.to_string());
        let missing = read(&container, "drone-2").await.unwrap_err();
        assert!(missing.status().is_not_found(), "{http:?}");

        create(&container, "drone-2").await.unwrap();
        let one = query(
            &container,
            "SELECT c.id FROM c WHERE c.altitude > 1",
            FeedScope::partition("drone-1"),
        );
        assert_eq!(one.await, [json!({"id": "drone-1"})]);
        let all = query(
            &container,
            "SELECT VALUE c.id FROM c ORDER BY c.id DESC",
            FeedScope::full_container(),
        );
        assert_eq!(all.await, ["drone-2", "drone-1"]);

        assert_eq!(emulator.writes(), 3, "failed writes do not count");
        container
            .delete_item("drone-2", "drone-2", None)
            .await
            .unwrap();
        let batch = TransactionalBatch::new("drone-1")
            .upsert_item(drone("drone-1", 4.0), None)
            .unwrap()
            .read_item("drone-1", None);
        container
            .execute_transactional_batch(batch, None)
            .await
            .unwrap();
        assert_eq!(emulator.writes(), 5, "of a batch, what it writes counts");
    }
}

#[tokio::test]
async fn items_are_seen_from_outside_without_being_counted() {
    let emulator = start().await;
    let container = connect(&emulator, Http::One).await;
    // Escapes in an id, as devices with odd names have them, and a key that is no ASCII.
    for (key, id) in [("drone-1", "drone-1"), ("a?b/c é", "a~3Fb~2Fc~")] {
        let item = json!({"id": id, "deviceId": key, "altitude": 1.5});
        container.create_item(key, id, &item, None).await.unwrap();
        let seen = emulator.item(DATABASE, CONTAINER, key, id).await.unwrap();
        assert_eq!(
            (&seen["deviceId"], &seen["altitude"]),
            (&item["deviceId"], &item["altitude"])
        );
    }
    let units = emulator.request_units();
    assert!(units > 10.0, "two creates cost more than {units} RU");
    emulator.set_fault(Some(Fault::Status(503)));
    assert_eq!(emulator.items(DATABASE, CONTAINER).await.len(), 2);
    assert!(
        emulator
            .item(DATABASE, CONTAINER, "drone-1", "drone-9")
            .await
            .is_none()
    );
    assert!(emulator.items(DATABASE, "nothing").await.is_empty());
    let counted = (
        emulator.writes(),
        emulator.request_units(),
        emulator.faults(),
    );
    assert_eq!(counted, (2, units, 0));
}

#[tokio::test]
async fn an_outage_fails_every_operation_and_ends_without_a_trace() {
    for http in [Http::One, Http::Two] {
        for fault in [
            Fault::Status(408),
            Fault::Status(429),
            Fault::Status(500),
            Fault::Status(503),
            Fault::Reset,
            Fault::Hang,
        ] {
            let name = format!("{fault:?} over {http:?}");
            let emulator = start().await;
            let container = connect(&emulator, http).await;
            let etag = create(&container, "drone-1").await.unwrap();

            emulator.set_fault(Some(fault));
            let failed = create(&container, "drone-2").await.unwrap_err().status();
            let code = u16::from(failed.status_code());
            match fault {
                Fault::Status(expected) => assert_eq!(code, expected, "{name}"),
                _ => assert!(
                    failed.is_transient() || code >= 500 || code == 408,
                    "{name}: {code}"
                ),
            }
            read(&container, "drone-1").await.expect_err(&name);
            replace(&container, "drone-1", 2.0, etag.clone())
                .await
                .expect_err(&name);
            assert!(emulator.faults() >= 3, "{name}");
            assert_eq!(emulator.writes(), 1, "{name}: nothing was stored");

            emulator.set_fault(None);
            create(&container, "drone-2").await.expect(&name);
            replace(&container, "drone-1", 2.0, etag)
                .await
                .expect(&name);
            assert_eq!(
                read(&container, "drone-1").await.expect(&name)["altitude"],
                2.0
            );
        }
    }
}

#[tokio::test]
async fn throttling_of_a_share_is_ridden_out_by_the_client() {
    let emulator = start().await;
    let container = connect(&emulator, Http::One).await;
    emulator.set_fault_plan(Some(FaultPlan {
        fault: Fault::Status(429),
        one_in: 2,
    }));
    for number in 0..10 {
        create(&container, &format!("drone-{number}"))
            .await
            .unwrap();
    }
    assert_eq!(emulator.writes(), 10);
    assert!(emulator.faults() >= 9, "{}", emulator.faults());
}

#[tokio::test]
async fn slow_is_late_but_right() {
    let emulator = start().await;
    let container = connect(&emulator, Http::One).await;
    let delay = Duration::from_millis(60);
    emulator.set_fault(Some(Fault::Slow(delay)));
    let started = Instant::now();
    create(&container, "drone-1").await.unwrap();
    assert!(started.elapsed() >= delay);
    assert_eq!(emulator.writes(), 1);
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_is_forgiven() {
    let emulator = start().await;
    for path in ["", "dbs/fleet", "dbs/fleet/"] {
        let url = format!("{}{path}", emulator.endpoint());
        assert_eq!(reqwest::get(&url).await.unwrap().status(), 200, "{url}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_option_that_chooses_another() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = CosmosEmulator::start(port).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("port {port} is in use: stop what uses it or pass --cosmos-port PORT")
    );
}

#[tokio::test]
async fn dropping_it_frees_the_port_and_ends_open_connections() {
    use tokio::io::AsyncReadExt;

    let emulator = CosmosEmulator::start(0).await.unwrap();
    let address = emulator.address;
    let mut open = tokio::net::TcpStream::connect(address).await.unwrap();
    // Answered, so the connection is being served.
    tls::choose();
    reqwest::get(emulator.endpoint()).await.unwrap();
    let shown = format!("{emulator:?}");
    assert!(!shown.contains(&emulator.key), "{shown}");
    drop(emulator);
    let end = tokio::time::timeout(Duration::from_secs(30), open.read(&mut [0])).await;
    assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    CosmosEmulator::start(address.port()).await.unwrap();
}
