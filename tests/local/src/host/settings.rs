//! App settings, looked up as the host does: without regard to case.

use std::collections::BTreeMap;

/// App settings. No `Debug`: values are secrets more often than not.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// As given: these go into the handler's environment.
    original: BTreeMap<String, String>,
    /// By name in lower case, with `:` written as `__`.
    by_name: BTreeMap<String, String>,
}

impl Settings {
    pub(crate) fn new(original: BTreeMap<String, String>) -> Self {
        let by_name = original
            .iter()
            .map(|(name, value)| (canonical(name), value.clone()))
            .collect();
        Self { original, by_name }
    }

    /// Every setting, as given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.original.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(&canonical(name)).map(String::as_str)
    }

    /// The settings under `<prefix>__`, named by the path that follows.
    pub(crate) fn below(&self, prefix: &str) -> impl Iterator<Item = (Vec<&str>, &str)> {
        let prefix = canonical(prefix) + "__";
        self.by_name
            .range(prefix.clone()..)
            .take_while({
                let prefix = prefix.clone();
                move |(name, _)| name.starts_with(&prefix)
            })
            .map(move |(name, value)| (name[prefix.len()..].split("__").collect(), value.as_str()))
    }

    /// `%NAME%` replaced by the setting of that name.
    ///
    /// # Errors
    /// The name of a setting that does not exist.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            let Some((name, tail)) = after.split_once('%') else {
                break;
            };
            let value = self.get(name).ok_or_else(|| name.to_owned())?;
            expanded.push_str(before);
            expanded.push_str(value);
            rest = tail;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The connection string called `name`: `AzureWebJobs<name>` first, then `<name>`.
    pub(crate) fn connection(&self, name: &str) -> Option<&str> {
        self.get(&format!("AzureWebJobs{name}"))
            .or_else(|| self.get(name))
    }

    /// The host name of an Event Hubs connection, by connection string or `<name>__fullyQualifiedNamespace`.
    pub(crate) fn event_hubs_namespace(&self, name: &str) -> Option<String> {
        if let Some(namespace) = self.get(&format!("{name}__fullyQualifiedNamespace")) {
            return Some(namespace.to_owned());
        }
        let connection = self.connection(name)?;
        let endpoint = connection.split(';').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("Endpoint").then_some(value)
        })?;
        let host = endpoint
            .split_once("://")
            .map_or(endpoint, |(_, host)| host);
        Some(host.trim_end_matches('/').to_owned())
    }

    /// Whether a setting switches a function off.
    pub(crate) fn disables(&self, function: &str) -> bool {
        [
            format!("AzureWebJobs.{function}.Disabled"),
            format!("AzureWebJobs__{function}__Disabled"),
        ]
        .iter()
        .filter_map(|name| self.get(name))
        .any(is_true)
    }
}

/// As .NET reads a boolean setting, and `1` as the host does.
pub(crate) fn is_true(value: &str) -> bool {
    value.trim() == "1" || value.trim().eq_ignore_ascii_case("true")
}

fn canonical(name: &str) -> String {
    name.replace(':', "__").to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn names_between_percent_signs_are_replaced_without_regard_to_case() {
        let settings = settings(&[("TelemetryHubName", "telemetry"), ("B", "b")]);
        assert_eq!(
            settings.expand("%telemetryhubname%-%B%").unwrap(),
            "telemetry-b"
        );
        assert_eq!(settings.expand("100 %").unwrap(), "100 %");
        assert_eq!(settings.expand("x%Missing%").unwrap_err(), "Missing");
    }

    #[test]
    fn the_name_with_the_hosts_prefix_wins() {
        let settings = settings(&[("Hub", "plain"), ("AzureWebJobsHub", "prefixed")]);
        assert_eq!(settings.connection("Hub"), Some("prefixed"));
    }

    #[test]
    fn the_namespace_comes_from_either_form_of_connection() {
        let settings = settings(&[
            (
                "A",
                "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKey=a==",
            ),
            ("B__fullyQualifiedNamespace", "other.servicebus.windows.net"),
        ]);
        assert_eq!(
            settings.event_hubs_namespace("A").unwrap(),
            "ns.servicebus.windows.net"
        );
        assert_eq!(
            settings.event_hubs_namespace("B").unwrap(),
            "other.servicebus.windows.net"
        );
        assert_eq!(settings.event_hubs_namespace("C"), None);
    }

    #[test]
    fn a_function_is_disabled_by_either_spelling() {
        assert!(settings(&[("AzureWebJobs.Fly.Disabled", "True")]).disables("Fly"));
        assert!(settings(&[("AzureWebJobs__Fly__Disabled", "1")]).disables("Fly"));
        assert!(!settings(&[("AzureWebJobs.Fly.Disabled", "false")]).disables("Fly"));
        assert!(!settings(&[("AzureWebJobs.Fly.Disabled", "true")]).disables("Flyer"));
    }
}
