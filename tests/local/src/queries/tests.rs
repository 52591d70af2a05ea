#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    queries: QueriesOptions,
}

/// Answers as the functions do, with two pages of one drone each. From the request of this number on
/// nobody finds a drone.
async fn functions(good: u32, drones: u32) -> String {
    async fn list(
        State((_, _, drones)): State<(Arc<AtomicU32>, u32, u32)>,
        RawQuery(query): RawQuery,
        headers: HeaderMap,
    ) -> Response {
        if headers[ACCEPT_ENCODING] == "gzip" {
            return "what nobody here can read".into_response();
        }
        if drones == 0 {
            return axum::Json(json!({"drones": []})).into_response();
        }
        let flight = json!({"position": {"type": "Point", "coordinates": [-122.1, 47.4]}});
        let second = query.unwrap().contains("continuation=two");
        axum::Json(if second {
            json!({"drones": [{"deviceId": "drone#2"}]})
        } else {
            json!({
                "drones": [{"deviceId": "drone-1", "deliveryId": "delivery-1", "flight": flight}],
                "continuation": "two",
            })
        })
        .into_response()
    }
    async fn one(
        State((asked, good, _)): State<(Arc<AtomicU32>, u32, u32)>,
        Path(id): Path<String>,
    ) -> StatusCode {
        assert!(["drone-1", "drone#2", "delivery-1"].contains(&id.as_str()));
        if asked.fetch_add(1, Ordering::Relaxed) < good {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        }
    }
    let router = Router::new()
        .route("/api/drones", get(list))
        .route("/api/drones/{id}", get(one))
        .route("/api/deliveries/{id}", get(one))
        .with_state((Arc::<AtomicU32>::default(), good, drones));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/api/")
}

async fn measured(url: String, requests: u32) -> Result<Vec<Figures>, QueriesError> {
    measure(&QueriesOptions { url, requests }, |_| {}).await
}

#[tokio::test]
async fn every_kind_is_asked_as_often_as_was_said() {
    let figures = measured(functions(u32::MAX, 2).await, 20).await.unwrap();
    let answered: Vec<(&str, u64)> = figures
        .iter()
        .map(|kind| (kind.title(), kind.answered()))
        .collect();
    assert_eq!(
        answered,
        [
            ("one drone", 20),
            ("one delivery", 20),
            ("a page of 500", 20),
            ("a page of 500 in a box", 20),
            ("a map's poll", 20),
            ("a map's first poll", 2),
        ]
    );
    assert!(figures.iter().all(|kind| kind.failed() == 0));
}

#[tokio::test]
async fn what_fails_is_counted_and_the_first_is_named() {
    let figures = measured(functions(7, 2).await, 10).await.unwrap();
    assert_eq!((figures[0].answered(), figures[0].failed()), (7, 3));
    // A delivery that has ended meanwhile is no failure.
    assert_eq!((figures[1].answered(), figures[1].failed()), (10, 0));
    assert_eq!(
        figures[0].first_failure.as_deref(),
        Some("/drones/drone%232: 404 Not Found")
    );
    assert!(figures[0].to_string().ends_with("and 3 failed"));
}

#[tokio::test]
async fn without_a_system_or_drones_it_says_so() {
    let empty = measured(functions(0, 0).await, 1).await;
    assert!(matches!(empty, Err(QueriesError::NoDrones)), "{empty:?}");
    let elsewhere = measured(functions(0, 2).await + "nothing", 1).await;
    assert!(
        matches!(elsewhere, Err(QueriesError::NoPage { .. })),
        "{elsewhere:?}"
    );
    // A port that was free a moment ago.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    drop(listener);
    let nobody = measured(url, 1).await;
    assert!(
        matches!(nobody, Err(QueriesError::Unreachable(_))),
        "{nobody:?}"
    );
}

#[test]
fn slow_and_large_answers_are_shown_as_they_were() {
    let mut figures = Figures::new("a page");
    figures.record(Duration::from_micros(900), 300);
    for _ in 0..9 {
        figures.record(Duration::from_millis(12_500), 600_000);
    }
    let row = figures.to_string();
    let columns: Vec<f64> = row
        .split_whitespace()
        .filter_map(|column| column.parse().ok())
        .collect();
    let [count, middle, _, late, most, bytes] = columns[..] else {
        panic!("{row}");
    };
    assert_eq!(count, 10.0);
    // Three digits.
    for millis in [middle, late, most] {
        assert!((millis - 12_500.0).abs() < 15.0, "{row}");
    }
    assert!((bytes - 600_000.0).abs() < 600.0, "{row}");
}

#[test]
fn requests_are_bounded() {
    let parse = |requests: &str| Cli::try_parse_from(["queries", "--requests", requests]);
    assert_eq!(parse("10000").unwrap().queries.requests, 10_000);
    for wrong in ["0", "10001", "-1", "many"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
