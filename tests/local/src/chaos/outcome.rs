//! What a trial has shown, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::otlp::Agreement;

/// What a trial has shown; the JSON of `--report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Chose traffic and disturbances.
    pub seed: u64,
    /// Until the last function had caught up.
    pub took_seconds: u64,
    /// How often what was done to the system.
    pub disturbances: BTreeMap<String, u64>,
    /// Requests to Cosmos DB and storage that a fault has met.
    pub requests_met: u64,
    /// Calls of functions.
    pub calls: u64,
    /// Calls that failed, and were made again.
    pub failed_calls: u64,
    /// Processes of the handler.
    pub handler_starts: u64,
    /// Events that the hub took.
    pub sent: u64,
    /// Good events of drones whose document is as it has to be.
    pub applied: u64,
    /// Events with a dead letter, as they have to have.
    pub dead_lettered: u64,
    /// Events in the archive.
    pub archived: u64,
    /// Records of the archive that repeat an event, which readers drop.
    pub archive_repeats: u64,
    /// Dead letters that repeat one.
    pub dead_letter_repeats: u64,
    /// Events that are missing where they have to be; a drone's document that is not as it has to be counts as
    /// one at least.
    pub lost: u64,
    /// Drones that sent good events.
    pub drones: u64,
    /// Writes that made something in a drone's document older.
    pub states_that_went_back: u64,
    /// Alerts that the rules find in what was sent.
    pub alerts: u64,
    /// Messages that tell of them.
    pub alert_messages: u64,
    /// Messages that repeat one, which their ids tell.
    pub alert_message_repeats: u64,
    /// Alerts without a document, and messages that never came.
    pub missing_alerts: u64,
    /// Files of the insights that are, byte for byte, what a fresh summary of the archive gives, unless a difference says otherwise.
    pub insight_files: u64,
    /// The handler's metrics beside what was counted; absent where they went elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Agreement>,
    /// What is not as it has to be, one sentence for each kind; empty is good.
    pub differences: Vec<String>,
}

impl Outcome {
    /// Whether everything is as it has to be.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        writeln!(f, "\nChaos with seed {}: {verdict}", self.seed)?;
        let faults: u64 = self.disturbances.values().sum();
        for (name, value) in [
            (
                "faults",
                format!("{faults} that met {} requests", grouped(self.requests_met)),
            ),
            (
                "calls",
                format!(
                    "{}, of which {} failed; the handler was started {} times",
                    grouped(self.calls),
                    grouped(self.failed_calls),
                    self.handler_starts
                ),
            ),
            (
                "events",
                format!(
                    "{} sent, {} applied, {} dead-lettered, {} archived, {} lost",
                    grouped(self.sent),
                    grouped(self.applied),
                    grouped(self.dead_lettered),
                    grouped(self.archived),
                    grouped(self.lost)
                ),
            ),
            (
                "drones",
                format!(
                    "{} documents, {} states that went back",
                    grouped(self.drones),
                    self.states_that_went_back
                ),
            ),
            (
                "alerts",
                format!(
                    "{} with {} messages, {} missing",
                    grouped(self.alerts),
                    grouped(self.alert_messages),
                    self.missing_alerts
                ),
            ),
            (
                "insights",
                format!(
                    "{} files held against a fresh summary of the archive",
                    grouped(self.insight_files)
                ),
            ),
            (
                "metrics",
                self.metrics.as_ref().map_or_else(
                    || "not held against what was counted: they did not come here".to_owned(),
                    ToString::to_string,
                ),
            ),
            (
                "repeats",
                format!(
                    "{} archived events, {} dead letters, {} alert messages",
                    grouped(self.archive_repeats),
                    grouped(self.dead_letter_repeats),
                    grouped(self.alert_message_repeats)
                ),
            ),
            (
                "took",
                format!(
                    "{} min {} s",
                    self.took_seconds / 60,
                    self.took_seconds % 60
                ),
            ),
        ] {
            writeln!(f, "  {name:<10} {value}")?;
        }
        writeln!(f, "\n  what was done to it")?;
        for (name, times) in &self.disturbances {
            writeln!(f, "  {times:>6} x {name}")?;
        }
        for difference in &self.differences {
            writeln!(f, "  DIFFERENCE {difference}")?;
        }
        Ok(())
    }
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
