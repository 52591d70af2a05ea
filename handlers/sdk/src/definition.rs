//! What a function's code says of itself, held against its function.json.

use std::time::Duration;

use crate::function_json::FunctionConfig;

/// One function: its folder's name, the text of its function.json, the trigger that its handler reads
/// and the output bindings that its code sets.
///
/// ```
/// use azure_functions_sdk::FunctionDefinition;
///
/// const FUNCTION: FunctionDefinition = FunctionDefinition::new(
///     "Cleanup",
///     "timerTrigger",
///     r#"{"bindings":[
///         {"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 3 * * *"},
///         {"type":"queue","direction":"out","name":"removed","connection":"Storage","queueName":"removed"}
///     ]}"#,
/// )
/// .with_outputs(&["removed"]);
///
/// assert_eq!(FUNCTION.config()?.outputs[0].name, "removed");
/// # Ok::<(), azure_functions_sdk::DefinitionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionDefinition {
    /// The folder's name, which is the function's: `^[A-Za-z][A-Za-z0-9_-]{0,127}$`.
    pub name: &'static str,
    /// The text of function.json, usually by `include_str!`.
    pub json: &'static str,
    /// The type of the trigger that the handler reads, such as `eventHubTrigger`.
    pub trigger: &'static str,
    /// The names of the output bindings that the code sets.
    pub outputs: &'static [&'static str],
    /// How long a call may take; `None` for the app's [`deadline`](crate::FunctionApp::deadline).
    pub deadline: Option<Duration>,
    /// How many of its calls run at a time; `None` for the app's
    /// [`max_concurrent_calls`](crate::FunctionApp::max_concurrent_calls).
    pub concurrent_calls: Option<usize>,
    /// The most events of a call that the function is made for; `None` for as many as host.json asks for.
    pub most_events: Option<usize>,
}

/// A function's name, its function.json and its code do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function {function}: {problem}")]
pub struct DefinitionError {
    /// The function's name.
    pub function: String,
    /// What is wrong.
    pub problem: DefinitionProblem,
}

/// What is wrong with a function's definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionProblem {
    /// The host would ignore a folder of this name.
    #[error("the name must be a letter followed by up to 127 letters, digits, `_` and `-`")]
    Name,
    /// The text is not a function.json.
    #[error("function.json: {0}")]
    Json(String),
    /// There is no trigger, or more than one.
    #[error("function.json must declare exactly one trigger")]
    NotOneTrigger,
    /// The code reads another trigger than the one declared.
    #[error("the code reads a {code}, function.json declares a {declared}")]
    OtherTrigger {
        /// The trigger that the code reads.
        code: String,
        /// The trigger of function.json.
        declared: String,
    },
    /// Two bindings have the same name.
    #[error("function.json declares the binding `{0}` twice")]
    DuplicateBinding(String),
    /// The code sets an output that is not declared: the host would drop it without a word.
    #[error(
        "the code sets the output `{0}`, which function.json does not declare with direction `out`"
    )]
    UndeclaredOutput(String),
    /// A binding lacks a property.
    #[error("binding {binding}: `{property}` is missing")]
    Missing {
        /// The binding's name, or its place.
        binding: String,
        /// The property.
        property: &'static str,
    },
    /// A property's value is not one that the host knows.
    #[error("binding {binding}: the value of `{property}` is not one that the host knows")]
    UnknownValue {
        /// The binding's name.
        binding: String,
        /// The property.
        property: &'static str,
    },
    /// The retry policy cannot be used.
    #[error("retry: `{0}` is missing or wrong")]
    Retry(&'static str),
    /// The route of an HTTP trigger is not one that can be served.
    #[error("the route `{0}` cannot be served: {1}")]
    Route(String, String),
    /// A method of an HTTP trigger is not one that can be served.
    #[error("the method `{0}` cannot be served")]
    Method(String),
    /// The host would kill the process before the call's own deadline.
    #[error(
        "a call may take {} s, and functionTimeout in host.json, after which the host kills the process, is {} s: it must be longer",
        .deadline.as_secs_f32(),
        .function_timeout.as_secs_f32()
    )]
    Deadline {
        /// The declared one.
        deadline: Duration,
        /// That of host.json, or of the app setting in its place.
        function_timeout: Duration,
    },
    /// The host may start more calls than run at a time.
    #[error(
        "{running} calls run at a time, and host.json lets {started} be started (extensions.queues, batchSize and \
         newBatchThreshold): the others would wait until their deadline cuts them"
    )]
    TooFewTurns {
        /// How many run.
        running: usize,
        /// How many may be started.
        started: usize,
    },
    /// The host may bring more events in a call than the function is made for.
    #[error(
        "a call is made for {most} events, and host.json lets it bring {asked} (extensions.eventHubs, maxEventBatchSize)"
    )]
    BatchTooLarge {
        /// The declared number.
        most: usize,
        /// That of host.json, or of the app setting in its place.
        asked: usize,
    },
    /// Another function has the name already.
    #[error("it is registered twice")]
    RegisteredTwice,
    /// Registered as a forwarded HTTP function, but the host will send envelopes.
    #[error(
        "the host does not forward its requests: that needs enableForwardingHttpRequest in host.json, \
         and no bindings but an httpTrigger and one http output. Register it with `function`"
    )]
    NotForwarded,
    /// Registered as a function called by envelopes, but the host will forward requests.
    #[error("the host forwards its requests as they are. Register it with `http`")]
    Forwarded,
}

