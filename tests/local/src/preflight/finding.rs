//! What a check has found.

use super::az::AzError;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// What it is like.
    pub outcome: Outcome,
}

/// What something is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing will fail because of it.
    Ok(String),
    /// The deployment will fail, or what it deploys will not work.
    WillFail {
        /// Why.
        why: String,
        /// The commands that mend it, or the first step where no command does.
        mend: Vec<String>,
    },
    /// Nobody knows, and why.
    Unknown(String),
}

impl Finding {
    /// All is well.
    pub fn ok(subject: &'static str, what: impl Into<String>) -> Self {
        let outcome = Outcome::Ok(what.into());
        Self { subject, outcome }
    }

    /// Something will fail.
    pub fn will_fail(subject: &'static str, why: impl Into<String>, mend: Vec<String>) -> Self {
        let why = why.into();
        let outcome = Outcome::WillFail { why, mend };
        Self { subject, outcome }
    }

    /// It could not be checked.
    pub fn unknown(subject: &'static str, why: impl Into<String>) -> Self {
        let outcome = Outcome::Unknown(why.into());
        Self { subject, outcome }
    }

    /// It could not be checked, because `az` has not answered.
    pub fn not_answered(subject: &'static str, error: &AzError) -> Self {
        Self::unknown(subject, error.to_string())
    }

    /// Whether something will fail.
    pub fn fails(&self) -> bool {
        matches!(self.outcome, Outcome::WillFail { .. })
    }
}
