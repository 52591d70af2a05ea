//! Reading the archive's files: the Avro container, narrowed to the schema of Capture.
//!
//! Written by hand, though a library is at hand that the files are written with: it takes any schema that a
//! file brings, reserves what a length says before it looks whether the file is that long (30 bytes can ask for
//! 512 MiB), and takes a record that is cut short for one with an empty body. Here a file is walked as a slice:
//! nothing is reserved for what is not there, and what is cut short is an error. The property tests hold the two
//! against each other for every file that [`encode`](super::encode) writes.

use apache_avro::Schema;
use time::UtcDateTime;

use super::{ArchivedEvent, CaptureError, ENQUEUED_TIME, PARSED_SCHEMA};
use crate::domain::{self, FIRST_ENQUEUED_AT};

/// The longest schema that is looked at. Capture's has 600 bytes; spaces and doc comments are allowed for.
const LONGEST_SCHEMA: usize = 16 * 1024;

/// The least that a record takes: a byte for each of its six fields.
const SMALLEST_RECORD: usize = 6;

/// The variants of a property's value, by their place in the schema; `Properties` alone has the last.
const LONG: i64 = 0;
const DOUBLE: i64 = 1;
const STRING: i64 = 2;
const BYTES: i64 = 3;
const NULL: i64 = 4;

/// Reads the events of a file, in the order of the file. What it holds in memory is never more than a small
/// multiple of the file.
///
/// # Errors
/// Where the bytes are not a whole Avro file in Capture's schema, uncompressed as Capture writes it.
pub fn decode(file: &[u8]) -> Result<Vec<ArchivedEvent>, CaptureError> {
    let mut walk = Walk { file, at: 0 };
    let marker = walk.header()?;
    let mut events = Vec::new();
    while walk.at < file.len() {
        let start = walk.at;
        let count = walk.length()?;
        let size = walk.length()?;
        let end = walk.at.checked_add(size).filter(|end| *end <= file.len());
        let end = end.ok_or(CaptureError::Damaged { byte: start })?;
        if count > size / SMALLEST_RECORD {
            return Err(CaptureError::Damaged { byte: start });
        }
        // A record must not reach beyond its block.
        let mut block = Walk {
            file: &file[..end],
            at: walk.at,
        };
        events.reserve(count);
        for _ in 0..count {
            events.push(block.event()?);
        }
        if block.at != end {
            return Err(CaptureError::Damaged { byte: block.at });
        }
        walk.at = end;
        if walk.take(marker.len())? != marker {
            return Err(CaptureError::Damaged { byte: end });
        }
    }
    Ok(events)
}

/// A place in a file.
struct Walk<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Everything before the first block; returns the marker that ends each block.
    fn header(&mut self) -> Result<&'a [u8], CaptureError> {
        if self.take(4)? != b"Obj\x01" {
            return Err(CaptureError::Damaged { byte: 0 });
        }
        let (mut schema, mut codec) = (None, None);
        self.map(|walk, name| {
            let value = walk.bytes()?;
            match name {
                "avro.schema" => schema = Some(value),
                "avro.codec" => codec = Some(value),
                _ => {}
            }
            Ok(())
        })?;
        if !schema.is_some_and(is_captures) {
            return Err(CaptureError::Schema);
        }
        if !matches!(codec, None | Some(b"null")) {
            return Err(CaptureError::Codec);
        }
        self.take(16)
    }

    fn event(&mut self) -> Result<ArchivedEvent, CaptureError> {
        let sequence_number = self.long()?;
        let offset = self.text()?.to_owned();
        // `EnqueuedTimeUtc`, in whole seconds.
        self.text()?;
        let (mut enqueued_at, mut authenticated_device) = (None, None);
        self.map(|walk, name| {
            let value = walk.property(BYTES)?;
            match (name, value) {
                (ENQUEUED_TIME, value) => enqueued_at = value.time(),
                ("iothub-connection-device-id", value) => authenticated_device = value.text(),
                _ => {}
            }
            Ok(())
        })?;
        let mut first_enqueued_at = None;
        self.map(|walk, name| {
            let value = walk.property(NULL)?;
            if name == FIRST_ENQUEUED_AT {
                first_enqueued_at = value.text().as_deref().and_then(domain::first_enqueued_at);
            }
            Ok(())
        })?;
        let body = match self.long()? {
            0 => Vec::new(),
            1 => self.bytes()?.to_vec(),
            _ => return Err(self.damaged()),
        };
        Ok(ArchivedEvent {
            sequence_number,
            offset,
            enqueued_at,
            first_enqueued_at,
            authenticated_device,
            body,
        })
    }

    /// A property's value; `last` is the last variant that its map allows.
    fn property(&mut self, last: i64) -> Result<Property<'a>, CaptureError> {
        match self.long()? {
            LONG => Ok(Property::Long(self.long()?)),
            DOUBLE => self.take(8).map(|_| Property::Other),
            STRING => Ok(Property::Text(self.text()?)),
            BYTES => self.bytes().map(|_| Property::Other),
            NULL if last == NULL => Ok(Property::Other),
            _ => Err(self.damaged()),
        }
    }

    /// A map: blocks of entries up to an empty one. `read` gets the name of each, and must read its value.
    fn map(
        &mut self,
        mut read: impl FnMut(&mut Self, &'a str) -> Result<(), CaptureError>,
    ) -> Result<(), CaptureError> {
        loop {
            let count = self.long()?;
            if count < 0 {
                // The size of the block in bytes, for those who want to skip it.
                self.length()?;
            }
            if count == 0 {
                return Ok(());
            }
            // Every entry takes bytes, so a false count ends with the file.
            for _ in 0..count.unsigned_abs() {
                let name = self.text()?;
                read(self, name)?;
            }
        }
    }

    fn text(&mut self) -> Result<&'a str, CaptureError> {
        let byte = self.at;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| CaptureError::Damaged { byte })
    }

    fn bytes(&mut self) -> Result<&'a [u8], CaptureError> {
        let length = self.length()?;
        self.take(length)
    }

    fn length(&mut self) -> Result<usize, CaptureError> {
        usize::try_from(self.long()?).map_err(|_| self.damaged())
    }

    /// A zigzag variable-length integer, at most ten bytes.
    fn long(&mut self) -> Result<i64, CaptureError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                return Err(self.damaged());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.damaged())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CaptureError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| self.damaged())?;
        self.at += length;
        Ok(taken)
    }

    fn damaged(&self) -> CaptureError {
        CaptureError::Damaged { byte: self.at }
    }
}

/// The values that somebody asks for.
enum Property<'a> {
    Long(i64),
    Text(&'a str),
    Other,
}

impl Property<'_> {
    /// Milliseconds since 1970.
    fn time(&self) -> Option<UtcDateTime> {
        let Self::Long(millis) = self else {
            return None;
        };
        UtcDateTime::from_unix_timestamp_nanos(i128::from(*millis) * 1_000_000).ok()
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            _ => None,
        }
    }
}

/// Whether a schema's text is Capture's schema, but for the order of names, documentation and white space.
fn is_captures(schema: &[u8]) -> bool {
    schema.len() <= LONGEST_SCHEMA
        && std::str::from_utf8(schema)
            .ok()
            .and_then(|text| Schema::parse_str(text).ok())
            .is_some_and(|schema| schema == *PARSED_SCHEMA)
}
