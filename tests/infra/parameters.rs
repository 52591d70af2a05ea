//! Parameter files name parameters that exist, and azd's names agree on both sides.

use std::collections::BTreeSet;

use crate::sources;

fn declared() -> BTreeSet<String> {
    sources::template()
        .parameters
        .into_iter()
        .filter(|parameter| parameter.module == "main")
        .map(|parameter| parameter.name)
        .collect()
}

#[test]
fn parameter_files_set_what_the_template_has() {
    let declared = declared();
    let json: serde_json::Value =
        serde_json::from_str(&sources::read("infra/main.parameters.json")).unwrap();
    for name in json["parameters"].as_object().unwrap().keys() {
        assert!(declared.contains(name), "main.parameters.json: {name}");
    }
    for file in ["infra/try.bicepparam", "infra/fleet.bicepparam"] {
        let text = sources::read(file);
        assert!(text.contains("using 'main.bicep'"), "{file}");
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("param "))
            .map(|rest| rest.split_whitespace().next().unwrap().to_owned())
            .collect();
        assert!(!names.is_empty(), "{file}");
        for name in names {
            assert!(declared.contains(&name), "{file}: {name}");
        }
    }
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
