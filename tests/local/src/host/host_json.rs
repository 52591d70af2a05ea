//! `host.json`: what of it concerns a custom handler, with the app settings that override it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::settings::{Settings, is_true};
use super::timespan;

/// How long a handler may take until it answers, where host.json does not say.
const DEFAULT_INITIALIZATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The default of the Flex Consumption plan.
const DEFAULT_FUNCTION_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The most messages that the Queue service hands out at a time.
const MAX_QUEUE_BATCH: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct HostJson {
    pub executable: String,
    pub arguments: Vec<String>,
    pub working_directory: String,
    pub forward_http: bool,
    pub initialization_timeout: Duration,
    /// `None` for unlimited, written `-1`.
    pub function_timeout: Option<Duration>,
    /// `api` unless said otherwise; may be empty.
    pub route_prefix: String,
    pub event_hubs: EventHubsOptions,
    pub queues: QueuesOptions,
}

/// `extensions.eventHubs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventHubsOptions {
    pub max_batch: usize,
    pub min_batch: usize,
    /// Counts only where `min_batch` is more than 1.
    pub max_wait: Duration,
    pub checkpoint_every: u64,
}

/// `extensions.queues`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueuesOptions {
    /// Messages taken at a time, 1 to 32.
    pub batch_size: usize,
    /// The next batch is taken when no more calls than this are in flight.
    pub new_batch_threshold: usize,
    /// The last attempt at a message.
    pub max_dequeue_count: u32,
    /// How long a message is hidden between two attempts.
    pub visibility_timeout: Duration,
    /// The longest time between two looks at a queue that is empty.
    pub max_polling_interval: Duration,
}

impl HostJson {
    /// Reads host.json and lays the settings `AzureFunctionsJobHost__a__b` over it.
    ///
    /// # Errors
    /// One sentence on what is wrong.
    pub(crate) fn parse(text: &str, settings: &Settings) -> Result<Self, String> {
        let mut root: Value =
            serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
        for (path, value) in settings.below("AzureFunctionsJobHost") {
            set(&mut root, &path, value);
        }
        let root = Node(Some(&root));
        if root.text("version").as_deref() != Some("2.0") {
            return Err("\"version\" must be \"2.0\"".to_owned());
        }
        let handler = root.at("customHandler");
        let description = handler.at("description");
        let executable = description
            .text("defaultExecutablePath")
            .filter(|path| !path.is_empty())
            .ok_or("customHandler.description.defaultExecutablePath is missing: name the handler's executable")?;
        let function_timeout = match root.text("functionTimeout").as_deref() {
            Some("-1") => None,
            _ => Some(root.span("functionTimeout", DEFAULT_FUNCTION_TIMEOUT)?),
        };
        let event_hubs = root.at("extensions").at("eventHubs");
        let queues = root.at("extensions").at("queues");
        let batch_size = queues.count("batchSize", 16)?;
        let parsed = Self {
            queues: QueuesOptions {
                batch_size,
                new_batch_threshold: match queues.text("newBatchThreshold") {
                    Some(_) => queues.count("newBatchThreshold", 1)?,
                    None => batch_size / 2,
                },
                max_dequeue_count: queues.count("maxDequeueCount", 5)?,
                visibility_timeout: queues.span("visibilityTimeout", Duration::ZERO)?,
                max_polling_interval: queues.span("maxPollingInterval", Duration::from_secs(60))?,
            },
            executable,
            arguments: description.texts("arguments"),
            working_directory: description.text("workingDirectory").unwrap_or_default(),
            forward_http: handler.flag("enableForwardingHttpRequest"),
            initialization_timeout: handler
                .span("initializationTimeout", DEFAULT_INITIALIZATION_TIMEOUT)?,
            function_timeout,
            route_prefix: root
                .at("extensions")
                .at("http")
                .text("routePrefix")
                .unwrap_or_else(|| "api".to_owned())
                .trim_matches('/')
                .to_owned(),
            event_hubs: EventHubsOptions {
                max_batch: event_hubs.count("maxEventBatchSize", 100)?,
                min_batch: event_hubs.count("minEventBatchSize", 1)?,
                max_wait: event_hubs.span("maxWaitTime", Duration::from_secs(60))?,
                checkpoint_every: event_hubs.count("batchCheckpointFrequency", 1)?,
            },
        };
        parsed.check()?;
        if queues
            .text("messageEncoding")
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("base64"))
        {
            return Err("a messageEncoding other than base64 is not supported here".to_owned());
        }
        if event_hubs
            .at("initialOffsetOptions")
            .text("type")
            .is_some_and(|start| !start.eq_ignore_ascii_case("fromStart"))
        {
            return Err(
                "initialOffsetOptions other than fromStart are not supported here".to_owned(),
            );
        }
        Ok(parsed)
    }

    fn check(&self) -> Result<(), String> {
        let EventHubsOptions {
            max_batch,
            min_batch,
            ..
        } = self.event_hubs;
        if min_batch > max_batch {
            return Err(format!(
                "minEventBatchSize ({min_batch}) must not be more than maxEventBatchSize ({max_batch})"
            ));
        }
        if self.queues.batch_size > MAX_QUEUE_BATCH {
            return Err(format!(
                "batchSize ({}) must not be more than {MAX_QUEUE_BATCH}",
                self.queues.batch_size
            ));
        }
        Ok(())
    }
}

