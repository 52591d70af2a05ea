//! What the code and the functions' files need, against what Bicep provides.
//!
//! Demands are read from `FUNCTIONS`, host.json, the settings that the code asks for, and the names that
//! the local system makes for the tests, so that a new function cannot be forgotten here. Each demand
//! is then taken away from what is provided, once, to see that somebody would notice.

use std::collections::BTreeSet;

use azure_functions_sdk::FunctionDefinition;
use drone_delivery::FUNCTIONS;
use local::system::{
    ALERT_QUEUE, ALERT_STATE, ALERTS, ARCHIVE, DATABASE, DEAD_LETTERS, DRONES, HUB, INSIGHTS,
};

use crate::access::{Grant, on_container, on_queue};
use crate::bindings::{function_needs, percent_names};
use crate::provided::{
    ACCOUNTS, CONTAINERS, COSMOS_CONTAINERS, HUBS, Need, Provided, QUEUES, provided, satisfies,
};
use crate::sources;

/// What the platform sets by itself, and what is right as it is until an operator adds it to `extraSettings`.
const NOT_DEPLOYED: [&str; 2] = ["WEBSITE_AUTH_ENABLED", "EarliestOccurrence"];

/// By which an operator lets devices in.
const OF_DEVICES: [&str; 2] = [
    "IoT Hub Data Contributor",
    "Device Provisioning Service Data Contributor",
];

/// Who needs it, and what.
#[derive(Debug, Clone)]
struct Demand {
    by: String,
    need: Need,
}

#[test]
fn what_the_code_and_its_functions_need_is_provided() {
    let provided = provided(&sources::template());
    let unmet = unmet(&demands(FUNCTIONS), &provided);
    assert!(unmet.is_empty(), "infra/ lacks:\n{}", unmet.join("\n"));
}

#[test]
fn each_thing_taken_away_is_missed_by_name() {
    let demands = demands(FUNCTIONS);
    let complete = provided(&sources::template());
    for Demand { by, need } in &demands {
        let mut poorer = complete.clone();
        poorer.needs.remove(need);
        poorer.grants.retain(|grant| !satisfies(grant, need));
        let unmet = unmet(&demands, &poorer);
        assert!(
            unmet
                .iter()
                .any(|line| line.contains(by) && line.contains(need.name())),
            "{by} would not miss {need:?}: {unmet:?}"
        );
    }
    for kind in [
        "Setting",
        "ConsumerGroup",
        "Queue",
        "BlobContainer",
        "CosmosContainer",
        "Role",
        "DataAction",
    ] {
        assert!(
            demands
                .iter()
                .any(|demand| format!("{:?}", demand.need).starts_with(kind)),
            "nothing demands a {kind}: the demands are no longer read"
        );
    }
}

/// A right that nobody needs is a risk, and a consumer group that nobody reads is one of twenty.
#[test]
fn nothing_is_provided_that_nobody_needs() {
    let demands = demands(FUNCTIONS);
    let provided = provided(&sources::template());
    for need in &provided.needs {
        let is_needed = demands.iter().any(|demand| demand.need == *need);
        assert!(
            is_needed || matches!(need, Need::Setting(_)),
            "nobody needs {need:?}"
        );
    }
    for grant in provided
        .grants
        .iter()
        .filter(|grant| !grant.to.starts_with("operator"))
    {
        let is_needed = demands.iter().any(|demand| satisfies(grant, &demand.need));
        assert!(is_needed, "nobody needs {grant:?}");
        // A role that another one of the same resource makes good for in everything.
        let mut fewer = provided.clone();
        fewer.grants.retain(|other| other != grant);
        assert!(
            !unmet(&demands, &fewer).is_empty(),
            "another role does all that {grant:?} does"
        );
    }
}

/// What the documentation names for a queue trigger stops the host at the first call that fails: Reader, Message
/// Processor, and Sender on the poison queue.
#[test]
fn a_queue_trigger_without_the_right_to_update_a_message_is_named() {
    let mut triggers = 0;
    for function in FUNCTIONS
        .iter()
        .filter(|function| function.trigger == "queueTrigger")
    {
        triggers += 1;
        let trigger = function.config().unwrap().trigger;
        let queue = trigger.get("queueName").unwrap();
        let mut documented = provided(&sources::template());
        let grant = documented
            .grants
            .iter()
            .find(|grant| grant.on == queue && grant.to == "appPrincipalId")
            .expect("the app has a role on the queue")
            .clone();
        documented.grants.retain(|other| *other != grant);
        for role in [
            "Storage Queue Data Reader",
            "Storage Queue Data Message Processor",
            "Storage Queue Data Message Sender",
        ] {
            documented.grants.push(Grant {
                role,
                ..grant.clone()
            });
        }
        let unmet = unmet(&demands(FUNCTIONS), &documented);
        assert_eq!(
            unmet,
            [format!(
                "{} needs {} on {QUEUES} {queue}",
                function.name,
                on_queue("messages/write")
            )]
        );
    }
    assert!(triggers > 1, "{triggers}");
}

