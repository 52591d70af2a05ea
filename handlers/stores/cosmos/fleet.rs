//! [`FleetReader`] in Azure Cosmos DB: one query over all partitions, a page at a time.
//!
//! Pages follow the device id and not Cosmos DB's own continuation: that one grows with the number of
//! partitions, holds the query's inside, and ends with the version of the client that made it.

use async_trait::async_trait;
use azure_data_cosmos::Query;
use azure_data_cosmos::feed::FeedScope;
use futures_util::TryStreamExt;
use serde::Serialize;

use super::drones::{CosmosDrones, drone_state};
use super::{at_once, store_error};
use crate::domain::fleet::DroneFilter;
use crate::domain::timestamp::Rfc3339;
use crate::domain::{DeviceId, DroneDocument, DroneState};
use crate::stores::StoreError;
use crate::stores::fleet::{DronePage, FleetReader, Read};

const OPERATION: &str = "list drones from Cosmos DB";

#[async_trait]
impl FleetReader for CosmosDrones {
    async fn find(&self, drone: &DeviceId) -> Result<Read<Option<DroneState>>, StoreError> {
        let Read {
            value,
            request_charge,
        } = self.read(drone).await?;
        Ok(Read {
            value: value.map(|found| found.state),
            request_charge,
        })
    }

    async fn list(
        &self,
        filter: &DroneFilter,
        after: Option<&DeviceId>,
        limit: u16,
    ) -> Result<Read<DronePage>, StoreError> {
        let failed = |error: azure_data_cosmos::CosmosError| store_error(OPERATION, &error);
        let limit = usize::from(limit);
        // One more than asked for tells whether there is a next page.
        let query = query(filter, after, limit + 1).map_err(failed)?;
        let mut pages = self
            .container
            .client()
            .await?
            .query_items::<DroneDocument>(
                query,
                FeedScope::full_container(),
                Some(at_once(limit + 1)),
            )
            .await
            .map_err(failed)?
            .into_pages();
        let mut request_charge = 0.0;
        let mut drones = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            request_charge += page
                .headers()
                .request_charge()
                .map_or(0.0, |charge| charge.value());
            for document in page.into_items() {
                drones.push(drone_state(document, OPERATION)?);
            }
            if drones.len() > limit {
                break;
            }
        }
        let more = drones.len() > limit;
        drones.truncate(limit);
        let last = drones.last().map(|drone| drone.device_id.clone());
        // The query takes times as texts, and lets pass some that are a fraction of a second too early.
        drones.retain(|drone| filter.matches(drone));
        Ok(Read {
            value: DronePage {
                drones,
                next: last.filter(|_| more),
            },
            request_charge,
        })
    }
}

/// The text is put together from constants alone; every value is a parameter.
fn query(
    filter: &DroneFilter,
    after: Option<&DeviceId>,
    top: usize,
) -> azure_data_cosmos::Result<Query> {
    let start = after.map_or("", DeviceId::as_str);
    let mut query = Condition(Query::from(
        "SELECT TOP @top * FROM c WHERE c.deviceId > @after",
    ))
    .value("@top", top)?
    .value("@after", start)?;
    if let Some(status) = filter.status {
        query = query
            .and("c.flight.status = @status")
            .value("@status", status)?;
    }
    if let Some(delivery) = &filter.delivery_id {
        query = query
            .and("c.deliveryId = @deliveryId")
            .value("@deliveryId", delivery)?;
    }
    if let Some(since) = filter.seen_since {
        query = query
            .and("c.lastSeenAt >= @seenSince")
            .value("@seenSince", earliest_text(Rfc3339(since)))?;
    }
    if let Some(area) = filter.area {
        let [west, south, east, north] = area.bounds();
        let meridians = if area.crosses_antimeridian() {
            "(c.flight.position.coordinates[0] >= @west OR c.flight.position.coordinates[0] <= @east)"
        } else {
            "c.flight.position.coordinates[0] >= @west AND c.flight.position.coordinates[0] <= @east"
        };
        query = query
            .and(meridians)
            .and("c.flight.position.coordinates[1] >= @south AND c.flight.position.coordinates[1] <= @north")
            .value("@west", west)?
            .value("@south", south)?
            .value("@east", east)?
            .value("@north", north)?;
    }
    Ok(query.0.append_text(" ORDER BY c.deviceId"))
}

struct Condition(Query);

impl Condition {
    fn and(self, condition: &'static str) -> Self {
        Self(self.0.append_text(" AND ").append_text(condition))
    }

    fn value(self, name: &'static str, value: impl Serialize) -> azure_data_cosmos::Result<Self> {
        self.0.with_parameter(name, value).map(Self)
    }
}

/// A text that no time from `since` on comes before.
///
/// Stored times have as many decimals as they need, and end with a `Z`, which comes after every digit
/// and after the point: as text, `09.5Z` is less than `09Z`. Without its `Z` a time is a beginning of
/// every later one in its second, or differs from it in a digit, so it comes first either way.
fn earliest_text(since: Rfc3339) -> String {
    let mut text = since.to_string();
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use time::UtcDateTime;

    use super::*;
    use crate::domain::FlightStatus;
    use crate::domain::fleet::Area;

    #[test]
    fn every_value_is_a_parameter() {
        let filter = DroneFilter {
            status: Some(FlightStatus::InFlight),
            delivery_id: Some("d'1".parse().unwrap()),
            area: Some(Area::new(170.0, -1.0, -170.0, 1.0).unwrap()),
            seen_since: Some(time::macros::utc_datetime!(2024-05-01 12:00:00.5)),
        };
        let after: DeviceId = "drone';--".parse().unwrap();
        let query = query(&filter, Some(&after), 101).unwrap();
        assert_eq!(
            serde_json::to_value(query).unwrap(),
            serde_json::json!({
                "query": "SELECT TOP @top * FROM c WHERE c.deviceId > @after \
                    AND c.flight.status = @status \
                    AND c.deliveryId = @deliveryId \
                    AND c.lastSeenAt >= @seenSince \
                    AND (c.flight.position.coordinates[0] >= @west OR c.flight.position.coordinates[0] <= @east) \
                    AND c.flight.position.coordinates[1] >= @south AND c.flight.position.coordinates[1] <= @north \
                    ORDER BY c.deviceId",
                "parameters": [
                    {"name": "@top", "value": 101},
                    {"name": "@after", "value": "drone';--"},
                    {"name": "@status", "value": "inFlight"},
                    {"name": "@deliveryId", "value": "d'1"},
                    {"name": "@seenSince", "value": "2024-05-01T12:00:00.5"},
                    {"name": "@west", "value": 170.0},
                    {"name": "@south", "value": -1.0},
                    {"name": "@east", "value": -170.0},
                    {"name": "@north", "value": 1.0},
                ],
            })
        );
    }

    fn time(ticks: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp_nanos(1_714_564_800_000_000_000 + i128::from(ticks) * 100)
            .unwrap()
    }

    proptest! {
        /// Within a second or two, where texts and times disagree.
        #[test]
        fn no_later_time_comes_before_the_earliest_text(
            since in prop_oneof![0..20_000_000_i64, (0..200_i64).prop_map(|n| n * 100_000)],
            later in prop_oneof![0..20_000_000_i64, (0..200_i64).prop_map(|n| n * 100_000)],
        ) {
            let stored = Rfc3339(time(since + later)).to_string();
            prop_assert!(stored >= earliest_text(Rfc3339(time(since))));
            let a_second_before = Rfc3339(time(since - 10_000_000)).to_string();
            prop_assert!(a_second_before < earliest_text(Rfc3339(time(since))));
        }
    }
}