impl FunctionDefinition {
    /// A function that sets no outputs.
    pub const fn new(name: &'static str, trigger: &'static str, json: &'static str) -> Self {
        Self {
            name,
            json,
            trigger,
            outputs: &[],
            deadline: None,
            concurrent_calls: None,
            most_events: None,
        }
    }

    /// Declares the most events of a call that the function's deadline is made for. The start is refused where host.json lets
    /// batches be larger (extensions.eventHubs, maxEventBatchSize).
    #[must_use]
    pub const fn with_most_events(self, events: usize) -> Self {
        Self {
            most_events: Some(events),
            ..self
        }
    }

    /// Declares how long a call may take from its arrival. The start is refused where host.json's functionTimeout, at which the host
    /// kills the process, is not after it.
    #[must_use]
    pub const fn with_deadline(self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Declares how many calls run at a time; further ones wait. The start is refused where host.json lets a queue trigger start
    /// more: what waits for its turn would be cut at its deadline in the middle of its work.
    #[must_use]
    pub const fn with_concurrent_calls(self, calls: usize) -> Self {
        Self {
            concurrent_calls: Some(calls),
            ..self
        }
    }

    /// Names the output bindings that the code sets.
    #[must_use]
    pub const fn with_outputs(self, outputs: &'static [&'static str]) -> Self {
        Self { outputs, ..self }
    }

    /// Parses function.json and checks that the code fits it.
    ///
    /// # Errors
    /// Whatever [`FunctionConfig::parse`] refuses; a trigger other than the one the code reads; an
    /// output that the code sets and function.json does not declare.
    pub fn config(&self) -> Result<FunctionConfig, DefinitionError> {
        let config = FunctionConfig::parse(self.name, self.json)?;
        let problem = if !config.trigger.is(self.trigger) {
            Some(DefinitionProblem::OtherTrigger {
                code: self.trigger.to_owned(),
                declared: config.trigger.kind.clone(),
            })
        } else {
            let undeclared = self
                .outputs
                .iter()
                .find(|name| config.output(name).is_none());
            undeclared.map(|name| DefinitionProblem::UndeclaredOutput((*name).to_owned()))
        };
        match problem {
            None => Ok(config),
            Some(problem) => Err(DefinitionError {
                function: self.name.to_owned(),
                problem,
            }),
        }
    }
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
