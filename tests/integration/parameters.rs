//! Parameters that cannot be meant so, through the host's forwarding: each is a problem that names the
//! parameter. One table for each function that takes any.

use drone_delivery::functions::list_drones::COLUMNS;
use reqwest::header::ACCEPT;
use serde_json::Value;

use crate::support::Fleet;

/// What no drone and no delivery is called, as a URL has it.
const NO_IDENTIFIERS: &[&str] = &[
    "%20",
    "a%20b",
    "%20a",
    "a%20",
    "a%09b",
    "a%0Ab",
    "a%0Db",
    "a%0D%0AX-Injected:%201",
    "%00",
    "a%00",
    "%01",
    "%1B%5B31m",
    "%7F",
    "%2F",
    "a%2Fb",
    "..%2F..%2Fhost.json",
    "a%5Cb",
    "%22",
    "a%22b",
    "%3Cscript%3E",
    "a%3C",
    "a%3Eb",
    "%26",
    "a%26b=c",
    "%5B",
    "%5D",
    "a%5B0%5D",
    "%5E",
    "%60",
    "a%60id%60",
    "%7B",
    "%7D",
    "%7BdeviceId%7D",
    "%7C",
    "~",
    "a~23b",
    "%7E",
    // Characters beyond ASCII: a letter, spaces of no width and of some, a change of direction, a mark of
    // byte order, look-alikes of a point and of an a, an accent alone, a helicopter.
    "%C3%A9",
    "%C2%A0",
    "%E2%80%8B",
    "a%E2%80%AEb",
    "%EF%BB%BFa",
    "%EF%BC%8E",
    "%D0%B0",
    "a%CC%81",
    "%F0%9F%9A%81",
    // Bytes that are no UTF-8: alone, cut off, a surrogate, overlong, beyond the last character.
    "%FF",
    "%C3",
    "a%80b",
    "%ED%A0%80",
    "%C0%AF",
    "%F4%90%80%80",
];

const BAD_LISTS_OF_DRONES: &[(&str, &str)] = &[
    ("status=flying", "status"),
    ("status=InFlight", "status"),
    ("status=1", "status"),
    ("status=", "status"),
    ("status", "status"),
    ("status=inFlight&status=inFlight", "status"),
    ("status=inFlight%00", "status"),
    ("status=inFlight,arrivedAtStation", "status"),
    ("deliveryId=", "deliveryId"),
    ("deliveryId=a%20b", "deliveryId"),
    ("deliveryId=a+b", "deliveryId"),
    ("deliveryId=a/b", "deliveryId"),
    ("deliveryId=%F0%9F%9A%81", "deliveryId"),
    ("bbox=", "bbox"),
    ("bbox=1,2,3", "bbox"),
    ("bbox=1,2,3,4,5", "bbox"),
    ("bbox=1,2,3,", "bbox"),
    ("bbox=a,b,c,d", "bbox"),
    ("bbox=-181,0,0,0", "bbox"),
    ("bbox=0,0,180.01,0", "bbox"),
    ("bbox=0,-91,0,0", "bbox"),
    ("bbox=0,0,0,90.4", "bbox"),
    ("bbox=0,10,0,-10", "bbox"),
    ("bbox=nan,0,0,0", "bbox"),
    ("bbox=0,0,inf,0", "bbox"),
    ("bbox=0,0,1e2,0", "bbox"),
    ("bbox=0;0;1;1", "bbox"),
    ("bbox=0,0,+1,1", "bbox"),
    ("bbox=0,0,1,1&bbox=0,0,1,1", "bbox"),
    ("seenSince=", "seenSince"),
    ("seenSince=yesterday", "seenSince"),
    ("seenSince=2024-05-01", "seenSince"),
    ("seenSince=2024-05-01T12:00:00", "seenSince"),
    ("seenSince=2024-02-30T12:00:00Z", "seenSince"),
    ("seenSince=2024-05-01T24:00:00Z", "seenSince"),
    ("seenSince=04/17/2018%2020:25:09%20%2B00:00", "seenSince"),
    ("seenSince=2024-05-01T12:00:00+00:00", "seenSince"),
    ("seenSince=1714564800", "seenSince"),
    ("limit=", "limit"),
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("limit=-1", "limit"),
    ("limit=%2B1", "limit"),
    ("limit=1.5", "limit"),
    ("limit=all", "limit"),
    ("limit=0x10", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("continuation=", "continuation"),
    ("continuation=%25", "continuation"),
    ("continuation=YQ%3D%3D", "continuation"),
    ("continuation=YS9i", "continuation"),
    ("sattus=inFlight", "sattus"),
    ("Status=inFlight", "Status"),
    ("deviceId=a/b", "deviceId"),
    ("deviceId=a&continuation=YQ", "continuation"),
];

const BAD_LISTS_OF_ALERTS: &[(&str, &str)] = &[
    ("active=yes", "active"),
    ("active=True", "active"),
    ("active=1", "active"),
    ("active=", "active"),
    ("active", "active"),
    ("active=true%20", "active"),
    ("active=true,false", "active"),
    ("active=true&active=true", "active"),
    ("deviceId=", "deviceId"),
    ("deviceId=a/b", "deviceId"),
    ("deviceId=a+b", "deviceId"),
    ("deviceId=%00", "deviceId"),
    ("deviceId=%20", "deviceId"),
    ("deviceId=%F0%9F%9A%81", "deviceId"),
    ("deviceId=%22%20OR%201=1", "deviceId"),
    ("rule=", "rule"),
    ("rule=Battery", "rule"),
    ("rule=battery_low", "rule"),
    ("rule=battery%20low", "rule"),
    ("rule=battery-low,telemetry-lost", "rule"),
    ("rule='%20OR%201=1--", "rule"),
    ("rule=%E2%80%90", "rule"),
    ("rule=rule-1", "rule"),
    ("rule=battery-low&rule=battery-low", "rule"),
    ("since=", "since"),
    ("since=yesterday", "since"),
    ("since=now", "since"),
    ("since=2024-05-01", "since"),
    ("since=2024-05-01T12:00:00", "since"),
    ("since=2024-05-01%2012:00:00Z", "since"),
    ("since=2024-05-01t12:00:00", "since"),
    ("since=2024-05-01T12:00:00.Z", "since"),
    ("since=2024-05-01T12:00:00.0123456789", "since"),
    ("since=2024-05-01T12:00:00+00:00", "since"),
    ("since=2024-02-30T12:00:00Z", "since"),
    ("since=2024-05-01T12:00:60Z", "since"),
    ("since=0000-05-01T12:00:00Z", "since"),
    ("since=05/01/2024%2012:00:00%20%2B00:00", "since"),
    ("since=1714564800", "since"),
    ("limit=", "limit"),
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=1001", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("limit=1.0", "limit"),
    ("limit=ten", "limit"),
    ("limit=%2B5", "limit"),
    ("limit=1&limit=2", "limit"),
    ("Active=true", "Active"),
    ("sort=asc", "sort"),
    ("seenSince=2024-05-01T12:00:00Z", "seenSince"),
    ("continuation=YQ", "continuation"),
];

/// At least so many a table.
const ENOUGH: usize = 50;

async fn is_refused(fleet: &Fleet, path: &str, parameter: &str) {
    let (code, kind, body) = fleet.get(path).await;
    assert_eq!(
        (code, kind.as_str()),
        (400, "application/problem+json"),
        "{path}: {body}"
    );
    assert_eq!(body["status"], 400, "{path}: {body}");
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with(&format!("{parameter}: ")),
        "{path}: {detail}"
    );
    // Nothing of what was sent comes back but a name and a character, neither of them raw.
    assert!(
        detail.len() < 200 && !detail.contains(char::is_control),
        "{path}: {detail}"
    );
}

