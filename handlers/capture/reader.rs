//! Reading the archive's files: the Avro container, narrowed to the schema of Capture.
//!
//! Written by hand, though there are libraries: the usual one takes any schema that a file brings, reserves what
//! a length says before it looks whether the file is that long (30 bytes can ask for 512 MiB), and takes a record
//! that is cut short for one with an empty body. Here a block is walked as a slice: nothing is reserved for what
//! is not there, and what is cut short is an error. The property tests hold the two against each other for every
//! file that [`encode`](super::encode) writes.

use flate2::{Decompress, FlushDecompress, Status};
use time::UtcDateTime;

use super::schema::{BYTES, DOUBLE, LONG, NULL, STRING, is_captures};
use super::{ArchivedEvent, CaptureError, ENQUEUED_TIME};
use crate::domain::{self, FIRST_ENQUEUED_AT};

/// What a deflated block may grow to, in bytes: that of a hub whose events have 20 MB (a dedicated cluster), and
/// several of them. DEFLATE alone would let 64 KiB become 64 MiB, and so on.
const LARGEST_BLOCK: usize = 64 * 1024 * 1024;

/// The least that a record takes: a byte for each of its six fields.
const SMALLEST_RECORD: usize = 6;

/// Reads the events of a file, in the order of the file. What it holds in memory is never more than a small
/// multiple of what the file holds, which DEFLATE makes at most a thousandfold of the file.
///
/// # Errors
/// Where the bytes are not a whole Avro file in Capture's schema, plain or deflated.
pub fn decode(file: &[u8]) -> Result<Vec<ArchivedEvent>, CaptureError> {
    let mut events = Vec::new();
    let mut inflated = Vec::new();
    walk(file, |block| {
        let damaged = || CaptureError::Damaged { byte: block.start };
        let count = usize::try_from(block.count).map_err(|_| damaged())?;
        match block.codec {
            // A record must not reach beyond its block.
            Codec::Null => read_block(&file[..block.end], block.begin, count, &mut events),
            Codec::Deflate => {
                let stored = &file[block.begin..block.end];
                // Even deflated, no event is less than a byte: its number is not that of the one before.
                if count > stored.len() {
                    return Err(damaged());
                }
                inflate(stored, &mut inflated).ok_or_else(damaged)?;
                // Places in what was inflated are none of the file's.
                read_block(&inflated, 0, count, &mut events).map_err(|_| damaged())
            }
        }
    })?;
    Ok(events)
}

/// Hands out the blocks of a file as they are stored: how, of how many events, and their bytes.
pub(super) fn blocks(
    file: &[u8],
    mut each: impl FnMut(Codec, i64, &[u8]) -> Result<(), CaptureError>,
) -> Result<(), CaptureError> {
    walk(file, |block| {
        each(block.codec, block.count, &file[block.begin..block.end])
    })
}

/// A block of a file, and where it is.
struct Block {
    codec: Codec,
    count: i64,
    /// Of what says how large it is.
    start: usize,
    begin: usize,
    end: usize,
}

fn walk(
    file: &[u8],
    mut each: impl FnMut(Block) -> Result<(), CaptureError>,
) -> Result<(), CaptureError> {
    let mut walk = Walk { file, at: 0 };
    let (codec, marker) = walk.header()?;
    while walk.at < file.len() {
        let start = walk.at;
        let count = walk.long()?;
        let size = walk.length()?;
        let begin = walk.at;
        walk.take(size)
            .map_err(|_| CaptureError::Damaged { byte: start })?;
        let end = walk.at;
        each(Block {
            codec,
            count,
            start,
            begin,
            end,
        })?;
        if walk.take(marker.len())? != marker {
            return Err(CaptureError::Damaged { byte: end });
        }
    }
    Ok(())
}

/// How blocks are stored.
#[derive(Clone, Copy)]
pub(super) enum Codec {
    Null,
    Deflate,
}

/// Reads `count` records, which end where `bytes` does.
fn read_block(
    bytes: &[u8],
    at: usize,
    count: usize,
    events: &mut Vec<ArchivedEvent>,
) -> Result<(), CaptureError> {
    if count > (bytes.len() - at) / SMALLEST_RECORD {
        return Err(CaptureError::Damaged { byte: at });
    }
    let mut block = Walk { file: bytes, at };
    events.reserve(count);
    for _ in 0..count {
        events.push(block.event()?);
    }
    if block.at != bytes.len() {
        return Err(block.damaged());
    }
    Ok(())
}

/// Inflates a whole block; `None` where it is damaged or grows beyond [`LARGEST_BLOCK`].
fn inflate(stored: &[u8], inflated: &mut Vec<u8>) -> Option<()> {
    let mut inflate = Decompress::new(false);
    inflated.clear();
    loop {
        let taken = usize::try_from(inflate.total_in()).ok()?;
        let before = inflated.len();
        inflated.reserve(before.max(stored.len()).max(1024));
        let finish = FlushDecompress::Finish;
        let rest = stored.get(taken..)?;
        let status = inflate.decompress_vec(rest, inflated, finish).ok()?;
        let all_in = inflate.total_in() == stored.len() as u64;
        if inflated.len() > LARGEST_BLOCK {
            return None;
        }
        match status {
            // Nothing may follow the end of the stream.
            Status::StreamEnd => return all_in.then_some(()),
            // There was room for more, and nothing came.
            _ if inflated.len() == before => return None,
            _ => {}
        }
    }
}

/// A place in a file.
struct Walk<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Everything before the first block; returns how blocks are stored, and the marker that ends each.
    fn header(&mut self) -> Result<(Codec, &'a [u8]), CaptureError> {
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
        let codec = match codec {
            None | Some(b"null") => Codec::Null,
            Some(b"deflate") => Codec::Deflate,
            Some(_) => return Err(CaptureError::Codec),
        };
        Ok((codec, self.take(16)?))
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
