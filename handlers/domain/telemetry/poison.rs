//! Why an event can never be applied.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::domain::identifier::DeviceId;

/// The longest detail, in bytes: a sentence, whatever the payload held.
pub const MAX_DETAIL: usize = 200;

/// How much of the payload a detail quotes, in bytes.
const MAX_QUOTE: usize = 40;

/// An event that can never succeed, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Poison {
    /// The kind of fault, for machines.
    pub reason: Reason,
    /// What exactly, for people: `position: latitude 90.4 is out of range -90..90`. Printable ASCII, at
    /// most [`MAX_DETAIL`] bytes; at most 40 of them from the payload's text.
    pub detail: String,
    /// The device that the payload names, where that could be read. In a [`Reason::DeviceMismatch`] this
    /// is the claim, not the sender.
    pub device_id: Option<DeviceId>,
}

/// The kinds of fault. Codes are stable: queues hold them and operators filter by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not a JSON object in UTF-8, or one with a known name twice.
    MalformedJson,
    /// A known field is absent or null.
    MissingField,
    /// A known field is of the wrong type, or its text cannot be read.
    InvalidField,
    /// A number that can be read, but no drone can mean.
    OutOfRange,
    /// A `sensorType` that this version does not know.
    UnsupportedSensorType,
    /// The payload's device is not the one that IoT Hub authenticated.
    DeviceMismatch,
    /// No device was authenticated for it, where every event must have one: it did not come by way of IoT Hub.
    DeviceNotAuthenticated,
    /// It says that it occurred when no drone flew: its clock was not set.
    OccurredLongAgo,
    /// It occurred more than 5 minutes after it was enqueued: it would win every later merge.
    OccurredInFuture,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::MalformedJson,
        Self::MissingField,
        Self::InvalidField,
        Self::OutOfRange,
        Self::UnsupportedSensorType,
        Self::DeviceMismatch,
        Self::DeviceNotAuthenticated,
        Self::OccurredLongAgo,
        Self::OccurredInFuture,
    ];

    /// The code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed-json",
            Self::MissingField => "missing-field",
            Self::InvalidField => "invalid-field",
            Self::OutOfRange => "out-of-range",
            Self::UnsupportedSensorType => "unsupported-sensor-type",
            Self::DeviceMismatch => "device-mismatch",
            Self::DeviceNotAuthenticated => "device-not-authenticated",
            Self::OccurredLongAgo => "occurred-long-ago",
            Self::OccurredInFuture => "occurred-in-future",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A fault in a payload whose device is not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    reason: Reason,
    detail: String,
}

impl Fault {
    /// A detail is made here alone, so that its bounds hold everywhere.
    #[cold]
    pub(super) fn new(reason: Reason, detail: fmt::Arguments<'_>) -> Self {
        let mut detail = detail.to_string();
        if !detail.is_ascii() {
            detail = detail.escape_default().to_string();
        }
        detail.truncate(MAX_DETAIL);
        Self { reason, detail }
    }

    pub(super) fn of(self, device_id: Option<DeviceId>) -> Poison {
        Poison {
            reason: self.reason,
            detail: self.detail,
            device_id,
        }
    }
}

/// Shows text from a payload: quoted, escaped to printable ASCII, and cut.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut length = 0;
        for character in self.0.chars() {
            let escaped = character.escape_default();
            // The escaped form is what takes room, so that is what is counted.
            length += escaped.len();
            if length > MAX_QUOTE {
                return f.write_str("...\"");
            }
            write!(f, "{escaped}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn reasons_have_the_codes_of_the_design() {
        let codes = Reason::ALL.map(Reason::as_str);
        assert_eq!(
            codes,
            [
                "malformed-json",
                "missing-field",
                "invalid-field",
                "out-of-range",
                "unsupported-sensor-type",
                "device-mismatch",
                "device-not-authenticated",
                "occurred-long-ago",
                "occurred-in-future",
            ]
        );
    }

    #[test]
    fn quoted_text_is_escaped_and_cut() {
        assert_eq!(Quoted("a\"b\n\u{202e}").to_string(), r#""a\"b\n\u{202e}""#);
        assert_eq!(
            Quoted(&"x".repeat(40)).to_string(),
            format!("\"{}\"", "x".repeat(40))
        );
        assert_eq!(
            Quoted(&"x".repeat(41)).to_string(),
            format!("\"{}...\"", "x".repeat(40))
        );
        assert!(Quoted(&"\u{10ffff}".repeat(200_000)).to_string().len() <= MAX_QUOTE + 5);
    }

    #[test]
    fn a_detail_is_bounded_and_ascii_whatever_it_is_made_of() {
        let fault = Fault::new(Reason::InvalidField, format_args!("{}", "é".repeat(500)));
        assert_eq!(fault.detail.len(), MAX_DETAIL);
        assert!(fault.detail.is_ascii());
    }
}
