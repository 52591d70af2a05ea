//! Rows as Application Insights, the queues' log and the hub's metrics have them.

use serde_json::{Value, json};

/// `11:58` of the day; rules are run at 12:00.
pub fn at(time: &str) -> String {
    format!("2026-11-28T{time}:00Z")
}

/// One line of the handler, as it reaches `AppTraces`; with a partition where the hub is read.
pub fn line(
    time: &str,
    function: &str,
    partition: impl Into<Option<u32>>,
    level: &str,
    fields: &Value,
) -> Value {
    let mut log = json!({"timestamp": at(time), "level": level});
    log.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    log["span"] = json!({
        "invocation.id": "24ad4c06-24ad-4e5b-8294-3da9714877e9",
        "function": function,
        "name": "call",
        "trace_id": TRACE,
        "span_id": "b7ad6b7169203331"
    });
    if let Some(partition) = partition.into() {
        log["span"]["partition.id"] = partition.to_string().into();
    }
    // The timestamp is the first field, as the handler writes it.
    let text = log.to_string();
    let rest = text.replacen(&format!("\"timestamp\":\"{}\",", at(time)), "", 1);
    let rest = rest.trim_start_matches('{');
    let message = format!("{{\"timestamp\":\"{}\",{rest}", at(time));
    json!({"TimeGenerated": at(time), "Message": message, "ItemCount": 1})
}

/// The trace that every line and span here belongs to.
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A counter's, or a gauge's, with its attributes.
pub fn metric(time: &str, name: &str, value: f64, attributes: &Value) -> Value {
    json!({"TimeGenerated": at(time), "Name": name, "Sum": value, "Min": value, "Max": value, "ItemCount": 1,
           "Properties": attributes})
}

/// A histogram's, of so many values of one second together.
pub fn durations(time: &str, name: &str, count: u32, attributes: &Value) -> Value {
    json!({"TimeGenerated": at(time), "Name": name, "Sum": 1.0, "Min": 0.001, "Max": 0.5, "ItemCount": count,
           "Properties": attributes})
}

/// Calls of a function in a minute, and how they failed, if they did.
pub fn calls(time: &str, function: &str, count: u32, error: Option<&str>) -> Value {
    let mut attributes = json!({"faas.name": function, "faas.trigger": "pubsub"});
    if let Some(error) = error {
        attributes["error.type"] = error.into();
    }
    durations(time, "faas.invoke_duration", count, &attributes)
}

/// Events that a function has finished with.
pub fn events(time: &str, function: &str, outcome: &str, count: f64) -> Value {
    let attributes = json!({"faas.name": function, "outcome": outcome});
    metric(time, "drone_delivery.events", count, &attributes)
}

/// Events of which the state was stored late.
pub fn late(time: &str, count: f64) -> Value {
    metric(time, "drone_delivery.events.late", count, &json!({}))
}

/// How far behind a function was with its last batch of a partition.
pub fn lag(time: &str, function: &str, partition: u32, seconds: f64) -> Value {
    let attributes =
        json!({"faas.name": function, "messaging.destination.partition.id": partition.to_string()});
    metric(time, "azure_functions.lag", seconds, &attributes)
}

/// A request of the host, as the Application Insights SDK in it tells of it.
pub fn request(time: &str, name: &str, success: bool, code: &str) -> Value {
    json!({"TimeGenerated": at(time), "Name": name, "OperationName": name, "OperationId": TRACE, "Success": success,
           "ResultCode": code, "DurationMs": 12.5, "ItemCount": 1,
           "Properties": {"Category": "Host.Results", "InvocationId": "24ad4c06-24ad-4e5b-8294-3da9714877e9"}})
}

/// A span of the handler that is no request.
pub fn dependency(time: &str, name: &str, kind: &str, attributes: &Value) -> Value {
    json!({"TimeGenerated": at(time), "Name": name, "OperationId": TRACE, "DependencyType": kind, "Target": "",
           "Success": true, "ResultCode": "0", "DurationMs": 3.5, "ItemCount": 1, "Properties": attributes})
}

/// What the hub took.
pub fn arrived(time: &str, total: f64) -> Value {
    json!({"TimeGenerated": at(time), "ResourceProvider": "MICROSOFT.EVENTHUB", "MetricName": "IncomingMessages",
           "Total": total})
}

/// A message that was put on a queue.
pub fn put(time: &str, queue: &str) -> Value {
    let uri =
        format!("https://stdatadrones.queue.core.windows.net:443/{queue}/messages?timeout=30");
    json!({"TimeGenerated": at(time), "OperationName": "PutMessage", "StatusText": "Success", "Uri": uri})
}
