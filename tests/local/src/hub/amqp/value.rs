//! Encoded values, measured and checked without being decoded.
//!
//! An event's bytes are kept as they came, so most of them are only walked over. What is decoded, by `serde_amqp`, is walked
//! over first: nothing then nests deeper or counts further than its bytes reach.

/// How deep lists, maps and descriptors may nest. Frames of Event Hubs clients need seven.
const MAX_DEPTH: u8 = 16;

/// How many elements an array of values without bytes, such as nulls, may have: they cost nothing to send.
const MAX_EMPTY_ELEMENTS: u32 = 1_024;

/// Bytes that are no AMQP value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The bytes end within a value.
    #[error("a value ends early")]
    Short,
    /// There is no such type.
    #[error("0x{0:02x} is no format code")]
    Code(u8),
    /// A list, map or array does not hold what it says.
    #[error("a list, map or array does not hold as much as it says")]
    Compound,
    /// Deeper than anybody needs.
    #[error("values nest too deep")]
    Deep,
    /// A text that is none.
    #[error("a string is not UTF-8")]
    Text,
}

/// The descriptor of a described value as a code, which every Event Hubs client writes, and the length of both together.
pub(crate) fn descriptor(bytes: &[u8]) -> Option<(u64, usize)> {
    match bytes {
        [0x00, 0x53, code, ..] => Some((u64::from(*code), 3)),
        [0x00, 0x80, code @ ..] => code
            .first_chunk::<8>()
            .map(|code| (u64::from_be_bytes(*code), 10)),
        [0x00, 0x44, ..] => Some((0, 2)),
        _ => None,
    }
}

/// The length of the value that `bytes` begin with. Only as much of it is looked at as tells its length.
pub(crate) fn length(bytes: &[u8]) -> Result<usize, Malformed> {
    length_within(bytes, MAX_DEPTH)
}

fn length_within(bytes: &[u8], depth: u8) -> Result<usize, Malformed> {
    let (&code, rest) = bytes.split_first().ok_or(Malformed::Short)?;
    let length = if code == 0 {
        let depth = depth.checked_sub(1).ok_or(Malformed::Deep)?;
        let descriptor = length_within(rest, depth)?;
        1 + descriptor + length_within(&rest[descriptor..], depth)?
    } else {
        1 + payload_length(code, rest)?
    };
    if length > bytes.len() {
        return Err(Malformed::Short);
    }
    Ok(length)
}

/// The length of what follows the constructor `code`.
fn payload_length(code: u8, payload: &[u8]) -> Result<usize, Malformed> {
    let fixed = match code {
        0x40..=0x45 => 0,
        0x50..=0x56 => 1,
        0x60 | 0x61 => 2,
        0x70..=0x74 => 4,
        0x80..=0x84 => 8,
        0x94 | 0x98 => 16,
        0xa0 | 0xa1 | 0xa3 | 0xc0 | 0xc1 | 0xe0 => {
            return payload
                .first()
                .map(|size| 1 + usize::from(*size))
                .ok_or(Malformed::Short);
        }
        0xb0 | 0xb1 | 0xb3 | 0xd0 | 0xd1 | 0xf0 => {
            let size = payload.first_chunk::<4>().ok_or(Malformed::Short)?;
            // At most 4 GiB and four bytes, on 64 bits; what is longer than the input is refused by whoever asked.
            return Ok((u32::from_be_bytes(*size) as usize).saturating_add(4));
        }
        _ => return Err(Malformed::Code(code)),
    };
    Ok(fixed)
}

/// The length of the value that `bytes` begin with, every part of which has been looked at.
pub(crate) fn check(bytes: &[u8]) -> Result<usize, Malformed> {
    check_within(bytes, MAX_DEPTH)
}

fn check_within(bytes: &[u8], depth: u8) -> Result<usize, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::Deep)?;
    let (&code, rest) = bytes.split_first().ok_or(Malformed::Short)?;
    if code == 0 {
        let descriptor = check_within(rest, depth)?;
        return Ok(1 + descriptor + check_within(&rest[descriptor..], depth)?);
    }
    Ok(1 + check_payload(code, rest, depth)?)
}

fn check_payload(code: u8, rest: &[u8], depth: u8) -> Result<usize, Malformed> {
    let length = payload_length(code, rest)?;
    let payload = rest.get(..length).ok_or(Malformed::Short)?;
    match code {
        0xa1 => text(&payload[1..])?,
        0xb1 => text(&payload[4..])?,
        0xc0 | 0xd0 => items(Items::of(code, payload)?, depth)?,
        0xc1 | 0xd1 => {
            let map = Items::of(code, payload)?;
            if !map.count.is_multiple_of(2) {
                return Err(Malformed::Compound);
            }
            items(map, depth)?;
        }
        0xe0 | 0xf0 => array(Items::of(code, payload)?, depth)?,
        _ => {}
    }
    Ok(length)
}

fn text(bytes: &[u8]) -> Result<(), Malformed> {
    std::str::from_utf8(bytes)
        .map(|_| ())
        .map_err(|_| Malformed::Text)
}

