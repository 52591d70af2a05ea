//! Alerts as they are raised and cleared, seen in Cosmos DB, so that those of every function are seen.

use std::collections::HashMap;

use serde_json::Value;

/// Above this many a look, alerts are only counted: a storm of them would hide everything else.
const LINES_A_LOOK: usize = 5;

/// What is known of the episodes so far.
#[derive(Default)]
pub(super) struct Alerts {
    /// By id: whether it was active when last seen.
    seen: HashMap<String, bool>,
    pub raised: u64,
    pub cleared: u64,
}

impl Alerts {
    /// One line for each transition since the last look, and one for all that are too many.
    pub(super) fn news(&mut self, documents: &[Value]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut more = 0;
        let mut tell = |line: String| match lines.len() < LINES_A_LOOK {
            true => lines.push(line),
            false => more += 1,
        };
        for document in documents {
            let Some(id) = document["id"].as_str() else {
                continue;
            };
            let active = document["active"].as_bool().unwrap_or(true);
            let before = self.seen.get(id).copied();
            if before.is_none() {
                self.raised += 1;
                let (value, limit) = (number(document, "value"), number(document, "threshold"));
                tell(line(
                    "raised",
                    document,
                    &format!("{value} (limit {limit})"),
                ));
            }
            if !active && before != Some(false) {
                self.cleared += 1;
                tell(line("cleared", document, &number(document, "clearedValue")));
            }
            if before != Some(active) {
                self.seen.insert(id.to_owned(), active);
            }
        }
        if more > 0 {
            lines.push(format!("… and {more} more alerts raised or cleared"));
        }
        lines
    }
}

fn line(transition: &str, document: &Value, rest: &str) -> String {
    let text = |name: &str| document[name].as_str().unwrap_or("?");
    let (rule, device) = (text("rule"), text("deviceId"));
    format!("alert {transition:<8} {rule:<19} {device}  {rest}")
        .trim_end()
        .to_owned()
}

/// Two decimals at most, and none that say nothing.
fn number(document: &Value, name: &str) -> String {
    let Some(value) = document[name].as_f64() else {
        return String::new();
    };
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn episode(id: u32, active: bool) -> Value {
        let mut document = json!({"id": id.to_string(), "deviceId": "Simulated.drone-00012", "rule": "engine-critical",
            "active": active, "value": 101.2, "threshold": 100.0});
        if !active {
            document["clearedValue"] = json!(71.0);
        }
        document
    }

    #[test]
    fn each_transition_is_told_once() {
        let mut alerts = Alerts::default();
        let raised = "alert raised   engine-critical     Simulated.drone-00012  101.2 (limit 100)";
        let cleared = "alert cleared  engine-critical     Simulated.drone-00012  71";
        assert_eq!(alerts.news(&[episode(1, true)]), [raised]);
        assert!(alerts.news(&[episode(1, true)]).is_empty());
        assert_eq!(alerts.news(&[episode(1, false)]), [cleared]);
        assert!(alerts.news(&[episode(1, false)]).is_empty());
        // Both between two looks.
        assert_eq!(alerts.news(&[episode(2, false)]), [raised, cleared]);
        assert_eq!((alerts.raised, alerts.cleared), (2, 2));
    }

    #[test]
    fn a_storm_is_counted() {
        let mut alerts = Alerts::default();
        let storm: Vec<Value> = (0..100).map(|id| episode(id, true)).collect();
        let lines = alerts.news(&storm);
        assert_eq!(lines.len(), LINES_A_LOOK + 1);
        assert_eq!(
            lines[LINES_A_LOOK],
            "… and 95 more alerts raised or cleared"
        );
        assert_eq!(alerts.raised, 100);
    }
}
