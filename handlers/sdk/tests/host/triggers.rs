//! The queue, timer, blob and HTTP triggers, on what the host sends.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use crate::support::{TIMER, app_with, call, fixture, send};
use axum::extract::{FromRequest, State};
use axum::http::StatusCode;
use azure_functions_sdk::{
    BlobTrigger, CallError, FunctionDefinition, HostConfig, HttpOutput, HttpTrigger, Outputs,
    QueueMessage, TimerInfo,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::macros::utc_datetime;

const QUEUE: FunctionDefinition = FunctionDefinition::new(
    "Notify",
    "queueTrigger",
    r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","connection":"S","queueName":"alerts"}]}"#,
);
const QUEUE_BINARY: FunctionDefinition = FunctionDefinition::new(
    "Notify",
    "queueTrigger",
    r#"{"bindings":[{"type":"queueTrigger","direction":"in","name":"alert","dataType":"binary"}]}"#,
);
const BLOB: FunctionDefinition = FunctionDefinition::new(
    "Read",
    "blobTrigger",
    r#"{"bindings":[{"type":"blobTrigger","direction":"in","name":"archive","path":"archive/{name}"}]}"#,
);
const BLOB_STRING: FunctionDefinition = FunctionDefinition::new(
    "Read",
    "blobTrigger",
    r#"{"bindings":[{"type":"blobTrigger","direction":"in","name":"archive","path":"a/{name}","dataType":"string"}]}"#,
);
const HTTP: FunctionDefinition = FunctionDefinition::new(
    "PlaceOrder",
    "httpTrigger",
    r#"{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","route":"orders/{id}"},
    {"type":"http","direction":"out","name":"res"},{"type":"queue","direction":"out","name":"orders"}]}"#,
);

#[derive(Debug, Deserialize, PartialEq)]
struct Alert {
    #[serde(rename = "A", default)]
    a: u32,
    device: String,
}

type Seen<T> = Arc<Mutex<Option<T>>>;

