//! What it costs to turn the body of a call into events: telemetry of about 300 bytes with the system
//! properties that IoT Hub sets.

#![forbid(unsafe_code)]

use azure_functions_sdk::{EventHubBatch, FunctionConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use serde_json::{Value, json};

const FUNCTION_JSON: &str = r#"{"bindings":[{"type":"eventHubTrigger","direction":"in","name":"events",
    "connection":"Hub","eventHubName":"telemetry","consumerGroup":"g","cardinality":"many","dataType":"binary"}]}"#;

fn main() {
    divan::main();
}

fn config() -> FunctionConfig {
    match FunctionConfig::parse("Bench", FUNCTION_JSON) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

fn telemetry(number: usize) -> Value {
    json!({
        "sensorType": "drone-event-sensor;v1", "deviceId": format!("Simulated.drone-{number:05}"),
        "deliveryId": "f9a3c8d2-5d1f-4f0e-9d6a-0b5f0f6f2c11", "occurrenceUtcTime": "2024-05-01T12:00:00.1234567Z",
        "velocity": "58.08", "acceleration": "2.52", "position": "60.631945|-99.579919|504.99", "flightStatus": "1",
    })
}

fn system_properties(number: usize) -> Value {
    json!({
        "content-type": "application/json", "content-encoding": "utf-8",
        "iothub-connection-device-id": format!("Simulated.drone-{number:05}"),
        "iothub-connection-auth-method": "{\"scope\":\"device\",\"type\":\"sas\",\"issuer\":\"iothub\"}",
        "iothub-connection-auth-generation-id": "637788123456789012",
        "iothub-enqueuedtime": "2024-05-01T12:00:00.123Z", "iothub-message-source": "Telemetry",
        "SequenceNumber": number, "Offset": 4_294_967_296_usize + number, "EnqueuedTimeUtc": "2024-05-01T12:00:00.123",
    })
}

fn call(events: usize) -> Bytes {
    let column = |element: &dyn Fn(usize) -> Value| {
        Value::from((0..events).map(element).collect::<Vec<_>>()).to_string()
    };
    let partition = json!({"FullyQualifiedNamespace": "ns.servicebus.windows.net", "EventHubName": "telemetry",
        "ConsumerGroup": "g", "PartitionId": "1"});
    let offsets = column(&|number| (4_294_967_296_usize + number).to_string().into());
    json!({
        "Data": {"events": column(&|number| STANDARD.encode(telemetry(number).to_string()).into())},
        "Metadata": {
            "TriggerPartitionContext": partition, "PartitionContext": partition,
            "PartitionKeyArray": column(&|number| format!("Simulated.drone-{number:05}").into()),
            "OffsetArray": offsets, "OffsetStringArray": offsets,
            "SequenceNumberArray": column(&|number| number.into()),
            "EnqueuedTimeUtcArray": column(&|_| "2024-05-01T12:00:00.123".into()),
            "PropertiesArray": column(&|_| json!({})),
            "SystemPropertiesArray": column(&system_properties),
        },
    })
    .to_string()
    .into()
}

#[divan::bench(args = [100, 1000])]
fn parse(bencher: Bencher<'_, '_>, events: usize) {
    let (function, body) = (config(), call(events));
    bencher
        .counter(ItemsCount::new(events))
        .with_inputs(|| body.to_vec())
        .bench_local_values(|body| EventHubBatch::parse(&function, body));
}

/// And then one system property of each event, as a function that checks the device does.
#[divan::bench(args = [1000])]
fn parse_and_find_the_device(bencher: Bencher<'_, '_>, events: usize) {
    let (function, body) = (config(), call(events));
    let bencher = bencher
        .counter(ItemsCount::new(events))
        .with_inputs(|| body.to_vec());
    bencher.bench_local_values(|body| {
        let batch = EventHubBatch::parse(&function, body)?;
        let device = |event: &azure_functions_sdk::Event| {
            let id = event
                .system_properties
                .get_str("iothub-connection-device-id");
            id.map_or(0, |id| id.len())
        };
        Ok::<usize, azure_functions_sdk::CallError>(batch.events.iter().map(device).sum())
    });
}
