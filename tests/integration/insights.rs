//! GetInsights, through the host's forwarding, over files as the roll-up writes them; and the page's files.

use azure_functions_sdk::connection::{Connection, ConnectionString};
use bytes::Bytes;
use drone_delivery::domain::insights::delivery::{DeliveryFacts, Outcome, Place, Seen};
use drone_delivery::domain::timestamp::{Rfc3339, parse_rfc3339};
use drone_delivery::stores::FileStore;
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use drone_delivery::tables::deliveries::DeliveryRow;
use drone_delivery::tables::{self, Sources};
use local::system::INSIGHTS;
use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::support::Fleet;

fn container(fleet: &Fleet) -> BlobContainer {
    let account = fleet.system.storage.connection_string();
    let connection = ConnectionString::parse("FleetStorage", account).unwrap();
    let blobs = BlobService::connect(&Connection::ConnectionString(connection)).unwrap();
    blobs.container(INSIGHTS).unwrap()
}

pub async fn put(fleet: &Fleet, name: &str, body: impl Into<Bytes>) {
    let container = container(fleet);
    let old = container.read(name).await.unwrap().map(|file| file.version);
    container
        .replace(name, body.into(), old.as_ref())
        .await
        .unwrap();
}

/// All figures of an hour or a day, with so many deliveries.
pub fn figures(delivered: u64) -> Value {
    let phase = |median: f64| json!({"count": delivered, "p50": median, "p95": median * 1.7, "p99": median * 2.0});
    json!({
        "deliveries": {"started": delivered + 9, "delivered": delivered, "inferred": 2, "returned": 3, "open": 10, "lost": 1},
        "phases": {"toPickUp": phase(230.0), "loaded": phase(300.5), "return": phase(280.0), "delivery": phase(545.0)},
        "distanceKm": 5120.4,
        "batteryPerKm": 0.029,
        "drones": 312,
        "seconds": {"departed": 9000, "inFlight": 500000, "pickedUp": 9000, "droppedOff": 9000, "arrived": 215000, "unknown": 381200},
        "utilisation": 0.71,
        "quality": {
            "events": 280800, "repeats": 12, "missing": 0, "stale": 0, "replayed": 0,
            "rejects": {"occurred_in_future": 3}, "completeness": 0.992, "lagP50": 0.4, "lagP99": 2.1,
        },
    })
}

/// A day's file: hour `n` has 100 + `n` deliveries, and those from `open` on are not complete.
pub fn fleet_json(date: &str, hours: std::ops::Range<usize>, open: usize) -> Value {
    let hour = |number: usize| {
        let mut hour = figures(100 + number as u64);
        hour["hour"] = json!(format!("{date}T{number:02}:00:00Z"));
        hour["complete"] = json!(number < open);
        hour
    };
    let mut day = figures(100 * hours.len() as u64);
    day["slow"] = json!(3);
    let complete = hours.end <= open;
    let begin = parse_rfc3339(&format!("{date}T00:00:00Z")).unwrap();
    let known = i64::try_from(open.min(hours.end)).unwrap();
    let as_of = Rfc3339(begin + time::Duration::hours(known)).to_string();
    json!({
        "schema": 1, "date": date, "asOf": as_of, "complete": complete,
        "hours": hours.map(hour).collect::<Vec<_>>(),
        "day": day,
        "hotSpots": {
            "pickUps": [{"cell": "8928308280fffff", "count": 12}, {"cell": "8928308280bffff", "count": 5}],
            "dropOffs": [{"cell": "89283082803ffff", "count": 9}],
            "flight": [{"cell": "8828308281fffff", "seconds": 5120}, {"cell": "8828308283fffff", "seconds": 300.5}],
        },
    })
}

pub async fn put_day(fleet: &Fleet, date: &str, day: &Value) {
    put(
        fleet,
        &format!("fleet_hours/date={date}/fleet.json"),
        day.to_string(),
    )
    .await;
}

