//! What is known of the fleet that is asked for: enough to ask for each part of it.

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use drone_delivery::functions::list_drones::JSON;

use super::{QueriesError, get};

/// Pages that are read at most, so that this ends whatever answers.
const MOST_PAGES: usize = 400;

/// Read page by page, as any client may.
#[derive(Debug, Default)]
pub(super) struct KnownFleet {
    drones: Vec<String>,
    deliveries: Vec<String>,
    longitudes: Vec<f64>,
    latitudes: Vec<f64>,
    /// What each page but the first was asked for with.
    continuations: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    drones: Vec<Drone>,
    continuation: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Drone {
    device_id: String,
    delivery_id: Option<String>,
    flight: Option<Flight>,
}

#[derive(Deserialize)]
struct Flight {
    position: Point,
}

#[derive(Deserialize)]
struct Point {
    coordinates: [f64; 2],
}

impl KnownFleet {
    pub(super) async fn read(
        client: &Client,
        root: &str,
        limit: u16,
    ) -> Result<Self, QueriesError> {
        let mut fleet = Self::default();
        for _ in 0..MOST_PAGES {
            let continuation = fleet.continuation(fleet.continuations.len());
            let url = format!("{root}/drones?limit={limit}{continuation}");
            let (status, body) = get(client, &url, JSON, "identity")
                .await
                .map_err(|_| QueriesError::Unreachable(root.to_owned()))?;
            let page = Some(&body).filter(|_| status == StatusCode::OK);
            let Some(page) = page.and_then(|body| serde_json::from_slice::<Page>(body).ok()) else {
                return Err(QueriesError::NoPage { url, status });
            };
            for drone in page.drones {
                fleet.add(drone);
            }
            match page.continuation {
                Some(next) => fleet.continuations.push(next),
                None => break,
            }
        }
        if fleet.drones.is_empty() {
            return Err(QueriesError::NoDrones);
        }
        fleet.longitudes.sort_by(f64::total_cmp);
        fleet.latitudes.sort_by(f64::total_cmp);
        Ok(fleet)
    }

    fn add(&mut self, drone: Drone) {
        self.drones.push(in_path(&drone.device_id));
        self.deliveries
            .extend(drone.delivery_id.as_deref().map(in_path));
        if let Some(Flight { position }) = drone.flight {
            let [longitude, latitude] = position.coordinates;
            self.longitudes.push(longitude);
            self.latitudes.push(latitude);
        }
    }

    pub(super) fn drones(&self) -> usize {
        self.drones.len()
    }

    pub(super) fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// A drone's id as a path has it: of the first request the first one's, of the last one of the last.
    pub(super) fn drone(&self, number: u32, of: u32) -> &str {
        spread(&self.drones, number, of)
    }

    /// The same for deliveries; there must be one.
    pub(super) fn delivery(&self, number: u32, of: u32) -> &str {
        spread(&self.deliveries, number, of)
    }

    /// Page after page, and then from the first again.
    pub(super) fn page(&self, number: u32) -> String {
        self.continuation(number as usize % (self.continuations.len() + 1))
    }

    fn continuation(&self, page: usize) -> String {
        page.checked_sub(1)
            .map(|before| format!("&continuation={}", self.continuations[before]))
            .unwrap_or_default()
    }

    /// The box that holds the middle half of the fleet each way; `None` where nothing has flown.
    pub(super) fn middle(&self) -> Option<String> {
        let quarter = |sorted: &[f64], quarters: usize| {
            let last = sorted.len().checked_sub(1)?;
            sorted.get(last * quarters / 4).copied()
        };
        let (west, east) = (quarter(&self.longitudes, 1)?, quarter(&self.longitudes, 3)?);
        let (south, north) = (quarter(&self.latitudes, 1)?, quarter(&self.latitudes, 3)?);
        Some(format!("{west},{south},{east},{north}"))
    }
}

fn spread(texts: &[String], number: u32, of: u32) -> &str {
    let place = number as usize * texts.len() / of.max(1) as usize;
    texts.get(place).map_or("", String::as_str)
}

/// Ids hold characters that mean something in an address.
fn in_path(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
