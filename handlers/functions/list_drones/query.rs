//! From the URL's query to what is asked of the store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::fleet::{Area, DroneFilter};
use crate::domain::{DeviceId, FlightStatus};
use crate::http::parameters::{ParameterError, Parameters};

/// The parameters, as the OpenAPI document lists them.
pub const PARAMETERS: &[&str] = &[
    "status",
    "deliveryId",
    "bbox",
    "seenSince",
    "limit",
    "continuation",
];

/// Drones on a page where the caller does not say.
pub const DEFAULT_LIMIT: u16 = 100;

/// A page of drones that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which drones.
    pub filter: DroneFilter,
    /// How many at most.
    pub limit: u16,
    /// Only drones after this one: where the page before ended.
    pub after: Option<DeviceId>,
}

impl ListQuery {
    /// Reads the query of a URL. `most` is the greatest limit of the form that was asked for.
    ///
    /// # Errors
    /// The first parameter that cannot be meant so.
    pub fn parse(query: Option<&str>, most: u16) -> Result<Self, ParameterError> {
        let parameters = Parameters::parse(query, PARAMETERS)?;
        Ok(Self {
            filter: DroneFilter {
                status: parameters.value_with("status", status)?,
                delivery_id: parameters.value("deliveryId")?,
                area: parameters.value_with("bbox", area)?,
                seen_since: parameters.time("seenSince")?,
            },
            limit: parameters.count("limit", most)?.unwrap_or(DEFAULT_LIMIT),
            after: parameters.value_with("continuation", device)?,
        })
    }
}

/// The continuation of a page that ends with this drone. At most 171 characters.
pub fn continuation(last: &DeviceId) -> String {
    URL_SAFE_NO_PAD.encode(last.as_str())
}

fn device(continuation: &str) -> Result<DeviceId, &'static str> {
    URL_SAFE_NO_PAD
        .decode(continuation)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.parse().ok())
        .ok_or("is not one that an answer of this function has given")
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