/// What a list, map or array holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Items<'a> {
    /// How many there are, as it says; a map's keys and values both count.
    pub(crate) count: u32,
    /// Their bytes.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Items<'a> {
    /// Of an encoded list or map.
    pub(crate) fn of_value(value: &'a [u8]) -> Result<Self, Malformed> {
        let (&code, payload) = value.split_first().ok_or(Malformed::Short)?;
        match code {
            0x45 => Ok(Items {
                count: 0,
                bytes: &[],
            }),
            0xc0 | 0xc1 | 0xd0 | 0xd1 => {
                let length = payload_length(code, payload)?;
                Self::of(code, payload.get(..length).ok_or(Malformed::Short)?)
            }
            other => Err(Malformed::Code(other)),
        }
    }

    /// `payload` begins with the size.
    fn of(code: u8, payload: &'a [u8]) -> Result<Self, Malformed> {
        let (count, bytes) = if code & 0x10 == 0 {
            let (count, bytes) = payload[1..].split_first().ok_or(Malformed::Compound)?;
            (u32::from(*count), bytes)
        } else {
            let (count, bytes) = payload[4..]
                .split_first_chunk::<4>()
                .ok_or(Malformed::Compound)?;
            (u32::from_be_bytes(*count), bytes)
        };
        Ok(Self { count, bytes })
    }
}

/// The values, one after the other, that a checked list or map holds.
impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.count = self.count.checked_sub(1)?;
        let (value, rest) = self.bytes.split_at(length(self.bytes).ok()?);
        self.bytes = rest;
        Some(value)
    }
}

fn items(items: Items<'_>, depth: u8) -> Result<(), Malformed> {
    let mut bytes = items.bytes;
    for _ in 0..items.count {
        bytes = &bytes[check_within(bytes, depth)?..];
    }
    match bytes {
        [] => Ok(()),
        _ => Err(Malformed::Compound),
    }
}

/// One constructor, then the elements without theirs.
fn array(array: Items<'_>, depth: u8) -> Result<(), Malformed> {
    let mut bytes = array.bytes;
    let mut described = 0;
    while let [0, descriptor @ ..] = bytes {
        described += 1;
        if described > 1 {
            return Err(Malformed::Deep);
        }
        bytes = &descriptor[check_within(descriptor, depth)?..];
    }
    let Some((&code, mut bytes)) = bytes.split_first() else {
        // Without a constructor, as some write an empty one.
        return match array.count {
            0 => Ok(()),
            _ => Err(Malformed::Compound),
        };
    };
    let depth = depth.checked_sub(1).ok_or(Malformed::Deep)?;
    if matches!(code, 0x40..=0x45) && array.count > MAX_EMPTY_ELEMENTS {
        return Err(Malformed::Compound);
    }
    for _ in 0..array.count {
        bytes = &bytes[check_payload(code, bytes, depth)?..];
    }
    match bytes {
        [] => Ok(()),
        _ => Err(Malformed::Compound),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_amqp::primitives::{Array, OrderedMap, Symbol, Timestamp, Uuid};
    use serde_amqp::{Value, to_vec};

    use super::*;

    fn values() -> Vec<Value> {
        let mut map = OrderedMap::new();
        map.insert(Value::from("a"), Value::from(1_u64 << 40));
        map.insert(Value::from(Symbol::from("b")), Value::Null);
        vec![
            Value::Null,
            Value::Bool(true),
            Value::from(7_u8),
            Value::from(-300_i16),
            Value::from(70_000_u32),
            Value::from(-1_i64),
            Value::from(1.5_f64),
            Value::Timestamp(Timestamp::from_milliseconds(1)),
            Value::Uuid(Uuid::from([7; 16])),
            Value::from("grüße".repeat(100)),
            Value::List(vec![Value::from("x"), Value::Map(map.clone())]),
            Value::Map(map),
            Value::Array(Array::from(vec![Value::from("p"), Value::from("q")])),
        ]
    }

    #[test]
    fn what_the_codec_writes_is_measured_and_cut_anywhere_it_is_refused() {
        for value in values() {
            let bytes = to_vec(&value).unwrap();
            let mut longer = bytes.clone();
            longer.extend([0xff; 3]);
            assert_eq!(length(&longer), Ok(bytes.len()), "{value:?}");
            assert_eq!(check(&longer), Ok(bytes.len()), "{value:?}");
            for end in 0..bytes.len() {
                length(&bytes[..end]).unwrap_err();
                check(&bytes[..end]).unwrap_err();
            }
        }
    }

    #[test]
    fn what_holds_less_or_more_than_it_says_is_refused() {
        for (bytes, malformed) in [
            (&[0xc0, 0x02, 0x02, 0x40][..], Malformed::Short),
            (&[0xc0, 0x03, 0x01, 0x40, 0x40], Malformed::Compound),
            (&[0xc1, 0x02, 0x01, 0x40], Malformed::Compound),
            (
                &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
                Malformed::Compound,
            ),
            (&[0xa1, 0x01, 0xff], Malformed::Text),
            (&[0x99], Malformed::Code(0x99)),
            (&[], Malformed::Short),
        ] {
            assert_eq!(check(bytes), Err(malformed), "{bytes:02x?}");
        }
    }

    #[test]
    fn nothing_nests_without_end() {
        let mut lists = vec![0x45];
        for _ in 0..20 {
            let mut outer = vec![0xc0, u8::try_from(lists.len() + 1).unwrap(), 1];
            outer.extend(lists);
            lists = outer;
        }
        assert_eq!(check(&lists), Err(Malformed::Deep));
        assert_eq!(check(&[0; 100]), Err(Malformed::Deep));
        assert_eq!(length(&[0; 100_000]), Err(Malformed::Deep));
    }

    #[test]
    fn a_descriptor_is_told_in_both_lengths() {
        assert_eq!(descriptor(&[0, 0x53, 0x14, 0x45]), Some((0x14, 3)));
        let long = [0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x14, 0x45];
        assert_eq!(descriptor(&long), Some((0x14, 10)));
        assert_eq!(descriptor(&[0, 0xa3, 1, b'x', 0x45]), None);
        assert_eq!(descriptor(&[0, 0x80, 0]), None);
    }
}
