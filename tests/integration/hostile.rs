//! Input that means harm, from the hub and over HTTP, against the real process.
//!
//! Every kind of malformed body has its line in `malformed.rs`, every bad parameter in `listing.rs`. Here is what those
//! leave open: events broken at random, ids made to be misread, forged principals, and what answers give away.

use local::letters::event as event_of;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use drone_delivery::domain::telemetry::EARLIEST;
use drone_delivery::domain::{EventContext, Intake, parse};
use local::fault::Fault;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use time::UtcDateTime;

use crate::support::{Fleet, PATIENCE, flight};

/// Batches that bad events share with good ones.
const LARGE_BATCHES: &[(&str, &str)] = &[
    (
        "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
        "50",
    ),
    (
        "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
        "00:00:00.500",
    ),
];

/// A good event with some bytes changed, taken out or repeated.
fn broken(random: &mut StdRng, device: &str) -> Vec<u8> {
    let mut body = flight(device, 1, 10.0);
    for _ in 0..random.random_range(1..4) {
        let place = random.random_range(0..body.len());
        match random.random_range(0..4) {
            0 => body[place] = random.random(),
            1 => _ = body.remove(place),
            2 => body.insert(
                place,
                *b"{}[]\",:\\0e-\xff\0"
                    .get(random.random_range(0..13))
                    .unwrap(),
            ),
            _ => {
                let end = random.random_range(place..body.len());
                body.extend_from_within(place..end);
            }
        }
    }
    body
}

