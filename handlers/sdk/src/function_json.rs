//! function.json, typed: the one place that says what a function is triggered by and what it may put out.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::definition::{DefinitionError, DefinitionProblem};
use crate::timespan;

/// A function as its function.json declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionConfig {
    /// The name of its folder, which is the function's name.
    pub name: String,
    /// The one binding that starts it.
    pub trigger: Binding,
    /// Bindings read besides the trigger.
    pub inputs: Vec<Binding>,
    /// Bindings that its code may set.
    pub outputs: Vec<Binding>,
    /// How the host repeats a failed call; `None` where it does not.
    pub retry: Option<RetryPolicy>,
    /// Whether the host starts it at all. A setting's name instead of a boolean counts as enabled,
    /// because only the host knows the setting.
    pub disabled: bool,
}

/// One element of `bindings`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The key under which its value travels.
    pub name: String,
    /// `type`, such as `eventHubTrigger`.
    pub kind: String,
    /// Which way its value goes.
    pub direction: Direction,
    /// `dataType`, where given.
    pub data_type: Option<DataType>,
    /// `cardinality`, where given.
    pub cardinality: Option<Cardinality>,
    properties: Map<String, Value>,
}

/// Which way a binding's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the function.
    In,
    /// Out of the function.
    Out,
    /// Both ways.
    InOut,
}

/// The form in which the host passes data on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Bytes, as base64: nothing is lost.
    Binary,
    /// Text, decoded as UTF-8 with losses.
    String,
    /// A stream, which a custom handler gets as bytes.
    Stream,
}

/// How many events come with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cardinality {
    /// One event.
    One,
    /// A batch of events.
    Many,
}

/// `retry`: how the host repeats a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How the pause between two tries grows.
    pub strategy: RetryStrategy,
    /// The number of repetitions; `None` where it is -1, without end.
    pub max_retry_count: Option<u32>,
}

/// The pauses between two tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryStrategy {
    /// `fixedDelay`.
    FixedDelay {
        /// `delayInterval`.
        delay: Duration,
    },
    /// `exponentialBackoff`.
    ExponentialBackoff {
        /// `minimumInterval`.
        minimum: Duration,
        /// `maximumInterval`.
        maximum: Duration,
    },
}

#[derive(Deserialize)]
struct RawFunction {
    bindings: Vec<Map<String, Value>>,
    retry: Option<RawRetry>,
    disabled: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRetry {
    strategy: String,
    max_retry_count: i64,
    delay_interval: Option<String>,
    minimum_interval: Option<String>,
    maximum_interval: Option<String>,
}

impl FunctionConfig {
    /// Reads the function.json of the function `name` and checks it as far as that is possible
    /// without its code.
    ///
    /// # Errors
    /// Where the name is not one the host accepts (`^[A-Za-z][A-Za-z0-9_-]{0,127}$`), the text is not
    /// a function.json, or its bindings contradict each other.
    pub fn parse(name: &str, json: &str) -> Result<Self, DefinitionError> {
        parse(name, json).map_err(|problem| DefinitionError {
            function: name.to_owned(),
            problem,
        })
    }

    /// The output of this name. Names are case-sensitive.
    pub fn output(&self, name: &str) -> Option<&Binding> {
        self.outputs.iter().find(|binding| binding.name == name)
    }

    /// Whether the host passes the HTTP request on as it is, given `enableForwardingHttpRequest`: only
    /// where the HTTP trigger is the one input and its response the one output.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.trigger.is("httpTrigger")
            && self.inputs.is_empty()
            && matches!(self.outputs.as_slice(), [only] if only.is("http"))
    }
}

impl Binding {
    /// A further property of the binding that is a string, such as `connection`.
    pub fn get(&self, property: &str) -> Option<&str> {
        self.properties.get(property)?.as_str()
    }

