//! What became of the events.

use std::collections::BTreeMap;
use std::fmt;

use drone_delivery::domain::Reason;

/// Why an event that was chosen was not sent, or its letter not taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It would be dead-lettered again.
    Still(Reason),
    /// It names another device than the one that sent it.
    AnotherDevice,
    /// The command failed.
    NotMended,
    /// The blob with the body is gone.
    BodyGone,
    /// The message is no dead letter of this version.
    Unreadable,
    /// The message is no alert.
    NoAlert,
    /// The queue did not take it.
    NotPutBack,
    /// The hub did not accept it.
    NotAccepted,
    /// It was sent, but its letter is still in the queue.
    NotTakenOff,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Still(reason) => write!(f, "would be dead-lettered again as {}", reason.as_str()),
            Self::AnotherDevice => f.write_str("names another device than the one that sent it"),
            Self::NotMended => f.write_str("the repair failed"),
            Self::BodyGone => f.write_str("the blob with its body is gone"),
            Self::Unreadable => f.write_str("is no dead letter"),
            Self::NoAlert => f.write_str("is no alert"),
            Self::NotPutBack => f.write_str("could not be put back"),
            Self::NotAccepted => f.write_str("the hub did not accept it"),
            Self::NotTakenOff => f.write_str("was sent, but could not be taken off"),
        }
    }
}

/// Why a message is passed over that comes while a replay goes on: what it sends itself may come back, and would be sent for
/// ever.
pub(super) const LATER: &str = "put aside after the replay began";

/// Counts of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events or alerts that were looked at.
    pub read: u64,
    /// Those to be sent.
    pub chosen: u64,
    /// Those that the hub, or the queue of alerts, has accepted; in a dry run, those that would be sent.
    pub sent: u64,
    /// Messages that are off the queue.
    pub taken_off: u64,
    /// Chosen, but not sent or not taken off.
    pub left: BTreeMap<Why, u64>,
    /// Not chosen, by what kept them out.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// Files of the archive that could not be read; each was named.
    pub files_passed_over: u64,
    /// What the chosen dead letters were put aside for.
    pub reasons: BTreeMap<String, u64>,
    /// Whether nothing was sent on purpose.
    pub dry_run: bool,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether the same replay had ended before, so that there was nothing to do.
    pub done_before: bool,
}

impl Summary {
    /// Whether all that was chosen is done, as far as is known: nobody knows what a file that cannot be read held.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left.is_empty() && self.files_passed_over == 0 && !self.interrupted
    }

    pub(super) fn leave(&mut self, why: Why) {
        *self.left.entry(why).or_default() += 1;
    }

    /// What a queue counts and nobody can take is in somebody's hands.
    pub(super) fn tell_of_hidden(&mut self, hidden: u64) {
        if hidden > 0 {
            self.passed_over.insert(
                "hidden by another replay, or for up to 15 minutes by one that was killed",
                hidden,
            );
        }
    }

    pub(super) fn pass_over(&mut self, what: &'static str) {
        *self.passed_over.entry(what).or_default() += 1;
    }
}

/// One line of figures, and one for each reason of what is left.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = if self.dry_run {
            "would be sent"
        } else {
            "sent"
        };
        let left: u64 = self.left.values().sum();
        write!(
            f,
            "{} read  {} chosen  {} {sent}  {} taken off  {left} left",
            self.read, self.chosen, self.sent, self.taken_off
        )?;
        for (reason, count) in &self.reasons {
            write!(f, "\n  chosen: {count}  {reason}")?;
        }
        for (why, count) in &self.left {
            write!(f, "\n  left: {count}  {why}")?;
        }
        for (what, count) in &self.passed_over {
            write!(f, "\n  passed over: {count}  {what}")?;
        }
        if self.files_passed_over > 0 {
            let files = self.files_passed_over;
            write!(
                f,
                "\n  files that could not be read: {files}; once they can be, --again sends their events"
            )?;
        }
        Ok(())
    }
}
