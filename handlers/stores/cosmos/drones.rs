//! [`DroneStore`] in Azure Cosmos DB: a bucket is a logical partition, a batch is transactional.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::TransactionalBatchOperationResult;
use azure_data_cosmos::options::{
    BatchOptions, BatchReplaceOptions, ContentResponseOnWrite, ItemReadOptions, OperationOptions,
    Precondition, ThrottlingRetryOptions,
};
use azure_data_cosmos::{CosmosError, Query, TransactionalBatch};
use futures_util::TryStreamExt;
use serde_json::value::RawValue;

use super::{Container, CosmosDatabase, Head, at_once, readable, store_error, unreadable, version};
use crate::domain::{Bucket, DeviceId, DroneDocument, DroneState};
use crate::stores::fleet::Read;
use crate::stores::{BatchError, DroneStore, DroneWrite, StoreError, StoredDrone, Version};

const READ: &str = "read drones from Cosmos DB";
const WRITE: &str = "write drones to Cosmos DB";

/// Statuses that an operation of a batch may have beside those of success.
mod status {
    pub(super) const NOT_FOUND: u16 = 404;
    pub(super) const REQUEST_TIMEOUT: u16 = 408;
    pub(super) const CONFLICT: u16 = 409;
    pub(super) const GONE: u16 = 410;
    pub(super) const PRECONDITION_FAILED: u16 = 412;
    /// Another operation of the batch failed.
    pub(super) const FAILED_DEPENDENCY: u16 = 424;
    pub(super) const TOO_MANY_REQUESTS: u16 = 429;
    /// Two writers met; one of them has to try again.
    pub(super) const RETRY_WITH: u16 = 449;
    pub(super) const SERVER_ERROR: u16 = 500;
}

/// The drones' latest states, in the container `drones` with the partition key `/bucket`.
pub struct CosmosDrones {
    pub(super) container: Container,
    write_options: BatchOptions,
}

impl CosmosDrones {
    /// Nothing is sent yet.
    pub fn new(database: &Arc<CosmosDatabase>) -> Self {
        // The documents need not come back. And whoever writes wants to know at once where the service asks
        // for less: a client that waits and tries again by itself would hide that.
        let mut throttling = ThrottlingRetryOptions::default();
        throttling.max_retry_count = Some(0);
        let mut options = OperationOptions::default();
        options.content_response_on_write = Some(ContentResponseOnWrite::Disabled);
        options.throttling_retry_options = Some(throttling);
        Self {
            container: Container::new(database, "drones"),
            write_options: BatchOptions::default().with_operation_options(options),
        }
    }

