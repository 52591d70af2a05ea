//! `cargo local prepare`: makes what the handler expects to find, in whatever emulators the app settings
//! lead to. In Azure the infrastructure does this.

use azure_core::http::{StatusCode, Url};
use azure_data_cosmos::models::ContainerProperties;
use azure_data_cosmos::options::RoutingStrategy;
use azure_data_cosmos::{AccountReference, CosmosClient};
use azure_functions_sdk::connection::{Connection, ConnectionError, ConnectionString};
use drone_delivery::stores::blob::BlobService;
use drone_delivery::stores::queue::StorageQueue;
use drone_delivery::stores::storage::{StorageConnectionError, why};
use drone_delivery::tls;

use crate::system::{
    ALERT_QUEUE, ALERT_STATE, ARCHIVE, COSMOS_CONTAINERS, DEAD_LETTERS, INSIGHTS, UNITS,
};

/// Something could not be made; the text names the setting or the thing.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A setting is missing or malformed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A setting is no connection string with a key: only emulators are prepared here.
    #[error("the app setting {0} must be a connection string with a key, as emulators have one")]
    NoKey(&'static str),
    /// The storage connection leads nowhere.
    #[error("the app setting FleetStorage: {0}")]
    StorageConnection(#[from] StorageConnectionError),
    /// Blob or Queue storage refused.
    #[error("storage did not make {name}: {why}")]
    Storage {
        /// What.
        name: String,
        /// Why not.
        why: String,
    },
    /// Cosmos DB refused.
    #[error("Cosmos DB did not make {name}: {error}")]
    Cosmos {
        /// What.
        name: String,
        /// Why not; the status, for the error's own text may carry the request.
        error: String,
    },
}

/// Makes the database, the containers and the queues, where they are not there yet. Settings are looked
/// up by name: `CosmosDb`, `CosmosDbDatabase` and `FleetStorage`.
///
/// # Errors
/// Where a setting leads nowhere or a service refuses.
pub async fn prepare(lookup: impl Fn(&str) -> Option<String>) -> Result<(), PrepareError> {
    let setting = |name: &str| {
        lookup(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ConnectionError::Missing(name.to_owned()))
    };
    let storage = Connection::resolve("FleetStorage", &lookup)?;
    let blobs = BlobService::connect(&storage)?;
    for name in [ARCHIVE, DEAD_LETTERS, ALERT_STATE, INSIGHTS] {
        let container = blobs.container(name)?;
        let made = container.client().create(None).await;
        unless_in_storage(made, name, container.client().url())?;
    }
    for name in [DEAD_LETTERS, ALERT_QUEUE, UNITS] {
        let queue = StorageQueue::connect(&storage, name)?;
        let made = queue.client().create(None).await;
        unless_in_storage(made, name, queue.client().url())?;
    }

    let connection = match Connection::resolve("CosmosDb", &lookup)? {
        Connection::ConnectionString(text) => text,
        Connection::Identity(_) => return Err(PrepareError::NoKey("CosmosDb")),
    };
    cosmos(&connection, &setting("CosmosDbDatabase")?).await
}

async fn cosmos(connection: &ConnectionString, database: &str) -> Result<(), PrepareError> {
    let (Some(endpoint), Some(key)) = (
        connection.get("AccountEndpoint"),
        connection.get("AccountKey"),
    ) else {
        return Err(PrepareError::NoKey("CosmosDb"));
    };
    let endpoint = endpoint
        .parse()
        .map_err(|_| PrepareError::NoKey("CosmosDb"))?;
    let account = AccountReference::with_authentication_key(endpoint, key.to_owned());
    tls::choose();
    let client = CosmosClient::builder()
        .build(account, RoutingStrategy::PreferredRegions(Vec::new()))
        .await
        .map_err(|error| refused("a connection", &error))?;
    unless_there(client.create_database(database, None).await, database)?;
    let databases = client.database_client(database.to_owned());
    for (container, partition_key) in COSMOS_CONTAINERS {
        let properties = ContainerProperties::new(container, partition_key.into());
        unless_there(
            databases.create_container(properties, None).await,
            container,
        )?;
    }
    Ok(())
}

/// A conflict says that it is there already.
fn unless_in_storage<T>(
    made: azure_core::Result<T>,
    name: &str,
    at: &Url,
) -> Result<(), PrepareError> {
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.http_status() == Some(StatusCode::Conflict) => Ok(()),
        Err(error) => Err(PrepareError::Storage {
            name: name.to_owned(),
            why: why(&error, at),
        }),
    }
}

/// A conflict says that it is there already.
fn unless_there<T>(made: azure_data_cosmos::Result<T>, name: &str) -> Result<(), PrepareError> {
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.status().is_conflict() => Ok(()),
        Err(error) => Err(refused(name, &error)),
    }
}

fn refused(name: &str, error: &azure_data_cosmos::CosmosError) -> PrepareError {
    PrepareError::Cosmos {
        name: name.to_owned(),
        error: format!("{:?}", error.status()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::azurite::{Azurite, AzuriteOptions};
    use crate::cosmos::CosmosEmulator;

    /// Twice, because the second time all of it is there.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_handler_expects_is_made_once() {
        let azurite = Azurite::start(AzuriteOptions {
            blob_port: 0,
            queue_port: 0,
            accounts: vec!["fleet".to_owned()],
        })
        .await
        .unwrap();
        let storage = azurite.account("fleet").unwrap();
        let emulator = CosmosEmulator::start(0).await.unwrap();
        let cosmos = emulator.connection_string();
        let lookup = |name: &str| match name {
            "FleetStorage" => Some(storage.connection_string().to_owned()),
            "CosmosDb" => Some(cosmos.clone()),
            "CosmosDbDatabase" => Some("fleet".to_owned()),
            _ => None,
        };
        prepare(lookup).await.unwrap();
        prepare(lookup).await.unwrap();
        for container in [ARCHIVE, DEAD_LETTERS, ALERT_STATE, INSIGHTS] {
            assert!(storage.blob_names(container, "").await.unwrap().is_empty());
        }
        for queue in [DEAD_LETTERS, ALERT_QUEUE, UNITS] {
            assert!(storage.take_queue_messages(queue).await.unwrap().is_empty());
        }
    }

    #[test]
    fn the_value_of_our_own_settings_is_taken() {
        let settings: serde_json::Value =
            serde_json::from_str(include_str!("../../../local.settings.json")).unwrap();
        let value = settings["Values"]["FleetStorage"].as_str().unwrap();
        for storage in [
            value,
            "AccountName=a;AccountKey=a2V5;EndpointSuffix=localhost",
        ] {
            let lookup = |name: &str| (name == "FleetStorage").then(|| storage.to_owned());
            let connection = Connection::resolve("FleetStorage", lookup).unwrap();
            BlobService::connect(&connection).unwrap();
            StorageQueue::connect(&connection, ALERT_QUEUE).unwrap();
            crate::azurite::StorageAccount::from_connection_string(storage).unwrap();
        }
    }

    #[tokio::test]
    async fn a_missing_setting_is_named() {
        let error = prepare(|_| None).await.unwrap_err();
        assert!(error.to_string().contains("FleetStorage"), "{error}");
    }
}