/// `cargo local replay` reads the archive, takes letters off their queue or shows them again, deletes the blobs with
/// their bodies, and sends.
#[test]
fn the_operator_may_replay_events_and_no_more() {
    let provided = provided(&sources::template());
    let grants: BTreeSet<(&str, &str)> = provided
        .grants
        .iter()
        .filter(|grant| grant.to == "operatorPrincipalId" && !OF_DEVICES.contains(&grant.role))
        .map(|grant| (grant.role, grant.symbol.as_str()))
        .collect();
    let expected = BTreeSet::from([
        ("Azure Event Hubs Data Sender", "operatorSends"),
        ("Storage Blob Data Reader", "operatorReadsBlobs"),
        (
            "Storage Blob Data Contributor",
            "operatorDeletesDeadLetterBodies",
        ),
        // Message Processor may not show a letter again before its time.
        ("Storage Queue Data Contributor", "operatorHandlesQueues"),
    ]);
    assert_eq!(grants, expected);
    let bodies = provided
        .grants
        .iter()
        .find(|grant| grant.symbol == "operatorDeletesDeadLetterBodies");
    assert_eq!(
        bodies.map(|grant| grant.on.as_str()),
        Some(DEAD_LETTERS),
        "on these blobs only: nobody deletes from the archive"
    );
}

#[test]
fn a_function_that_nothing_is_provided_for_is_named() {
    let stranger = FunctionDefinition::new(
        "CountParcels",
        "queueTrigger",
        r#"{"bindings":[
            {"type":"queueTrigger","direction":"in","name":"parcel","connection":"ParcelStore","queueName":"parcels"}
        ]}"#,
    );
    let unmet = unmet(&demands(&[stranger]), &provided(&sources::template()));
    for word in [
        "CountParcels",
        "ParcelStore__queueServiceUri",
        "parcels",
        "parcels-poison",
    ] {
        assert!(
            unmet.iter().any(|line| line.contains(word)),
            "{word}: {unmet:?}"
        );
    }
}

#[test]
fn the_hub_and_the_containers_have_the_names_and_keys_that_the_code_expects() {
    let template = sources::template();
    let hubs: Vec<_> = template.of(HUBS).collect();
    assert_eq!(hubs.len(), 1);
    let name = template.resolve(&hubs[0].module, hubs[0].body.get("name").unwrap());
    assert_eq!(name.text(), Some(HUB));
    for container in template.of(COSMOS_CONTAINERS) {
        let name = container.name().unwrap();
        let resource = container.body.at("properties.resource").unwrap();
        assert_eq!(resource.get("id").and_then(|id| id.text()), Some(name));
        let paths = resource.at("partitionKey.paths").unwrap().list();
        let expected = match name {
            DRONES => "/bucket",
            _ => "/deviceId",
        };
        assert_eq!(paths[0].text(), Some(expected), "{name}");
        // Version 1 hashes the first 101 bytes only.
        let version = resource.at("partitionKey.version").unwrap();
        assert_eq!(version.code(), Some("2"), "{name}");
    }
    let database = template
        .variables
        .get(&("main".into(), "databaseName".into()));
    assert_eq!(database.and_then(|name| name.text()), Some(DATABASE));
}

