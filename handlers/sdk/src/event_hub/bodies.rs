//! The bodies of a batch, as slices of one shared buffer.

use std::ops::Range;

use base64::Engine;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::envelope::Data;
use crate::body::CallBody;
use crate::encoded::BASE64;
use crate::envelope::EnvelopeError;
use crate::function_json::DataType;
use crate::json::Text;

/// Decodes the value of the trigger's binding. Also returns the call that the bodies may be slices of.
pub(super) fn decode(
    data_type: Option<DataType>,
    data: Data,
    mut call: CallBody,
) -> Result<(Vec<Bytes>, Bytes), EnvelopeError> {
    let binary = matches!(data_type, Some(DataType::Binary | DataType::Stream));
    if let Data::Base64(mut places) = data {
        // Where they stand: a second buffer would hold most of a large call once more.
        for (index, place) in places.iter_mut().enumerate() {
            let text = &mut call.bytes[place.clone()];
            let length = decode_in_place(text).ok_or(EnvelopeError::NotBase64 { index })?;
            place.end = place.start + length;
        }
        let call = call.into_shared();
        let bodies = places.into_iter().map(|place| call.slice(place));
        return Ok((bodies.collect(), call));
    }
    let call = call.into_shared();
    let bodies = match (data, data_type) {
        (Data::One(text), _) if binary => {
            let mut body = Vec::new();
            append_base64(0, &text, &mut body)?;
            vec![body.into()]
        }
        (Data::One(text), _) => vec![text.into_bytes().into()],
        (Data::Many(array), Some(DataType::String)) => {
            joined(&array.get(&call)?, |_, text, buffer| {
                buffer.extend_from_slice(text.as_bytes());
                Ok(())
            })?
        }
        (Data::Many(array), Some(_)) => joined(&array.get(&call)?, append_base64)?,
        (Data::Many(array), None) => {
            let array = array.get(&call)?;
            let elements: Vec<&RawValue> = parse(&array)?;
            let slice = |element: &RawValue| array.slice_ref(element.get().as_bytes());
            elements.into_iter().map(slice).collect()
        }
        (Data::Base64(_), _) => Vec::new(),
    };
    Ok((bodies, call))
}

/// One buffer for all bodies: an allocation for each would cost more than its decoding.
fn joined(
    array: &Bytes,
    append: impl Fn(usize, &str, &mut Vec<u8>) -> Result<(), EnvelopeError>,
) -> Result<Vec<Bytes>, EnvelopeError> {
    let texts: Vec<Text<'_>> = parse(array)?;
    // Neither base64 nor JSON's escapes are shorter than what they stand for.
    let mut buffer = Vec::with_capacity(array.len());
    let mut ranges: Vec<Range<usize>> = Vec::with_capacity(texts.len());
    for (index, Text(text)) in texts.iter().enumerate() {
        let start = buffer.len();
        append(index, text, &mut buffer)?;
        ranges.push(start..buffer.len());
    }
    let buffer = Bytes::from(buffer);
    Ok(ranges
        .into_iter()
        .map(|range| buffer.slice(range))
        .collect())
}

fn append_base64(index: usize, text: &str, buffer: &mut Vec<u8>) -> Result<(), EnvelopeError> {
    BASE64
        .decode_vec(text, buffer)
        .map_err(|_| EnvelopeError::NotBase64 { index })
}

/// Decodes to the beginning of the same bytes, and returns the length; `None` where it is not base64. Padding is not
/// insisted on.
fn decode_in_place(text: &mut [u8]) -> Option<usize> {
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=');
    let length = text.len() - padding.count();
    let decoded = base64_simd::STANDARD_NO_PAD.decode_inplace(&mut text[..length]);
    decoded.ok().map(|decoded| decoded.len())
}

fn parse<'a, T: serde::Deserialize<'a>>(array: &'a Bytes) -> Result<Vec<T>, EnvelopeError> {
    serde_json::from_slice(array).map_err(|error| EnvelopeError::json("Data", &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_in_the_middle_is_no_base64() {
        let mut text = [b'A'; 1024];
        assert_eq!(decode_in_place(&mut text), Some(768));
        for at in [0, 511, 1021] {
            let mut text = [b'A'; 1024];
            text[at] = b'=';
            assert_eq!(decode_in_place(&mut text), None);
        }
    }

    proptest! {
        #[test]
        fn decoding_in_place_is_decoding(
            body in prop::collection::vec(any::<u8>(), 0..600), padded in any::<bool>(),
            at in any::<prop::sample::Index>(), byte in prop::option::of(any::<u8>()),
        ) {
            let mut text = BASE64.encode(&body).into_bytes();
            if !padded {
                text.retain(|byte| *byte != b'=');
            }
            if let (Some(byte), false) = (byte, text.is_empty()) {
                let at = at.index(text.len());
                text[at] = byte;
            }
            // How much padding there is makes no difference.
            let unpadded = text.strip_suffix(b"=").map_or(&text[..], |text| text.strip_suffix(b"=").unwrap_or(text));
            let expected = BASE64.decode(unpadded).ok();
            let length = decode_in_place(&mut text);
            prop_assert_eq!(length.map(|length| &text[..length]), expected.as_deref());
        }
    }
}
