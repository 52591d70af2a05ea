//! What the alert queue really holds, beside the episodes in Cosmos DB.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

/// The messages of the queue `drone-alerts`. Those that NotifyAlert has posted are no longer there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertReport {
    /// Alerts with a message that says they were raised.
    pub raised: u64,
    /// Alerts with a message that says they were cleared.
    pub cleared: u64,
    /// Messages that repeat another one's id: at least once is the promise, so these are no fault.
    pub duplicate_messages: u64,
}

/// A transition, as the end of a CloudEvent's type names it.
const RAISED: &str = "raised";
const CLEARED: &str = "cleared";

/// Counts messages. Those that no receiver could tell apart are faults.
pub(super) fn count(messages: &[String], faults: &mut Vec<String>) -> AlertReport {
    let mut transitions: HashMap<String, String> = HashMap::new();
    let mut report = AlertReport::default();
    for text in messages {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let (Some(id), Some(kind)) = (message["id"].as_str(), message["type"].as_str()) else {
            faults.push("a message of the alert queue is not a CloudEvent".to_owned());
            continue;
        };
        let transition = kind.rsplit('.').next().unwrap_or_default();
        match transitions.insert(id.to_owned(), transition.to_owned()) {
            None if transition == RAISED => report.raised += 1,
            None if transition == CLEARED => report.cleared += 1,
            None => {}
            Some(earlier) => {
                report.duplicate_messages += 1;
                if earlier != transition {
                    faults.push(format!("the alert message {id} has two types"));
                }
            }
        }
    }
    report
}

/// Holds the episodes against the messages: no transition may be without one.
pub(super) fn compare(documents: &[Value], report: &AlertReport, faults: &mut Vec<String>) {
    let raised = documents.len() as u64;
    let open = |document: &&Value| document["active"] == true;
    let cleared = raised - documents.iter().filter(open).count() as u64;
    for (what, episodes, messages) in [
        (RAISED, raised, report.raised),
        (CLEARED, cleared, report.cleared),
    ] {
        if episodes != messages {
            faults.push(format!(
                "{episodes} alerts in Cosmos DB were {what}, but {messages} messages in the queue say so"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(id: &str, transition: &str) -> String {
        json!({"id": id, "type": format!("com.fabrikam.drone.alert.{transition}")}).to_string()
    }

    #[test]
    fn repeats_count_once_and_reminders_not_at_all() {
        let mut faults = Vec::new();
        let messages = [
            message("a/raised", "raised"),
            message("a/raised", "raised"),
            message("a/reminded/1", "reminded"),
            message("b/raised", "raised"),
            message("a/cleared", "cleared"),
        ];
        let report = count(&messages, &mut faults);
        let expected = AlertReport {
            raised: 2,
            cleared: 1,
            duplicate_messages: 1,
        };
        assert_eq!(report, expected);

        let episodes = [json!({"active": false}), json!({"active": true})];
        compare(&episodes, &report, &mut faults);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn what_does_not_add_up_is_told() {
        let mut faults = Vec::new();
        let messages = [
            message("a", "raised"),
            message("a", "cleared"),
            "{}".to_owned(),
        ];
        let report = count(&messages, &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
        faults.clear();
        compare(&[json!({"active": false})], &report, &mut faults);
        assert_eq!(
            faults,
            ["1 alerts in Cosmos DB were cleared, but 0 messages in the queue say so"]
        );
    }
}
