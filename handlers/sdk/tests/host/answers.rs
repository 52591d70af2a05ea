//! What the host gets back: never an empty 2xx, never a queue output that it would take apart.

use std::io;

use crate::support::{INVOCATION, TIMER, call, fixture, send};
use axum::Router;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::response::Redirect;
use azure_functions_sdk::{
    CallError, HttpOutput, Invocation, MAX_QUEUE_MESSAGE_TEXT, Outputs, TimerInfo,
};
use serde_json::json;
use tracing::{error, info, warn};

fn router<T: 'static>(handler: impl Handler<T, ()>) -> Router {
    crate::support::app()
        .function(TIMER, handler)
        .into_router()
        .unwrap()
}

async fn answer<T: 'static>(handler: impl Handler<T, ()>) -> crate::support::Answer {
    send(&router(handler), call("Tick", fixture!("timer"))).await
}

#[tokio::test]
async fn whatever_a_handler_returns_for_nothing_becomes_an_empty_envelope() {
    let empty = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;
    for answer in [
        answer(async || {}).await,
        answer(async || StatusCode::NO_CONTENT).await,
        answer(async || StatusCode::OK).await,
        answer(async || "").await,
        answer(async || Outputs::new()).await,
        answer(async || (StatusCode::NO_CONTENT, Outputs::new())).await,
        answer(async || Outputs::new().queue("alerts", [])).await,
    ] {
        answer.envelope();
        assert_eq!(answer.text, empty);
    }
}

#[tokio::test]
async fn a_body_of_the_handlers_own_fails_the_call() {
    let error = answer(async || "done").await.error();
    assert!(error.contains("return Outputs"), "{error}");
    assert!(
        answer(async || axum::Json(json!({"Outputs": {}})))
            .await
            .status
            .is_server_error()
    );
    // The worst of them: the host waits on until functionTimeout.
    assert!(
        answer(async || axum::Json(json!(null)))
            .await
            .status
            .is_server_error()
    );
}

#[tokio::test]
async fn the_parts_of_the_envelope_are_written_in_order() {
    let answer = answer(async || {
        Outputs::new()
            .log("line")
            .json("documents", &json!({"id": "1"}))
            .queue("alerts", ["a".to_owned()])
            .queue("alerts", ["b".to_owned()])
            .return_value(&7)
    })
    .await;
    assert_eq!(
        answer.text,
        r#"{"Outputs":{"documents":{"id":"1"},"alerts":["a","b"]},"Logs":["line"],"ReturnValue":7}"#
    );
}

#[tokio::test]
async fn queue_messages_are_an_array_of_strings_whatever_they_look_like() {
    for text in [
        "aGVsbG8=",
        r#"{"a":1}"#,
        "[1]",
        "7",
        "null",
        "",
        "\"quoted\"",
    ] {
        let envelope =
            answer(async move || Outputs::new().queue("alerts", [text.to_owned()])).await;
        assert_eq!(envelope.envelope()["Outputs"]["alerts"], json!([text]));
    }
}

#[tokio::test]
async fn json_for_a_queue_becomes_an_array_of_strings_too() {
    for (value, expected) in [
        (json!("aGVsbG8="), json!(["aGVsbG8="])),
        (json!({"b": 1}), json!([r#"{"b":1}"#])),
        (json!(["x", {"b": 1}, 7]), json!(["x", r#"{"b":1}"#, "7"])),
    ] {
        let answer = answer(async move || Outputs::new().json("alerts", &value)).await;
        assert_eq!(answer.envelope()["Outputs"]["alerts"], expected);
    }
}

#[tokio::test]
async fn a_message_that_no_queue_can_hold_fails_the_call() {
    let with = |length| answer(async move || Outputs::new().queue("alerts", ["é".repeat(length)]));
    with(MAX_QUEUE_MESSAGE_TEXT / 2).await.envelope();
    let error = with(MAX_QUEUE_MESSAGE_TEXT / 2 + 1).await.error();
    assert_eq!(
        error,
        "the output `alerts`: a message of 49154 bytes; a queue message holds 49152"
    );
}

#[tokio::test]
async fn an_output_that_is_not_declared_fails_the_call() {
    let error = answer(async || Outputs::new().queue("Alerts", ["a".to_owned()]))
        .await
        .error();
    assert_eq!(
        error,
        "the function.json of Tick declares no output named `Alerts`"
    );
    let error = answer(async || Outputs::new().http(HttpOutput::new(StatusCode::OK)))
        .await
        .error();
    assert_eq!(
        error,
        "the function.json of Tick declares no output of type http"
    );
}

#[tokio::test]
async fn a_value_that_is_no_json_fails_the_call() {
    let broken = std::collections::BTreeMap::from([(vec![1], 1)]);
    let error = answer(async move || Outputs::new().json("documents", &broken))
        .await
        .error();
    assert!(error.starts_with("the output `documents`"), "{error}");
}

#[tokio::test]
async fn a_failure_is_a_500_with_a_reason() {
    let failed = answer(async || CallError::from_error(io::Error::other("no disk"))).await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.text, r#"{"error":"no disk"}"#);
    // The host's client would follow it.
    let redirected = answer(async || Redirect::to("/")).await;
    assert_eq!(redirected.status, StatusCode::INTERNAL_SERVER_ERROR);
    let refused = answer(async || StatusCode::BAD_REQUEST).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_no_call_is_answered_with_a_failure() {
    let router = router(async |_: TimerInfo| {});
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"Data":1}"#,
        r#"{"Data":{"timer":"x"}}"#,
    ] {
        let answer = send(&router, call("Tick", body)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    }
}

#[tokio::test]
async fn warnings_and_errors_of_a_call_are_in_its_logs() {
    let handler = async || {
        info!("not this");
        warn!(drone.id = "d-1", "late");
        error!("later");
        Outputs::new().log("own line")
    };
    let envelope = answer(handler).await.envelope();
    assert_eq!(
        envelope["Logs"],
        json!(["own line", "WARN late drone.id=d-1", "ERROR later"])
    );
}

#[tokio::test]
async fn a_handler_can_tell_which_call_it_is() {
    let handler = async |invocation: Invocation| {
        Outputs::new().return_value(&(invocation.id, invocation.function, invocation.traceparent))
    };
    let envelope = answer(handler).await.envelope();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(
        envelope["ReturnValue"],
        json!([INVOCATION, "Tick", traceparent])
    );
}
