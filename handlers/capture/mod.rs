//! The archive's files: Avro in the schema of Event Hubs Capture, so that whatever reads Capture
//! files reads these.
//!
//! Schema, container format and the form of `EnqueuedTimeUtc` are those of the Event Hubs
//! documentation, "Exploring captured Avro files". Capture writes whole seconds there, so each
//! event's exact time goes along as the system property [`ENQUEUED_TIME`].

mod properties;
mod reader;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use apache_avro::{Schema, Writer};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use time::UtcDateTime;

use properties::{PropertyMap, PropertyValue};

pub use reader::decode;

/// The system property with the enqueued time in milliseconds since 1970, named as the AMQP
/// annotation that it comes from.
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";

/// The property that holds what could not be read as properties.
pub const UNREADABLE: &str = "unreadable-properties";

const SCHEMA: &str = r#"{
  "type": "record",
  "name": "EventData",
  "namespace": "Microsoft.ServiceBus.Messaging",
  "fields": [
    {"name": "SequenceNumber", "type": "long"},
    {"name": "Offset", "type": "string"},
    {"name": "EnqueuedTimeUtc", "type": "string"},
    {"name": "SystemProperties", "type": {"type": "map", "values": ["long", "double", "string", "bytes"]}},
    {"name": "Properties", "type": {"type": "map", "values": ["long", "double", "string", "bytes", "null"]}},
    {"name": "Body", "type": ["null", "bytes"]}
  ]
}"#;

#[allow(
    clippy::expect_used,
    reason = "the text is a constant, and every test of this module parses it"
)]
static PARSED_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(SCHEMA).expect("the Capture schema"));

/// Blocks of 64 KiB: large enough to cost nothing, small enough to split a file for parallel reading.
const BLOCK_SIZE: usize = 64 * 1024;

/// One event as it came off the hub.
#[derive(Debug, Clone, Copy)]
pub struct CapturedEvent<'a> {
    /// Its number in the partition.
    pub sequence_number: i64,
    /// Its offset in the partition.
    pub offset: &'a str,
    /// When the hub took it.
    pub enqueued_at: UtcDateTime,
    /// The hub's properties, as the text of a JSON object.
    pub system_properties: &'a str,
    /// The sender's properties, as the text of a JSON object.
    pub properties: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
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
    /// The Avro library refused to write.
    #[error("Avro: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// The file's schema is not Capture's.
    #[error("the schema is not that of Capture")]
    Schema,
    /// Capture does not compress, and neither does this archive.
    #[error("the file is compressed")]
    Codec,
    /// It is no such file, is cut short, or has been altered.
    #[error("the file is damaged at byte {byte}")]
    Damaged {
        /// Where that was noticed.
        byte: usize,
    },
}

/// The name of the file that holds events `first` to `last` of a partition:
/// `<hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/<first>-<last>.avro`, by the first event's time.
///
/// Numbers are padded to 20 digits, so that the order of names is the order of events.
pub fn file_name(
    hub: &str,
    partition: &str,
    first_enqueued_at: UtcDateTime,
    first: i64,
    last: i64,
) -> String {
    format!(
        "{hub}/{partition}/{:04}/{:02}/{:02}/{:02}/{first:020}-{last:020}.avro",
        first_enqueued_at.year(),
        u8::from(first_enqueued_at.month()),
        first_enqueued_at.day(),
        first_enqueued_at.hour(),
    )
}

/// Writes events as one Avro file. The same events always give the same bytes.
///
/// Properties that are not a JSON object, which the host never sends, are kept as they are, under the
/// name [`UNREADABLE`]: nothing about an event may keep it out of the archive.
///
/// # Errors
/// Where the Avro library refuses, which it has no reason to.
pub fn encode<'a>(
    events: impl IntoIterator<Item = CapturedEvent<'a>>,
) -> Result<Vec<u8>, CaptureError> {
    let mut events = events.into_iter().peekable();
    let first = events.peek().map_or(0, |event| event.sequence_number);
    let mut writer = Writer::builder()
        .schema(&PARSED_SCHEMA)
        .writer(Vec::with_capacity(BLOCK_SIZE))
        .block_size(BLOCK_SIZE)
        .marker(sync_marker(first))
        .human_readable(false)
        .build()
        .map_err(Box::new)?;
    for event in events {
        writer.append_ser(Record::new(&event)).map_err(Box::new)?;
    }
    Ok(writer.into_inner().map_err(Box::new)?)
}

/// Avro wants a marker that is unlikely in the data, not a random one; a file that is written again
/// by a retry should be the same file.
fn sync_marker(first_sequence_number: i64) -> [u8; 16] {
    let mut marker = *b"\xf0drone\x00archive\xff\x0d";
    for (byte, mixed) in marker[8..]
        .iter_mut()
        .zip(first_sequence_number.to_be_bytes())
    {
        *byte ^= mixed;
    }
    marker
}

struct Record<'a> {
    event: &'a CapturedEvent<'a>,
    system_properties: PropertyMap<'a>,
    properties: PropertyMap<'a>,
}

impl<'a> Record<'a> {
    fn new(event: &'a CapturedEvent<'a>) -> Self {
        let mut system_properties = PropertyMap::parse(event.system_properties);
        // The schema has no null among the system properties.
        system_properties.remove_nulls();
        let at = event.enqueued_at;
        let millis = at.unix_timestamp() * 1000 + i64::from(at.millisecond());
        system_properties.set(Cow::Borrowed(ENQUEUED_TIME), PropertyValue::Long(millis));
        Self {
            event,
            system_properties,
            properties: PropertyMap::parse(event.properties),
        }
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("EventData", 6)?;
        record.serialize_field("SequenceNumber", &self.event.sequence_number)?;
        record.serialize_field("Offset", self.event.offset)?;
        record.serialize_field("EnqueuedTimeUtc", &capture_time(self.event.enqueued_at))?;
        record.serialize_field("SystemProperties", &self.system_properties)?;
        record.serialize_field("Properties", &self.properties)?;
        record.serialize_field("Body", &Some(Body(self.event.body)))?;
        record.end()
    }
}

/// Plain slices serialize as sequences of numbers.
struct Body<'a>(&'a [u8]);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// `4/17/2018 8:25:09 PM`, as Capture writes it.
fn capture_time(at: UtcDateTime) -> String {
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let half = if at.hour() < 12 { "AM" } else { "PM" };
    let mut text = String::with_capacity(24);
    // Writing to a String cannot fail.
    _ = write!(
        text,
        "{}/{}/{} {hour}:{:02}:{:02} {half}",
        u8::from(at.month()),
        at.day(),
        at.year(),
        at.minute(),
        at.second(),
    );
    text
}

#[cfg(test)]
mod tests;
