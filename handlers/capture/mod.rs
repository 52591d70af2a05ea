//! The archive's files: Avro in the schema of Event Hubs Capture, so that whatever reads Capture
//! files reads these. Blocks are deflated, which every Avro reader knows; older files are not.
//!
//! Schema, container format and the form of `EnqueuedTimeUtc` are those of the Event Hubs
//! documentation, "Exploring captured Avro files". Capture writes whole seconds there, so each
//! event's exact time goes along as the system property [`ENQUEUED_TIME`].

mod concatenate;
mod properties;
mod reader;
mod received;
mod schema;
mod writer;

use std::borrow::Cow;

use azure_functions_sdk::Properties;
use time::UtcDateTime;

pub use concatenate::concatenate;
pub use reader::decode;
pub use writer::encode;

/// The system property with the enqueued time in milliseconds since 1970, named as the AMQP
/// annotation that it comes from.
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";

/// The property that holds what could not be read as properties.
pub const UNREADABLE: &str = "unreadable-properties";

/// One event as it came off the hub.
#[derive(Debug, Clone)]
pub struct CapturedEvent<'a> {
    /// Its number in the partition.
    pub sequence_number: i64,
    /// Its offset in the partition.
    pub offset: &'a str,
    /// When the hub took it.
    pub enqueued_at: UtcDateTime,
    /// The hub's properties.
    pub system_properties: PropertyBag<'a>,
    /// The sender's properties.
    pub properties: PropertyBag<'a>,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// The properties of an event that is to be written.
#[derive(Debug, Clone)]
pub enum PropertyBag<'a> {
    /// The text of a JSON object.
    Json(Cow<'a, str>),
    /// As the host has sent them.
    Received(&'a Properties),
}

impl PropertyBag<'_> {
    /// The text of the JSON object.
    pub fn as_json(&self) -> Cow<'_, str> {
        match self {
            Self::Json(text) => Cow::Borrowed(text),
            Self::Received(properties) => properties.as_json(),
        }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for PropertyBag<'a> {
    fn from(json: T) -> Self {
        Self::Json(json.into())
    }
}

/// One event as it was read back.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedEvent {
    /// Its number in the partition.
    pub sequence_number: i64,
    /// Its offset in the partition.
    pub offset: String,
    /// When the hub took it, to the millisecond; `None` in a file without [`ENQUEUED_TIME`].
    pub enqueued_at: Option<UtcDateTime>,
    /// When a hub took it the first time, where its sender says that it was sent again.
    pub first_enqueued_at: Option<UtcDateTime>,
    /// The device that IoT Hub authenticated.
    pub authenticated_device: Option<String>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// A file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A block could not be deflated.
    #[error("DEFLATE: {0}")]
    Deflate(#[from] flate2::CompressError),
    /// The file's schema is not Capture's.
    #[error("the schema is not that of Capture")]
    Schema,
    /// Neither `null` nor `deflate`.
    #[error("the file is compressed in another way than by DEFLATE")]
    Codec,
    /// It is no such file, is cut short, or has been altered.
    #[error("the file is damaged at byte {byte}")]
    Damaged {
        /// Where that was noticed.
        byte: usize,
    },
}

/// The name of the file that holds events `first` to `last` of a partition:
/// `<hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/<mmss.mmm>-<first>-<last>.avro`, by the first event's time.
///
/// The order of names is the order of events: by time, and within a millisecond by number, padded to 20 digits. No two
/// files of other events have one name, also where a hub was made anew under its name and counts from 0 again.
pub fn file_name(
    hub: &str,
    partition: &str,
    first_enqueued_at: UtcDateTime,
    first: i64,
    last: i64,
) -> String {
    format!(
        "{hub}/{partition}/{:04}/{:02}/{:02}/{:02}/{:02}{:02}.{:03}-{first:020}-{last:020}.avro",
        first_enqueued_at.year(),
        u8::from(first_enqueued_at.month()),
        first_enqueued_at.day(),
        first_enqueued_at.hour(),
        first_enqueued_at.minute(),
        first_enqueued_at.second(),
        first_enqueued_at.millisecond(),
    )
}

#[cfg(test)]
mod tests;