fn demands(functions: &[FunctionDefinition]) -> Vec<Demand> {
    let mut demands = Vec::new();
    let mut demand = |by: &str, need| {
        demands.push(Demand {
            by: by.to_owned(),
            need,
        });
    };
    for function in functions {
        for need in function_needs(function) {
            demand(function.name, need);
        }
    }

    for setting in settings_in_code() {
        for need in setting_needs(&setting) {
            demand("handlers/settings.rs", need);
        }
    }
    for name in names_in_host_json() {
        demand("host.json", Need::Setting(name));
    }

    let local = "the local system";
    for name in [DRONES, ALERTS] {
        demand(local, Need::CosmosContainer(name.to_owned()));
    }
    for name in [ARCHIVE, DEAD_LETTERS, ALERT_STATE, INSIGHTS] {
        demand(local, Need::BlobContainer(name.to_owned()));
    }
    // `alert-state` is in the account that the host owns.
    for name in [ARCHIVE, DEAD_LETTERS, INSIGHTS] {
        demand(
            local,
            Need::Role("Storage Blob Data Contributor", CONTAINERS, name.to_owned()),
        );
    }
    for name in [DEAD_LETTERS, ALERT_QUEUE] {
        demand(local, Need::Queue(name.to_owned()));
    }
    // A list is a read. Where the files of an hour have become few, they go.
    for (container, end) in [
        (ARCHIVE, "blobs/read"),
        (ARCHIVE, "blobs/write"),
        (ARCHIVE, "blobs/delete"),
        (INSIGHTS, "blobs/read"),
        (INSIGHTS, "blobs/write"),
    ] {
        demand(
            "SummarizeHour",
            Need::DataAction(on_container(end), CONTAINERS, container.to_owned()),
        );
    }
    for action in ["create", "read", "replace", "upsert"] {
        demand(
            "handlers/stores",
            Need::CosmosAction(format!("items/{action}")),
        );
    }
    demand("handlers/stores", Need::CosmosAction("readMetadata".into()));
    demand("handlers/stores", Need::CosmosAction("executeQuery".into()));
    if sources::code().contains(".delete_item(") {
        demand("handlers/stores", Need::CosmosAction("items/delete".into()));
    }
    if sources::code().contains("impl TickSender for EventHubsNamespace") {
        demand(
            "AdvanceWatermarks",
            Need::DataAction(
                "Microsoft.EventHub/namespaces/messages/send/action".to_owned(),
                HUBS,
                HUB.to_owned(),
            ),
        );
    }

    // Not in any file of ours, but what the Functions host asks for to start at all.
    let host = "the Functions host";
    demand(host, Need::BlobContainer("packages".into()));
    for name in ["blobServiceUri", "credential", "clientId"] {
        demand(host, Need::Setting(format!("AzureWebJobsStorage__{name}")));
    }
    demand(
        host,
        Need::Setting("APPLICATIONINSIGHTS_CONNECTION_STRING".into()),
    );
    demand(
        host,
        Need::Setting("APPLICATIONINSIGHTS_AUTHENTICATION_STRING".into()),
    );
    demand(
        host,
        Need::Role("Storage Blob Data Owner", ACCOUNTS, String::new()),
    );
    demand(
        host,
        Need::Role("Storage Table Data Contributor", ACCOUNTS, String::new()),
    );
    demand(
        host,
        Need::Role(
            "Monitoring Metrics Publisher",
            "Microsoft.Insights/components",
            String::new(),
        ),
    );
    demand(
        "the IoT hub",
        Need::Role("Azure Event Hubs Data Sender", HUBS, HUB.to_owned()),
    );
    demand(
        "handlers/stores/event_hubs.rs",
        Need::DataAction(
            "Microsoft.EventHub/namespaces/messages/send/action".to_owned(),
            HUBS,
            HUB.to_owned(),
        ),
    );
    demands
}

/// The connections and plain settings that the code asks for, by the names in its strings.
pub fn settings_in_code() -> BTreeSet<String> {
    let text = sources::read("handlers/settings.rs");
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut names = BTreeSet::new();
    for word in text.split('"').skip(1).step_by(2) {
        let is_name = word.starts_with(|letter: char| letter.is_ascii_uppercase())
            && word
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if is_name && !word.starts_with("Alerts__") && !NOT_DEPLOYED.contains(&word) {
            names.insert(word.to_owned());
        }
    }
    assert!(
        names.contains("CosmosDb"),
        "settings are no longer read as they were: {names:?}"
    );
    names
}

/// A connection asks for an address and an identity; anything else is one setting.
fn setting_needs(name: &str) -> Vec<Need> {
    let services: &[&str] = match name {
        "TelemetryHub" => &["fullyQualifiedNamespace"],
        "CosmosDb" => &["accountEndpoint"],
        "FleetStorage" => &["blobServiceUri", "queueServiceUri"],
        "StateStorage" => &["blobServiceUri"],
        _ => return vec![Need::Setting(name.to_owned())],
    };
    services
        .iter()
        .chain(&["credential", "clientId"])
        .map(|part| Need::Setting(format!("{name}__{part}")))
        .collect()
}

fn names_in_host_json() -> Vec<String> {
    percent_names(drone_delivery::HOST_JSON)
}

fn unmet(demands: &[Demand], provided: &Provided) -> Vec<String> {
    demands
        .iter()
        .filter(|demand| {
            let granted = provided
                .grants
                .iter()
                .any(|grant| satisfies(grant, &demand.need));
            !provided.needs.contains(&demand.need) && !granted
        })
        .map(|Demand { by, need }| match need {
            Need::Role(role, kind, on) => format!("{by} needs the role {role} on {kind} {on}"),
            Need::DataAction(action, kind, on) => format!("{by} needs {action} on {kind} {on}"),
            Need::CosmosAction(action) => format!("{by} needs the Cosmos DB action {action}"),
            Need::Setting(name) => format!("{by} needs the app setting {name}"),
            Need::ConsumerGroup(name) => format!("{by} needs the consumer group {name}"),
            Need::Queue(name) => format!("{by} needs the queue {name}"),
            Need::BlobContainer(name) => format!("{by} needs the blob container {name}"),
            Need::CosmosContainer(name) => format!("{by} needs the Cosmos DB container {name}"),
        })
        .collect()
}
