//! From an event's body to its raw fields.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient::without_trailing_commas;
use super::poison::{Fault, Reason};

/// The known fields, as they stand in the body: which of them are needed, and what each may hold, is for
/// later, so that every fault gets its own reason. Unknown fields are skipped, a known name that comes
/// twice is an error: no reading of it would be more right than the other.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    pub occurrence_utc_time: Option<&'a RawValue>,
    #[serde(borrow)]
    pub device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub sensor_type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub delivery_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub velocity: Option<&'a RawValue>,
    #[serde(borrow)]
    pub acceleration: Option<&'a RawValue>,
    #[serde(borrow)]
    pub position: Option<&'a RawValue>,
    #[serde(borrow)]
    pub flight_status: Option<&'a RawValue>,
    #[serde(borrow)]
    pub temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub battery_status: Option<&'a RawValue>,
    #[serde(borrow)]
    pub battery_level: Option<&'a RawValue>,
}

/// Reads the fields of a body and hands them on. They borrow from the body, or from a copy without its
/// trailing commas that lives only here: hence the callback.
pub(super) fn read<T>(
    body: &[u8],
    with: impl FnOnce(&Wire<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if let Some(encoding) = byte_order_mark(body) {
        return Err(malformed(format_args!(
            "the body begins with a byte order mark of {encoding}, and must be UTF-8 without one"
        )));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format_args!(
            "the body is not UTF-8 after {} bytes",
            error.valid_up_to()
        ))
    })?;
    // Also because the parser would take an array for an object whose fields come in order.
    match text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .as_bytes()
        .first()
    {
        Some(b'{') => {}
        Some(_) => return Err(malformed(format_args!("the body is not a JSON object"))),
        None => return Err(malformed(format_args!("the body is empty"))),
    }
    let error = match serde_json::from_str(text) {
        Ok(wire) => return with(&wire),
        Err(error) => error,
    };
    // What is cut short or has a name twice has no comma to blame.
    if error.is_syntax()
        && let Some(forgiven) = without_trailing_commas(text)
    {
        return match serde_json::from_str(&forgiven) {
            Ok(wire) => with(&wire),
            Err(error) => Err(malformed(format_args!("{error}"))),
        };
    }
    Err(malformed(format_args!("{error}")))
}

/// What a body is in, where it says so itself. No JSON text may begin so (RFC 8259, 8.1), and no editor shows it.
fn byte_order_mark(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xef, 0xbb, 0xbf, ..] => Some("UTF-8"),
        // Before UTF-16, which begins alike.
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

fn malformed(detail: std::fmt::Arguments<'_>) -> Fault {
    Fault::new(Reason::MalformedJson, detail)
}
