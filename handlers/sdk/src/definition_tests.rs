#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::function_json::{Cardinality, DataType, RetryPolicy, RetryStrategy};

const HUB: &str = r#"{"bindings":[
    {"type":"eventHubTrigger","direction":"in","name":"events","connection":"Hub","eventHubName":"h",
     "consumerGroup":"g","cardinality":"many","dataType":"binary"},
    {"type":"queue","direction":"out","name":"deadLetters","connection":"S","queueName":"q"}],
    "retry":{"strategy":"exponentialBackoff","maxRetryCount":-1,"minimumInterval":"00:00:01",
     "maximumInterval":"00:01:00"}}"#;

fn problem(name: &str, json: &str) -> DefinitionProblem {
    FunctionConfig::parse(name, json).unwrap_err().problem
}

fn hub_without(property: &str) -> String {
    let mut json: serde_json::Value = serde_json::from_str(HUB).unwrap();
    json["bindings"][0]
        .as_object_mut()
        .unwrap()
        .remove(property)
        .unwrap();
    json.to_string()
}

#[test]
fn a_sound_definition_is_typed() {
    let config = FunctionDefinition::new("F", "eventHubTrigger", HUB)
        .with_outputs(&["deadLetters"])
        .config()
        .unwrap();
    assert_eq!(config.trigger.data_type, Some(DataType::Binary));
    assert_eq!(config.trigger.cardinality, Some(Cardinality::Many));
    assert_eq!(config.trigger.get("connection"), Some("Hub"));
    assert_eq!(config.outputs[0].get("queueName"), Some("q"));
    assert_eq!(
        config.retry,
        Some(RetryPolicy {
            strategy: RetryStrategy::ExponentialBackoff {
                minimum: Duration::from_secs(1),
                maximum: Duration::from_secs(60),
            },
            max_retry_count: None,
        })
    );
    assert!(!config.disabled);
}

#[test]
fn names_that_the_host_ignores_are_refused() {
    let longest = "a".repeat(128);
    assert!(FunctionConfig::parse(&longest, HUB).is_ok());
    for name in ["", "1st", "a b", "a.b", "é", &"a".repeat(129)] {
        assert_eq!(problem(name, HUB), DefinitionProblem::Name, "{name}");
    }
}

#[test]
fn there_is_exactly_one_trigger() {
    assert_eq!(
        problem("F", r#"{"bindings":[]}"#),
        DefinitionProblem::NotOneTrigger
    );
    let two = r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"a"},
        {"type":"timerTrigger","direction":"in","name":"b"}]}"#;
    assert_eq!(problem("F", two), DefinitionProblem::NotOneTrigger);
}

#[test]
fn the_declared_trigger_is_the_one_the_code_reads() {
    let error = FunctionDefinition::new("F", "queueTrigger", HUB)
        .config()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "function F: the code reads a queueTrigger, function.json declares a eventHubTrigger"
    );
}

#[test]
fn an_output_must_be_declared_and_go_out() {
    let definition =
        FunctionDefinition::new("F", "eventHubTrigger", HUB).with_outputs(&["deadletters"]);
    assert_eq!(
        definition.config().unwrap_err().problem,
        DefinitionProblem::UndeclaredOutput("deadletters".to_owned()),
        "binding names are case-sensitive"
    );
    let definition = FunctionDefinition::new("F", "eventHubTrigger", HUB).with_outputs(&["events"]);
    assert!(definition.config().is_err());
}

#[test]
fn binding_names_are_unique() {
    let json = r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"a"},
        {"type":"queue","direction":"out","name":"a"}]}"#;
    assert_eq!(
        problem("F", json),
        DefinitionProblem::DuplicateBinding("a".to_owned())
    );
}

#[test]
fn an_event_hub_trigger_says_what_it_reads() {
    for property in ["connection", "eventHubName", "consumerGroup", "cardinality"] {
        let found = problem("F", &hub_without(property));
        let expected = DefinitionProblem::Missing {
            binding: "events".to_owned(),
            property,
        };
        assert_eq!(found, expected);
    }
    assert!(FunctionConfig::parse("F", &hub_without("dataType")).is_ok());
}

#[test]
fn unknown_words_are_refused() {
    for (property, word) in [
        ("dataType", "json"),
        ("cardinality", "some"),
        ("direction", "up"),
    ] {
        let mut json: serde_json::Value = serde_json::from_str(HUB).unwrap();
        json["bindings"][0][property] = word.into();
        let expected = DefinitionProblem::UnknownValue {
            binding: "events".to_owned(),
            property,
        };
        assert_eq!(problem("F", &json.to_string()), expected);
    }
}

#[test]
fn a_retry_policy_is_whole_or_refused() {
    for (retry, property) in [
        (r#"{"strategy":"never","maxRetryCount":1}"#, "strategy"),
        (
            r#"{"strategy":"fixedDelay","maxRetryCount":1}"#,
            "delayInterval",
        ),
        (
            r#"{"strategy":"fixedDelay","maxRetryCount":-2,"delayInterval":"00:00:01"}"#,
            "maxRetryCount",
        ),
        (
            r#"{"strategy":"exponentialBackoff","maxRetryCount":1,"minimumInterval":"00:01:00","maximumInterval":"00:00:01"}"#,
            "minimumInterval",
        ),
    ] {
        let json = format!(
            r#"{{"bindings":[{{"type":"timerTrigger","direction":"in","name":"a"}}],"retry":{retry}}}"#
        );
        assert_eq!(problem("F", &json), DefinitionProblem::Retry(property));
    }
}
