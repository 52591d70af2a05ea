//! A scanner for the outer levels of a batch's envelope.
//!
//! A general JSON parser would go over a batch's arrays twice, once to find where they end and once to
//! unescape them, and these arrays are nearly all of the call. Everything else is left to `serde_json`.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::envelope::EnvelopeError;
use crate::json::string;

/// Where unescaping begins; grows with what is found.
const FIRST_CAPACITY: usize = 4 * 1024;

pub(super) struct Scanner<'a> {
    body: &'a Bytes,
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a Bytes) -> Result<Self, EnvelopeError> {
        let text =
            std::str::from_utf8(body).map_err(|_| EnvelopeError::Other("the call is not UTF-8"))?;
        Ok(Self { body, text, at: 0 })
    }

    /// Reads an object. `read` gets the name of each member, and must read its value.
    pub(super) fn members(
        &mut self,
        mut read: impl FnMut(&mut Self, &str) -> Result<(), EnvelopeError>,
    ) -> Result<(), EnvelopeError> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = string(self.value()?.get()).ok_or_else(|| self.wrong())?;
            self.expect(b':')?;
            read(self, &name)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Any value, as its text.
    pub(super) fn value(&mut self) -> Result<&'a RawValue, EnvelopeError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&'a RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            _ => Err(self.wrong()),
        }
    }

    /// The JSON text of an array that is encoded once or twice; `None` for null.
    pub(super) fn unwrapped(&mut self) -> Result<Option<Bytes>, EnvelopeError> {
        if self.take(b'"') {
            let text = self.unescaped()?;
            return Ok((*text != *b"null").then_some(text));
        }
        let value = self.value()?.get();
        Ok((value != "null").then(|| self.body.slice_ref(value.as_bytes())))
    }

    /// Nothing but white space may follow.
    pub(super) fn end(mut self) -> Result<(), EnvelopeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong()),
        }
    }

    /// The rest of a string whose opening quote has been read.
    fn unescaped(&mut self) -> Result<Bytes, EnvelopeError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let first = find_special(bytes, start).ok_or_else(|| self.wrong())?;
        self.at = first;
        if bytes[first] == b'"' {
            self.at += 1;
            return Ok(self.body.slice(start..first));
        }
        let mut text = Vec::with_capacity(FIRST_CAPACITY.max(first - start));
        text.extend_from_slice(&bytes[start..first]);
        loop {
            self.at += unescape_blocks(&bytes[self.at..], &mut text);
            // At what the blocks have left: an end, a rarer escape, or the last bytes of the call.
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => self.at = self.escape(&mut text)?,
                Some(_) => {
                    let end = find_special(bytes, self.at).ok_or_else(|| self.wrong())?;
                    text.extend_from_slice(&bytes[self.at..end]);
                    self.at = end;
                }
                None => return Err(self.wrong()),
            }
        }
    }

    /// Writes what the escape at the current place stands for, and returns where it ends.
    fn escape(&self, text: &mut Vec<u8>) -> Result<usize, EnvelopeError> {
        let bytes = self.text.as_bytes();
        let plain = match bytes.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => return self.unicode_escape(text),
            _ => return Err(self.wrong()),
        };
        text.push(plain);
        Ok(self.at + 2)
    }

    fn unicode_escape(&self, text: &mut Vec<u8>) -> Result<usize, EnvelopeError> {
        let unit = |at: usize| {
            let hex = self.text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
            let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u16::from_str_radix(hex, 16).ok()).flatten()
        };
        let first = unit(self.at).ok_or_else(|| self.wrong())?;
        let second = matches!(first, 0xD800..0xDC00)
            .then(|| unit(self.at + 6))
            .flatten();
        let units = [first, second.unwrap_or_default()];
        let pair = char::decode_utf16(units).next().and_then(Result::ok);
        let (character, length) = match pair {
            Some(character) if character.len_utf16() == 2 => (character, 12),
            Some(character) => (character, 6),
            // Half a pair: .NET's strings can hold one, UTF-8 cannot. Refused, it would hold its partition.
            None => (char::REPLACEMENT_CHARACTER, 6),
        };
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(self.at + length)
    }

    fn expect(&mut self, byte: u8) -> Result<(), EnvelopeError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let skipped = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.at += skipped;
        rest.get(skipped).copied()
    }

    fn wrong(&self) -> EnvelopeError {
        EnvelopeError::At { byte: self.at }
    }
}

