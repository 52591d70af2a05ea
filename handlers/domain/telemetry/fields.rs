//! One raw field to one checked value.
//!
//! Absent and null are `missing-field`; the wrong type, or text that cannot be read, is `invalid-field`;
//! a number that can be read and is not in its range is `out-of-range`. Every detail begins with the
//! field's name.

use std::borrow::Cow;
use std::str::FromStr;

use serde_json::value::RawValue;
use time::UtcDateTime;

use super::number::{self, NumberError};
use super::poison::{Fault, Quoted, Reason};
use super::ranges::{ALTITUDE, LATITUDE, LONGITUDE, Range};
use super::{BatteryStatus, FlightStatus, Position};
use crate::domain::identifier::IdentifierError;
use crate::domain::timestamp;

type Raw<'a> = Option<&'a RawValue>;

/// A JSON string's text.
pub(super) fn text<'a>(name: &str, raw: Raw<'a>) -> Result<Cow<'a, str>, Fault> {
    let json = present(name, raw)?;
    match unquoted(json) {
        Some(inner) => unescaped(name, json, inner),
        None => Err(wrong_type(name, "text", json)),
    }
}

/// A JSON string that is a device's or a delivery's identifier.
pub(super) fn identifier<T>(name: &str, raw: Raw<'_>) -> Result<T, Fault>
where
    T: FromStr<Err = IdentifierError>,
{
    let text = text(name, raw)?;
    text.parse().map_err(|error| {
        // Not quoted: what is wrong with it is one character, and the error names that.
        Fault::new(Reason::InvalidField, format_args!("{name}: {error}"))
    })
}

/// A JSON string that is a time.
pub(super) fn time(name: &str, raw: Raw<'_>) -> Result<UtcDateTime, Fault> {
    let text = text(name, raw)?;
    timestamp::parse(&text).map_err(|error| {
        Fault::new(
            Reason::InvalidField,
            format_args!("{name}: {} {error}", Quoted(&text)),
        )
    })
}

/// A number in a range, as a JSON number or in a JSON string.
pub(super) fn number(name: &str, raw: Raw<'_>, range: &Range) -> Result<f64, Fault> {
    let text = number_text(name, raw)?;
    in_range(name, "", &text, range)
}

/// `lat|lon|alt` in a JSON string.
pub(super) fn position(name: &str, raw: Raw<'_>) -> Result<Position, Fault> {
    let text = text(name, raw)?;
    let mut parts = text.split('|');
    let (Some(latitude), Some(longitude), Some(altitude), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::new(
            Reason::InvalidField,
            format_args!(
                "{name}: {} is not latitude|longitude|altitude",
                Quoted(&text)
            ),
        ));
    };
    Ok(Position {
        latitude: in_range(name, "latitude ", latitude, &LATITUDE)?,
        longitude: in_range(name, "longitude ", longitude, &LONGITUDE)?,
        altitude: in_range(name, "altitude ", altitude, &ALTITUDE)?,
    })
}

/// A whole number 0 to 4, as a JSON number or in a JSON string; `1.0` is as whole as `1`.
pub(super) fn flight_status(name: &str, raw: Raw<'_>) -> Result<FlightStatus, Fault> {
    let text = number_text(name, raw)?;
    let value = finite(name, "", &text)?;
    if value.fract() != 0.0 {
        return Err(Fault::new(
            Reason::InvalidField,
            format_args!("{name}: {} is not a whole number", Quoted(&text)),
        ));
    }
    FlightStatus::ALL
        .into_iter()
        .zip(0_u8..)
        .find_map(|(status, number)| (f64::from(number) == value).then_some(status))
        .ok_or_else(|| {
            Fault::new(
                Reason::OutOfRange,
                format_args!("{name}: {} is out of range 0..4", Shown(value)),
            )
        })
}

/// A battery status by its name, in any case.
pub(super) fn battery_status(name: &str, raw: Raw<'_>) -> Result<BatteryStatus, Fault> {
    let text = text(name, raw)?;
    BatteryStatus::ALL
        .into_iter()
        .find_map(|(status, name)| name.eq_ignore_ascii_case(&text).then_some(status))
        .ok_or_else(|| {
            Fault::new(
                Reason::InvalidField,
                format_args!(
                    "{name}: {} is not dead, critical, low, medium, high or full",
                    Quoted(&text)
                ),
            )
        })
}

fn present<'a>(name: &str, raw: Raw<'a>) -> Result<&'a str, Fault> {
    raw.map(RawValue::get)
        .ok_or_else(|| Fault::new(Reason::MissingField, format_args!("{name}: is missing")))
}

fn number_text<'a>(name: &str, raw: Raw<'a>) -> Result<Cow<'a, str>, Fault> {
    let json = present(name, raw)?;
    match unquoted(json) {
        Some(inner) => unescaped(name, json, inner),
        None if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(Cow::Borrowed(json))
        }
        None => Err(wrong_type(name, "a number", json)),
    }
}

/// What stands between the quotes of a JSON string.
fn unquoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// Most text has no escapes, and is taken as it stands.
fn unescaped<'a>(name: &str, json: &str, inner: &'a str) -> Result<Cow<'a, str>, Fault> {
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    // The grammar was checked with the body; what remains is half a surrogate pair.
    serde_json::from_str(json).map(Cow::Owned).map_err(|_| {
        Fault::new(
            Reason::InvalidField,
            format_args!("{name}: {} holds half a character", Quoted(inner)),
        )
    })
}

/// `part` is empty, or the part's name and a space.
fn in_range(name: &str, part: &str, text: &str, range: &Range) -> Result<f64, Fault> {
    let value = finite(name, part, text)?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Fault::new(
        Reason::OutOfRange,
        format_args!(
            "{name}: {part}{} is out of range {}..{}",
            Shown(value),
            range.start(),
            range.end()
        ),
    ))
}

fn finite(name: &str, part: &str, text: &str) -> Result<f64, Fault> {
    number::parse(text).map_err(|error| {
        let text = Quoted(text);
        match error {
            NumberError::Grammar => Fault::new(
                Reason::InvalidField,
                format_args!("{name}: {part}{text} is not a number"),
            ),
            NumberError::Overflow => Fault::new(
                Reason::OutOfRange,
                format_args!("{name}: {part}{text} is larger than any number"),
            ),
        }
    })
}

fn wrong_type(name: &str, expected: &str, json: &str) -> Fault {
    let found = match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    Fault::new(
        Reason::InvalidField,
        format_args!("{name}: is {found} where {expected} is expected"),
    )
}

/// A number as people write it, in a few characters: `90.4`, `7`, `1e300`.
struct Shown(f64);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Debug turns to exponents where Display would write hundreds of digits.
        let text = format!("{:?}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}
