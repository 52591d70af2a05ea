//! Parameter files name parameters that exist, and azd's names agree on both sides.

use std::collections::{BTreeMap, BTreeSet};

use crate::sizes::parameters_of;
use crate::sources;

/// What the sizes differ in, or may: everything else is somebody's choice.
const OF_A_SIZE: [&str; 22] = [
    "alertOnSilence",
    "alertsMaximumThroughput",
    "alwaysReady",
    "archiveCoolAfterDays",
    "archiveDeleteAfterDays",
    "availabilityTestMinutes",
    "batchWait",
    "dailyLogCapGb",
    "dronesMaximumThroughput",
    "eventsPerInstance",
    "instanceMemoryMB",
    "iotHubSku",
    "iotHubUnits",
    // The group's.
    "location",
    "logRetentionDays",
    "maximumInstances",
    "maximumThroughputUnits",
    "partitions",
    "retentionHours",
    "storageSku",
    "throughputUnits",
    "traceRatio",
];

const SIZES: [&str; 2] = ["try", "fleet"];

fn declared() -> BTreeSet<String> {
    sources::template()
        .parameters
        .into_iter()
        .filter(|parameter| parameter.module == "main")
        .map(|parameter| parameter.name)
        .collect()
}

/// The parameters of a size that are read from the environment, as they are written.
fn choices(size: &str) -> BTreeMap<String, String> {
    parameters_of(&sources::read(&format!("infra/{size}.bicepparam")))
        .into_iter()
        .filter(|(_, value)| value.contains("readEnvironmentVariable("))
        .collect()
}

#[test]
fn parameter_files_set_what_the_template_has() {
    let declared = declared();
    for size in SIZES {
        let text = sources::read(&format!("infra/{size}.bicepparam"));
        assert!(text.contains("using 'main.bicep'"), "{size}");
        let parameters = parameters_of(&text);
        assert!(!parameters.is_empty(), "{size}");
        for name in parameters.keys() {
            assert!(declared.contains(name), "{size}: {name}");
        }
    }
}

/// What a person has chosen comes from one source, whoever deploys: a parameter that only the command line can set is
/// undone by the next deployment.
#[test]
fn what_a_person_chooses_outlives_the_next_deployment() {
    let chosen = choices(SIZES[0]);
    for size in SIZES {
        assert_eq!(choices(size), chosen, "{size} has other choices");
        for (name, value) in parameters_of(&sources::read(&format!("infra/{size}.bicepparam"))) {
            assert!(
                chosen.contains_key(&name) || OF_A_SIZE.contains(&name.as_str()),
                "{size}: {name} = {value}: a choice, or of the size?"
            );
        }
    }
    for name in declared() {
        assert!(
            chosen.contains_key(&name) != OF_A_SIZE.contains(&name.as_str()),
            "{name}: read it from the environment in both parameter files, or say that it is of a size"
        );
    }
    let variables: BTreeSet<_> = chosen.values().map(|value| variable(value)).collect();
    let example = sources::read("infra/choices.env.example");
    let explained: BTreeSet<_> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(explained, variables, "choices.env.example");
}

/// The name of the variable that is read.
fn variable(value: &str) -> String {
    let (_, rest) = value.split_once("readEnvironmentVariable('").unwrap();
    rest.split('\'').next().unwrap().to_owned()
}

/// Without defaults, `az deployment group create` and a first `azd up` would ask for everything.
#[test]
fn every_parameter_of_the_template_has_a_default() {
    for parameter in sources::template().parameters {
        if parameter.module == "main" {
            assert!(
                parameter.default.is_some(),
                "{} has no default",
                parameter.name
            );
        }
    }
}

/// The Event Hubs emulator has the consumer groups that the functions read, and one file leads to all emulators.
#[test]
fn the_emulators_have_what_the_functions_read() {
    let config: serde_json::Value =
        serde_json::from_str(&sources::read("infra/emulators/event-hubs.json")).unwrap();
    let hub = &config["UserConfig"]["NamespaceConfig"][0]["Entities"][0];
    assert_eq!(hub["Name"], local::system::HUB);
    let groups: BTreeSet<_> = hub["ConsumerGroups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["Name"].as_str().unwrap().to_owned())
        .collect();
    let read: BTreeSet<_> = drone_delivery::FUNCTIONS
        .iter()
        .filter_map(|function| {
            let trigger = function.config().unwrap().trigger;
            trigger.get("consumerGroup").map(str::to_owned)
        })
        .collect();
    assert_eq!(groups, read);

    let compose: serde_json::Value =
        serde_saphyr::from_str(&sources::read("infra/emulators/compose.yaml")).unwrap();
    assert_eq!(compose["services"].as_object().unwrap().len(), 3);
    let local: serde_json::Value =
        serde_json::from_str(&sources::read("local.settings.json")).unwrap();
    let env = sources::read("infra/emulators/emulators.env");
    for name in local["Values"].as_object().unwrap().keys() {
        // A name with a dot is none for a shell; such settings stay as local.settings.json has them.
        let is_set = env
            .lines()
            .any(|line| line.starts_with(&format!("{name}=")));
        assert!(is_set || name.contains('.'), "emulators.env lacks {name}");
    }
}

/// `object` and `array` take whatever is written, and a slip in it is found in the middle of a deployment.
#[test]
fn what_a_parameter_may_hold_is_said() {
    for parameter in sources::template().parameters {
        assert!(
            !["object", "array"].contains(&parameter.kind.as_str()),
            "{}.bicep: {}",
            parameter.module,
            parameter.name
        );
    }
}
