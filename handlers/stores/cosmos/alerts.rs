//! [`AlertStore`] in Azure Cosmos DB.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::Query;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::options::{ItemWriteOptions, Precondition};
use futures_util::TryStreamExt;
use serde_json::value::RawValue;

use super::{Container, CosmosDatabase, at_once, readable, store_error, version};
use crate::domain::alerts::{Alert, AlertDocument};
use crate::domain::timestamp::Rfc3339Nanos;
use crate::stores::fleet::Read;
use crate::stores::{AlertFilter, AlertStore, StoreError};

/// How often an alert is read again after somebody else wrote it first. Two instances work on one
/// partition for a moment at most.
const STALE_ROUNDS: usize = 5;

/// The alerts, in the container `alerts` with the partition key `/deviceId`, where they expire 30 days
/// after they were last written.
pub struct CosmosAlerts {
    container: Container,
}

impl CosmosAlerts {
    /// Nothing is sent yet.
    pub fn new(database: &Arc<CosmosDatabase>) -> Self {
        Self {
            container: Container::new(database, "alerts"),
        }
    }

    /// Returns whether it was written: not where there is one already.
    async fn create(&self, partition: &str, alert: &Alert) -> Result<bool, StoreError> {
        let written = self
            .container
            .client()
            .await?
            .create_item(key(alert), &alert.id, document(partition, alert), None)
            .await;
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.status().is_conflict() => Ok(false),
            Err(error) => Err(store_error("write alert to Cosmos DB", &error)),
        }
    }

    /// Returns whether the store has the alert as it is, or further on.
    async fn replace(&self, partition: &str, alert: &Alert) -> Result<bool, StoreError> {
        const READ: &str = "read alert from Cosmos DB";
        let container = self.container.client().await?;
        let found = match container.read_item(key(alert), &alert.id, None).await {
            Ok(found) => found,
            // Expired: it is written anew.
            Err(error) if error.status().is_not_found() => {
                return self.create(partition, alert).await;
            }
            Err(error) => return Err(store_error(READ, &error)),
        };
        let etag = version(found.headers().etag(), READ)?;
        let stored: Box<RawValue> = found
            .into_model()
            .map_err(|error| store_error(READ, &error))?;
        // One that cannot be read is replaced: what this program knows of the alert is all that can be shown.
        let further_on = readable::<AlertDocument>(&stored)
            .is_some_and(|stored| Alert::from(stored).progress() >= alert.progress());
        if further_on {
            return Ok(true);
        }
        let unchanged = Precondition::if_match(Etag::from(etag.0.into_string()));
        let options = ItemWriteOptions::default().with_precondition(unchanged);
        let written = container
            .replace_item(
                key(alert),
                &alert.id,
                document(partition, alert),
                Some(options),
            )
            .await;
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.status().is_precondition_failed() => Ok(false),
            Err(error) if error.status().is_not_found() => Ok(false),
            Err(error) => Err(store_error("write alert to Cosmos DB", &error)),
        }
    }
}

#[async_trait]
impl AlertStore for CosmosAlerts {
    async fn record(&self, partition: &str, alert: &Alert) -> Result<(), StoreError> {
        // Most are new, and cost one write.
        if alert.is_open() && alert.reminded.is_none() && self.create(partition, alert).await? {
            return Ok(());
        }
        for _ in 0..STALE_ROUNDS {
            if self.replace(partition, alert).await? {
                return Ok(());
            }
        }
        Err(StoreError {
            operation: "write alert to Cosmos DB",
            message: format!("somebody else wrote it first, {STALE_ROUNDS} times in a row"),
            transient: true,
        })
    }

