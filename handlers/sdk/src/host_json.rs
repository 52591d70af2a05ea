//! The parts of host.json that a handler has to know.

use std::time::Duration;

use serde_json::Value;

use crate::function_json::{Cardinality, DataType, FunctionConfig};
use crate::timespan;

/// The default of the Event Hubs extension, version 6.
const DEFAULT_BATCH_SIZE: usize = 100;

/// The default of the Queue storage extension, version 5.
const DEFAULT_QUEUE_BATCH: usize = 16;

/// The most messages that Queue storage hands out at a time.
const MOST_QUEUE_MESSAGES: usize = 32;

/// The default of the Consumption plan. Other plans allow more; none allows less.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

const MIB: usize = 1024 * 1024;

/// What an event can be at most on the tiers below Dedicated, properties included ("Azure Event Hubs
/// quotas and limits").
const MAX_EVENT: usize = MIB;

/// Metadata of one event: its properties, escaped twice.
const METADATA_PER_EVENT: usize = 64 * 1024;

/// Room for a retry's `Exception`, for one event that is all properties, and for whatever else a
/// single call may bring.
const SMALLEST_LIMIT: usize = 16 * MIB;

const LARGEST_LIMIT: usize = 1024 * MIB;

/// host.json, as far as it decides what the host sends and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostConfig {
    /// `extensions.eventHubs.maxEventBatchSize`, at least 1; 100 where it is not given.
    pub max_event_batch_size: usize,
    /// `extensions.queues.batchSize`: how many messages the host takes at a time, at least 1; 16 where it is not given.
    pub queue_batch_size: usize,
    /// `extensions.queues.newBatchThreshold`: with how many messages still at work the host takes more; half of a batch where it is
    /// not given.
    pub queue_new_batch_threshold: Option<usize>,
    /// `extensions.eventHubs.maxWaitTime`: how long the host waits for a batch to reach `minEventBatchSize`; one minute where
    /// it is not given.
    pub max_wait_time: Duration,
    /// `functionTimeout`; `None` where it is `-1`, without limit.
    pub function_timeout: Option<Duration>,
    /// `extensions.http.routePrefix` without slashes at its ends; `api` where it is not given.
    pub route_prefix: String,
    /// `customHandler.enableForwardingHttpRequest`; false where it is not given.
    pub enable_forwarding_http_request: bool,
}

/// host.json, or an app setting that overrides a part of it, cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HostConfigError {
    /// The text is not a JSON object.
    #[error("host.json is not a JSON object (line {line}, column {column})")]
    Json {
        /// Line of the first fault, from 1.
        line: usize,
        /// Column of the first fault, from 1.
        column: usize,
    },
    /// A value is of the wrong kind.
    #[error("{place}: expected {expected}")]
    Value {
        /// The path in host.json, or the name of the app setting.
        place: String,
        /// What would be right.
        expected: &'static str,
    },
}

#[derive(Clone, Copy)]
enum Part {
    BatchSize,
    BatchWait,
    QueueBatchSize,
    QueueThreshold,
    Timeout,
    RoutePrefix,
    Forwarding,
}

const PARTS: [(Part, &[&str]); 7] = [
    (
        Part::BatchSize,
        &["extensions", "eventHubs", "maxEventBatchSize"],
    ),
    (Part::BatchWait, &["extensions", "eventHubs", "maxWaitTime"]),
    (Part::QueueBatchSize, &["extensions", "queues", "batchSize"]),
    (
        Part::QueueThreshold,
        &["extensions", "queues", "newBatchThreshold"],
    ),
    (Part::Timeout, &["functionTimeout"]),
    (Part::RoutePrefix, &["extensions", "http", "routePrefix"]),
    (
        Part::Forwarding,
        &["customHandler", "enableForwardingHttpRequest"],
    ),
];

/// The host's own default.
const DEFAULT_BATCH_WAIT: Duration = Duration::from_secs(60);

