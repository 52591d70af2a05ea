//! `function.json`: one function's trigger, bindings and retry policy.

use serde::Deserialize;
use serde_json::Value;

use super::retry::RetryPolicy;
use super::schedule::Schedule;
use super::settings::{Settings, is_true};
use super::timespan;

#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub name: String,
    pub trigger: Trigger,
    pub outputs: Vec<Output>,
    pub retry: Option<RetryPolicy>,
    /// Whether the function has exactly one input and one `http` output: the only form that is forwarded.
    pub forwardable: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Trigger {
    EventHub(EventHubTrigger),
    Http(HttpTrigger),
    Queue(QueueTrigger),
    Timer(TimerTrigger),
}

#[derive(Debug, Clone)]
pub(crate) struct QueueTrigger {
    pub binding: String,
    pub queue: String,
    pub connection: Connection,
    pub data_type: DataType,
}

#[derive(Debug, Clone)]
pub(crate) struct TimerTrigger {
    pub binding: String,
    pub schedule: Schedule,
    pub run_on_startup: bool,
    /// `useMonitor`: whether runs may be written down at all.
    pub use_monitor: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct EventHubTrigger {
    pub binding: String,
    pub hub: String,
    pub consumer_group: String,
    pub namespace: String,
    pub many: bool,
    pub data_type: DataType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    Binary,
    String,
    /// None given: JSON.
    Untyped,
}

#[derive(Debug, Clone)]
pub(crate) struct HttpTrigger {
    pub binding: String,
    /// Below the route prefix, without a leading slash.
    pub route: String,
    /// In upper case; empty for every method.
    pub methods: Vec<String>,
    /// The name of the `http` output, if there is one.
    pub output: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub binding: String,
    pub kind: OutputKind,
}

#[derive(Debug, Clone)]
pub(crate) enum OutputKind {
    Queue {
        queue: String,
        connection: Connection,
    },
    Http,
}

/// A connection string, which must not be shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection(pub(crate) String);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection(…)")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    bindings: Vec<Binding>,
    retry: Option<Retry>,
    #[serde(default)]
    disabled: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    direction: Option<String>,
    connection: Option<String>,
    event_hub_name: Option<String>,
    consumer_group: Option<String>,
    cardinality: Option<String>,
    data_type: Option<String>,
    route: Option<String>,
    methods: Option<Vec<String>>,
    queue_name: Option<String>,
    schedule: Option<String>,
    run_on_startup: Option<bool>,
    use_monitor: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retry {
    strategy: String,
    max_retry_count: i64,
    delay_interval: Option<String>,
    minimum_interval: Option<String>,
    maximum_interval: Option<String>,
}

impl Function {
    /// `None` for a function that is disabled.
    ///
    /// # Errors
    /// One sentence on what is wrong.
    pub(crate) fn parse(
        name: &str,
        text: &str,
        settings: &Settings,
    ) -> Result<Option<Self>, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let disabled = match &file.disabled {
            Value::Bool(flag) => *flag,
            // The name of a setting, as older files have it.
            Value::String(setting) => settings.get(setting).is_some_and(is_true),
            _ => false,
        };
        if disabled || settings.disables(name) {
            return Ok(None);
        }

        let (triggers, others): (Vec<_>, Vec<_>) = file
            .bindings
            .iter()
            .partition(|binding| binding.kind.to_lowercase().ends_with("trigger"));
        let [trigger] = triggers[..] else {
            return Err(format!(
                "a function has one trigger, not {}",
                triggers.len()
            ));
        };
        let outputs = others
            .iter()
            .filter(|binding| binding.is_output())
            .map(|binding| binding.output(settings))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(input) = others.iter().find(|binding| !binding.is_output()) {
            return Err(format!(
                "input binding '{}' of type {} is not supported here",
                input.name, input.kind
            ));
        }
        let mut trigger = trigger.trigger(name, settings)?;
        let mut http_outputs = outputs
            .iter()
            .filter(|output| matches!(output.kind, OutputKind::Http));
        if let Trigger::Http(trigger) = &mut trigger {
            trigger.output = http_outputs.next().map(|output| output.binding.clone());
        }
        if matches!(trigger, Trigger::Queue(_)) && file.retry.is_some() {
            return Err(
                "a queue trigger has no retry policy: host.json says how often a message comes again"
                    .to_owned(),
            );
        }
        let forwardable = matches!(trigger, Trigger::Http(_))
            && outputs.len() == 1
            && matches!(outputs[0].kind, OutputKind::Http);
        Ok(Some(Self {
            name: name.to_owned(),
            trigger,
            outputs,
            retry: file.retry.map(Retry::policy).transpose()?,
            forwardable,
        }))
    }
}

impl Binding {
    fn is_output(&self) -> bool {
        self.direction
            .as_deref()
            .is_some_and(|direction| direction.eq_ignore_ascii_case("out"))
    }

