//! A scanner for the outer levels of a batch's envelope.
//!
//! A general JSON parser would go over a batch's arrays twice, once to find where they end and once to
//! unescape them, and these arrays are nearly all of the call. Here only their ends are found; an array is
//! unescaped when somebody asks for it, and of the properties no more than is asked for. Everything else is left
//! to `serde_json`.

use std::ops::Range;

use memchr::memmem;
use serde_json::value::RawValue;

use super::envelope::ArrayText;
use crate::envelope::EnvelopeError;
use crate::json::string;

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
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
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&'a RawValue>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            _ => Err(self.wrong()),
        }
    }

    /// An array that is encoded once or twice; `None` for null.
    pub(super) fn array(&mut self) -> Result<Option<ArrayText>, EnvelopeError> {
        if self.take(b'"') {
            let start = self.at;
            let end = string_end(self.bytes, start).ok_or_else(|| self.wrong())?;
            self.at = end + 1;
            let text = &self.bytes[start..end];
            return Ok(match text {
                b"null" => None,
                _ if memchr::memchr(b'\\', text).is_some() => Some(ArrayText::Escaped(start..end)),
                _ => Some(ArrayText::Plain(start..end)),
            });
        }
        let value = self.value()?.get();
        Ok((value != "null").then(|| ArrayText::Plain(self.at - value.len()..self.at)))
    }

    /// The places of the elements of an array of strings that is encoded twice, and whose strings hold nothing that
    /// is escaped: base64, as the host writes it. `None`, and nothing is read, where it is anything else.
    pub(super) fn escaped_strings(&mut self) -> Option<Vec<Range<usize>>> {
        // Whatever stands before the value has been read, so it is here or after white space.
        self.peek()?;
        let array = self.bytes.get(self.at..)?.strip_prefix(b"\"[")?;
        let mut at = self.at + 2;
        let mut places = Vec::new();
        if array.starts_with(b"]\"") {
            self.at = at + 2;
            return Some(places);
        }
        loop {
            let rest = self.bytes.get(at..)?.strip_prefix(b"\\\"")?;
            let length = memchr::memchr(b'\\', rest)?;
            places.push(at + 2..at + 2 + length);
            at += 2 + length + 2;
            match rest.get(length..)? {
                [b'\\', b'"', b',', ..] => at += 1,
                [b'\\', b'"', b']', b'"', ..] => break,
                _ => return None,
            }
        }
        self.at = at + 2;
        Some(places)
    }

    /// Nothing but white space may follow.
    pub(super) fn end(mut self) -> Result<(), EnvelopeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong()),
        }
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
        let rest = self.bytes.get(self.at..)?;
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

/// Where the string ends whose content begins at `start`: the place of its quote.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    // An array's last bracket and the quote behind it, if no quote before that ends the string.
    if let Some(found) = memmem::find(&bytes[start..], b"]\"") {
        let end = start + found + 1;
        if quotes_are_escaped(bytes, start, end) {
            return Some(end);
        }
    }
    let mut at = start;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Whether before each quote stand one backslash or three, and no more: in JSON within JSON the quotes of names and
/// strings, and the quotes within strings. False also where it would take a closer look.
///
/// Quotes stand a few bytes apart, at distances that no branch predictor knows, so this looks at every byte and the
/// four before it without a branch; compilers make vector instructions of that.
fn quotes_are_escaped(bytes: &[u8], start: usize, end: usize) -> bool {
    const BEFORE: usize = 4;
    let Some(window) = start
        .checked_sub(BEFORE)
        .and_then(|from| bytes.get(from..end))
    else {
        return false;
    };
    let length = window.len() - BEFORE;
    let before = |places: usize| &window[BEFORE - places..][..length];
    let (quotes, first, second, third, fourth) =
        (before(0), before(1), before(2), before(3), before(4));
    let mut wrong = 0;
    for at in 0..length {
        let quote = u8::from(quotes[at] == b'"');
        let first = u8::from(first[at] == b'\\');
        let second = u8::from(second[at] == b'\\');
        let third = u8::from(third[at] == b'\\');
        let fourth = u8::from(fourth[at] == b'\\');
        let one = first & (second ^ 1);
        let three = first & second & third & (fourth ^ 1);
        wrong |= quote & ((one | three) ^ 1);
    }
    wrong == 0
}

/// The content of a JSON string, or where it is not one.
pub(super) enum Unescaped {
    Whole(Vec<u8>),
    WrongAt(usize),
}

/// Unescapes what stands between a string's quotes.
pub(super) fn unescape(bytes: &[u8]) -> Unescaped {
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        at += unescape_blocks(&bytes[at..], &mut text);
        // At what the blocks have left: a rarer escape, a quote, or the last bytes.
        match bytes.get(at) {
            None => return Unescaped::Whole(text),
            Some(b'\\') => match escape(bytes, at, &mut text) {
                Some(end) => at = end,
                None => return Unescaped::WrongAt(at),
            },
            Some(b'"') => return Unescaped::WrongAt(at),
            Some(_) => {
                let end = find_special(bytes, at).unwrap_or(bytes.len());
                text.extend_from_slice(&bytes[at..end]);
                at = end;
            }
        }
    }
}

