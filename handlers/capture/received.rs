//! Property bags as the host sends them: JSON that is still the content of a JSON string.
//!
//! Nearly all that the hub says of an event it has said of the one before, in the same order. Where the text is the same,
//! what was made of it is copied; the rest is read in one pass, as far as it is as plain as it nearly always is.

use std::ops::Range;

use super::ENQUEUED_TIME;
use super::schema::{LONG, STRING};
use super::writer::{append_bytes, append_long};

/// What the last bag of a block has come to, by the places of its properties.
#[derive(Default)]
pub(super) struct LastBag<'a>(Vec<Property<'a>>);

/// One property.
struct Property<'a> {
    /// `\"name\":value`, as it was sent.
    text: &'a [u8],
    /// The length of `\"name\":`; 0 for what was left out.
    name: usize,
    /// Where in the block it was written, with its name; empty for a null, which the schema has no place for.
    written: Range<usize>,
    /// Where the name ends there.
    name_end: usize,
}

impl<'a> LastBag<'a> {
    /// Appends the hub's properties, an object, and returns how many they are. `None` where that takes a closer look, of which
    /// `block` may have the beginning: inner objects and arrays, white space, rare escapes, what is not JSON, and
    /// [`ENQUEUED_TIME`].
    pub(super) fn append(&mut self, object: &'a [u8], block: &mut Vec<u8>) -> Option<i64> {
        let appended = self.append_properties(object, block);
        if appended.is_none() {
            // The block may be cut back to before it.
            self.forget();
        }
        appended
    }

    /// To be called where a block ends.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn append_properties(&mut self, object: &'a [u8], block: &mut Vec<u8>) -> Option<i64> {
        let no_control = object.iter().fold(u8::MAX, |least, byte| least.min(*byte)) >= b' ';
        if !no_control || std::str::from_utf8(object).is_err() {
            return None;
        }
        let mut rest = object.strip_prefix(b"{")?;
        let mut entries = 0;
        for place in 0.. {
            let last = self.0.get(place);
            rest = match last.and_then(|last| Some((last, repeated(last, rest)?))) {
                Some((last, after)) => {
                    entries += i64::from(!last.written.is_empty());
                    block.extend_from_within(last.written.clone());
                    after
                }
                None => {
                    let (property, after) = read(rest, last, block)?;
                    entries += i64::from(!property.written.is_empty());
                    match self.0.get_mut(place) {
                        Some(last) => *last = property,
                        None => self.0.push(property),
                    }
                    after
                }
            };
            rest = match rest {
                [b',', more @ ..] => more,
                b"}" => return Some(entries),
                _ => return None,
            };
        }
        None
    }
}

/// What comes after a property that is the last one's.
fn repeated<'a>(last: &Property<'_>, text: &'a [u8]) -> Option<&'a [u8]> {
    let after = text.strip_prefix(last.text)?;
    matches!(after, [b',' | b'}', ..]).then_some(after)
}

/// Reads a property and appends it. Also returns what comes after it.
fn read<'a>(
    text: &'a [u8],
    last: Option<&Property<'_>>,
    block: &mut Vec<u8>,
) -> Option<(Property<'a>, &'a [u8])> {
    let start = block.len();
    let same_name = last.filter(|last| last.name > 0 && text.starts_with(&last.text[..last.name]));
    let name = match same_name {
        Some(last) => {
            block.extend_from_within(last.written.start..last.name_end);
            last.name
        }
        None => {
            let content = text.strip_prefix(QUOTE)?;
            let (name, after) = content.split_at(memchr::memchr2(b'\\', b'"', content)?);
            let after = after.strip_prefix(QUOTE)?.strip_prefix(b":")?;
            if name == ENQUEUED_TIME.as_bytes() {
                return None;
            }
            append_bytes(name, block);
            text.len() - after.len()
        }
    };
    let name_end = block.len();
    let value = &text[name..];
    let (name, after) = if let Some(content) = value.strip_prefix(QUOTE) {
        (name, append_text(content, block)?)
    } else if let Some(after) = value.strip_prefix(b"null") {
        block.truncate(start);
        (0, after)
    } else {
        (name, append_number(value, block)?)
    };
    let property = Property {
        text: &text[..text.len() - after.len()],
        name,
        written: start..block.len(),
        name_end,
    };
    Some((property, after))
}

/// As it stands in the content of a string.
const QUOTE: &[u8] = br#"\""#;

/// Appends a string whose content begins here, and returns what comes after it.
fn append_text<'a>(content: &'a [u8], block: &mut Vec<u8>) -> Option<&'a [u8]> {
    append_long(STRING, block);
    let end = memchr::memchr2(b'\\', b'"', content)?;
    if let Some(after) = content[end..].strip_prefix(QUOTE) {
        append_bytes(&content[..end], block);
        return Some(after);
    }
    let mut text = Vec::new();
    let mut rest = content;
    loop {
        let (piece, special) = rest.split_at(memchr::memchr2(b'\\', b'"', rest)?);
        text.extend_from_slice(piece);
        rest = match special {
            [b'\\', b'"', after @ ..] => {
                append_bytes(&text, block);
                return Some(after);
            }
            // JSON within JSON, whose own backslashes and quotes are escaped once more.
            [b'\\', b'\\', b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                text.push(*escaped);
                after
            }
            _ => return None,
        };
    }
}

/// Appends a whole number that surely fits, and returns what comes after it.
fn append_number<'a>(text: &'a [u8], block: &mut Vec<u8>) -> Option<&'a [u8]> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let digits = &digits[..length];
    // -0 is a number with a point.
    if !(1..=18).contains(&length) || digits[0] == b'0' && (length > 1 || text[0] == b'-') {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    let (value, length) = match text[0] {
        b'-' => (-value, length + 1),
        _ => (value, length),
    };
    append_long(LONG, block);
    append_long(value, block);
    Some(&text[length..])
}