/// A place in a JSON document that may not exist. Names have no case, as in .NET configuration, and a value may be a string where
/// a number or a boolean is meant, because a setting always is one.
#[derive(Clone, Copy)]
struct Node<'a>(Option<&'a Value>);

impl<'a> Node<'a> {
    fn at(self, name: &str) -> Self {
        Node(self.0.and_then(Value::as_object).and_then(|object| {
            object
                .iter()
                .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        }))
    }

    fn text(self, name: &str) -> Option<String> {
        scalar(self.at(name).0?)
    }

    fn texts(self, name: &str) -> Vec<String> {
        match self.at(name).0 {
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            // An override by settings: `arguments__0`, `arguments__1`.
            Some(Value::Object(items)) => items.values().filter_map(scalar).collect(),
            _ => Vec::new(),
        }
    }

    fn flag(self, name: &str) -> bool {
        self.text(name).is_some_and(|text| is_true(&text))
    }

    fn count<T: std::str::FromStr + From<u8> + PartialOrd>(
        self,
        name: &str,
        default: u8,
    ) -> Result<T, String> {
        let Some(text) = self.text(name) else {
            return Ok(default.into());
        };
        text.parse()
            .ok()
            .filter(|count| *count >= T::from(1))
            .ok_or_else(|| format!("{name} must be a whole number from 1, not '{text}'"))
    }

    fn span(self, name: &str, default: Duration) -> Result<Duration, String> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        timespan::parse(&text)
            .ok_or_else(|| format!("{name} must be a time span like 00:05:00, not '{text}'"))
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn set(target: &mut Value, path: &[&str], value: &str) {
    let Some((first, rest)) = path.split_first() else {
        *target = Value::from(value);
        return;
    };
    if let Value::Array(items) = target {
        if let Some(item) = first
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get_mut(index))
        {
            set(item, rest, value);
        }
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(object) = target {
        let key = object
            .keys()
            .find(|key| key.eq_ignore_ascii_case(first))
            .cloned()
            .unwrap_or_else(|| (*first).to_owned());
        set(object.entry(key).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const MINIMAL: &str =
        r#"{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"run"}}}"#;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn what_is_not_said_is_as_the_extensions_have_it() {
        let host = HostJson::parse(MINIMAL, &Settings::default()).unwrap();
        assert_eq!(host.event_hubs.max_batch, 100);
        assert_eq!(host.event_hubs.min_batch, 1);
        assert_eq!(host.event_hubs.max_wait, Duration::from_secs(60));
        assert_eq!(host.event_hubs.checkpoint_every, 1);
        assert_eq!(host.queues.batch_size, 16);
        assert_eq!(host.queues.new_batch_threshold, 8);
        assert_eq!(host.queues.max_dequeue_count, 5);
        assert_eq!(host.queues.visibility_timeout, Duration::ZERO);
        assert_eq!(host.route_prefix, "api");
        assert!(!host.forward_http);
    }

    #[test]
    fn settings_override_host_json_without_regard_to_case() {
        let text = r#"{"version":"2.0","functionTimeout":"00:05:00",
            "customHandler":{"description":{"defaultExecutablePath":"run"}},
            "extensions":{"eventHubs":{"maxEventBatchSize":10}}}"#;
        let host = HostJson::parse(
            text,
            &settings(&[
                (
                    "AzureFunctionsJobHost__extensions__EVENTHUBS__maxEventBatchSize",
                    "7",
                ),
                (
                    "AzureFunctionsJobHost:extensions:eventHubs:minEventBatchSize",
                    "3",
                ),
                ("AzureFunctionsJobHost__functionTimeout", "00:00:02"),
                (
                    "AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest",
                    "true",
                ),
            ]),
        )
        .unwrap();
        assert_eq!(host.event_hubs.max_batch, 7);
        assert_eq!(host.event_hubs.min_batch, 3);
        assert_eq!(host.function_timeout, Some(Duration::from_secs(2)));
        assert!(host.forward_http);
    }

    #[test]
    fn minus_one_is_no_timeout() {
        let host = HostJson::parse(
            MINIMAL,
            &settings(&[("AzureFunctionsJobHost__functionTimeout", "-1")]),
        );
        assert_eq!(host.unwrap().function_timeout, None);
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value, part) in [
            (
                "extensions__eventHubs__maxEventBatchSize",
                "many",
                "maxEventBatchSize",
            ),
            (
                "extensions__eventHubs__minEventBatchSize",
                "500",
                "must not be more",
            ),
            ("functionTimeout", "soon", "functionTimeout"),
            ("extensions__queues__batchSize", "33", "batchSize"),
            (
                "extensions__queues__visibilityTimeout",
                "-1",
                "visibilityTimeout",
            ),
            (
                "extensions__queues__messageEncoding",
                "none",
                "messageEncoding",
            ),
        ] {
            let name = format!("AzureFunctionsJobHost__{name}");
            let problem = HostJson::parse(MINIMAL, &settings(&[(&name, value)])).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
