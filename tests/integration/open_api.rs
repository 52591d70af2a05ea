//! The OpenAPI document, held against the functions: their routes, their parameters, and what the
//! running app answers.

use std::collections::BTreeSet;

use drone_delivery::FUNCTIONS;
use drone_delivery::domain::FlightStatus;
use drone_delivery::functions::get_insights::{self, query as insights_query};
use drone_delivery::functions::list_alerts;
use drone_delivery::functions::list_drones::{COLUMNS, GEO_JSON, JSON, MOST_DRONES, query};
use drone_delivery::functions::open_api::DOCUMENT;
use serde_json::{Value, json};

use crate::insights;
use crate::support::{Fleet, flight, status};

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// `#/components/schemas/Drone` in the whole document, so that references inside of it are found.
fn validator(schema: &Value) -> jsonschema::Validator {
    let mut whole = document();
    whole["$ref"] = schema["$ref"].clone();
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&whole)
        .unwrap_or_else(|error| panic!("{schema}: {error}"))
}

#[test]
fn every_http_function_is_in_the_document_and_nothing_else() {
    let documented: BTreeSet<(String, String, String)> = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| {
                    let name = operation["operationId"].as_str().unwrap();
                    (name.to_owned(), method.clone(), path.clone())
                })
        })
        .collect();
    let mut registered = BTreeSet::new();
    for function in FUNCTIONS
        .iter()
        .filter(|function| function.trigger == "httpTrigger")
    {
        let json: Value = serde_json::from_str(function.json).unwrap();
        let trigger = &json["bindings"][0];
        let route = trigger["route"].as_str().unwrap();
        // Which texts a parameter may hold is the host's business.
        let route = match route.split_once(':') {
            Some((parameter, _)) => format!("{parameter}}}"),
            None => route.to_owned(),
        };
        let path = format!("/{route}").replace("{*", "{");
        // What its first parameter may be makes several paths of one route.
        let operations = match function.name {
            "GetInsights" => get_insights::OPERATIONS.to_vec(),
            name => vec![(name, path.as_str())],
        };
        let methods = trigger["methods"].as_array().unwrap();
        assert!(methods.contains(&json!("head")), "{}", function.name);
        // HEAD is GET without a body, which needs no words.
        for method in methods.iter().filter(|method| **method != "head") {
            let method = method.as_str().unwrap().to_owned();
            let open = trigger["authLevel"] == "anonymous";
            for (operation, path) in &operations {
                registered.insert(((*operation).to_owned(), method.clone(), (*path).to_owned()));
                let security = document()["paths"][path][&method]["security"].clone();
                assert_eq!(security == json!([]), open, "{operation}");
            }
        }
    }
    assert_eq!(documented, registered);
}

#[test]
fn the_parameters_of_the_lists_are_those_that_the_code_knows() {
    let document = document();
    for (path, known, default, most) in [
        (
            "/drones",
            query::PARAMETERS,
            query::DEFAULT_LIMIT,
            MOST_DRONES,
        ),
        (
            "/alerts",
            list_alerts::PARAMETERS,
            list_alerts::DEFAULT_LIMIT,
            list_alerts::MOST_ALERTS,
        ),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        let parameters = parameters.unwrap();
        let names: Vec<&str> = parameters
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, known, "{path}");
        let limit = parameters
            .iter()
            .find(|parameter| parameter["name"] == "limit")
            .unwrap();
        assert_eq!(limit["schema"]["maximum"], most, "{path}");
        assert_eq!(limit["schema"]["default"], default, "{path}");
    }
    for (path, known) in [
        ("/insights/hours", insights_query::HOUR_PARAMETERS),
        ("/insights/days", insights_query::DAY_PARAMETERS),
        ("/insights/deliveries", insights_query::FIND_PARAMETERS),
        (
            "/insights/deliveries/{deliveryId}",
            insights_query::FIND_PARAMETERS,
        ),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        let parameters = parameters.unwrap().iter();
        let names: Vec<&Value> = parameters.map(|parameter| &parameter["name"]).collect();
        assert_eq!(names, known, "{path}");
    }
    assert_eq!(
        document["components"]["schemas"]["FlightStatus"]["enum"],
        json!(FlightStatus::ALL)
    );
}

