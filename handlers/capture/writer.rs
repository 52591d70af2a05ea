//! Writing the archive's files: an Avro container whose blocks are deflated, by hand for the one schema.
//!
//! A general Avro library takes each event through serde to its own form of the schema and checks it against
//! that; measured, it cost four times what the JSON of the properties does. Here an event is appended to its
//! block as it is read, and nothing is kept but the buffers. The tests hold the files against that library.
//!
//! Level 1 of DEFLATE is what pays. Of 803 bytes an event of the article's fleet in batches of 256, with the
//! properties that IoT Hub sets (zlib-rs, microseconds and bytes an event): level 1 1.4 us, 138; level 2 2.8 us,
//! 107; level 4 3.6 us, 99; level 6 5.2 us, 97. A byte less costs more in the handler than it does in storage.

use std::cell::Cell;
use std::fmt::Write as _;

use flate2::{Compress, Compression, FlushCompress, Status};
use time::UtcDateTime;

use super::received::LastBag;
use super::schema::SCHEMA;
use super::{CaptureError, CapturedEvent, properties};

/// What a block holds before it is deflated: large enough for what repeats from event to event, small enough to
/// stay in a processor's cache and to split a file for parallel reading.
const BLOCK_SIZE: usize = 256 * 1024;

/// Blocks of large events are larger; their buffers are not kept.
const LARGEST_KEPT: usize = 1024 * 1024;

pub(super) const LEVEL: u32 = 1;

/// `Body`'s variant that is not null.
const BODY: i64 = 1;

thread_local! {
    /// What DEFLATE needs takes longer to make than a small batch to write. One for each worker thread.
    static BLOCK_WRITER: Cell<Option<Box<BlockWriter>>> = const { Cell::new(None) };
}

/// Writes events as one Avro file, its blocks deflated. The same events always give the same bytes.
///
/// Properties that are not a JSON object, which the host never sends, are kept as they are, under the
/// name [`UNREADABLE`](super::UNREADABLE): nothing about an event may keep it out of the archive.
///
/// # Errors
/// Where DEFLATE refuses, which it has no reason to.
pub fn encode<'a>(
    events: impl IntoIterator<Item = CapturedEvent<'a>>,
) -> Result<Vec<u8>, CaptureError> {
    let mut events = events.into_iter().peekable();
    let first = events.peek().map_or(0, |event| event.sequence_number);
    let marker = sync_marker(first);
    let mut file = header(&marker);
    let mut writer = BLOCK_WRITER.take().unwrap_or_default();
    writer.clear();
    let mut last = LastBag::default();
    for event in events {
        writer.append(&event, &mut last);
        if writer.block.len() >= BLOCK_SIZE {
            writer.end_block(&marker, &mut file)?;
            last.forget();
        }
    }
    writer.end_block(&marker, &mut file)?;
    BLOCK_WRITER.set(Some(writer));
    Ok(file)
}

pub(super) fn header(marker: &[u8; 16]) -> Vec<u8> {
    let mut file = Vec::with_capacity(64 * 1024);
    file.extend_from_slice(b"Obj\x01");
    append_long(2, &mut file);
    for text in ["avro.schema", SCHEMA, "avro.codec", "deflate"] {
        append_bytes(text.as_bytes(), &mut file);
    }
    append_long(0, &mut file);
    file.extend_from_slice(marker);
    file
}

/// Avro wants a marker that is unlikely in the data, not a random one; a file that is written again
/// by a retry should be the same file.
pub(super) fn sync_marker(first_sequence_number: i64) -> [u8; 16] {
    let mut marker = *b"\xf0drone\x00archive\xff\x0d";
    for (byte, mixed) in marker[8..]
        .iter_mut()
        .zip(first_sequence_number.to_be_bytes())
    {
        *byte ^= mixed;
    }
    marker
}

/// The block that is being written, and what writing the next one takes.
struct BlockWriter {
    events: i64,
    block: Vec<u8>,
    deflate: Compress,
    deflated: Vec<u8>,
    /// The last [`capture_time`], in seconds since 1970: many events share one.
    second: Option<i64>,
    time: String,
}

impl Default for BlockWriter {
    fn default() -> Self {
        Self {
            events: 0,
            block: Vec::with_capacity(BLOCK_SIZE),
            // Avro's blocks have no zlib header.
            deflate: Compress::new(Compression::new(LEVEL), false),
            deflated: Vec::new(),
            second: None,
            time: String::new(),
        }
    }
}

impl BlockWriter {
    fn clear(&mut self) {
        self.events = 0;
        self.block.clear();
    }

    fn append<'a>(&mut self, event: &CapturedEvent<'a>, last: &mut LastBag<'a>) {
        let at = event.enqueued_at;
        let second = at.unix_timestamp();
        if self.second != Some(second) {
            self.second = Some(second);
            capture_time(at, &mut self.time);
        }
        let block = &mut self.block;
        append_long(event.sequence_number, block);
        append_bytes(event.offset.as_bytes(), block);
        append_bytes(self.time.as_bytes(), block);
        let millis = second * 1000 + i64::from(at.millisecond());
        properties::append_system(&event.system_properties, last, millis, block);
        properties::append(&event.properties, block);
        append_long(BODY, block);
        append_bytes(event.body, block);
        self.events += 1;
    }

    fn end_block(&mut self, marker: &[u8; 16], file: &mut Vec<u8>) -> Result<(), CaptureError> {
        if self.events == 0 {
            return Ok(());
        }
        self.deflate.reset();
        self.deflated.clear();
        loop {
            let taken = usize::try_from(self.deflate.total_in()).unwrap_or(usize::MAX);
            let rest = self.block.get(taken..).unwrap_or_default();
            self.deflated.reserve(rest.len() / 4 + 1024);
            let finish = FlushCompress::Finish;
            let status = self
                .deflate
                .compress_vec(rest, &mut self.deflated, finish)?;
            if status == Status::StreamEnd {
                break;
            }
        }
        append_long(self.events, file);
        append_bytes(&self.deflated, file);
        file.extend_from_slice(marker);
        self.clear();
        for buffer in [&mut self.block, &mut self.deflated] {
            if buffer.capacity() > LARGEST_KEPT {
                buffer.clear();
                buffer.shrink_to(BLOCK_SIZE);
            }
        }
        Ok(())
    }
}

/// A zigzag variable-length integer.
pub(super) fn append_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes, or the UTF-8 of a string: a length, and so many bytes.
pub(super) fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    append_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

/// `4/17/2018 8:25:09 PM`, as Capture writes it.
pub(super) fn capture_time(at: UtcDateTime, text: &mut String) {
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let half = if at.hour() < 12 { "AM" } else { "PM" };
    text.clear();
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
}
