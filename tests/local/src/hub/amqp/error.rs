//! Why a connection, a session, a link or a message is not taken, as AMQP says it.

use super::write::Write;

/// A condition and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmqpError {
    pub(super) condition: &'static str,
    pub(super) description: String,
}

impl AmqpError {
    pub(super) fn new(condition: &'static str, description: impl Into<String>) -> Self {
        Self {
            condition,
            description: description.into(),
        }
    }

    /// Appends it as the value that performatives and outcomes hold.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.descriptor(0x1d);
        out.list(3, |out| {
            out.symbol(self.condition);
            out.string(&self.description);
            out.null();
        });
    }
}

pub(super) const DECODE: &str = "amqp:decode-error";
pub(super) const FRAMING: &str = "amqp:connection:framing-error";
pub(super) const INVALID_FIELD: &str = "amqp:invalid-field";
pub(super) const NOT_ALLOWED: &str = "amqp:not-allowed";
pub(super) const NOT_FOUND: &str = "amqp:not-found";
pub(super) const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
pub(super) const LIMIT: &str = "amqp:resource-limit-exceeded";
pub(super) const STOLEN: &str = "amqp:link:stolen";
pub(super) const TOO_LARGE: &str = "amqp:link:message-size-exceeded";
pub(super) const UNATTACHED: &str = "amqp:session:unattached-handle";
pub(super) const HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
