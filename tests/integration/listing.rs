//! ListDrones and GetDelivery, through the host's forwarding.

use std::sync::{Arc, Mutex};

use drone_delivery::functions::list_drones::{COLUMNS, GEO_JSON};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::support::{Fleet, fixture, flight, status, until};

const DELIVERY: &str = "d71df1a7-29eb-41e0-8232-030cc511ce87";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn get(fleet: &Fleet, path: &str, headers: &[(reqwest::header::HeaderName, &str)]) -> Answer {
    let url = format!("{}{path}", fleet.system.api_url());
    let mut request = reqwest::Client::new().get(url);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.unwrap().to_vec(),
    }
}

/// Three drones, of which one has not flown yet.
async fn three_drones() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.send("drone-1", flight("drone-1", 1, 10.0));
    fleet.send("drone-2", flight("drone-2", 2, 20.0));
    fleet.send("drone-2", status("drone-2", 3, 81.26));
    fleet.send("drone-3", status("drone-3", 4, 70.0));
    fleet.settled().await;
    fleet
}

fn ids(body: &Value) -> Vec<&str> {
    body["drones"]
        .as_array()
        .unwrap()
        .iter()
        .map(|drone| drone["deviceId"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drones_are_listed_filtered_and_paged() {
    let fleet = three_drones().await;
    let (code, kind, all) = fleet.get("/drones").await;
    assert_eq!((code, kind.as_str()), (200, "application/json"));
    assert_eq!(ids(&all), ["drone-1", "drone-2", "drone-3"]);
    assert!(all.get("continuation").is_none());
    let (_, _, one) = fleet.get("/drones/drone-2").await;
    assert_eq!(all["drones"][1], one, "a list shows what GetDrone shows");

    for (query, expected) in [
        ("status=inFlight", vec!["drone-1", "drone-2"]),
        ("status=arrivedAtStation", vec![]),
        ("bbox=-123,47,-122,48", vec!["drone-1", "drone-2"]),
        ("bbox=170,-90,-123,90", vec![]),
        ("bbox=170,-90,-122,90", vec!["drone-1", "drone-2"]),
        (
            "seenSince=2020-01-01T00:00:00Z",
            vec!["drone-1", "drone-2", "drone-3"],
        ),
        ("seenSince=9000-01-01T00:00:00Z", vec![]),
        (
            "code=a-function-key&limit=1000",
            vec!["drone-1", "drone-2", "drone-3"],
        ),
    ] {
        let (code, _, body) = fleet.get(&format!("/drones?{query}")).await;
        assert_eq!((code, ids(&body)), (200, expected), "{query}");
    }
    let (_, _, body) = fleet.get(&format!("/drones?deliveryId={DELIVERY}")).await;
    assert_eq!(ids(&body).len(), 3);

    let (_, _, first) = fleet.get("/drones?limit=2").await;
    let mut both = ids(&first);
    assert_eq!(both.len(), 2);
    let continuation = first["continuation"].as_str().unwrap();
    let (_, _, second) = fleet
        .get(&format!("/drones?limit=2&continuation={continuation}"))
        .await;
    both.extend(ids(&second));
    both.sort_unstable();
    assert_eq!(both, ["drone-1", "drone-2", "drone-3"]);
    assert!(second.get("continuation").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_chooses_the_form_and_is_not_told_twice() {
    let fleet = three_drones().await;
    let page = get(&fleet, "/drones?limit=2", &[(ACCEPT, GEO_JSON)]).await;
    assert!(page.json()["continuation"].is_string());
    let geo = get(&fleet, "/drones", &[(ACCEPT, GEO_JSON)]).await;
    assert_eq!(geo.header("content-type"), GEO_JSON);
    let body = geo.json();
    assert_eq!(body["type"], "FeatureCollection");
    let feature = &body["features"][1];
    assert_eq!(feature["id"], "drone-2");
    assert_eq!(
        feature["geometry"],
        json!({"type": "Point", "coordinates": [-122.192026, 47.476075]})
    );
    assert_eq!(feature["properties"]["temperature"], 81.26);

    let columns = get(&fleet, "/drones?limit=10000", &[(ACCEPT, COLUMNS)]).await;
    assert_eq!(columns.header("content-type"), COLUMNS);
    let body = columns.json();
    assert_eq!(body["deviceId"], json!(["drone-1", "drone-2", "drone-3"]));
    assert_eq!(body["longitude"], json!([-122.19203, -122.19203, null]));
    assert_eq!(body["status"], json!([1, 1, null]));
    assert_eq!(body["temperature"], json!([null, 81.3, 70.0]));
    assert_eq!(body["seenBefore"].as_array().unwrap().len(), 3);
    let (_, _, later) = fleet
        .get(&format!(
            "/drones?seenSince={}",
            body["seenUntil"].as_str().unwrap()
        ))
        .await;
    assert!(!ids(&later).is_empty(), "the newest itself is still in it");

    let none = get(&fleet, "/drones", &[(ACCEPT, "text/html")]).await;
    assert_eq!(none.status, 406);

    for path in [
        "/drones",
        "/drones/drone-1",
        &format!("/deliveries/{DELIVERY}"),
    ] {
        let first = get(&fleet, path, &[]).await;
        assert_eq!(first.header("cache-control"), "private, no-cache", "{path}");
        let again = get(&fleet, path, &[(IF_NONE_MATCH, first.header("etag"))]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let tag = get(&fleet, "/drones/drone-1", &[]).await;
    fleet.send("drone-1", flight("drone-1", 9, 11.0));
    fleet.settled().await;
    let changed = get(
        &fleet,
        "/drones/drone-1",
        &[(IF_NONE_MATCH, tag.header("etag"))],
    )
    .await;
    assert_eq!(changed.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_travels_compressed_where_that_is_welcome() {
    let fleet = three_drones().await;
    let plain = get(&fleet, "/drones", &[]).await;
    let packed = get(&fleet, "/drones", &[(ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < plain.body.len());
    assert_eq!(packed.header("etag"), plain.header("etag"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_found_by_the_drone_that_is_on_it() {
    let fleet = Fleet::start().await;
    fleet.send("Simulated.drone-01.35", fixture("telemetry/flight.json"));
    fleet.settled().await;
    let (code, _, body) = fleet.get(&format!("/deliveries/{DELIVERY}")).await;
    assert_eq!(code, 200, "{body}");
    let (_, _, drone) = fleet.get("/drones/Simulated.drone-01.35").await;
    assert_eq!(
        body,
        json!({
            "deliveryId": DELIVERY,
            "deviceId": "Simulated.drone-01.35",
            "lastSeenAt": drone["lastSeenAt"],
            "flight": {
                "status": "inFlight",
                "step": 2,
                "steps": 5,
                "occurredAt": "2018-04-17T20:25:09Z",
                "position": {"type": "Point", "coordinates": [-99.579919, 60.631945]},
                "altitude": 504.99,
            },
        })
    );
    let (code, kind, _) = fleet.get("/deliveries/unknown").await;
    assert_eq!((code, kind.as_str()), (404, "application/problem+json"));
    let (code, _, body) = fleet.get("/deliveries/a%20b").await;
    assert_eq!(code, 400);
    assert!(body["detail"].as_str().unwrap().starts_with("deliveryId: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_read_costs_is_logged() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let fleet = Fleet::logging(&[], &lines).await;
    fleet.send("drone-1", flight("drone-1", 1, 10.0));
    fleet.settled().await;
    for (path, message) in [
        ("/drones/drone-1", "drone read"),
        ("/drones?limit=500", "drones listed"),
        (&format!("/deliveries/{DELIVERY}"), "delivery looked up"),
        ("/alerts", "alerts listed"),
    ] {
        assert_eq!(fleet.get(path).await.0, 200, "{path}");
        // The line may come a moment after the answer.
        until(message, async || {
            let lines = lines.lock().unwrap();
            let records = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line.strip_prefix("[handler] ")?).ok());
            records.into_iter().any(|record: Value| {
                record["message"] == message && record["cosmos.request_charge"].as_f64() > Some(0.0)
            })
        })
        .await;
    }
}