    fn trigger(&self, function: &str, settings: &Settings) -> Result<Trigger, String> {
        let binding = self.name.clone();
        match self.kind.to_lowercase().as_str() {
            "eventhubtrigger" => self.event_hub(settings).map(Trigger::EventHub),
            "queuetrigger" => self.queue(settings).map(Trigger::Queue),
            "timertrigger" => self.timer(settings).map(Trigger::Timer),
            "httptrigger" => Ok(Trigger::Http(HttpTrigger {
                binding,
                route: self
                    .route
                    .as_deref()
                    .unwrap_or(function)
                    .trim_matches('/')
                    .to_owned(),
                methods: self
                    .methods
                    .iter()
                    .flatten()
                    .map(|method| method.to_uppercase())
                    .collect(),
                output: None,
            })),
            _ => Err(format!("trigger type {} is not supported here", self.kind)),
        }
    }

    fn event_hub(&self, settings: &Settings) -> Result<EventHubTrigger, String> {
        let setting = self.connection.as_deref().unwrap_or("EventHub");
        let group = self.consumer_group.as_deref().unwrap_or("$Default");
        Ok(EventHubTrigger {
            binding: self.name.clone(),
            hub: self.required(settings, "eventHubName", self.event_hub_name.as_deref())?,
            consumer_group: self.expanded(settings, group)?,
            namespace: settings.event_hubs_namespace(setting).ok_or_else(|| {
                format!("binding '{}': the setting {setting} must hold an Event Hubs connection string, or {setting}__fullyQualifiedNamespace the namespace", self.name)
            })?,
            many: match self.cardinality.as_deref() {
                Some(text) if text.eq_ignore_ascii_case("many") => true,
                Some(text) if !text.eq_ignore_ascii_case("one") => {
                    return Err(format!("binding '{}': cardinality is 'one' or 'many', not '{text}'", self.name));
                }
                _ => false,
            },
            data_type: self.data_type()?,
        })
    }

    fn queue(&self, settings: &Settings) -> Result<QueueTrigger, String> {
        Ok(QueueTrigger {
            binding: self.name.clone(),
            queue: self.required(settings, "queueName", self.queue_name.as_deref())?,
            connection: self.storage(settings)?,
            data_type: self.data_type()?,
        })
    }

    fn timer(&self, settings: &Settings) -> Result<TimerTrigger, String> {
        let text = self.required(settings, "schedule", self.schedule.as_deref())?;
        Ok(TimerTrigger {
            binding: self.name.clone(),
            schedule: Schedule::parse(&text).ok_or_else(|| {
                format!(
                    "binding '{}': schedule '{text}' is neither a cron expression of six fields, seconds first, nor a time span",
                    self.name
                )
            })?,
            run_on_startup: self.run_on_startup.unwrap_or(false),
            use_monitor: self.use_monitor.unwrap_or(true),
        })
    }

    fn data_type(&self) -> Result<DataType, String> {
        match self.data_type.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("") => Ok(DataType::Untyped),
            Some("binary") => Ok(DataType::Binary),
            Some("string") => Ok(DataType::String),
            Some(other) => Err(format!(
                "binding '{}': dataType '{other}' is not supported here",
                self.name
            )),
        }
    }

    fn output(&self, settings: &Settings) -> Result<Output, String> {
        let kind = match self.kind.to_lowercase().as_str() {
            "http" => OutputKind::Http,
            "queue" => OutputKind::Queue {
                queue: self.required(settings, "queueName", self.queue_name.as_deref())?,
                connection: self.storage(settings)?,
            },
            _ => return Err(format!("output type {} is not supported here", self.kind)),
        };
        Ok(Output {
            binding: self.name.clone(),
            kind,
        })
    }

    fn storage(&self, settings: &Settings) -> Result<Connection, String> {
        let setting = self.connection.as_deref().unwrap_or("Storage");
        settings
            .connection(setting)
            .map(|connection| Connection(connection.to_owned()))
            .ok_or_else(|| {
                format!(
                    "binding '{}': the setting {setting} must hold a storage connection string",
                    self.name
                )
            })
    }

    fn required(
        &self,
        settings: &Settings,
        property: &str,
        value: Option<&str>,
    ) -> Result<String, String> {
        let value = value.ok_or_else(|| format!("binding '{}' has no {property}", self.name))?;
        self.expanded(settings, value)
    }

    fn expanded(&self, settings: &Settings, text: &str) -> Result<String, String> {
        settings.expand(text).map_err(|setting| {
            format!(
                "binding '{}' names the setting {setting}, which does not exist",
                self.name
            )
        })
    }
}

impl Retry {
    fn policy(self) -> Result<RetryPolicy, String> {
        let span = |name: &str, text: &Option<String>| {
            text.as_deref()
                .and_then(timespan::parse)
                .ok_or_else(|| format!("retry.{name} must be a time span like 00:00:05"))
        };
        let max_retries = match self.max_retry_count {
            -1 => None,
            count => Some(
                u32::try_from(count)
                    .map_err(|_| "retry.maxRetryCount must be -1 or a number from 0".to_owned())?,
            ),
        };
        match self.strategy.to_lowercase().as_str() {
            "fixeddelay" => Ok(RetryPolicy::fixed(
                max_retries,
                span("delayInterval", &self.delay_interval)?,
            )),
            "exponentialbackoff" => Ok(RetryPolicy::exponential(
                max_retries,
                span("minimumInterval", &self.minimum_interval)?,
                span("maximumInterval", &self.maximum_interval)?,
            )),
            other => Err(format!(
                "retry.strategy is fixedDelay or exponentialBackoff, not '{other}'"
            )),
        }
    }
}