    async fn open_of(&self, partition: &str) -> Result<Vec<Alert>, StoreError> {
        let failed = |error| store_error("list open alerts from Cosmos DB", &error);
        let query =
            Query::from("SELECT * FROM c WHERE c.active = true AND c.partition = @partition")
                .with_parameter("@partition", partition)
                .map_err(failed)?;
        let items: Vec<Box<RawValue>> = self
            .container
            .client()
            .await?
            .query_items::<Box<RawValue>>(query, FeedScope::full_container(), None)
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        let readable = items.iter().filter_map(|item| readable(item));
        Ok(readable
            .map(|document: AlertDocument| Alert::from(document))
            .collect())
    }

    async fn list(&self, filter: &AlertFilter, limit: u16) -> Result<Read<Vec<Alert>>, StoreError> {
        let failed = |error| store_error("list alerts from Cosmos DB", &error);
        let limit = usize::from(limit);
        // One drone's alerts are in one partition, and cost a fraction.
        let scope = match &filter.device_id {
            Some(device) => FeedScope::partition(device.as_str().to_owned()),
            None => FeedScope::full_container(),
        };
        let query = query(filter, limit).map_err(failed)?;
        let mut pages = self
            .container
            .client()
            .await?
            .query_items::<Box<RawValue>>(query, scope, Some(at_once(limit)))
            .await
            .map_err(failed)?
            .into_pages();
        let mut request_charge = 0.0;
        let mut alerts = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            request_charge += page
                .headers()
                .request_charge()
                .map_or(0.0, |charge| charge.value());
            let items = page.into_items();
            let readable = items.iter().filter_map(|item| readable(item));
            alerts.extend(readable.map(|document: AlertDocument| Alert::from(document)));
            if alerts.len() >= limit {
                break;
            }
        }
        alerts.truncate(limit);
        Ok(Read {
            value: alerts,
            request_charge,
        })
    }
}

fn document(partition: &str, alert: &Alert) -> AlertDocument {
    AlertDocument::from(alert).of(partition)
}

fn key(alert: &Alert) -> String {
    alert.device_id.as_str().to_owned()
}

/// The text is put together from constants alone; every value is a parameter.
fn query(filter: &AlertFilter, top: usize) -> azure_data_cosmos::Result<Query> {
    let AlertFilter {
        active,
        device_id,
        since,
        rule,
    } = filter;
    let mut query = Query::from("SELECT TOP @top * FROM c WHERE IS_DEFINED(c.rule)")
        .with_parameter("@top", top)?;
    if let Some(active) = active {
        query = query
            .append_text(" AND c.active = @active")
            .with_parameter("@active", active)?;
    }
    if let Some(device_id) = device_id {
        query = query
            .append_text(" AND c.deviceId = @deviceId")
            .with_parameter("@deviceId", device_id)?;
    }
    if let Some(since) = since {
        query = query
            .append_text(" AND c.raisedAt >= @since")
            .with_parameter("@since", Rfc3339Nanos(*since).to_string())?;
    }
    if let Some(rule) = rule {
        query = query
            .append_text(" AND c.rule = @rule")
            .with_parameter("@rule", rule)?;
    }
    Ok(query.append_text(" ORDER BY c.raisedAt DESC"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_value_is_a_parameter() {
        let filter = AlertFilter {
            active: Some(true),
            device_id: Some("drone';--".parse().unwrap()),
            since: Some(time::macros::utc_datetime!(2024-05-01 12:00:00.5)),
            rule: Some("battery-low".to_owned()),
        };
        assert_eq!(
            serde_json::to_value(query(&filter, 7).unwrap()).unwrap(),
            serde_json::json!({
                "query": "SELECT TOP @top * FROM c WHERE IS_DEFINED(c.rule) AND c.active = @active \
                    AND c.deviceId = @deviceId AND c.raisedAt >= @since AND c.rule = @rule \
                    ORDER BY c.raisedAt DESC",
                "parameters": [
                    {"name": "@top", "value": 7},
                    {"name": "@active", "value": true},
                    {"name": "@deviceId", "value": "drone';--"},
                    {"name": "@since", "value": "2024-05-01T12:00:00.500000000Z"},
                    {"name": "@rule", "value": "battery-low"},
                ],
            })
        );
    }
}