/// Writes what the escape at a place stands for, and returns where it ends.
fn escape(bytes: &[u8], at: usize, text: &mut Vec<u8>) -> Option<usize> {
    let plain = match *bytes.get(at + 1)? {
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => return unicode_escape(bytes, at, text),
        _ => return None,
    };
    text.push(plain);
    Some(at + 2)
}

fn unicode_escape(bytes: &[u8], at: usize, text: &mut Vec<u8>) -> Option<usize> {
    let unit = |at: usize| {
        let hex = bytes.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        hex.iter().try_fold(0, |unit: u16, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | value as u16)
        })
    };
    let first = unit(at)?;
    let second = matches!(first, 0xD800..0xDC00)
        .then(|| unit(at + 6))
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
    Some(at + length)
}

/// Bytes examined at a time, and more than is ever copied at once beyond them.
const BLOCK: usize = 64;
const PIECE: usize = 16;

/// Unescapes whole blocks up to a quote that is not escaped or a rarer escape, and returns how far it came.
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

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// A string's content, by way of where it ends.
    fn content(json: &str) -> Result<Vec<u8>, EnvelopeError> {
        let call = Bytes::from(json.to_owned());
        let mut scanner = Scanner::new(&call);
        let text = scanner.array()?;
        scanner.end()?;
        match text {
            Some(text) => Ok(text.get(&call)?.to_vec()),
            None => Ok(Vec::new()),
        }
    }

    #[test]
    fn every_escape_is_read() {
        let json = r#""a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE81z""#;
        let expected: String = serde_json::from_str(json).unwrap();
        assert_eq!(content(json).unwrap(), expected.as_bytes());
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(content(r#""\ud800""#).unwrap(), "\u{fffd}".as_bytes());
        assert_eq!(
            content(r#""\ud800\u0041""#).unwrap(),
            "\u{fffd}A".as_bytes()
        );
        assert_eq!(content(r#""\udc00x""#).unwrap(), "\u{fffd}x".as_bytes());
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
            assert!(content(json).is_err(), "{json}");
        }
    }

    /// The host ends an array with its bracket; whoever does not must not be given what comes after it.
    #[test]
    fn a_string_ends_at_its_own_quote() {
        for text in [
            "[1] ",
            "",
            "]",
            "[",
            "null ",
            r#"["a"] "#,
            r#"["\\"]"#,
            r#"["\\\""]"#,
            r#"["a\\\\"]x"#,
            r"[\",
        ] {
            let name = serde_json::to_string(text).unwrap();
            let call = Bytes::from(format!(r#"{{"Array":{name},"Other":"[\"x\"]","n":[""]}}"#));
            let mut found = Vec::new();
            let mut scanner = Scanner::new(&call);
            scanner
                .members(|scanner, _| {
                    let text = scanner.array()?.unwrap();
                    found.push(text.get(&call)?);
                    Ok(())
                })
                .unwrap();
            assert_eq!(found, [text.as_bytes(), br#"["x"]"#, br#"[""]"#]);
        }
    }

    fn strings(json: &str) -> Option<Vec<&str>> {
        let mut scanner = Scanner::new(json.as_bytes());
        let found = scanner.escaped_strings();
        match &found {
            Some(_) => scanner.end().unwrap(),
            None => assert!(scanner.value().is_ok(), "nothing was read"),
        }
        Some(found?.into_iter().map(|place| &json[place]).collect())
    }

    #[test]
    fn strings_are_found_where_they_stand_and_otherwise_nothing_is_read() {
        assert_eq!(strings(r#""[]""#), Some(vec![]));
        assert_eq!(strings(r#" "[\"\"]" "#), Some(vec![""]));
        assert_eq!(strings(r#""[\"ab=\",\"c/+\"]""#), Some(vec!["ab=", "c/+"]));
        for other in [
            r#"["a"]"#,
            "null",
            r#""null""#,
            r#""[1]""#,
            r#""[\"a\", \"b\"]""#,
            r#""[\"a\/b\"]""#,
            r#""[\"a\"""#.trim_end_matches('"'),
            r#""[\"a\"] ""#,
        ] {
            if serde_json::from_str::<&RawValue>(other).is_ok() {
                assert_eq!(strings(other), None, "{other}");
            }
        }
    }

    proptest! {
        #[test]
        fn strings_are_unescaped_as_by_the_general_parser(
            text in "([a-z]{0,12}[\"\\\\/\n\r\t\u{0}-\u{1f}é🚁]{0,3}){0,12}",
        ) {
            prop_assume!(text != "null");
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(content(&json).unwrap(), text.as_bytes());
        }

        /// What is sure of itself is right.
        #[test]
        fn an_end_is_found_where_the_general_parser_finds_it(
            text in "(\\[|\\]|\\\\{1,5}|\"|[a-c]){0,40}", after in "(\"|\\]|,|\\\\){0,8}",
        ) {
            let json = serde_json::to_string(&text).unwrap();
            let call = format!("    {json}{after}");
            prop_assert_eq!(string_end(call.as_bytes(), 5), Some(3 + json.len()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let call = Bytes::from(bytes);
            let mut scanner = Scanner::new(&call);
            _ = scanner.members(|scanner, _| {
                if scanner.escaped_strings().is_none() {
                    _ = scanner.array()?.map(|text| text.get(&call));
                }
                Ok(())
            });
        }
    }
}
