//! [`SilentDrones`] and [`EpisodeStore`] in Azure Cosmos DB.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::Query;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::options::{ItemWriteOptions, Precondition};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::UtcDateTime;

use super::drones::{CosmosDrones, drone_state};
use super::{Container, CosmosDatabase, readable, store_error, version};
use crate::domain::alerts::AlertDocument;
use crate::domain::alerts::silence::{Episode, IN_FLIGHT, Part};
use crate::domain::timestamp::Rfc3339;
use crate::domain::{DeviceId, DroneState};
use crate::stores::silence::{EpisodeStore, SilentDrones, VersionedEpisode};
use crate::stores::{PutError, StoreError, Version};

#[async_trait]
impl SilentDrones for CosmosDrones {
    async fn silent(&self, before: UtcDateTime) -> Result<Vec<DroneState>, StoreError> {
        const OPERATION: &str = "find silent drones in Cosmos DB";
        let failed = |error| store_error(OPERATION, &error);
        let query = silent_query(before).map_err(failed)?;
        let items: Vec<Box<RawValue>> = self
            .container
            .client()
            .await?
            .query_items(query, FeedScope::full_container(), None)
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        Ok(items.iter().filter_map(|item| drone_state(item)).collect())
    }

    async fn last_seen_at(&self, drone: &DeviceId) -> Result<Option<UtcDateTime>, StoreError> {
        let found = self.read(drone).await?.value;
        Ok(found
            .and_then(|found| found.state)
            .map(|state| state.last_seen_at))
    }
}

/// The episodes, in the container `alerts`: alerts with one more property, which is there only while
/// something has not been told.
pub struct CosmosEpisodes {
    container: Container,
}

impl CosmosEpisodes {
    /// Nothing is sent yet.
    pub fn new(database: &Arc<CosmosDatabase>) -> Self {
        Self {
            container: Container::new(database, "alerts"),
        }
    }
}

/// An episode's item.
#[derive(Serialize, Deserialize)]
struct EpisodeDocument {
    #[serde(flatten)]
    alert: AlertDocument,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untold: Option<Part>,
    #[serde(default, rename = "_etag", skip_serializing)]
    etag: String,
}

#[async_trait]
impl EpisodeStore for CosmosEpisodes {
    async fn unfinished(&self, rule: &str) -> Result<Vec<VersionedEpisode>, StoreError> {
        let failed = |error| store_error("find open alerts in Cosmos DB", &error);
        let query = unfinished_query(rule).map_err(failed)?;
        let items: Vec<Box<RawValue>> = self
            .container
            .client()
            .await?
            .query_items(query, FeedScope::full_container(), None)
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        Ok(items
            .iter()
            .filter_map(|item| readable(item))
            .map(|document: EpisodeDocument| VersionedEpisode {
                episode: Episode {
                    alert: document.alert.into(),
                    untold: document.untold,
                },
                version: Version(document.etag.into()),
            })
            .collect())
    }

    async fn put(
        &self,
        episode: &Episode,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        const OPERATION: &str = "write alert to Cosmos DB";
        let container = self.container.client().await?;
        let alert = &episode.alert;
        let key = alert.device_id.as_str().to_owned();
        let document = EpisodeDocument {
            alert: alert.into(),
            untold: episode.untold,
            etag: String::new(),
        };
        let written = match expected {
            Some(Version(etag)) => {
                let unchanged = Precondition::if_match(Etag::from(etag.to_string()));
                let options = ItemWriteOptions::default().with_precondition(unchanged);
                container
                    .replace_item(key, &alert.id, document, Some(options))
                    .await
            }
            None => container.create_item(key, &alert.id, document, None).await,
        };
        match written {
            Ok(response) => Ok(version(response.headers().etag(), OPERATION)?),
            // Expired (404) or changed (412) since it was read, or created by somebody else (409).
            Err(error)
                if error.status().is_precondition_failed()
                    || error.status().is_conflict()
                    || (expected.is_some() && error.status().is_not_found()) =>
            {
                Err(PutError::Stale)
            }
            Err(error) => Err(store_error(OPERATION, &error).into()),
        }
    }
}

/// The texts are constants; every value is a parameter.
fn silent_query(before: UtcDateTime) -> azure_data_cosmos::Result<Query> {
    let query = Query::from(
        "SELECT * FROM c WHERE c.lastSeenAt < @before AND c.flight.status IN (@s0, @s1, @s2, @s3)",
    )
    .with_parameter("@before", second(before))?;
    IN_FLIGHT
        .iter()
        .zip(["@s0", "@s1", "@s2", "@s3"])
        .try_fold(query, |query, (status, name)| {
            query.with_parameter(name, status)
        })
}

fn unfinished_query(rule: &str) -> azure_data_cosmos::Result<Query> {
    Query::from(
        "SELECT * FROM c WHERE c.rule = @rule AND (c.active = true OR IS_DEFINED(c.untold))",
    )
    .with_parameter("@rule", rule)
}

/// The beginning of the second, without the `Z`: of all texts of times, those of earlier seconds come
/// before it and no others, whatever their decimals.
fn second(time: UtcDateTime) -> String {
    let mut text = Rfc3339(time.truncate_to_second()).to_string();
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn every_value_is_a_parameter() {
        let query = silent_query(utc_datetime!(2024-05-01 12:00:00.5)).unwrap();
        assert_eq!(
            serde_json::to_value(query).unwrap(),
            serde_json::json!({
                "query": "SELECT * FROM c WHERE c.lastSeenAt < @before \
                    AND c.flight.status IN (@s0, @s1, @s2, @s3)",
                "parameters": [
                    {"name": "@before", "value": "2024-05-01T12:00:00"},
                    {"name": "@s0", "value": "departedStation"},
                    {"name": "@s1", "value": "inFlight"},
                    {"name": "@s2", "value": "pickedUpPackage"},
                    {"name": "@s3", "value": "droppedOffPackage"},
                ],
            })
        );
    }

    fn time(ticks: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp_nanos(1_714_564_800_000_000_000 + i128::from(ticks) * 100)
            .unwrap()
    }

    proptest! {
        /// Within a few seconds, where texts and times disagree.
        #[test]
        fn texts_of_earlier_seconds_come_before_and_no_others(
            before in prop_oneof![0..30_000_000_i64, (0..300_i64).prop_map(|n| n * 100_000)],
            seen in prop_oneof![0..30_000_000_i64, (0..300_i64).prop_map(|n| n * 100_000)],
        ) {
            let stored = Rfc3339(time(seen)).to_string();
            prop_assert_eq!(stored < second(time(before)), seen / 10_000_000 < before / 10_000_000);
        }
    }
}