    /// Whether its type is this one, whatever the case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    /// The strings of a property that is an array, such as `methods`.
    pub(crate) fn list(&self, property: &str) -> Vec<&str> {
        let items = self.properties.get(property).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    fn is_trigger(&self) -> bool {
        self.kind.to_ascii_lowercase().ends_with("trigger")
    }
}

fn parse(name: &str, json: &str) -> Result<FunctionConfig, DefinitionProblem> {
    if !is_function_name(name) {
        return Err(DefinitionProblem::Name);
    }
    let raw: RawFunction =
        serde_json::from_str(json).map_err(|error| DefinitionProblem::Json(error.to_string()))?;
    let bindings = raw
        .bindings
        .into_iter()
        .enumerate()
        .map(|(index, properties)| binding(index, properties))
        .collect::<Result<Vec<_>, _>>()?;
    for (index, binding) in bindings.iter().enumerate() {
        if bindings[..index]
            .iter()
            .any(|other| other.name == binding.name)
        {
            return Err(DefinitionProblem::DuplicateBinding(binding.name.clone()));
        }
    }
    let (mut triggers, others): (Vec<_>, Vec<_>) =
        bindings.into_iter().partition(Binding::is_trigger);
    let trigger = match (triggers.pop(), triggers.is_empty()) {
        (Some(trigger), true) => trigger,
        _ => return Err(DefinitionProblem::NotOneTrigger),
    };
    check_trigger(&trigger)?;
    let (inputs, mut outputs): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|binding| binding.direction == Direction::In);
    outputs.shrink_to_fit();
    Ok(FunctionConfig {
        name: name.to_owned(),
        trigger,
        inputs,
        outputs,
        retry: raw.retry.map(retry).transpose()?,
        disabled: raw.disabled == Some(Value::Bool(true)),
    })
}

fn is_function_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 128
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn binding(index: usize, properties: Map<String, Value>) -> Result<Binding, DefinitionProblem> {
    let required = |property: &'static str| match properties.get(property) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(DefinitionProblem::Missing {
            binding: format!("number {}", index + 1),
            property,
        }),
    };
    let name = required("name")?;
    required("direction")?;
    Ok(Binding {
        kind: required("type")?,
        direction: known(&properties, &name, "direction")?.unwrap_or(Direction::In),
        data_type: known(&properties, &name, "dataType")?,
        cardinality: known(&properties, &name, "cardinality")?,
        name,
        properties,
    })
}

/// One of the words that an enum knows, in any case.
fn known<T: for<'de> Deserialize<'de>>(
    properties: &Map<String, Value>,
    binding: &str,
    property: &'static str,
) -> Result<Option<T>, DefinitionProblem> {
    let unknown = || DefinitionProblem::UnknownValue {
        binding: binding.to_owned(),
        property,
    };
    match properties.get(property) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => {
            let word = Value::String(word.to_ascii_lowercase());
            T::deserialize(word).map(Some).map_err(|_| unknown())
        }
        Some(_) => Err(unknown()),
    }
}

fn check_trigger(trigger: &Binding) -> Result<(), DefinitionProblem> {
    if trigger.direction != Direction::In {
        return Err(DefinitionProblem::UnknownValue {
            binding: trigger.name.clone(),
            property: "direction",
        });
    }
    if !trigger.is("eventHubTrigger") {
        return Ok(());
    }
    let missing = |property| DefinitionProblem::Missing {
        binding: trigger.name.clone(),
        property,
    };
    // The consumer group has a default, but two functions that share it by oversight each lose
    // events; and the payload of one event cannot always be told from that of many.
    for property in ["connection", "eventHubName", "consumerGroup", "cardinality"] {
        if trigger.get(property).is_none_or(str::is_empty) {
            return Err(missing(property));
        }
    }
    Ok(())
}

fn retry(raw: RawRetry) -> Result<RetryPolicy, DefinitionProblem> {
    let interval = |text: Option<String>, property| {
        text.as_deref()
            .and_then(timespan::parse)
            .ok_or(DefinitionProblem::Retry(property))
    };
    let strategy = match raw.strategy.to_ascii_lowercase().as_str() {
        "fixeddelay" => RetryStrategy::FixedDelay {
            delay: interval(raw.delay_interval, "delayInterval")?,
        },
        "exponentialbackoff" => {
            let minimum = interval(raw.minimum_interval, "minimumInterval")?;
            let maximum = interval(raw.maximum_interval, "maximumInterval")?;
            if minimum > maximum {
                return Err(DefinitionProblem::Retry("minimumInterval"));
            }
            RetryStrategy::ExponentialBackoff { minimum, maximum }
        }
        _ => return Err(DefinitionProblem::Retry("strategy")),
    };
    let max_retry_count = match raw.max_retry_count {
        -1 => None,
        count => Some(u32::try_from(count).map_err(|_| DefinitionProblem::Retry("maxRetryCount"))?),
    };
    Ok(RetryPolicy {
        strategy,
        max_retry_count,
    })
}