/// The table of a day with one open delivery of some drones, last heard of in this second since 1970.
pub fn deliveries(delivery: &str, drones: &[&str], last: i64) -> Bytes {
    let last_at = last * 1_000_000;
    let row = |drone: &&str| DeliveryRow {
        device: (*drone).into(),
        delivery: delivery.into(),
        facts: DeliveryFacts {
            first_at: last_at - 60_000_000,
            last_at,
            departed: Some(Seen {
                at: last_at - 60_000_000,
                gap_s: None,
            }),
            picked_up: Some(Seen {
                at: last_at,
                gap_s: Some(4.5),
            }),
            dropped_off: None,
            arrived: None,
            ended_at: last_at,
            outcome: Outcome::Open,
            to_pick_up_s: Some(60.0),
            loaded_s: None,
            return_s: None,
            delivery_s: None,
            distance_m: 750.25,
            chord_m: 0.0,
            jumps: 0,
            battery_used: Some(0.03),
            pick_up: Some(Place {
                latitude: 37.7767,
                longitude: -122.4185,
                cell: 0x0892_8308_280f_ffff,
            }),
            drop_off: None,
            flight_readings: 12,
            operating_readings: 3,
            max_gap_s: Some(5.0),
            replayed: 0,
        },
        sources: Sources::parse("2024-05-01T11 2024-05-01T12").unwrap(),
        complete: true,
    };
    let rows: Vec<DeliveryRow> = drones.iter().map(row).collect();
    tables::deliveries::write(&rows).unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_fleet_did_is_told_by_hours_and_days() {
    let fleet = Fleet::start().await;
    let nothing = fleet.get("/insights/hours").await;
    assert_eq!(
        (nothing.0, &nothing.2["hours"], &nothing.2["asOf"]),
        (200, &json!([]), &Value::Null)
    );
    let nothing = fleet.get("/insights/days").await;
    assert_eq!(
        (nothing.0, &nothing.2["days"], &nothing.2["asOf"]),
        (200, &json!([]), &Value::Null)
    );

    put_day(&fleet, "2024-05-01", &fleet_json("2024-05-01", 0..24, 24)).await;
    put_day(&fleet, "2024-05-02", &fleet_json("2024-05-02", 0..15, 14)).await;
    let (status, kind, hours) = fleet
        .get("/insights/hours?from=2024-05-01T22:00:00Z&to=2024-05-02T22:00:00Z")
        .await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!(
        (&hours["asOf"], &hours["complete"]),
        (&json!("2024-05-02T14:00:00Z"), &json!(false))
    );
    let list = hours["hours"].as_array().unwrap();
    assert_eq!(list.len(), 2 + 15);
    let mut first = figures(122);
    first["hour"] = json!("2024-05-01T22:00:00Z");
    first["complete"] = json!(true);
    assert_eq!(list[0], first, "figures are passed on as they stand");
    let open: Vec<&Value> = list
        .iter()
        .filter(|hour| hour["complete"] == false)
        .map(|hour| &hour["hour"])
        .collect();
    assert_eq!(open, ["2024-05-02T14:00:00Z"]);
    // Of hours that are all complete, that is what is said.
    let early = fleet.get("/insights/hours?to=2024-05-02T06:00:00Z").await.2;
    assert_eq!(
        (&early["complete"], early["hours"].as_array().unwrap().len()),
        (&json!(true), 24)
    );

    let days = fleet
        .get("/insights/days?from=2024-04-30&to=2024-05-02")
        .await
        .2;
    let dates: Vec<&Value> = days["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| &day["date"])
        .collect();
    assert_eq!(dates, ["2024-05-01", "2024-05-02"]);
    assert_eq!(days["days"][1]["slow"], 3);
    let spots = &days["hotSpots"];
    assert_eq!(
        (
            &spots["pickUps"][0]["count"],
            &spots["flight"][1]["seconds"]
        ),
        (&json!(24), &json!(601.0))
    );
    assert!(spots["dropOffs"][0]["latitude"].as_f64().unwrap() > 37.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_not_sent_twice_and_is_compressed() {
    let fleet = Fleet::start().await;
    put_day(&fleet, "2024-05-01", &fleet_json("2024-05-01", 0..24, 24)).await;
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("{}/insights/{path}", fleet.system.api_url()));
    let path = "days?from=2024-05-01&to=2024-05-01";
    let first = get(path).send().await.unwrap();
    assert_eq!(first.headers()[CACHE_CONTROL], "private, no-cache");
    let etag = first.headers()[ETAG].clone();
    let same = get(path).header(IF_NONE_MATCH, &etag).send().await.unwrap();
    assert_eq!(same.status(), 304);
    let compressed = get(path)
        .header(ACCEPT_ENCODING, "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(compressed.headers()["content-encoding"], "gzip");

    // Late data restates a day, and whoever does not want an old answer gets the new one.
    let shared = get(path).header(CACHE_CONTROL, "max-age=10");
    assert_eq!(shared.send().await.unwrap().status(), 200);
    put_day(&fleet, "2024-05-01", &fleet_json("2024-05-01", 0..23, 24)).await;
    let restated = get(path).header(IF_NONE_MATCH, &etag).send().await.unwrap();
    assert_eq!(restated.status(), 200);
    assert_ne!(restated.headers()[ETAG], etag);
    let head = client.head(format!("{}/insights/{path}", fleet.system.api_url()));
    assert_eq!(
        head.send().await.unwrap().headers()[ETAG],
        restated.headers()[ETAG]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_found_with_all_its_drones() {
    let fleet = Fleet::start().await;
    let last = 1_714_564_800;
    let odd = "delivery#1?%";
    let table = |number: u8| format!("deliveries/date=2024-05-01/telemetry-{number}.parquet");
    put(
        &fleet,
        &table(0),
        deliveries("delivery-1", &["drone-1"], last),
    )
    .await;
    put(&fleet, &table(1), Bytes::from_static(b"damaged")).await;
    put(
        &fleet,
        &table(2),
        deliveries("delivery-1", &["drone-2", "drone-3"], last + 3_601),
    )
    .await;
    put(&fleet, &table(3), deliveries(odd, &["drone-4"], last)).await;
    put_day(&fleet, "2024-05-02", &fleet_json("2024-05-02", 0..13, 13)).await;

    let found = fleet
        .get("/insights/deliveries/delivery-1?date=2024-05-01")
        .await;
    assert_eq!(found.0, 200, "{found:?}");
    let rows = found.2["deliveries"].as_array().unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (&row["deviceId"], &row["outcome"]))
        .collect();
    let (lost, open) = (&json!("lost"), &json!("open"));
    // Silent for a day at 13:00, and not yet.
    assert_eq!(
        told,
        [
            (&json!("drone-1"), lost),
            (&json!("drone-2"), open),
            (&json!("drone-3"), open)
        ]
    );
    assert_eq!(rows[0]["lastAt"], "2024-05-01T12:00:00Z");
    let whole = json!({
        "deviceId": "drone-1", "deliveryId": "delivery-1",
        "firstAt": "2024-05-01T11:59:00Z", "lastAt": "2024-05-01T12:00:00Z",
        "departedAt": "2024-05-01T11:59:00Z", "pickedUpAt": "2024-05-01T12:00:00Z", "droppedOffAt": null, "arrivedAt": null,
        "departedGapS": null, "pickedUpGapS": 4.5, "droppedOffGapS": null, "arrivedGapS": null,
        "endedAt": "2024-05-01T12:00:00Z", "outcome": "lost",
        "toPickUpS": 60.0, "loadedS": null, "returnS": null, "deliveryS": null,
        "distanceM": 750.25, "chordM": 0.0, "jumps": 0, "batteryUsed": 0.03,
        "pickUpLatitude": 37.7767, "pickUpLongitude": -122.4185, "pickUpH3": "8928308280fffff",
        "dropOffLatitude": null, "dropOffLongitude": null, "dropOffH3": null,
        "flightReadings": 12, "operatingReadings": 3, "maxGapS": 5.0, "replayed": 0,
        "firstHour": "2024-05-01T11:00:00Z", "lastHour": "2024-05-01T12:00:00Z",
        "sources": "2024-05-01T11 2024-05-01T12", "complete": true,
    });
    assert_eq!(rows[0], whole, "every column of the table");
    assert_eq!(
        (&found.2["complete"], &found.2["unreadable"][0]["file"]),
        (&json!(false), &json!(table(1)))
    );
    let one = fleet
        .get("/insights/deliveries/delivery-1?date=2024-05-01&drone=drone-3")
        .await
        .2;
    assert_eq!(one["deliveries"].as_array().unwrap().len(), 1);

    // An id that no path takes.
    let by_query = fleet
        .get("/insights/deliveries?date=2024-05-01&deliveryId=delivery%231%3F%25")
        .await;
    assert_eq!(
        (by_query.0, &by_query.2["deliveries"][0]["deviceId"]),
        (200, &json!("drone-4"))
    );
    let (status, _, _) = fleet
        .get("/insights/deliveries/delivery-1%23x?date=2024-05-01")
        .await;
    assert_eq!(status, 404, "the host would make another of it");
    // Today nothing is known of it.
    let (status, kind, problem) = fleet.get("/insights/deliveries/delivery-1").await;
    assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("`date` names another day")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_so_is_refused_and_what_is_damaged_named() {
    let fleet = Fleet::start().await;
    for (path, parameter) in [
        ("hours?from=yesterday", "from"),
        ("hours?from=2024-05-01", "from"),
        (
            "hours?from=2024-05-02T00:00:00Z&to=2024-05-01T00:00:00Z",
            "from",
        ),
        (
            "hours?from=2024-05-01T00:00:00Z&to=2024-06-02T00:00:00Z",
            "from",
        ),
        ("hours?to=2024-05-01T00:00:00+01:00", "to"),
        ("hours?limit=7", "limit"),
        ("days?from=2024-05-01T00:00:00Z", "from"),
        ("days?from=2024-02-30", "from"),
        ("days?to=", "to"),
        ("days?from=2024-05-01&to=2024-06-01", "from"),
        ("deliveries", "deliveryId"),
        ("deliveries?deliveryId=a%20b", "deliveryId"),
        ("deliveries/a%20b", "deliveryId"),
        ("deliveries/a?drone=", "drone"),
        ("deliveries/a?date=today", "date"),
        ("deliveries/a?deliveryId=b", "deliveryId"),
        ("?from=2024-05-01", "from"),
    ] {
        let (status, kind, problem) = fleet.get(&format!("/insights/{path}")).await;
        assert_eq!(
            (status, kind.as_str()),
            (400, "application/problem+json"),
            "{path}: {problem}"
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(&format!("{parameter}: ")),
            "{path}: {detail}"
        );
    }
    for nothing in ["weeks", "hours/14", "days/today"] {
        assert_eq!(
            fleet.get(&format!("/insights/{nothing}")).await.0,
            404,
            "{nothing}"
        );
    }
    let links = fleet.get("/insights").await.2;
    for name in ["hours", "days", "page", "description"] {
        let path = links[name].as_str().unwrap().strip_prefix("/api").unwrap();
        assert_eq!(fleet.get(path).await.0, 200, "{name}");
    }
    assert_eq!(fleet.get("/Insights/Hours/").await.0, 200);

    put_day(&fleet, "2024-05-01", &fleet_json("2024-05-01", 0..24, 24)).await;
    put(
        &fleet,
        "fleet_hours/date=2024-05-02/fleet.json",
        "{\"schema\": 1, ",
    )
    .await;
    put_day(&fleet, "2024-05-03", &fleet_json("2024-05-03", 0..24, 24)).await;
    let (status, _, days) = fleet
        .get("/insights/days?from=2024-05-01&to=2024-05-03")
        .await;
    assert_eq!((status, days["days"].as_array().unwrap().len()), (200, 2));
    assert_eq!(days["complete"], false);
    assert_eq!(
        days["unreadable"][0]["file"],
        "fleet_hours/date=2024-05-02/fleet.json"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_for_those_who_may_read_and_the_page_holds_none() {
    let fleet = Fleet::with_settings(&[("WEBSITE_AUTH_ENABLED", "True")]).await;
    for path in ["", "/hours", "/days", "/deliveries/a"] {
        assert_eq!(
            fleet.get(&format!("/insights{path}")).await.0,
            401,
            "{path}"
        );
    }
    let url = |path: &str| format!("{}{path}", fleet.system.api_url());
    let page = reqwest::get(url("/fleet/insights")).await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for open in ["unsafe", "http", "data:", "*"] {
        assert!(!policy.contains(open), "{policy}");
    }
    let html = page.text().await.unwrap();
    assert!(
        !html.contains("style=") && !html.contains("onclick"),
        "the policy forbids it"
    );
    let names: Vec<&str> = html
        .split('"')
        .filter(|text| text.starts_with("insights/"))
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let file = reqwest::get(url(&format!("/fleet/{name}"))).await.unwrap();
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
        assert_eq!(file.headers()["content-security-policy"], policy.as_str());
    }
    for unknown in [
        "/fleet/insights/none.js",
        "/fleet/insights/page/app.js",
        "/fleet",
    ] {
        let response = reqwest::get(url(unknown)).await.unwrap();
        assert_eq!(response.status(), 404, "{unknown}");
    }
    // What the page names lies beside it.
    let slash = reqwest::get(url("/fleet/insights/?range=7d"))
        .await
        .unwrap();
    assert_eq!(slash.url().path(), "/api/fleet/insights");
    assert_eq!(slash.url().query(), Some("range=7d"));
    // The two pages know of each other.
    assert!(html.contains("href=\"../map\""));
    let map = reqwest::get(url("/map"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(map.contains("href=\"fleet/insights\""));
}
