//! The app settings of an app that runs here.

use std::collections::{BTreeMap, BTreeSet};

use azure_functions_sdk::Binding;

use super::folder::AppFolder;

/// Where the services of this machine are.
pub(super) struct Services<'a> {
    /// A connection string of Azurite's.
    pub storage: &'a str,
    /// A connection string of the hub's.
    pub hub: &'a str,
}

/// What the app is given: its own settings; this machine's services where it names a connection and does not set it, and where
/// it says that an emulator is meant; and over all of it what the command line says.
pub(super) fn settings(
    app: &AppFolder,
    services: &Services<'_>,
    given: &[(String, String)],
) -> BTreeMap<String, String> {
    let mut settings = app.settings.clone();
    settings.extend(given.iter().cloned());
    for value in settings.values_mut() {
        let says = |word: &str| value.to_ascii_lowercase().contains(word);
        if says("usedevelopmentstorage=true") {
            *value = services.storage.to_owned();
        } else if says("usedevelopmentemulator=true") {
            *value = services.hub.to_owned();
        }
    }
    let mut missing = BTreeMap::from([
        ("FUNCTIONS_WORKER_RUNTIME".to_owned(), "custom"),
        ("AzureWebJobsStorage".to_owned(), services.storage),
    ]);
    for binding in bindings(app) {
        let kind = binding.kind.to_ascii_lowercase();
        let (named, service) = match kind.as_str() {
            "eventhubtrigger" => ("EventHub", services.hub),
            "queuetrigger" | "queue" => ("Storage", services.storage),
            _ => continue,
        };
        let connection = binding.get("connection").unwrap_or(named);
        missing.insert(connection.to_owned(), service);
    }
    // The host takes a connection by any of these names, in any case.
    let known: BTreeSet<String> = settings.keys().map(|name| name.to_lowercase()).collect();
    for (name, value) in missing {
        let lower = name.to_lowercase();
        let is_set = known.contains(&lower)
            || known.contains(&format!("azurewebjobs{lower}"))
            || known
                .iter()
                .any(|setting| setting.starts_with(&format!("{lower}__")));
        if !is_set {
            settings.insert(name, value.to_owned());
        }
    }
    settings
}

fn bindings(app: &AppFolder) -> impl Iterator<Item = &Binding> {
    app.functions.iter().flat_map(|function| {
        let config = &function.config;
        std::iter::once(&config.trigger).chain(&config.outputs)
    })
}

/// A text of function.json with its `%SETTING%` replaced; `None` where a setting is missing.
pub(super) fn expanded(text: &str, settings: &BTreeMap<String, String>) -> Option<String> {
    match text
        .strip_prefix('%')
        .and_then(|rest| rest.strip_suffix('%'))
    {
        None => Some(text.to_owned()),
        Some(name) => settings
            .iter()
            .find(|(setting, _)| setting.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use azure_functions_sdk::FunctionConfig;

    use super::*;
    use crate::app::AppFunction;

    fn app(json: &str, own: &[(&str, &str)]) -> AppFolder {
        AppFolder {
            root: "/".into(),
            host_json: String::new(),
            functions: vec![AppFunction {
                json: json.to_owned(),
                config: FunctionConfig::parse("F", json).unwrap(),
            }],
            executable: "f".to_owned(),
            settings: own
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    const BOTH: &str = r#"{"bindings":[
        {"type":"eventHubTrigger","direction":"in","name":"e","connection":"Hub","eventHubName":"%HubName%","consumerGroup":"g","cardinality":"many","dataType":"binary"},
        {"type":"queue","direction":"out","name":"q","queueName":"q","connection":"Orders"}]}"#;

    fn given(own: &[(&str, &str)], given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let services = Services {
            storage: "storage-here",
            hub: "hub-here",
        };
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings(&app(BOTH, own), &services, &given)
    }

    #[test]
    fn what_the_app_does_not_set_is_what_runs_here() {
        let settings = given(&[], &[]);
        assert_eq!(settings["Hub"], "hub-here");
        assert_eq!(settings["Orders"], "storage-here");
        assert_eq!(settings["AzureWebJobsStorage"], "storage-here");
        assert_eq!(settings["FUNCTIONS_WORKER_RUNTIME"], "custom");
    }

    #[test]
    fn what_the_app_sets_stays_and_emulators_are_those_that_run_here() {
        let settings = given(
            &[
                ("hub", "Endpoint=sb://x;UseDevelopmentEmulator=true;"),
                ("AzureWebJobsOrders", "UseDevelopmentStorage=true"),
                ("Greeting", "hello"),
            ],
            &[("Greeting", "hi")],
        );
        assert_eq!(settings["hub"], "hub-here");
        assert_eq!(settings["AzureWebJobsOrders"], "storage-here");
        assert_eq!(settings["Greeting"], "hi");
        assert!(!settings.contains_key("Orders") && !settings.contains_key("Hub"));
        let by_identity = given(&[("Hub__fullyQualifiedNamespace", "x")], &[]);
        assert!(!by_identity.contains_key("Hub"));
    }

    #[test]
    fn a_setting_stands_for_a_name() {
        let settings = BTreeMap::from([("HubName".to_owned(), "readings".to_owned())]);
        assert_eq!(expanded("%hubname%", &settings).unwrap(), "readings");
        assert_eq!(expanded("plain", &settings).unwrap(), "plain");
        assert_eq!(expanded("%Other%", &settings), None);
    }
}
