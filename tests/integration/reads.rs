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
    for bad in ["a%20b", "a%2Fb", "%00", "%F0%9F%9A%81", &"x".repeat(129)] {
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

    let fleet = Fleet::with_settings(&[("WEBSITE_AUTH_ENABLED", "True")]).await;
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