/// Whether the host forwards a path with this as it is. With others it would lead to another drone, so the routes do not match them.
fn unchanged_in_a_path(id: &str) -> bool {
    let percent_decoded = percent_encoding::percent_decode_str(id).decode_utf8();
    percent_decoded.is_ok_and(|text| {
        !text.contains(['#', '?', '%', '\\', '/', '\0']) && !text.ends_with(char::is_whitespace)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_identifier_is_refused() {
    let fleet = Fleet::start().await;
    assert!(NO_IDENTIFIERS.len() >= ENOUGH);
    let long = [129, 4_000].map(|length| "x".repeat(length));
    let long = long.iter().map(String::as_str);
    for id in NO_IDENTIFIERS.iter().copied().chain(long) {
        for (path, parameter) in [("/drones", "deviceId"), ("/deliveries", "deliveryId")] {
            // What is no UTF-8 the host forwards as the characters that it was written with, `%` and two digits.
            if percent_encoding::percent_decode_str(id)
                .decode_utf8()
                .is_ok()
            {
                is_refused(&fleet, &format!("/drones?{parameter}={id}"), parameter).await;
            }
            if unchanged_in_a_path(id) {
                is_refused(&fleet, &format!("{path}/{id}"), parameter).await;
            } else {
                let (code, _, body) = fleet.get(&format!("{path}/{id}")).await;
                assert!(matches!(code, 400 | 404), "{path}/{id}: {code} {body}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_meant_so_is_refused() {
    let fleet = Fleet::start().await;
    for (path, table) in [
        ("/drones", BAD_LISTS_OF_DRONES),
        ("/alerts", BAD_LISTS_OF_ALERTS),
    ] {
        assert!(table.len() >= ENOUGH, "{path}");
        for (query, parameter) in table {
            is_refused(&fleet, &format!("{path}?{query}"), parameter).await;
        }
    }
    for (path, parameter, length) in [
        ("/drones", "deliveryId", 129),
        ("/drones", "continuation", 4_000),
        ("/alerts", "deviceId", 129),
        ("/alerts", "rule", 65),
    ] {
        let long = "x".repeat(length);
        is_refused(&fleet, &format!("{path}?{parameter}={long}"), parameter).await;
    }
    // Each form has a limit of its own.
    let response = reqwest::Client::new()
        .get(format!("{}/drones?limit=10001", fleet.system.api_url()))
        .header(ACCEPT, COLUMNS)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(
        body["detail"],
        "limit: is not a whole number from 1 to 10000"
    );
}
