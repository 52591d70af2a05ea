//! [`FleetReader`] in Azure Cosmos DB: a query for each physical partition that a page needs.
//!
//! A query over the whole container would be answered by every physical partition, each with as many drones as
//! the page takes, of which all but one partition's are thrown away. So a page is read from one partition
//! after the other, in the order of the hashed partition keys, and within a partition in that of the device
//! ids.
//!
//! Pages follow these ids and not Cosmos DB's own continuation: that one holds the query's inside, follows an
//! index in which a drone moves when it is written, and ends with the version of the client that made it.

use std::collections::VecDeque;

use async_trait::async_trait;
use azure_data_cosmos::Query;
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::{FeedRange, FeedScope};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::drones::{CosmosDrones, drone_state};
use super::{at_once, store_error};
use crate::domain::fleet::DroneFilter;
use crate::domain::timestamp::Rfc3339;
use crate::domain::{DeviceId, DroneState};
use crate::stores::StoreError;
use crate::stores::fleet::{DronePage, FleetReader, ListError, Position, Read};

const OPERATION: &str = "list drones from Cosmos DB";

#[async_trait]
impl FleetReader for CosmosDrones {
    async fn find(&self, drone: &DeviceId) -> Result<Read<Option<DroneState>>, StoreError> {
        let Read {
            value,
            request_charge,
        } = self.read(drone).await?;
        Ok(Read {
            value: value.and_then(|found| found.state),
            request_charge,
        })
    }

    async fn list(
        &self,
        filter: &DroneFilter,
        from: Option<&Position>,
        limit: u16,
    ) -> Result<Read<DronePage>, ListError> {
        let begin = from.map(Section::at).transpose()?;
        let container = self.container.client().await?;
        let partitions = container
            .read_feed_ranges(None)
            .await
            .map_err(|error| store_error(OPERATION, &error))?;
        let mut sections = sections(begin, partitions)?;
        let limit = usize::from(limit);
        let mut page = DronePage {
            drones: Vec::new(),
            next: None,
        };
        let mut request_charge = 0.0;
        // The first partition usually fills the page. Where it does not, few drones match, and the next
        // ones are asked at the same time, twice as many each time.
        let mut at_a_time = 1;
        while !sections.is_empty() && page.next.is_none() {
            let asked: Vec<Section> = sections.drain(..at_a_time.min(sections.len())).collect();
            let most = limit - page.drones.len() + 1;
            let reads = asked
                .iter()
                .map(|section| section.read(container, filter, most));
            for (section, read) in asked.iter().zip(try_join_all(reads).await?) {
                request_charge += read.request_charge;
                section.fill(&mut page, read.value, limit);
            }
            if page.next.is_none() && page.drones.len() == limit {
                page.next = sections.front().map(Section::position);
            }
            at_a_time *= 2;
        }
        // The query takes times as texts, and lets pass some that are a fraction of a second too early.
        page.drones.retain(|drone| filter.matches(drone));
        page.drones
            .sort_unstable_by(|one, other| one.device_id.cmp(&other.device_id));
        Ok(Read {
            value: page,
            request_charge,
        })
    }
}

/// A part of the container: the drones in a range of hashed partition keys whose ids come after one.
#[derive(Debug, Clone)]
struct Section {
    range: FeedRange,
    after: Option<DeviceId>,
}

/// The partitions from where a page begins, in the order of their keys.
fn sections(
    begin: Option<Section>,
    mut partitions: Vec<FeedRange>,
) -> Result<VecDeque<Section>, StoreError> {
    partitions.sort_by(|one, other| one.min_inclusive().cmp(other.min_inclusive()));
    let mut sections: VecDeque<Section> = begin.into_iter().collect();
    let done = sections.front().map(|section| section.range.clone());
    for partition in partitions {
        let range = match &done {
            Some(done) if partition.max_exclusive() <= done.max_exclusive() => continue,
            // It was split or merged since the page before.
            Some(done) if partition.min_inclusive() < done.max_exclusive() => FeedRange::new(
                done.max_exclusive().clone(),
                partition.max_exclusive().clone(),
            )
            .map_err(|error| store_error(OPERATION, &error))?,
            _ => partition,
        };
        sections.push_back(Section { range, after: None });
    }
    Ok(sections)
}

impl Section {
    /// Adds what was found here to a page that has room; what is left begins the next one.
    fn fill(&self, page: &mut DronePage, found: Vec<DroneState>, limit: usize) {
        // An earlier section has filled it, and this one was asked in vain.
        if page.next.is_some() {
            return;
        }
        let room = limit - page.drones.len();
        if found.len() > room {
            page.next = Some(match room.checked_sub(1) {
                Some(last) => self.position_after(&found[last].device_id),
                None => self.position(),
            });
        }
        page.drones.extend(found.into_iter().take(room));
    }

    /// Where the section begins.
    fn position(&self) -> Position {
        self.position_of(self.after.as_ref().map_or("", DeviceId::as_str))
    }

    fn position_after(&self, device: &DeviceId) -> Position {
        self.position_of(device.as_str())
    }

    /// The bounds of the range in hexadecimal, and the device id.
    fn position_of(&self, device: &str) -> Position {
        let min = self.range.min_inclusive().to_hex();
        let max = self.range.max_exclusive().to_hex();
        Position::new(format!("{min}-{max}-{device}"))
    }

    fn at(position: &Position) -> Result<Self, ListError> {
        Self::parse(position.as_str()).ok_or(ListError::NoSuchPosition)
    }

