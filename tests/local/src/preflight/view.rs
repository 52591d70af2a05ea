//! The report: a line for each check, and under those that fail the commands that mend them.

use std::fmt;

use super::finding::{Finding, Outcome};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, text) = match &self.outcome {
            Outcome::Ok(text) => ("ok", text),
            Outcome::WillFail { why, .. } => ("will fail", why),
            Outcome::Unknown(why) => ("could not be checked", why),
        };
        write!(f, "{state:<20}  {}: {text}", self.subject)?;
        if let Outcome::WillFail { mend, .. } = &self.outcome {
            for command in mend {
                write!(f, "\n{:22}  {command}", "")?;
            }
        }
        Ok(())
    }
}

/// The last line.
pub fn summary(findings: &[Finding]) -> String {
    let unknown = findings
        .iter()
        .filter(|finding| matches!(finding.outcome, Outcome::Unknown(_)))
        .count();
    let failing = findings.iter().filter(|finding| finding.fails()).count();
    let beside = match unknown {
        0 => String::new(),
        unknown => format!(", {unknown} could not be checked"),
    };
    match failing {
        0 => format!("Nothing that was looked at will fail{beside}."),
        failing => format!(
            "{failing} of {} will fail{beside}. Run the commands, and look again.",
            findings.len()
        ),
    }
}
