//! Several of the archive's files as one. Blocks are taken over as they are, so that nothing about an event is read, and
//! nothing of it can be lost.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::CaptureError;
use super::reader::{self, Codec};
use super::writer::{LEVEL, append_bytes, append_long, header, sync_marker};

/// Makes one file of several, in their order. The same files always give the same bytes. Returns how many events it has.
///
/// # Errors
/// Where one of the files is damaged or no file of the archive.
pub fn concatenate<'a>(
    files: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, u64), CaptureError> {
    let marker = sync_marker(0);
    let mut all = header(&marker);
    let mut events = 0;
    for file in files {
        reader::blocks(file, |codec, count, stored| {
            append_long(count, &mut all);
            match codec {
                Codec::Deflate => append_bytes(stored, &mut all),
                Codec::Null => append_bytes(&deflate(stored)?, &mut all),
            }
            all.extend_from_slice(&marker);
            events += count.unsigned_abs();
            Ok(())
        })?;
    }
    Ok((all, events))
}

/// Of files that an older build wrote.
fn deflate(block: &[u8]) -> Result<Vec<u8>, CaptureError> {
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    let mut deflated = Vec::with_capacity(block.len() / 4 + 1024);
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = block.get(taken..).unwrap_or_default();
        if deflate.compress_vec(rest, &mut deflated, FlushCompress::Finish)? == Status::StreamEnd {
            return Ok(deflated);
        }
        deflated.reserve(rest.len() / 4 + 1024);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::{PLAIN, event};
    use super::super::{decode, encode};
    use super::*;

    #[test]
    fn one_file_has_what_several_had() {
        let bodies: Vec<Vec<u8>> = (0..9_u8)
            .map(|n| vec![n; usize::from(n) * 20_000])
            .collect();
        let files: Vec<Vec<u8>> = bodies
            .chunks(2)
            .zip(1..)
            .map(|(bodies, number)| encode(bodies.iter().map(|body| event(number, body))).unwrap())
            .chain([PLAIN.to_vec(), encode([]).unwrap()])
            .collect();
        let (one, count) = concatenate(files.iter().map(Vec::as_slice)).unwrap();
        let expected: Vec<_> = files
            .iter()
            .flat_map(|file| decode(file).unwrap())
            .collect();
        assert_eq!(decode(&one).unwrap(), expected);
        assert_eq!(count, expected.len() as u64);
        // Again, of one, and of what was made so.
        let (again, _) = concatenate([one.as_slice()]).unwrap();
        assert!(again == one);
        assert!(concatenate([&one[..one.len() - 1]]).is_err());
    }
}
