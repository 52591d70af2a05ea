//! The app under the script root: host.json and the functions in its immediate subfolders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::HostError;
use super::function_json::{Function, Trigger};
use super::host_json::HostJson;
use super::settings::Settings;

#[derive(Debug)]
pub(crate) struct App {
    pub root: PathBuf,
    pub host: HostJson,
    /// Those that are not disabled, by name.
    pub functions: BTreeMap<String, Function>,
}

impl App {
    /// # Errors
    /// A file that cannot be read or understood. The real host would leave such a function out and go on; here that is an error,
    /// because nobody would look for the reason.
    pub(crate) fn load(root: &Path, settings: &Settings, hub: &str) -> Result<Self, HostError> {
        let file = root.join("host.json");
        let host = HostJson::parse(&read(&file)?, settings)
            .map_err(|problem| HostError::Configuration { file, problem })?;
        let mut functions = BTreeMap::new();
        for (name, file) in function_files(root)? {
            let wrong = |problem| HostError::Configuration {
                file: file.clone(),
                problem,
            };
            if !is_function_name(&name) {
                return Err(wrong(format!(
                    "'{name}' is no function name: a letter, then up to 127 letters, digits, '_' and '-'"
                )));
            }
            let function = Function::parse(&name, &read(&file)?, settings).map_err(wrong)?;
            if let Some(function) = function {
                functions.insert(name, function);
            }
        }
        let app = Self {
            root: root.to_owned(),
            host,
            functions,
        };
        app.check_hub(hub)?;
        Ok(app)
    }

    fn check_hub(&self, hub: &str) -> Result<(), HostError> {
        let mut readers: BTreeMap<&str, &str> = BTreeMap::new();
        for function in self.functions.values() {
            let Trigger::EventHub(trigger) = &function.trigger else {
                continue;
            };
            let wrong = |problem| HostError::Configuration {
                file: self.root.join(&function.name).join("function.json"),
                problem,
            };
            if !trigger.hub.eq_ignore_ascii_case(hub) {
                return Err(wrong(format!(
                    "it reads the event hub '{}', but the hub here is '{hub}'",
                    trigger.hub
                )));
            }
            // Two functions would take the partitions from each other, and each would see a part of the events.
            if let Some(other) = readers.insert(&trigger.consumer_group, &function.name) {
                return Err(wrong(format!(
                    "it shares the consumer group '{}' with {other}: give each function its own",
                    trigger.consumer_group
                )));
            }
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, HostError> {
    std::fs::read_to_string(file).map_err(|error| HostError::Unreadable {
        file: file.to_owned(),
        error,
    })
}

fn function_files(root: &Path) -> Result<Vec<(String, PathBuf)>, HostError> {
    let unreadable = |error| HostError::Unreadable {
        file: root.to_owned(),
        error,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.path().join("function.json");
        if file.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), file));
        }
    }
    Ok(files)
}

fn is_function_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && name.len() <= 128
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const EVENTS: &str = r#"{"bindings":[{"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub",
        "eventHubName":"%HubName%","consumerGroup":"g","cardinality":"many","dataType":"binary"}]}"#;

    fn app(functions: &[(&str, &str)], settings: &[(&str, &str)]) -> Result<App, HostError> {
        let root = tempfile::tempdir().unwrap();
        let host =
            r#"{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"run"}}}"#;
        std::fs::write(root.path().join("host.json"), host).unwrap();
        for (name, text) in functions {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("function.json"), text).unwrap();
        }
        let settings = settings
            .iter()
            .chain([("Hub", "Endpoint=sb://localhost"), ("HubName", "telemetry")].iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        App::load(root.path(), &Settings::new(settings), "telemetry")
    }

    #[test]
    fn functions_are_the_subfolders_with_a_function_json() {
        let app = app(&[("Fly", EVENTS)], &[]).unwrap();
        let Trigger::EventHub(trigger) = &app.functions["Fly"].trigger else {
            panic!("an Event Hubs trigger was written");
        };
        assert_eq!(trigger.hub, "telemetry");
        assert_eq!(trigger.namespace, "localhost");
        assert!(trigger.many);
    }

    #[test]
    fn a_disabled_function_is_left_out() {
        let app = app(&[("Fly", EVENTS)], &[("AzureWebJobs.Fly.Disabled", "true")]).unwrap();
        assert!(app.functions.is_empty());
    }

    #[test]
    fn two_functions_do_not_share_a_consumer_group() {
        let error = app(&[("A", EVENTS), ("B", EVENTS)], &[]).unwrap_err();
        assert!(
            error.to_string().contains("shares the consumer group"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_function_names_its_file() {
        for (name, text, part) in [
            ("Fly", r#"{"bindings":[]}"#, "one trigger"),
            ("1Fly", EVENTS, "no function name"),
            (
                "Fly",
                &EVENTS.replace("%HubName%", "other"),
                "event hub 'other'",
            ),
            ("Fly", &EVENTS.replace("%HubName%", "%Nowhere%"), "Nowhere"),
            ("Fly", &EVENTS.replace("\"Hub\"", "\"Nowhere\""), "Nowhere"),
            (
                "Fly",
                &EVENTS.replace("eventHubTrigger", "kafkaTrigger"),
                "kafkaTrigger",
            ),
        ] {
            let error = app(&[(name, text)], &[]).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("function.json"),
                "{error}"
            );
        }
    }
}
