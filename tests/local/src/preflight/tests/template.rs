//! What the checks take for granted, held against infra/; and what the options take.

use clap::Parser;

use super::*;

/// Every Bicep file of the deployment, as one text.
fn bicep() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra");
    let modules = std::fs::read_dir(folder.join("modules")).unwrap();
    let files = modules
        .map(|file| file.unwrap().path())
        .chain([folder.join("main.bicep")]);
    files
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

#[test]
fn the_providers_are_those_of_the_template() {
    let bicep = bicep();
    let mut used: Vec<&str> = bicep
        .split("'Microsoft.")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('/')?.0))
        .filter(|namespace| namespace.chars().all(char::is_alphanumeric))
        .filter(|namespace| *namespace != "Authorization")
        .collect();
    used.sort_unstable();
    used.dedup();
    let mut known: Vec<&str> = PROVIDERS
        .iter()
        .filter_map(|provider| provider.namespace.strip_prefix("Microsoft."))
        .collect();
    known.sort_unstable();
    assert_eq!(known, used);
}

#[test]
fn the_names_are_made_as_the_template_makes_them() {
    let bicep = bicep();
    for rule in [
        "var prefix = toLower(replace(name, '-', ''))",
        "var suffix = uniqueString(resourceGroup().id, prefix)",
        "'evhns-${prefix}-${suffix}'",
        "take('stdata${name}${suffix}', 24)",
        "take('strun${name}${suffix}', 24)",
        "'cosmos-${name}-${suffix}'",
        "'iot-${name}-${suffix}'",
        "'func-${name}-${suffix}'",
    ] {
        assert!(bicep.contains(rule), "the template has not {rule}");
    }
    let names = names::Names::new(GROUP, "Dro-Nes");
    assert_eq!(names, self::names());
    let suffix = names::unique_string(&[GROUP, "drones"]);
    assert_eq!(names.cosmos, format!("cosmos-drones-{suffix}"));
    assert_eq!(names.storage[0].len(), 24);
}

#[test]
fn options_that_mean_nothing_are_refused() {
    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: PreflightOptions,
    }
    let parse = |arguments: &[&str]| Cli::try_parse_from([&["preflight"], arguments].concat());
    let good = parse(&["--resource-group", "drones", "--location", "West Europe"]).unwrap();
    assert_eq!(good.options.location.as_deref(), Some("westeurope"));
    for wrong in [
        &[][..],
        &["--resource-group", "drones; rm"],
        &["--resource-group", "drones."],
        &["--resource-group", "drones", "--location", "west/europe"],
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
    let error = Wanted::read(std::path::Path::new("no.bicepparam"), |_| None).unwrap_err();
    assert!(PreflightError::from(error).is_of_options());
}
