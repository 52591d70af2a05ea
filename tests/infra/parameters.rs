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