/// What the handler of a function got for a call, or the reason why it got nothing.
async fn received<T>(definition: FunctionDefinition, body: &'static str) -> Result<T, String>
where
    T: FromRequest<Seen<T>, Rejection = CallError> + Send + Debug + 'static,
{
    let seen: Seen<T> = Arc::new(Mutex::new(None));
    let handle = async |State(seen): State<Seen<T>>, trigger: T| {
        *seen.lock().unwrap() = Some(trigger);
    };
    let router = app_with(Arc::clone(&seen), HostConfig::default())
        .function(definition, handle)
        .into_router()
        .unwrap();
    let answer = send(&router, call(definition.name, body)).await;
    match seen.lock().unwrap().take() {
        Some(trigger) => Ok(trigger),
        None => Err(answer.error()),
    }
}

#[tokio::test]
async fn a_queue_message_is_read_to_the_last_field() {
    for body in [fixture!("queue"), fixture!("queue_documented")] {
        let message = received::<QueueMessage<Alert>>(QUEUE, body).await.unwrap();
        let device = "drone-1".to_owned();
        assert_eq!(message.body, Alert { a: 3, device });
        assert_eq!(message.text, r#"{"A":3,"device":"drone-1"}"#);
        assert_eq!(
            message.id.as_deref(),
            Some("800ae4b3-bdd2-4c08-badd-f08e5a34b865")
        );
        assert_eq!(message.dequeue_count, 1);
        assert_eq!(
            message.insertion_time,
            Some(utc_datetime!(2024-05-01 12:00:00))
        );
        assert_eq!(
            message.expiration_time,
            Some(utc_datetime!(2024-05-08 12:00:00))
        );
        assert_eq!(
            message.next_visible_time,
            Some(utc_datetime!(2024-05-01 12:10:01))
        );
    }
}

#[tokio::test]
async fn a_message_cannot_pass_its_own_properties_off_as_the_queues() {
    let body = fixture!("queue_overwritten_id");
    let message = received::<QueueMessage<Alert>>(QUEUE, body).await.unwrap();
    assert_eq!(message.id, None);
    assert_eq!(message.dequeue_count, 0);
    assert!(message.insertion_time.is_some());
}

#[tokio::test]
async fn a_message_that_is_no_json_is_read_as_text() {
    let body = fixture!("queue_text");
    let message = received::<QueueMessage<String>>(QUEUE, body).await.unwrap();
    assert_eq!(message.body, r#"battery low, "drone-1""#);
    assert_eq!(message.text, message.body);
    let error = received::<QueueMessage<Alert>>(QUEUE, body)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "the queue message cannot be read: it is not JSON at line 1, column 1"
    );
}

#[tokio::test]
async fn a_message_of_the_wrong_shape_fails_the_call_without_being_quoted() {
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[serde(rename = "device")]
        _device: u32,
    }
    let error = received::<QueueMessage<Strict>>(QUEUE, fixture!("queue"))
        .await
        .unwrap_err();
    assert!(
        error.contains("wrong type") && !error.contains("drone-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_binary_queue_message_is_decoded() {
    let body = fixture!("queue_binary");
    let message = received::<QueueMessage<Value>>(QUEUE_BINARY, body)
        .await
        .unwrap();
    assert_eq!(message.body, json!({"A": 3, "device": "drone-1"}));
}

#[tokio::test]
async fn a_timer_is_read_encoded_once_or_twice() {
    for body in [fixture!("timer"), fixture!("timer_twice_encoded")] {
        let timer = received::<TimerInfo>(TIMER, body).await.unwrap();
        assert!(!timer.is_past_due);
        let status = timer.schedule_status.unwrap();
        assert_eq!(status.last, Some(utc_datetime!(2024-05-01 12:00:00)));
        assert_eq!(status.next, Some(utc_datetime!(2024-05-01 12:05:00)));
        assert_eq!(
            status.last_updated,
            Some(utc_datetime!(2024-05-01 12:00:00))
        );
    }
}

#[tokio::test]
async fn a_timer_may_have_no_status() {
    let timer = received::<TimerInfo>(TIMER, fixture!("timer_without_status"))
        .await
        .unwrap();
    assert!(timer.is_past_due);
    assert_eq!(timer.schedule_status, None);
}

#[tokio::test]
async fn a_timer_that_never_ran_has_no_last_run() {
    let timer = received::<TimerInfo>(TIMER, fixture!("timer_before_first_run"))
        .await
        .unwrap();
    assert_eq!(timer.schedule_status.unwrap().last, None);
}

#[tokio::test]
async fn a_blob_is_read_as_bytes_or_as_text() {
    let blob = received::<BlobTrigger>(BLOB, fixture!("blob"))
        .await
        .unwrap();
    assert_eq!(&blob.body[..], b"Obj\x01\x00\xff");
    let uri = "https://acct.blob.core.windows.net/archive/a%20b.avro";
    assert_eq!(blob.uri.as_deref(), Some(uri));
    let blob = received::<BlobTrigger>(BLOB_STRING, fixture!("blob_string"))
        .await
        .unwrap();
    assert_eq!(&blob.body[..], br#"{"a":1}"#);
}

#[tokio::test]
async fn an_http_request_in_an_envelope_is_read_to_the_last_field() {
    let request = received::<HttpTrigger>(HTTP, fixture!("http"))
        .await
        .unwrap();
    assert_eq!(
        request.url,
        "http://localhost:7071/api/orders/7?code=c&dry=true"
    );
    assert_eq!(request.method, "POST");
    assert_eq!(request.query["dry"], "true");
    assert_eq!(request.params["id"], "7");
    assert_eq!(request.headers["accept"], ["text/html", "*/*"]);
    assert_eq!(request.header("Content-Type"), Some("application/json"));
    assert_eq!(request.json::<Value>().unwrap(), json!({"count": 2}));
}

#[tokio::test]
async fn an_http_answer_in_an_envelope_has_a_status_code_and_goes_to_the_http_binding() {
    let handle = async |request: HttpTrigger| {
        let answer = HttpOutput::new(StatusCode::CREATED)
            .header("Location", "/orders/7")
            .body("made");
        Outputs::new().http(answer).queue("orders", request.body)
    };
    let router = crate::support::app()
        .function(HTTP, handle)
        .into_router()
        .unwrap();
    let envelope = send(&router, call("PlaceOrder", fixture!("http")))
        .await
        .envelope();
    let expected = json!({
        "orders": [r#"{"count":2}"#],
        "res": {"statusCode": 201, "body": "made", "headers": {"location": "/orders/7"}},
    });
    assert_eq!(envelope["Outputs"], expected);
}
