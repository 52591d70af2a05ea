//! The bodies of a batch, as slices of one shared buffer.

use std::ops::Range;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::envelope::Data;
use crate::envelope::EnvelopeError;
use crate::function_json::DataType;
use crate::json::Text;

/// Standard base64. Padding is not insisted on: nothing depends on it, and a refused body would hold
/// its partition.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes the value of the trigger's binding.
pub(super) fn decode(data_type: Option<DataType>, data: Data) -> Result<Vec<Bytes>, EnvelopeError> {
    let binary = matches!(data_type, Some(DataType::Binary | DataType::Stream));
    match (data, data_type) {
        (Data::One(text), _) if binary => {
            let mut body = Vec::new();
            append_base64(0, &text, &mut body)?;
            Ok(vec![body.into()])
        }
        (Data::One(text), _) => Ok(vec![text.into_bytes().into()]),
        (Data::Many(array), Some(DataType::String)) => joined(&array, |_, text, buffer| {
            buffer.extend_from_slice(text.as_bytes());
            Ok(())
        }),
        (Data::Many(array), Some(_)) => joined(&array, append_base64),
        (Data::Many(array), None) => {
            let elements: Vec<&RawValue> = parse(&array)?;
            let slice = |element: &RawValue| array.slice_ref(element.get().as_bytes());
            Ok(elements.into_iter().map(slice).collect())
        }
    }
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

fn parse<'a, T: serde::Deserialize<'a>>(array: &'a Bytes) -> Result<Vec<T>, EnvelopeError> {
    serde_json::from_slice(array).map_err(|error| EnvelopeError::json("Data", &error))
}