/// Bytes examined at a time, and more than is ever copied at once beyond them.
const BLOCK: usize = 64;
const PIECE: usize = 16;

/// Unescapes whole blocks up to an unescaped quote or a rarer escape, and returns how far it came.
///
/// Escaped quotes stand a few bytes apart in JSON within JSON, at distances that no branch predictor
/// knows. So all places of a block are found at once, without branches, and pieces between them are
/// copied at a fixed length and cut back.
fn unescape_blocks(bytes: &[u8], text: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(block) = bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<{ BLOCK + PIECE }>())
    {
        let mut places = special_places(block);
        let mut done = 0;
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            copy_piece(block, done, place, text);
            let escaped = block[place + 1];
            if block[place] == b'"' || !matches!(escaped, b'"' | b'\\' | b'/') {
                return at + place;
            }
            text.push(escaped);
            done = place + 2;
            // The escaped byte, in this block, is no place of its own.
            places &= (!0_u64).checked_shl(done as u32).unwrap_or(0);
        }
        if done < BLOCK {
            text.extend_from_slice(&block[done..BLOCK]);
        }
        at += done.max(BLOCK);
    }
    at
}

fn copy_piece(block: &[u8; BLOCK + PIECE], from: usize, to: usize, text: &mut Vec<u8>) {
    let length = text.len() + to - from;
    if to - from > PIECE {
        text.extend_from_slice(&block[from..to]);
    } else {
        text.extend_from_slice(&block[from..from + PIECE]);
        text.truncate(length);
    }
}

/// A bit for each quote or backslash among the first 64 bytes.
fn special_places(block: &[u8; BLOCK + PIECE]) -> u64 {
    let (words, _) = block[..BLOCK].as_chunks::<8>();
    words.iter().rev().fold(0, |places, word| {
        let found = special_bytes(u64::from_le_bytes(*word));
        // Gathers the lowest bit of each byte in the highest byte.
        let gathered = (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        (places << 8) | gathered
    })
}

/// The high bit of each byte that is a quote or a backslash.
fn special_bytes(word: u64) -> u64 {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x7F; 8]);
    let zeros = |word: u64| !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS);
    zeros(word ^ u64::from_ne_bytes([b'"'; 8])) | zeros(word ^ u64::from_ne_bytes([b'\\'; 8]))
}

/// The place of the first quote or backslash at or after `at`.
fn find_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        match special_bytes(u64::from_le_bytes(*chunk)) {
            0 => at += 8,
            found => return Some(at + found.trailing_zeros() as usize / 8),
        }
    }
    let rest = bytes.get(at..)?;
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn unescape(json: &str) -> Result<Vec<u8>, EnvelopeError> {
        let body = Bytes::from(json.to_owned());
        let mut scanner = Scanner::new(&body)?;
        let text = scanner.unwrapped()?.unwrap_or_default().to_vec();
        scanner.end()?;
        Ok(text)
    }

    #[test]
    fn every_escape_is_read() {
        let json = r#""a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE81z""#;
        let expected: String = serde_json::from_str(json).unwrap();
        assert_eq!(unescape(json).unwrap(), expected.as_bytes());
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(unescape(r#""\ud800""#).unwrap(), "\u{fffd}".as_bytes());
        assert_eq!(
            unescape(r#""\ud800\u0041""#).unwrap(),
            "\u{fffd}A".as_bytes()
        );
        assert_eq!(unescape(r#""\udc00x""#).unwrap(), "\u{fffd}x".as_bytes());
    }

    #[test]
    fn broken_strings_are_refused() {
        for json in [
            r#"""#,
            r#""abc"#,
            r#""\"#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""a"b"#,
        ] {
            assert!(unescape(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_unescaped_as_by_the_general_parser(
            text in "([a-z]{0,12}[\"\\\\/\n\r\t\u{0}-\u{1f}é🚁]{0,3}){0,12}",
        ) {
            prop_assume!(text != "null");
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&json).unwrap(), text.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let body = Bytes::from(bytes);
            if let Ok(mut scanner) = Scanner::new(&body) {
                _ = scanner.members(|scanner, _| scanner.unwrapped().map(|_| ()));
            }
        }
    }
}