/// Sound telemetry in a body made to cost something: it is read in one pass, whatever else is in it.
fn heavy(device: &str, member: &str) -> Vec<u8> {
    let mut body = flight(device, 1, 10.0);
    body.truncate(body.len() - 1);
    body.push(b',');
    body.extend(member.bytes());
    body.push(b'}');
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_broken_at_random_end_where_the_parser_says_and_their_neighbors_are_applied() {
    let fleet = Fleet::with_settings(LARGE_BATCHES).await;
    let pid = fleet.system.host.handler().pid;
    let mut random = StdRng::seed_from_u64(20_180_417);
    let mut sent = Vec::new();
    let mut send = |authenticated: Option<&str>, body: Vec<u8>| {
        let position = fleet.send_as(authenticated, "one partition", body.clone());
        sent.push((position, body));
    };
    for number in 0..400 {
        send(None, broken(&mut random, &format!("broken-{number}")));
        let good = format!("good-{number}");
        send(Some(&good), flight(&good, 1, 10.0));
    }
    let many = (0..60_000)
        .map(|n| format!("\"key-{n}\":1"))
        .collect::<Vec<_>>()
        .join(",");
    let heavies = [
        ("heavy-names", many),
        (
            "heavy-nesting",
            format!("\"deep\":{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        ),
        (
            "heavy-objects",
            format!(
                "\"deep\":{}1{}",
                "{\"a\":".repeat(100_000),
                "}".repeat(100_000)
            ),
        ),
        (
            "heavy-string",
            format!("\"note\":\"{}\"", "x".repeat(900_000)),
        ),
        (
            "heavy-escapes",
            format!("\"note\":\"{}\"", "\\u0000".repeat(150_000)),
        ),
        ("heavy-commas", vec!["\"k\":[1,]"; 90_000].join(",")),
    ];
    for (device, member) in &heavies {
        send(Some(device), heavy(device, member));
    }
    fleet.settled().await;

    let letters = fleet.take_dead_letters().await;
    let (archive, _) = fleet.archive().await;
    assert_eq!(archive.len(), sent.len());
    let mut poison = 0;
    for (position, body) in &sent {
        let key = (position.partition.to_string(), position.sequence_number);
        let archived = &archive[&key];
        assert!(archived.body == *body, "{key:?}: another body is archived");
        let context = EventContext {
            authenticated_device: archived.authenticated_device.as_deref(),
            enqueued_at: archived.enqueued_at.unwrap_or(UtcDateTime::MIN),
            intake: Intake {
                device_required: false,
                earliest: Some(EARLIEST),
            },
        };
        let id = format!("{}:{}", key.0, key.1);
        let found: Vec<&Value> = letters
            .iter()
            .filter(|letter| event_of(letter).as_ref() == Some(&id))
            .collect();
        match parse(body, &context) {
            Ok(telemetry) => {
                assert!(found.is_empty(), "{id}: {found:?}");
                let document = fleet.document(telemetry.device_id.as_str()).await;
                assert!(document.is_some(), "{id}: {} is lost", telemetry.device_id);
            }
            Err(expected) => {
                poison += 1;
                assert_eq!(found.len(), 1, "{id}: {expected}");
                assert_eq!(found[0]["reason"], expected.reason.as_str(), "{id}");
                assert_eq!(found[0]["detail"], expected.detail, "{id}");
            }
        }
    }
    assert_eq!(letters.len(), poison, "a dead letter for nothing");
    assert!(
        poison > 200,
        "only {poison} of the broken events are poison"
    );
    for (device, _) in &heavies {
        assert!(fleet.document(device).await.is_some(), "{device}");
    }
    let handler = fleet.system.host.handler();
    assert_eq!(
        (handler.pid, handler.restarts),
        (pid, 0),
        "the handler died"
    );
    for (function, stats) in fleet.system.host.stats() {
        assert_eq!(stats.failures, 0, "{function} failed a call");
    }
}

/// One request to the functions' HTTP side, as it is: a URL parser would tidy the path.
fn raw(fleet: &Fleet, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(fleet.system.host.http_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET /api{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    // Whoever refuses a request may do so before it has read it all.
    _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_decoded_once_and_no_query_is_more_than_a_value() {
    let fleet = Fleet::start().await;
    let devices = [
        "..",
        ".",
        "a%2Fb",
        "a%252Fb",
        "x'OR'1'='1",
        "--;*@after",
        "drone-1",
    ];
    for device in devices {
        fleet.send(device, flight(device, 1, 10.0));
    }
    fleet.settled().await;
    assert_eq!(fleet.drones().await, devices.len());

    for (path, expected) in [
        ("/drones?deviceId=%2E%2E", Some("..")),
        ("/drones?deviceId=%2e", Some(".")),
        ("/drones?deviceId=a%252Fb", Some("a%2Fb")),
        ("/drones?deviceId=a%25252Fb", Some("a%252Fb")),
        ("/drones/%2E%2E", None),
        // The host decodes twice what it takes for one character.
        ("/drones/a%252Fb", None),
        ("/drones/a%25252Fb", None),
        ("/drones/x%27OR%271%27%3D%271", Some("x'OR'1'='1")),
        ("/drones/--;*@after", Some("--;*@after")),
        ("/drones/a%2Fb", None),
        ("/drones/a%5Cb", None),
        ("/drones/a/b", None),
        ("/drones/a%00", None),
        ("/drones/%FF", None),
        ("/drones/%ED%A0%80", None),
        ("/drones/%", None),
        ("/drones/%zz", None),
        ("/drones/..%2Fdrone-1", None),
        ("/drones/..%2F..%2Fhealth", None),
        ("/drones/drone-1%20", None),
    ] {
        let (status, body) = raw(&fleet, path, "");
        let found: Value = serde_json::from_str(&body).unwrap_or_default();
        match expected {
            Some(device) => assert_eq!(
                (
                    status,
                    found
                        .get("deviceId")
                        .unwrap_or(&found["drones"][0]["deviceId"]),
                ),
                (200, &json!(device)),
                "{path}"
            ),
            None => assert!(matches!(status, 400 | 404), "{path}: {status} {body}"),
        }
    }

    let continuation = |after: &str| format!("continuation={}", URL_SAFE_NO_PAD.encode(after));
    let quoted = "x%27OR%271%27%3D%271";
    for (path, list, most) in [
        // Characters of IoT Hub's set: sound ids, of no delivery and of one drone that has no alert.
        (format!("/drones?deliveryId={quoted}"), "drones", 0),
        (
            "/drones?deliveryId=1);(SELECT*FROM(c)--".replace(['<', '>'], ""),
            "drones",
            0,
        ),
        (format!("/alerts?deviceId={quoted}"), "alerts", 0),
        (format!("/deliveries/{quoted}"), "drones", 0),
        (
            "/drones?status=inFlight%27%20OR%20true--".to_owned(),
            "drones",
            0,
        ),
        ("/drones?bbox=0,0,1,1)%20OR%20(true".to_owned(), "drones", 0),
        (
            "/drones?seenSince=9999-01-01T00:00:00Z%27%20OR%20%271".to_owned(),
            "drones",
            0,
        ),
        ("/drones?limit=1;DROP".to_owned(), "drones", 0),
        ("/drones?limit=1%20OFFSET%200".to_owned(), "drones", 0),
        (
            format!("/drones?limit=1&{}", continuation("-FF-\" OR true --")),
            "drones",
            0,
        ),
        (
            format!("/drones?limit=1&{}", continuation("00' OR true-FF-")),
            "drones",
            0,
        ),
        // After a sound id come those that are greater, and never more than were asked for.
        (
            format!("/drones?limit=1&{}", continuation("-FF-'OR'1'='1")),
            "drones",
            1,
        ),
        ("/alerts?active=true%20OR%20true".to_owned(), "alerts", 0),
        (
            "/alerts?rule=battery-low%27%20OR%20%271%27=%271".to_owned(),
            "alerts",
            0,
        ),
        (
            "/alerts?since=9999-01-01T00:00:00Z%27--".to_owned(),
            "alerts",
            0,
        ),
        ("/alerts?limit=1%27".to_owned(), "alerts", 0),
    ] {
        let (status, body) = raw(&fleet, &path, "");
        assert!(matches!(status, 200 | 400 | 404), "{path}: {status} {body}");
        let found: Value = serde_json::from_str(&body).unwrap();
        let found = found[list].as_array().map_or(0, Vec::len);
        assert!(found <= most, "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_principal_is_nobody() {
    let fleet = Fleet::with_settings(&[("WEBSITE_AUTH_ENABLED", "True")]).await;
    let principal = |json: &str| STANDARD.encode(json);
    let role = json!({"role_typ": "roles", "claims": [{"typ": "roles", "val": "GetStatus"}]});
    let sound = principal(&role.to_string());
    let nested = format!("{{\"claims\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let header = |value: &str| format!("X-MS-CLIENT-PRINCIPAL: {value}\r\n");
    let cases = [
        (String::new(), 401),
        (header(""), 401),
        (header("%%%"), 401),
        (header("GetStatus"), 401),
        (header(&role.to_string()), 401),
        (header(&"A".repeat(30_000)), 401),
        (header(&sound[..sound.len() / 2]), 401),
        (header(&principal("\u{0}\u{ff}")), 401),
        (header(&principal("null")), 401),
        (header(&principal("[]")), 401),
        (header(&principal("\"GetStatus\"")), 401),
        (header(&principal("{\"claims\":null}")), 401),
        (header(&principal("{\"claims\":\"GetStatus\"}")), 401),
        (header(&principal("{\"claims\":[\"GetStatus\"]}")), 401),
        (
            header(&principal(
                "{\"claims\":[{\"typ\":\"roles\",\"val\":[\"GetStatus\"]}]}",
            )),
            401,
        ),
        (
            header(&principal(
                "{\"claims\":[{\"typ\":[\"roles\"],\"val\":\"GetStatus\"}]}",
            )),
            401,
        ),
        (
            header(&principal("{\"claims\":[{\"val\":\"GetStatus\"}]}")),
            401,
        ),
        (header(&principal(&nested)), 401),
        (header(&principal("{\"claims\":[]}")), 403),
        (
            header(&principal(
                "{\"claims\":[{\"typ\":\"role\",\"val\":\"GetStatus\"}]}",
            )),
            403,
        ),
        (
            header(&principal(
                "{\"claims\":[{\"typ\":\"roles\",\"val\":\"getstatus\"}]}",
            )),
            403,
        ),
        (
            header(&principal(
                "{\"claims\":[{\"typ\":\"roles\",\"val\":\"GetStatus,Other\"}]}",
            )),
            403,
        ),
        (
            header(&principal(
                "{\"role_typ\":\"r\",\"claims\":[{\"typ\":\"roles\",\"val\":\"GetStatus\"}]}",
            )),
            403,
        ),
        (
            "X-MS-CLIENT-PRINCIPAL-NAME: GetStatus\r\nX-MS-CLIENT-PRINCIPAL-ID: 1\r\n".to_owned(),
            401,
        ),
        // The first of two counts; the platform sets one and takes away what a caller sent.
        (header("%%%") + &header(&sound), 401),
        (header(&sound), 200),
    ];
    for (headers, expected) in &cases {
        for path in ["/drones", "/alerts"] {
            let (status, body) = raw(&fleet, path, headers);
            let shown: String = headers.chars().take(200).collect();
            assert_eq!(status, *expected, "{path} {shown}: {body}");
            assert_eq!(
                body.contains("drones\":") || body.contains("alerts\":"),
                status == 200
            );
        }
    }
    // Longer than any server takes a header: refused by whoever reads it first.
    let (status, body) = raw(&fleet, "/drones", &header(&"A".repeat(1_000_000)));
    assert!(matches!(status, 0 | 401 | 431), "{status}: {body}");
    assert_eq!(fleet.system.host.handler().restarts, 0);
}

/// The local addresses, as /proc has them, on which a process listens.
fn listening(pid: u32) -> Vec<String> {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    ["tcp", "tcp6"]
        .into_iter()
        .flat_map(|table| {
            let table =
                std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let ours = sockets.contains(&format!("socket:[{}]", fields[9]));
            // 0A is LISTEN.
            (fields[3] == "0A" && ours).then(|| fields[1].to_owned())
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handler_listens_on_loopback_alone() {
    let fleet = Fleet::start().await;
    let pid = fleet.system.host.handler().pid.unwrap();
    let addresses = listening(pid);
    let [address] = addresses.as_slice() else {
        panic!("{addresses:?}");
    };
    let (ip, port) = address.split_once(':').unwrap();
    assert_eq!(ip, "0100007F", "127.0.0.1 as /proc writes it");
    let port = u16::from_str_radix(port, 16).unwrap();
    let connects = |ip: Ipv4Addr| TcpStream::connect(SocketAddr::from((ip, port))).is_ok();
    assert!(connects(Ipv4Addr::LOCALHOST));
    assert!(!connects(Ipv4Addr::new(127, 0, 0, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_tells_of_the_inside_whatever_the_database_says() {
    let fleet = Fleet::start().await;
    for fault in [
        Fault::Status(503),
        Fault::Status(500),
        Fault::Status(403),
        Fault::Status(400),
        Fault::Reset,
    ] {
        fleet.system.cosmos.set_fault(Some(fault));
        for path in [
            "/drones/drone-1",
            "/drones",
            "/deliveries/delivery-1",
            "/alerts",
        ] {
            let (status, kind, body) = fleet.get(path).await;
            let expected = match status {
                503 => {
                    json!({"status": 503, "title": "Temporarily unavailable", "detail": "Try again in a moment."})
                }
                _ => json!({"status": 500, "title": "Internal error"}),
            };
            assert_eq!(
                (kind.as_str(), body),
                ("application/problem+json", expected),
                "{path} {fault:?}"
            );
        }
    }
    fleet.system.cosmos.set_fault(None);
    let (status, _, _) = fleet.get("/drones").await;
    assert_eq!(status, 200);
}
