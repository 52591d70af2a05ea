//! ListDrones and GetDelivery, through the host's forwarding.

use drone_delivery::functions::list_drones::{COLUMNS, GEO_JSON, JSON};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::support::{Fleet, fixture, flight, status};

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
    assert_eq!(ids(&first), ["drone-1", "drone-2"]);
    let continuation = first["continuation"].as_str().unwrap();
    let (_, _, second) = fleet
        .get(&format!("/drones?limit=2&continuation={continuation}"))
        .await;
    assert_eq!(ids(&second), ["drone-3"]);
    assert!(second.get("continuation").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_chooses_the_form_and_is_not_told_twice() {
    let fleet = three_drones().await;
    let geo = get(&fleet, "/drones?limit=2", &[(ACCEPT, GEO_JSON)]).await;
    assert_eq!(geo.header("content-type"), GEO_JSON);
    let body = geo.json();
    assert_eq!(body["type"], "FeatureCollection");
    assert!(body["continuation"].is_string());
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

/// A query each, and the parameter that the answer must name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_parameter_is_a_problem_that_names_it() {
    let fleet = Fleet::start().await;
    let long = "x".repeat(129);
    let cases = [
        ("status=flying".to_owned(), "status"),
        ("status=InFlight".to_owned(), "status"),
        ("status=1".to_owned(), "status"),
        ("status=".to_owned(), "status"),
        ("status=inFlight&status=inFlight".to_owned(), "status"),
        ("status=inFlight%00".to_owned(), "status"),
        ("deliveryId=".to_owned(), "deliveryId"),
        ("deliveryId=a%20b".to_owned(), "deliveryId"),
        ("deliveryId=a/b".to_owned(), "deliveryId"),
        ("deliveryId=%F0%9F%9A%81".to_owned(), "deliveryId"),
        ("deliveryId=%FF".to_owned(), "deliveryId"),
        (format!("deliveryId={long}"), "deliveryId"),
        ("bbox=".to_owned(), "bbox"),
        ("bbox=1,2,3".to_owned(), "bbox"),
        ("bbox=1,2,3,4,5".to_owned(), "bbox"),
        ("bbox=1,2,3,".to_owned(), "bbox"),
        ("bbox=a,b,c,d".to_owned(), "bbox"),
        ("bbox=-181,0,0,0".to_owned(), "bbox"),
        ("bbox=0,0,180.01,0".to_owned(), "bbox"),
        ("bbox=0,-91,0,0".to_owned(), "bbox"),
        ("bbox=0,0,0,90.4".to_owned(), "bbox"),
        ("bbox=0,10,0,-10".to_owned(), "bbox"),
        ("bbox=nan,0,0,0".to_owned(), "bbox"),
        ("bbox=0,0,inf,0".to_owned(), "bbox"),
        ("bbox=0,0,1e2,0".to_owned(), "bbox"),
        ("bbox=0;0;1;1".to_owned(), "bbox"),
        ("bbox=0,0,+1,1".to_owned(), "bbox"),
        ("seenSince=".to_owned(), "seenSince"),
        ("seenSince=yesterday".to_owned(), "seenSince"),
        ("seenSince=2024-05-01".to_owned(), "seenSince"),
        ("seenSince=2024-05-01T12:00:00".to_owned(), "seenSince"),
        ("seenSince=2024-02-30T12:00:00Z".to_owned(), "seenSince"),
        (
            "seenSince=04/17/2018%2020:25:09%20%2B00:00".to_owned(),
            "seenSince",
        ),
        (
            "seenSince=2024-05-01T12:00:00+00:00".to_owned(),
            "seenSince",
        ),
        ("seenSince=1714564800".to_owned(), "seenSince"),
        ("limit=0".to_owned(), "limit"),
        ("limit=1001".to_owned(), "limit"),
        ("limit=-1".to_owned(), "limit"),
        ("limit=%2B1".to_owned(), "limit"),
        ("limit=1.5".to_owned(), "limit"),
        ("limit=all".to_owned(), "limit"),
        ("limit=99999999999999999999".to_owned(), "limit"),
        ("continuation=".to_owned(), "continuation"),
        ("continuation=%25".to_owned(), "continuation"),
        ("continuation=YQ%3D%3D".to_owned(), "continuation"),
        ("continuation=YS9i".to_owned(), "continuation"),
        (
            format!("continuation={}", "A".repeat(4_000)),
            "continuation",
        ),
        ("sattus=inFlight".to_owned(), "sattus"),
        ("Status=inFlight".to_owned(), "Status"),
        ("deviceId=drone-1".to_owned(), "deviceId"),
    ];
    assert!(cases.len() >= 30);
    for (query, parameter) in &cases {
        let (code, kind, body) = fleet.get(&format!("/drones?{query}")).await;
        assert_eq!(
            (code, kind.as_str()),
            (400, "application/problem+json"),
            "{query}"
        );
        let detail = body["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(&format!("{parameter}: ")),
            "{query}: {detail}"
        );
        assert!(detail.len() < 200, "{query}: {detail}");
    }
    let columns = get(&fleet, "/drones?limit=10001", &[(ACCEPT, COLUMNS)]).await;
    assert_eq!(columns.status, 400);
}

/// Not a test: it depends on the machine, and on what else that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --test integration -- --ignored --nocapture what_reads_of_a_large_fleet_take"]
async fn what_reads_of_a_large_fleet_take() {
    const DRONES: u32 = 10_000;
    let large = |number: u32| format!("Simulated.drone-{number:05}");
    let fleet = Fleet::start().await;
    for number in 0..DRONES {
        let device = large(number);
        fleet.send(&device, flight(&device, 1, f64::from(number % 60)));
        fleet.send(&device, status(&device, 2, 70.0));
    }
    fleet.settled().await;
    let one = format!("/drones/{}", large(DRONES / 2));
    for (title, path, accept, times) in [
        ("one drone", one.as_str(), JSON, 500),
        ("a page of 500", "/drones?limit=500", JSON, 100),
        (
            "a page of 500 in a box",
            "/drones?limit=500&bbox=-123,47,-122,48",
            JSON,
            100,
        ),
        ("10,000 in columns", "/drones?limit=10000", COLUMNS, 20),
    ] {
        let mut taken = Vec::new();
        let mut bytes = 0;
        for _ in 0..times {
            let start = std::time::Instant::now();
            let answer = get(&fleet, path, &[(ACCEPT, accept), (ACCEPT_ENCODING, "gzip")]).await;
            taken.push(start.elapsed());
            assert_eq!(answer.status, 200);
            bytes = answer.body.len();
        }
        taken.sort();
        let at = |share: usize| taken[(taken.len() - 1) * share / 100].as_micros() as f64 / 1000.0;
        eprintln!(
            "{title}: p50 {} ms, p99 {} ms, {bytes} bytes",
            at(50),
            at(99)
        );
    }
}
