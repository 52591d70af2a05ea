//! From the URL's query to what is asked of the store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::fleet::{Area, DroneFilter};
use crate::domain::{DeviceId, FlightStatus};
use crate::error::Problem;
use crate::http::parameters::{ParameterError, Parameters};
use crate::stores::fleet::{ListError, Position};

/// The parameters, as the OpenAPI document lists them.
pub const PARAMETERS: &[&str] = &[
    DEVICE,
    "status",
    "deliveryId",
    "bbox",
    "seenSince",
    "limit",
    CONTINUATION,
];

const DEVICE: &str = "deviceId";

const CONTINUATION: &str = "continuation";

const NOT_GIVEN: &str = "is not one that an answer of this function has given";

/// Drones on a page where the caller does not say.
pub const DEFAULT_LIMIT: u16 = 100;

/// A page of drones that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// One drone alone, whatever characters its id has.
    pub device: Option<DeviceId>,
    /// Which drones.
    pub filter: DroneFilter,
    /// How many at most.
    pub limit: u16,
    /// Where the page before ended.
    pub from: Option<Position>,
}

impl ListQuery {
    /// Reads the query of a URL. `most` is the greatest limit of the form that was asked for.
    ///
    /// # Errors
    /// The first parameter that cannot be meant so.
    pub fn parse(query: Option<&str>, most: u16) -> Result<Self, ParameterError> {
        let parameters = Parameters::parse(query, PARAMETERS)?;
        let device = parameters.value(DEVICE)?;
        let from = parameters.value_with(CONTINUATION, position)?;
        if device.is_some() && from.is_some() {
            return Err(ParameterError::new(CONTINUATION, "one drone is one page"));
        }
        Ok(Self {
            device,
            filter: DroneFilter {
                status: parameters.value_with("status", status)?,
                delivery_id: parameters.value("deliveryId")?,
                area: parameters.value_with("bbox", area)?,
                seen_since: parameters.time("seenSince")?,
            },
            limit: parameters.count("limit", most)?.unwrap_or(DEFAULT_LIMIT),
            from,
        })
    }
}

/// The continuation that leads to the page after. At most 342 characters.
pub fn continuation(next: &Position) -> String {
    URL_SAFE_NO_PAD.encode(next.as_str())
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::NoSuchPosition => ParameterError::new(CONTINUATION, NOT_GIVEN).into(),
            ListError::Store(error) => error.into(),
        }
    }
}

/// Only the store can tell whether there is such a position.
fn position(continuation: &str) -> Result<Position, &'static str> {
    URL_SAFE_NO_PAD
        .decode(continuation)
        .ok()
        .filter(|bytes| !bytes.is_empty() && bytes.len() <= Position::MOST && bytes.is_ascii())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Position::new)
        .ok_or(NOT_GIVEN)
}

fn status(name: &str) -> Result<FlightStatus, &'static str> {
    FlightStatus::from_name(name).ok_or(
        "is not one of departedStation, inFlight, pickedUpPackage, droppedOffPackage, arrivedAtStation",
    )
}

fn area(text: &str) -> Result<Area, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(decimal).collect();
    match numbers.as_deref() {
        Some(&[west, south, east, north]) => {
            Area::new(west, south, east, north).map_err(|error| format!("is no box: {error}"))
        }
        _ => Err("is not four numbers, minLon,minLat,maxLon,maxLat".to_owned()),
    }
}

/// The standard parser would take `inf`, `nan` and exponents too.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}