    fn parse(position: &str) -> Option<Self> {
        /// Hexadecimal digits of a hash: 128 bits.
        const DIGITS: usize = 32;
        let mut parts = position.splitn(3, '-');
        let (min, max, after) = (parts.next()?, parts.next()?, parts.next()?);
        if min.len() > DIGITS || max.len() > DIGITS {
            return None;
        }
        // The driver's type of a bound is not the client's to name.
        let range = json!({
            "Range": {"min": min, "max": max, "isMinInclusive": true, "isMaxInclusive": false},
        });
        let range: FeedRange = serde_json::from_value(range).ok()?;
        let after = match after {
            "" => None,
            device => Some(device.parse().ok()?),
        };
        (range.min_inclusive() < range.max_exclusive()).then_some(Self { range, after })
    }

    /// The first `most` drones of the section, in the order of their ids. What cannot be read as a drone is
    /// passed over.
    async fn read(
        &self,
        container: &ContainerClient,
        filter: &DroneFilter,
        most: usize,
    ) -> Result<Read<Vec<DroneState>>, StoreError> {
        let mut read = Read {
            value: Vec::new(),
            request_charge: 0.0,
        };
        let mut after = self.after.as_ref().map_or("", DeviceId::as_str).to_owned();
        loop {
            let asked = most - read.value.len();
            let found = self.items(container, filter, &after, asked).await?;
            read.request_charge += found.request_charge;
            let items = found.value;
            read.value
                .extend(items.iter().filter_map(|item| drone_state(item)));
            if items.len() < asked || read.value.len() == most {
                return Ok(read);
            }
            // Some could not be read, and there may be more behind them.
            let last = items.last().map(|item| serde_json::from_str(item.get()));
            let Some(Ok(Keyed { device_id })) = last else {
                return Ok(read);
            };
            after = device_id;
        }
    }

    /// The first `most` items of the section whose ids come after one.
    async fn items(
        &self,
        container: &ContainerClient,
        filter: &DroneFilter,
        after: &str,
        most: usize,
    ) -> Result<Read<Vec<Box<RawValue>>>, StoreError> {
        let failed = |error: azure_data_cosmos::CosmosError| store_error(OPERATION, &error);
        let query = query(filter, after, most).map_err(failed)?;
        let scope = FeedScope::range(self.range.clone());
        let mut pages = container
            .query_items(query, scope, Some(at_once(most)))
            .await
            .map_err(failed)?
            .into_pages();
        let mut read = Read {
            value: Vec::new(),
            request_charge: 0.0,
        };
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            read.request_charge += page
                .headers()
                .request_charge()
                .map_or(0.0, |charge| charge.value());
            read.value.extend(page.into_items());
        }
        Ok(read)
    }
}

/// What the query orders by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keyed {
    device_id: String,
}

/// The text is put together from constants alone; every value is a parameter.
fn query(filter: &DroneFilter, after: &str, top: usize) -> azure_data_cosmos::Result<Query> {
    let mut query = Condition(Query::from(
        "SELECT TOP @top * FROM c WHERE c.deviceId > @after",
    ))
    .value("@top", top)?
    .value("@after", after)?;
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
    use crate::domain::identifier::MAX_LENGTH;

    #[test]
    fn every_value_is_a_parameter() {
        let filter = DroneFilter {
            status: Some(FlightStatus::InFlight),
            delivery_id: Some("d'1".parse().unwrap()),
            area: Some(Area::new(170.0, -1.0, -170.0, 1.0).unwrap()),
            seen_since: Some(time::macros::utc_datetime!(2024-05-01 12:00:00.5)),
        };
        let query = query(&filter, "drone';--", 101).unwrap();
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

    fn range(min: &str, max: &str) -> FeedRange {
        Section::parse(&format!("{min}-{max}-")).unwrap().range
    }

    fn positions(begin: Option<&str>, partitions: &[(&str, &str)]) -> Vec<String> {
        let begin = begin.map(|text| Section::parse(text).unwrap());
        let partitions = partitions.iter().map(|(min, max)| range(min, max));
        sections(begin, partitions.collect())
            .unwrap()
            .iter()
            .map(|section| section.position().as_str().to_owned())
            .collect()
    }

    #[test]
    fn a_listing_goes_on_where_it_was_whatever_became_of_the_partitions() {
        let two = [("20", "FF"), ("", "20")];
        assert_eq!(positions(None, &two), ["-20-", "20-FF-"]);
        assert_eq!(positions(Some("-20-a"), &two), ["-20-a", "20-FF-"]);
        assert_eq!(positions(Some("20-FF-a-b"), &two), ["20-FF-a-b"]);
        // Both were split.
        let four = [("", "10"), ("10", "20"), ("20", "30"), ("30", "FF")];
        assert_eq!(
            positions(Some("-20-a"), &four),
            ["-20-a", "20-30-", "30-FF-"]
        );
        // They were merged.
        assert_eq!(positions(Some("-20-a"), &[("", "FF")]), ["-20-a", "20-FF-"]);
        assert_eq!(positions(Some("20-FF-"), &[("", "FF")]), ["20-FF-"]);
    }

    #[test]
    fn a_position_is_short_and_comes_back() {
        let (min, max) = ("0F".repeat(16), "10".repeat(16));
        let text = format!("{min}-{max}-{}", "d".repeat(MAX_LENGTH));
        let position = Section::parse(&text).unwrap().position();
        assert_eq!(position.as_str(), text);
        assert!(text.len() <= Position::MOST);
        let longer = format!("{}-FF-", "00".repeat(17));
        for nowhere in [
            "-", "--", "00-FF", "FF--", "0-FF-", "40-3F-", "GG-FF-", &longer,
        ] {
            assert!(Section::parse(nowhere).is_none(), "{nowhere:?}");
        }
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