    /// Connects if that has not happened yet. A failed attempt is forgotten: the next call tries anew.
    ///
    /// # Errors
    /// Where the account cannot be reached, or has no such database or container.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.container.client().await.map(|_| ())
    }

    /// Reads one drone, and tells what that cost.
    pub(super) async fn read(
        &self,
        drone: &DeviceId,
    ) -> Result<Read<Option<StoredDrone>>, StoreError> {
        let response = self
            .container
            .client()
            .await?
            .read_item(
                Bucket::of(drone).key(),
                &drone.item_id(),
                Some(ItemReadOptions::default()),
            )
            .await;
        let response = match response {
            Ok(response) => response,
            // A miss costs a request unit, which the error does not tell.
            Err(error) if error.status().is_not_found() => {
                return Ok(Read {
                    value: None,
                    request_charge: 1.0,
                });
            }
            Err(error) => return Err(store_error(READ, &error)),
        };
        let request_charge = response
            .headers()
            .request_charge()
            .map_or(0.0, |charge| charge.value());
        let version = version(response.headers().etag(), READ)?;
        let item: Box<RawValue> = response
            .into_model()
            .map_err(|error| store_error(READ, &error))?;
        Ok(Read {
            value: Some(StoredDrone {
                state: drone_state(&item),
                version,
            }),
            request_charge,
        })
    }

    async fn query(
        &self,
        bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError> {
        let failed = |error: CosmosError| store_error(READ, &error);
        let ids: Vec<String> = drones.iter().map(|drone| drone.item_id()).collect();
        let items: Vec<Box<RawValue>> = self
            .container
            .client()
            .await?
            .query_items(
                query(&ids).map_err(failed)?,
                FeedScope::partition(bucket.key()),
                Some(at_once(ids.len())),
            )
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        let mut found = vec![None; drones.len()];
        for item in items {
            // Cosmos DB writes both into every item.
            let Ok(Head { id, etag }) = serde_json::from_str(item.get()) else {
                continue;
            };
            if let Some(at) = ids.iter().position(|asked| *asked == id) {
                found[at] = Some(StoredDrone {
                    state: drone_state(&item),
                    version: Version(etag.into()),
                });
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl DroneStore for CosmosDrones {
    async fn load(
        &self,
        bucket: Bucket,
        drones: &[&DeviceId],
    ) -> Result<Vec<Option<StoredDrone>>, StoreError> {
        match drones {
            [] => Ok(Vec::new()),
            // A point read costs less than a query.
            [drone] => Ok(vec![self.read(drone).await?.value]),
            _ => self.query(bucket, drones).await,
        }
    }

    async fn write(
        &self,
        bucket: Bucket,
        drones: &[DroneWrite<'_>],
    ) -> Result<Vec<Version>, BatchError> {
        let client = self.container.client().await?;
        let batch = batch(bucket, drones).map_err(|error| store_error(WRITE, &error))?;
        let written = client
            .execute_transactional_batch(batch, Some(self.write_options.clone()))
            .await;
        let results = match written {
            Ok(response) => response
                .into_model()
                .map_err(|error| store_error(WRITE, &error))?,
            Err(error) if u16::from(error.status().status_code()) == status::TOO_MANY_REQUESTS => {
                return Err(BatchError::Throttled {
                    retry_after: retry_after(&error),
                });
            }
            // As an operation's own status below. A 404 here is a container that is not there.
            Err(error)
                if error.status().is_precondition_failed() || error.status().is_conflict() =>
            {
                return Err(BatchError::Stale);
            }
            Err(error) => return Err(store_error(WRITE, &error).into()),
        };
        versions(results.results(), drones.len())
    }

    /// Reads an item that no drone can have: the id of a device never starts with `~~`.
    async fn check(&self) -> Result<(), StoreError> {
        const NOBODY: &str = "~~health";
        match self
            .container
            .client()
            .await?
            .read_item(NOBODY, NOBODY, None)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_not_found() => Ok(()),
            Err(error) => Err(store_error("reach Cosmos DB", &error)),
        }
    }
}

/// The text is put together from constants and numbers; every value is a parameter.
fn query(ids: &[String]) -> azure_data_cosmos::Result<Query> {
    let names: Vec<String> = (0..ids.len()).map(|number| format!("@i{number}")).collect();
    let text = format!("SELECT * FROM c WHERE c.id IN ({})", names.join(", "));
    names
        .into_iter()
        .zip(ids)
        .try_fold(Query::from(text), |query, (name, id)| {
            query.with_parameter(name, id)
        })
}

fn batch(
    bucket: Bucket,
    drones: &[DroneWrite<'_>],
) -> azure_data_cosmos::Result<TransactionalBatch> {
    let empty = TransactionalBatch::new(bucket.key());
    drones.iter().try_fold(empty, |batch, write| {
        let document = DroneDocument::from(write.state);
        match write.expected {
            None => batch.create_item(document),
            Some(Version(etag)) => {
                let unchanged = Precondition::if_match(Etag::from(etag.to_string()));
                let options = BatchReplaceOptions::default().with_precondition(unchanged);
                batch.replace_item(write.state.device_id.item_id(), document, Some(options))
            }
        }
    })
}

/// The versions that a batch wrote, or why it did not.
fn versions(
    results: &[TransactionalBatchOperationResult],
    writes: usize,
) -> Result<Vec<Version>, BatchError> {
    let failed = results
        .iter()
        .enumerate()
        .find(|(_, result)| {
            !result.is_success() && result.status_code() != status::FAILED_DEPENDENCY
        })
        .map(|(index, result)| (index, result.status_code(), result.retry_after()));
    let message = |code| format!("Cosmos DB answered {code} to an operation of a batch");
    let failure = |message, transient| StoreError {
        operation: WRITE,
        message,
        transient,
    };
    match failed {
        // Deleted (404) or changed (412) since it was read, or created by somebody else (409). A retry inside
        // the client after a lost answer looks the same, and reading again resolves that too.
        Some((_, status::NOT_FOUND | status::CONFLICT | status::PRECONDITION_FAILED, _)) => {
            Err(BatchError::Stale)
        }
        Some((_, status::TOO_MANY_REQUESTS, retry_after)) => {
            Err(BatchError::Throttled { retry_after })
        }
        Some((_, code @ (status::REQUEST_TIMEOUT | status::GONE | status::RETRY_WITH), _)) => {
            Err(failure(message(code), true).into())
        }
        Some((_, code @ status::SERVER_ERROR.., _)) => Err(failure(message(code), true).into()),
        Some((index, code, _)) => Err(BatchError::Refused {
            index,
            error: failure(message(code), false),
        }),
        None => results
            .iter()
            .map(|result| result.etag().map(|etag| Version(etag.into())))
            .collect::<Option<Vec<_>>>()
            .filter(|versions| versions.len() == writes)
            .ok_or_else(|| failure("the answer is not that of the batch".to_owned(), true).into()),
    }
}

fn retry_after(error: &CosmosError) -> Option<std::time::Duration> {
    let milliseconds = error.response()?.headers().retry_after_ms?;
    Some(std::time::Duration::from_millis(milliseconds))
}

/// A stored item as a state; see [`readable`].
pub(super) fn drone_state(item: &RawValue) -> Option<DroneState> {
    let document: DroneDocument = readable(item)?;
    DroneState::try_from(document)
        .inspect_err(|error| unreadable(item, &error.to_string()))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn outcome(results: serde_json::Value) -> Result<Vec<Version>, BatchError> {
        let results: Vec<TransactionalBatchOperationResult> =
            serde_json::from_value(results).unwrap();
        versions(&results, 2)
    }

    #[test]
    fn every_id_is_a_parameter() {
        let ids = ["drone~27;--".to_owned(), "b".to_owned()];
        assert_eq!(
            serde_json::to_value(query(&ids).unwrap()).unwrap(),
            json!({
                "query": "SELECT * FROM c WHERE c.id IN (@i0, @i1)",
                "parameters": [
                    {"name": "@i0", "value": "drone~27;--"},
                    {"name": "@i1", "value": "b"},
                ],
            })
        );
    }

    #[test]
    fn a_batch_that_was_written_has_a_version_for_each_drone() {
        let written = json!([
            {"statusCode": 201, "eTag": "a"},
            {"statusCode": 200, "eTag": "b"},
        ]);
        let versions = outcome(written).unwrap();
        assert_eq!(versions, [Version("a".into()), Version("b".into())]);
        let short = json!([{"statusCode": 200, "eTag": "a"}]);
        assert!(matches!(outcome(short), Err(BatchError::Store(error)) if error.transient));
    }

    #[test]
    fn the_operation_that_failed_says_why_the_batch_did() {
        let failed = |code: u16| {
            outcome(json!([
                {"statusCode": 424},
                {"statusCode": code, "retryAfterMilliseconds": 20},
            ]))
        };
        for code in [404, 409, 412] {
            assert!(matches!(failed(code), Err(BatchError::Stale)), "{code}");
        }
        let after = std::time::Duration::from_millis(20);
        assert!(
            matches!(failed(429), Err(BatchError::Throttled { retry_after }) if retry_after == Some(after))
        );
        for code in [408, 410, 449, 500, 503] {
            let failed = failed(code);
            assert!(
                matches!(failed, Err(BatchError::Store(ref error)) if error.transient),
                "{code}"
            );
        }
        for code in [400, 403, 413] {
            let failed = failed(code);
            assert!(
                matches!(failed, Err(BatchError::Refused { index: 1, ref error }) if !error.transient),
                "{code}"
            );
        }
    }

    #[test]
    fn the_largest_batch_is_far_below_what_the_service_takes() {
        let drone = "#".repeat(128);
        let section = json!({
            "occurredAt": "2018-04-17T20:25:09.1234567Z",
            "deliveryId": "d".repeat(128),
        });
        let mut document = json!({
            "id": drone.parse::<DeviceId>().unwrap().item_id(),
            "deviceId": drone,
            "lastSeenAt": "2018-04-17T20:25:09.1234567Z",
        });
        let number = -f64::MAX / 3.0;
        document["flight"] = section.clone();
        document["flight"]["position"] = json!({"type": "Point", "coordinates": [number, number]});
        for field in ["altitude", "velocity", "acceleration"] {
            document["flight"][field] = number.into();
        }
        document["flight"]["status"] = "droppedOffPackage".into();
        document["operating"] = section;
        document["operating"]["batteryStatus"] = "critical".into();
        for field in ["temperature", "batteryLevel"] {
            document["operating"][field] = number.into();
        }
        let document: DroneDocument = serde_json::from_value(document).unwrap();
        let state = DroneState::try_from(document).unwrap();
        let largest = serde_json::to_vec(&DroneDocument::from(&state)).unwrap();
        assert!((1_000..2_048).contains(&largest.len()), "{}", largest.len());
    }
}
