//! What the alert queue really holds, beside the alerts in Cosmos DB.

use std::collections::{HashMap, HashSet};

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

const RAISED: &str = "raised";
const CLEARED: &str = "cleared";

/// The distinct messages by their ids, with what they tell: the end of their type.
pub(super) struct Messages {
    told: HashMap<String, String>,
    pub(super) report: AlertReport,
}

impl Messages {
    /// Counts messages. Those that no receiver could make sense of are faults.
    pub(super) fn count(texts: &[String], faults: &mut Vec<String>) -> Self {
        let mut told: HashMap<String, String> = HashMap::new();
        let mut report = AlertReport::default();
        for text in texts {
            let message: Value = serde_json::from_str(text).unwrap_or_default();
            let (Some(id), Some(kind)) = (message["id"].as_str(), message["type"].as_str()) else {
                faults.push("a message of the alert queue is not a CloudEvent".to_owned());
                continue;
            };
            let transition = kind.rsplit('.').next().unwrap_or_default();
            match told.insert(id.to_owned(), transition.to_owned()) {
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
        Self { told, report }
    }

    /// Holds the messages against the alerts: each transition of those that were read *before* the
    /// messages has one, and each message is of an alert that was read *after* them. A timer may raise
    /// an alert meanwhile.
    pub(super) fn compare(&self, before: &[Value], after: &[Value], faults: &mut Vec<String>) {
        let id = |alert: &Value| alert["id"].as_str().unwrap_or_default().to_owned();
        for (transition, happened) in [
            (RAISED, (|_| true) as fn(&Value) -> bool),
            (CLEARED, |alert| alert["active"] == false),
        ] {
            let is_told = |alert: &Value| {
                // What is written down as yet to be told is not missing.
                alert.get("untold").is_some()
                    || self
                        .told
                        .contains_key(&format!("{}/{transition}", id(alert)))
            };
            let missing = before
                .iter()
                .filter(|alert| happened(alert) && !is_told(alert))
                .count();
            if missing > 0 {
                faults.push(format!(
                    "{missing} alerts in Cosmos DB were {transition}, and no message says so"
                ));
            }
            let known: HashSet<String> = after
                .iter()
                .filter(|alert| happened(alert))
                .map(|alert| format!("{}/{transition}", id(alert)))
                .collect();
            let stray = self
                .told
                .iter()
                .filter(|(id, kind)| *kind == transition && !known.contains(*id))
                .count();
            if stray > 0 {
                faults.push(format!(
                    "{stray} messages say that an alert was {transition}, and Cosmos DB does not"
                ));
            }
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

    fn alert(id: &str, active: bool) -> Value {
        json!({"id": id, "active": active})
    }

    #[test]
    fn repeats_count_once_and_reminders_not_at_all() {
        let mut faults = Vec::new();
        let texts = [
            message("a/raised", "raised"),
            message("a/raised", "raised"),
            message("a/reminded-1", "reminded"),
            message("b/raised", "raised"),
            message("a/cleared", "cleared"),
        ];
        let messages = Messages::count(&texts, &mut faults);
        let expected = AlertReport {
            raised: 2,
            cleared: 1,
            duplicate_messages: 1,
        };
        assert_eq!(messages.report, expected);
        let alerts = [alert("a", false), alert("b", true)];
        messages.compare(&alerts, &alerts, &mut faults);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn what_happens_while_it_is_counted_is_no_fault() {
        let mut faults = Vec::new();
        let texts = [message("a/raised", "raised"), message("b/raised", "raised")];
        let messages = Messages::count(&texts, &mut faults);
        let mut untold = alert("c", false);
        untold["untold"] = json!("raised");
        let before = [alert("a", true), untold];
        let after = [alert("a", false), alert("b", true), alert("c", false)];
        messages.compare(&before, &after, &mut faults);
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn what_does_not_add_up_is_told() {
        let mut faults = Vec::new();
        let texts = [
            message("a", "raised"),
            message("a", "cleared"),
            "{}".to_owned(),
        ];
        Messages::count(&texts, &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");

        faults.clear();
        let messages = Messages::count(&[message("b/cleared", "cleared")], &mut faults);
        let alerts = [alert("a", false)];
        messages.compare(&alerts, &alerts, &mut faults);
        assert_eq!(
            faults,
            [
                "1 alerts in Cosmos DB were raised, and no message says so",
                "1 alerts in Cosmos DB were cleared, and no message says so",
                "1 messages say that an alert was cleared, and Cosmos DB does not",
            ]
        );
    }
}