#[test]
fn a_schema_refuses_what_is_not_in_it() {
    let drone = validator(&json!({"$ref": "#/components/schemas/Drone"}));
    let good =
        json!({"id": "a", "bucket": "7", "deviceId": "a", "lastSeenAt": "2024-05-01T12:00:00Z"});
    assert!(drone.is_valid(&good));
    for (name, value) in [
        ("deviceId", json!("a/b")),
        ("bucket", json!("128")),
        ("_etag", json!("x")),
        ("flight", json!({})),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(!drone.is_valid(&bad), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_answers_is_what_the_document_says() {
    let fleet = Fleet::start().await;
    fleet.send("drone-1", flight("drone-1", 1, 10.0));
    fleet.send("drone-1", status("drone-1", 2, 70.0));
    // Hot enough for an alert.
    fleet.send("drone-2", status("drone-2", 3, 120.0));
    fleet.settled().await;
    let day = insights::fleet_json("2024-05-01", 0..24, 23);
    insights::put_day(&fleet, "2024-05-01", &day).await;
    insights::put(&fleet, "fleet_hours/date=2024-05-02/fleet.json", "{").await;
    let table = insights::deliveries("delivery-1", &["drone-1"], 1_714_564_800);
    let name = "deliveries/date=2024-05-01/telemetry-0.parquet";
    insights::put(&fleet, name, table).await;
    let served: Value = fleet.get("/openapi.json").await.2;
    assert_eq!(served, document());

    let delivery = "deliveries/d71df1a7-29eb-41e0-8232-030cc511ce87";
    let client = reqwest::Client::new();
    let mut met = BTreeSet::new();
    for (path, request, accept, expected) in [
        ("/drones", "drones".to_owned(), JSON, 200),
        ("/drones", "drones?limit=1".to_owned(), JSON, 200),
        ("/drones", "drones?limit=1".to_owned(), GEO_JSON, 200),
        ("/drones", "drones".to_owned(), GEO_JSON, 200),
        ("/drones", "drones?limit=1".to_owned(), COLUMNS, 200),
        (
            "/drones",
            "drones?seenSince=9000-01-01T00:00:00Z".to_owned(),
            COLUMNS,
            200,
        ),
        ("/drones", "drones?deviceId=drone-1".to_owned(), JSON, 200),
        ("/drones", "drones?limit=0".to_owned(), JSON, 400),
        ("/drones", "drones".to_owned(), "text/html", 406),
        (
            "/drones/{deviceId}",
            "drones/drone-1".to_owned(),
            "*/*",
            200,
        ),
        (
            "/drones/{deviceId}",
            "drones/drone-2".to_owned(),
            "*/*",
            200,
        ),
        ("/drones/{deviceId}", "drones/a%20b".to_owned(), "*/*", 400),
        ("/drones/{deviceId}", "drones/nobody".to_owned(), "*/*", 404),
        ("/deliveries/{deliveryId}", delivery.to_owned(), "*/*", 200),
        (
            "/deliveries/{deliveryId}",
            "deliveries/none".to_owned(),
            "*/*",
            404,
        ),
        ("/alerts", "alerts".to_owned(), "*/*", 200),
        ("/alerts", "alerts?active=maybe".to_owned(), "*/*", 400),
        ("/insights", "insights".to_owned(), "*/*", 200),
        ("/insights", "insights/weeks".to_owned(), "*/*", 404),
        ("/insights", "insights?what=hours".to_owned(), "*/*", 400),
        ("/insights/hours", "insights/hours".to_owned(), "*/*", 200),
        (
            "/insights/hours",
            "insights/hours?from=2024-05-01T00:00:00Z&to=2024-05-03T00:00:00Z".to_owned(),
            "*/*",
            200,
        ),
        (
            "/insights/hours",
            "insights/hours?from=today".to_owned(),
            "*/*",
            400,
        ),
        ("/insights/days", "insights/days".to_owned(), "*/*", 200),
        (
            "/insights/days",
            "insights/days?from=2024-05-01&to=2024-05-02".to_owned(),
            "*/*",
            200,
        ),
        (
            "/insights/days",
            "insights/days?to=today".to_owned(),
            "*/*",
            400,
        ),
        (
            "/insights/deliveries",
            "insights/deliveries?deliveryId=delivery-1&date=2024-05-01".to_owned(),
            "*/*",
            200,
        ),
        (
            "/insights/deliveries",
            "insights/deliveries".to_owned(),
            "*/*",
            400,
        ),
        (
            "/insights/deliveries/{deliveryId}",
            "insights/deliveries/delivery-1?date=2024-05-01".to_owned(),
            "*/*",
            200,
        ),
        (
            "/insights/deliveries/{deliveryId}",
            "insights/deliveries/delivery-1".to_owned(),
            "*/*",
            404,
        ),
        ("/health", "health".to_owned(), "*/*", 200),
        ("/openapi.json", "openapi.json".to_owned(), "*/*", 200),
        ("/map/{file}", "map".to_owned(), "*/*", 200),
        ("/map/{file}", "map/app.js".to_owned(), "*/*", 200),
        ("/map/{file}", "map/style.css".to_owned(), "*/*", 200),
        ("/map/{file}", "map/land.json".to_owned(), "*/*", 200),
        ("/map/{file}", "map/icon.svg".to_owned(), "*/*", 200),
        ("/map/{file}", "map/none".to_owned(), "*/*", 404),
        (
            "/fleet/insights/{file}",
            "fleet/insights".to_owned(),
            "*/*",
            200,
        ),
        (
            "/fleet/insights/{file}",
            "fleet/insights/app.js".to_owned(),
            "*/*",
            200,
        ),
        (
            "/fleet/insights/{file}",
            "fleet/insights/style.css".to_owned(),
            "*/*",
            200,
        ),
        (
            "/fleet/insights/{file}",
            "fleet/insights/icon.svg".to_owned(),
            "*/*",
            200,
        ),
        (
            "/fleet/insights/{file}",
            "fleet/insights/none".to_owned(),
            "*/*",
            404,
        ),
    ] {
        met.insert(path);
        let response = client
            .get(format!("{}/{request}", fleet.system.api_url()))
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        let code = response.status().as_u16();
        assert_eq!(code, expected, "{request}");
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let etag = response.headers().contains_key("etag");
        let documented = &served["paths"][path]["get"]["responses"][code.to_string()];
        let form = &documented["content"][&kind];
        assert!(
            form.is_object(),
            "{request}: {code} {kind} is not documented"
        );
        if !documented["headers"]["ETag"].is_null() && kind != "application/json" {
            assert!(etag, "{request} has no ETag");
        }
        if form["schema"]["$ref"].is_string() {
            let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            let validator = validator(&form["schema"]);
            let faults: Vec<String> = validator
                .iter_errors(&body)
                .map(|fault| format!("{}: {fault}", fault.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{request}: {faults:#?}\n{body:#}");
        }
    }
    let documented: BTreeSet<&str> = served["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(met, documented, "a path is not tried");
}