impl Default for HostConfig {
    /// What the host does with an empty host.json.
    fn default() -> Self {
        Self {
            max_event_batch_size: DEFAULT_BATCH_SIZE,
            max_wait_time: DEFAULT_BATCH_WAIT,
            queue_batch_size: DEFAULT_QUEUE_BATCH,
            queue_new_batch_threshold: None,
            function_timeout: Some(DEFAULT_TIMEOUT),
            route_prefix: "api".to_owned(),
            enable_forwarding_http_request: false,
        }
    }
}

impl HostConfig {
    /// Reads the text of host.json. Names are matched in any case, as the host does.
    ///
    /// # Errors
    /// Where the text is not a JSON object, or one of the values read here is of the wrong kind.
    pub fn parse(json: &str) -> Result<Self, HostConfigError> {
        let root: Value = serde_json::from_str(json).map_err(|error| HostConfigError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        if !root.is_object() {
            return Err(HostConfigError::Json { line: 1, column: 1 });
        }
        let mut config = Self::default();
        for (part, path) in PARTS {
            let text = match at(&root, path) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            config.set(part, &text, || format!("host.json, {}", path.join(".")))?;
        }
        Ok(config)
    }

    /// Applies the app settings `AzureFunctionsJobHost__a__b__c`, with which the host lets a
    /// deployment change single values of host.json.
    ///
    /// # Errors
    /// Where such a setting has a value of the wrong kind. The message names the setting.
    pub fn with_overrides(
        mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, HostConfigError> {
        for (part, path) in PARTS {
            let name = format!("AzureFunctionsJobHost__{}", path.join("__"));
            if let Some(text) = lookup(&name) {
                self.set(part, &text, || format!("the app setting {name}"))?;
            }
        }
        Ok(self)
    }

    /// The longest body that a call of this function can have, in bytes.
    ///
    /// Generous on purpose: a call that is refused for its size is refused again at each retry, and a
    /// retry policy without end would hold the partition for ever. Text can grow eightfold on its way
    /// (a control character is six characters of JSON, with its backslash escaped once more); base64
    /// grows by a third.
    pub fn body_limit(&self, function: &FunctionConfig) -> usize {
        let trigger = &function.trigger;
        match trigger.kind.to_ascii_lowercase().as_str() {
            "eventhubtrigger" => {
                let events = match trigger.cardinality {
                    Some(Cardinality::One) => 1,
                    _ => self.max_event_batch_size,
                };
                let body = match trigger.data_type {
                    Some(DataType::Binary) => MAX_EVENT / 3 * 4 + 4,
                    _ => MAX_EVENT * 8,
                };
                events
                    .saturating_mul(body + METADATA_PER_EVENT)
                    .clamp(SMALLEST_LIMIT, LARGEST_LIMIT)
            }
            // A queue message is 64 KiB at most; a timer says next to nothing.
            "queuetrigger" | "timertrigger" => SMALLEST_LIMIT,
            _ => LARGEST_LIMIT,
        }
    }

    /// How many calls of one queue trigger the host may have started at a time.
    pub fn queue_calls(&self) -> usize {
        let threshold = self
            .queue_new_batch_threshold
            .unwrap_or(self.queue_batch_size / 2);
        self.queue_batch_size.saturating_add(threshold)
    }

    fn set(
        &mut self,
        part: Part,
        text: &str,
        place: impl Fn() -> String,
    ) -> Result<(), HostConfigError> {
        let wrong = |expected| HostConfigError::Value {
            place: place(),
            expected,
        };
        match part {
            Part::BatchSize => {
                self.max_event_batch_size = text
                    .parse()
                    .ok()
                    .filter(|size| *size > 0)
                    .ok_or_else(|| wrong("a whole number, at least 1"))?;
            }
            Part::BatchWait => {
                self.max_wait_time =
                    timespan::parse(text).ok_or_else(|| wrong("a time such as 00:01:00"))?;
            }
            Part::QueueBatchSize => {
                self.queue_batch_size = text
                    .parse()
                    .ok()
                    .filter(|size| (1..=MOST_QUEUE_MESSAGES).contains(size))
                    .ok_or_else(|| wrong("a whole number from 1 to 32"))?;
            }
            Part::QueueThreshold => {
                let threshold = text.parse().map_err(|_| wrong("a whole number"))?;
                self.queue_new_batch_threshold = Some(threshold);
            }
            Part::Timeout => {
                self.function_timeout = match text {
                    "-1" => None,
                    _ => Some(
                        timespan::parse(text)
                            .filter(|timeout| !timeout.is_zero())
                            .ok_or_else(|| wrong("a time such as 00:05:00, or -1"))?,
                    ),
                };
            }
            Part::RoutePrefix => self.route_prefix = text.trim_matches('/').to_owned(),
            Part::Forwarding => {
                self.enable_forwarding_http_request = text
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| wrong("true or false"))?;
            }
        }
        Ok(())
    }
}

fn at<'a>(root: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, name| {
        value
            .as_object()?
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, member)| member)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn event_hub(cardinality: &str, data_type: &str) -> FunctionConfig {
        let json = format!(
            r#"{{"bindings":[{{"type":"eventHubTrigger","direction":"in","name":"events",
            "connection":"Hub","eventHubName":"h","consumerGroup":"g",
            "cardinality":"{cardinality}","dataType":"{data_type}"}}]}}"#
        );
        FunctionConfig::parse("F", &json).unwrap()
    }

    #[test]
    fn an_empty_host_json_gives_the_hosts_defaults() {
        let config = HostConfig::parse("{}").unwrap();
        assert_eq!(config, HostConfig::default());
        assert_eq!(config.max_event_batch_size, 100);
        assert_eq!(config.route_prefix, "api");
    }

    #[test]
    fn values_are_read_in_any_case() {
        let config = HostConfig::parse(
            r#"{"functionTimeout":"-1","CustomHandler":{"enableForwardingHttpRequest":true},
            "extensions":{"http":{"routePrefix":"/v1/"},"EventHubs":{"maxEventBatchSize":1000}}}"#,
        )
        .unwrap();
        assert_eq!(config.max_event_batch_size, 1000);
        assert_eq!(config.function_timeout, None);
        assert_eq!(config.route_prefix, "v1");
        assert!(config.enable_forwarding_http_request);
    }

    #[test]
    fn app_settings_override_single_values() {
        let config = HostConfig::default()
            .with_overrides(|name| match name {
                "AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize" => {
                    Some("7".into())
                }
                "AzureFunctionsJobHost__functionTimeout" => Some("00:01:00".into()),
                "AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest" => {
                    Some("True".into())
                }
                _ => None,
            })
            .unwrap();
        assert_eq!(config.max_event_batch_size, 7);
        assert_eq!(config.function_timeout, Some(Duration::from_secs(60)));
        assert!(config.enable_forwarding_http_request);
    }

    #[test]
    fn a_wrong_override_is_named() {
        let error = HostConfig::default()
            .with_overrides(|name| name.ends_with("maxEventBatchSize").then(|| "none".into()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the app setting AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize: \
             expected a whole number, at least 1"
        );
    }

    #[test]
    fn a_full_batch_of_the_largest_events_is_within_the_limit() {
        let host = HostConfig::default();
        let largest = |data: usize| 100 * (data + METADATA_PER_EVENT);
        assert!(host.body_limit(&event_hub("many", "binary")) >= largest(MIB.div_ceil(3) * 4));
        assert!(host.body_limit(&event_hub("many", "string")) >= largest(7 * MIB));
        assert!(host.body_limit(&event_hub("one", "binary")) >= SMALLEST_LIMIT);
    }

    #[test]
    fn the_limit_has_an_end() {
        let host = HostConfig {
            max_event_batch_size: usize::MAX,
            ..HostConfig::default()
        };
        assert_eq!(host.body_limit(&event_hub("many", "binary")), LARGEST_LIMIT);
    }
}
