//! FleetMap, through the host's forwarding: what it serves, and what it lets a browser do.

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::Fleet;

async fn get(fleet: &Fleet, path: &str) -> Response {
    reqwest::get(format!("{}{path}", fleet.system.api_url()))
        .await
        .unwrap()
}

fn policy(response: &Response) -> String {
    let policy = &response.headers()["content-security-policy"];
    policy.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_all_that_it_names_is_served_by_the_app() {
    let fleet = Fleet::with_settings(&[("WEBSITE_AUTH_ENABLED", "True")]).await;
    let page = get(&fleet, "/map").await;
    assert_eq!(
        page.status(),
        200,
        "the page holds no data and asks nobody in"
    );
    let rules = policy(&page);
    assert!(rules.starts_with("default-src 'none'"), "{rules}");
    assert!(
        !rules.contains("unsafe") && !rules.contains("http"),
        "{rules}"
    );
    let html = page.text().await.unwrap();
    let names: Vec<&str> = html
        .split(['"'])
        .filter(|text| text.starts_with("map/"))
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let file = get(&fleet, &format!("/{name}")).await;
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
        policy(&file);
    }
    for unknown in [
        "/map/no-such-file.js",
        "/map/../host.json",
        "/map/page/app.js",
    ] {
        assert_eq!(get(&fleet, unknown).await.status(), 404, "{unknown}");
    }
    let configuration: Value = {
        let text = get(&fleet, "/map/configuration.json").await.text().await;
        serde_json::from_str(&text.unwrap()).unwrap()
    };
    assert_eq!(configuration, json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tile_layer_is_used_where_a_setting_names_one() {
    let template = "https://tiles.example.com/{z}/{x}/{y}.png";
    let fleet = Fleet::with_settings(&[
        ("FleetMapTiles", template),
        ("FleetMapTilesAttribution", "Example"),
    ])
    .await;
    let rules = policy(&get(&fleet, "/map").await);
    assert!(
        rules.ends_with("img-src 'self' data: https://tiles.example.com"),
        "{rules}"
    );
    let text = get(&fleet, "/map/configuration.json").await.text().await;
    assert_eq!(
        serde_json::from_str::<Value>(&text.unwrap()).unwrap(),
        json!({"tiles": template, "attribution": "Example"})
    );
}
