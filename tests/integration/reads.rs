//! The HTTP side: GetDrone and Health, through the host's forwarding.

use local::fault::Fault;
use serde_json::json;

use crate::support::{Fleet, fixture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drone_is_read_as_the_design_shows_it() {
    let fleet = Fleet::start().await;
    fleet.send("Simulated.drone-01.35", fixture("telemetry/flight.json"));
    fleet.settled().await;
    let (status, kind, body) = fleet.get("/drones/Simulated.drone-01.35").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!(
        body["flight"]["position"]["coordinates"],
        json!([-99.579919, 60.631945])
    );
    assert_eq!(body["flight"]["altitude"], 504.99);
    assert_eq!(body["flight"]["occurredAt"], "2018-04-17T20:25:09Z");
    assert!(
        body.get("_etag").is_none(),
        "what Cosmos DB adds stays inside"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_a_problem_document() {
    let fleet = Fleet::start().await;
    let (status, kind, body) = fleet.get("/drones/nobody").await;
    assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
    assert_eq!(
        body,
        json!({"status": 404, "title": "Not found", "detail": "No telemetry of drone nobody has been applied yet."})
    );
    for bad in ["a%20b", "a%22b", "%01", "%F0%9F%9A%81", &"x".repeat(129)] {
        let (status, kind, body) = fleet.get(&format!("/drones/{bad}")).await;
        assert_eq!(
            (status, kind.as_str()),
            (400, "application/problem+json"),
            "{bad}"
        );
        assert!(
            body["detail"].as_str().unwrap().starts_with("deviceId: "),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_a_503_that_tells_nothing_of_the_inside() {
    let fleet = Fleet::start().await;
    let (status, _, body) = fleet.get("/health").await;
    assert_eq!(
        (status, body),
        (
            200,
            json!({"status": "healthy", "droneState": "healthy", "telemetryArchive": "healthy"})
        )
    );
    fleet.system.cosmos.set_fault(Some(Fault::Status(503)));
    let (status, kind, body) = fleet.get("/drones/drone-1").await;
    assert_eq!((status, kind.as_str()), (503, "application/problem+json"));
    assert_eq!(
        body,
        json!({"status": 503, "title": "Temporarily unavailable", "detail": "Try again in a moment."})
    );
    fleet.system.cosmos.set_fault(None);
}

/// `#` and `?` end a path on its way through the host, `%` is decoded twice: by its path, each of these would be the drone `drone-1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drone_of_any_name_is_found_by_query_and_never_another_one_by_path() {
    let fleet = Fleet::start().await;
    let names = [
        "drone-1#7",
        "drone-1?7",
        "drone%2D1",
        "drone-1%20",
        "drone-1",
        "a+b",
        "a=b;c,d",
        ".",
        "..",
    ];
    for name in names {
        fleet.send(name, crate::support::flight(name, 1, 10.0));
    }
    fleet.settled().await;
    for name in names {
        let id = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let (status, _, body) = fleet.get(&format!("/drones?deviceId={id}")).await;
        assert_eq!(status, 200, "{name}");
        assert_eq!(body["drones"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(body["drones"][0]["deviceId"], name);
        let delivery = body["drones"][0]["deliveryId"].as_str().unwrap();
        let path = format!("/drones?deviceId={id}&deliveryId=not-{delivery}");
        assert_eq!(fleet.get(&path).await.2, json!({"drones": []}), "{name}");

        // An id of dots is a way through folders, which leads to the list.
        if name.starts_with('.') {
            continue;
        }
        let (status, _, body) = fleet.get(&format!("/drones/{id}")).await;
        match name.contains(['#', '?', '%']) {
            true => assert_eq!(status, 404, "{name}: {body}"),
            false => assert_eq!((status, &body["deviceId"]), (200, &json!(name))),
        }
    }
    let nobody = fleet.get("/drones?deviceId=nobody").await;
    assert_eq!((nobody.0, nobody.2), (200, json!({"drones": []})));
}

/// What people and load balancers ask for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_have_no_case_and_take_a_slash_and_head() {
    let fleet = Fleet::start().await;
    for path in [
        "/HEALTH",
        "/health/",
        "/Drones",
        "/drones/",
        "/alerts/",
        "/OpenAPI.json/",
        "/Map",
    ] {
        assert_eq!(fleet.get(path).await.0, 200, "{path}");
    }
    // The page's own files lie beside it, so it has one place.
    let landed = reqwest::get(format!("{}/Map/?a=b", fleet.system.api_url()))
        .await
        .unwrap();
    assert_eq!(landed.status(), 200);
    assert_eq!(
        (landed.url().path(), landed.url().query()),
        ("/api/map", Some("a=b"))
    );
    let client = reqwest::Client::new();
    for path in [
        "health",
        "drones",
        "alerts",
        "map",
        "openapi.json",
        "map/app.js",
    ] {
        let url = format!("{}/{path}", fleet.system.api_url());
        let answer = client.head(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.bytes().await.unwrap().len(), 0, "{path}");
    }
    for path in ["drones/nobody", "deliveries/nothing"] {
        let url = format!("{}/{path}", fleet.system.api_url());
        assert_eq!(
            client.head(url).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_which_store_is_out_of_reach() {
    let fleet = Fleet::start().await;
    fleet.system.cosmos.set_fault(Some(Fault::Status(503)));
    let (status, _, body) = fleet.get("/health").await;
    assert_eq!(
        (status, body),
        (
            503,
            json!({"status": "unhealthy", "droneState": "unhealthy", "telemetryArchive": "healthy"})
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_authentication_on_a_read_needs_the_app_role() {
    use base64::Engine;

    let fleet = Fleet::with_settings(&[("RequireReaderRole", "True")]).await;
    let principal = |role: &str| {
        base64::engine::general_purpose::STANDARD.encode(
            json!({
                "auth_typ": "aad",
                "name_typ": "name",
                "role_typ": "roles",
                "claims": [{"typ": "roles", "val": role}],
            })
            .to_string(),
        )
    };
    let client = reqwest::Client::new();
    for (path, allowed) in [
        ("drones/drone-1", 404),
        ("drones", 200),
        ("deliveries/delivery-1", 404),
    ] {
        for (header, expected) in [
            (None, 401),
            (Some("garbage".to_owned()), 401),
            (Some(principal("Other")), 403),
            (Some(principal("GetStatus")), allowed),
        ] {
            let mut request = client.get(format!("{}/{path}", fleet.system.api_url()));
            if let Some(value) = &header {
                request = request.header("X-MS-CLIENT-PRINCIPAL", value);
            }
            let status = request.send().await.unwrap().status().as_u16();
            assert_eq!(status, expected, "{path} {header:?}");
        }
    }
}

/// Ten screens of a control room ask every few seconds, each on a connection of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_maps_cost_cosmos_db_what_one_does() {
    let fleet = Fleet::start().await;
    for number in 0..20 {
        let name = format!("drone-{number}");
        fleet.send(&name, crate::support::flight(&name, 1, 10.0));
    }
    fleet.settled().await;
    let url = format!("{}/drones?limit=10000", fleet.system.api_url());
    let ask = async |max_age: u32| {
        let request = reqwest::Client::new()
            .get(&url)
            .header("accept", "application/vnd.fabrikam.drone-columns+json")
            .header("cache-control", format!("max-age={max_age}"));
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        answer.bytes().await.unwrap()
    };
    let units = || fleet.system.cosmos.request_units();
    let before = units();
    let alone = ask(0).await;
    let one = units() - before;
    assert!(one > 0.0);

    let before = units();
    let together = futures_util::future::join_all((0..10).map(|_| ask(10))).await;
    assert!(together.iter().all(|answer| *answer == alone));
    assert_eq!(ask(10).await, alone);
    assert!((units() - before - one).abs() < 0.01, "{one} RU each");
    ask(0).await;
    assert!(
        (units() - before - 2.0 * one).abs() < 0.01,
        "whoever does not say reads"
    );
}
