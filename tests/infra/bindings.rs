//! What triggers and bindings need, by what the Functions host and its extensions call for them.

use azure_functions_sdk::FunctionDefinition;
use local::system::HUB;

use crate::access::{on_container, on_queue};
use crate::provided::{ACCOUNTS, HUBS, Need, QUEUES};

pub fn function_needs(function: &FunctionDefinition) -> Vec<Need> {
    let config = function.config().unwrap();
    let mut needs = Vec::new();
    let bindings = config.inputs.iter().chain(&config.outputs);
    for binding in std::iter::once(&config.trigger).chain(bindings) {
        let property = |name: &str| binding.get(name).unwrap_or_default().to_owned();
        let connection = property("connection");
        let by_identity = |service: &str| {
            [service, "credential", "clientId"]
                .map(|part| Need::Setting(format!("{connection}__{part}")))
        };
        match binding.kind.to_ascii_lowercase().as_str() {
            "eventhubtrigger" => {
                needs.extend(by_identity("fullyQualifiedNamespace"));
                needs.push(Need::ConsumerGroup(property("consumerGroup")));
                needs.push(Need::DataAction(
                    "Microsoft.EventHub/namespaces/messages/receive/action".to_owned(),
                    HUBS,
                    HUB.to_owned(),
                ));
                // Checkpoints and ownership of partitions, in a container that the host makes.
                needs.extend(in_runtime_storage(&["write", "blobs/read", "blobs/write"]));
            }
            "queuetrigger" => {
                let queue = property("queueName");
                let poison = format!("{queue}-poison");
                needs.extend(by_identity("queueServiceUri"));
                let mut allowed = |end: &str, on: &String| {
                    needs.push(Need::DataAction(on_queue(end), QUEUES, on.clone()));
                };
                // Whether it is there and how long it is; taking, deleting, and where a call failed, Update Message.
                allowed("read", &queue);
                allowed("messages/read", &queue);
                allowed("messages/process/action", &queue);
                allowed("messages/delete", &queue);
                allowed("messages/write", &queue);
                // After the last failure; the host makes the queue where it is missing.
                allowed("messages/add/action", &poison);
                allowed("write", &poison);
                needs.push(Need::Queue(queue));
                needs.push(Need::Queue(poison));
            }
            "queue" => {
                let queue = property("queueName");
                needs.extend(by_identity("queueServiceUri"));
                needs.push(Need::DataAction(
                    on_queue("messages/add/action"),
                    QUEUES,
                    queue.clone(),
                ));
                needs.push(Need::Queue(queue));
            }
            // The lock that lets one instance run it, and when it ran last.
            "timertrigger" => {
                needs.extend(in_runtime_storage(&["write", "blobs/read", "blobs/write"]));
            }
            "httptrigger" | "http" => {}
            other => panic!(
                "{}: say here what a binding of type {other} needs",
                function.name
            ),
        }
    }
    needs.extend(percent_names(function.json).into_iter().map(Need::Setting));
    needs
}

fn in_runtime_storage(ends: &[&str]) -> Vec<Need> {
    let action = |end: &&str| Need::DataAction(on_container(end), ACCOUNTS, String::new());
    ends.iter().map(action).collect()
}

/// `%Name%`: the host puts the setting of that name in.
pub fn percent_names(json: &str) -> Vec<String> {
    json.split('%')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
