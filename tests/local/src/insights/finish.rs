//! The end of a run: everything that is archived by then becomes part of the tables, and is held against the simulator's record.

use std::error::Error;
use std::time::Duration;

use azure_functions_sdk::connection::{Connection, ConnectionString};
use drone_delivery::domain::Intake;
use drone_delivery::domain::insights::hour::Hour;
use drone_delivery::stores::FileStore;
use drone_delivery::stores::blob::{BlobContainer, BlobService};
use drone_delivery::tables::deliveries::{self as table, DeliveryRow};
use time::UtcDateTime;

use crate::azurite::StorageAccount;
use crate::replay::Stop;
use crate::summarize::{Place, View, summarize};
use crate::system::{ARCHIVE, HUB, INSIGHTS, System};

/// The function that plans units and makes days.
const PLAN: &str = "SummarizeDeliveries";

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// Lets the functions make what they have not made yet, as they would within a minute, and makes the rest: where the hour under
/// way is not theirs to make, or they are switched off. `since` is when the run began.
///
/// # Errors
/// Where the functions do not finish, or something cannot be made.
pub async fn finish(
    system: &System,
    since: UtcDateTime,
    timeout: Duration,
) -> Result<(), Box<dyn Error>> {
    if system.host.stats().contains_key(PLAN) {
        let_functions_finish(system, timeout).await?;
    }
    let now = UtcDateTime::now();
    let hours = (Hour::of(since), Hour::of(now));
    let place = Place::of(&connection(&system.storage)?, HUB, hours)?;
    let (stop, mut view) = (Stop::default(), View::silent());
    let made = summarize(&place, Intake::default(), now, 1, &stop, &mut view).await?;
    match made.is_complete() {
        true => Ok(()),
        false => Err(format!("the archive could not be summarised: {made:?}").into()),
    }
}

/// Lets the functions plan what is new, and, once that is made, make the days.
///
/// # Errors
/// Where a call fails or they do not come to an end.
pub async fn let_functions_finish(
    system: &System,
    timeout: Duration,
) -> Result<(), Box<dyn Error>> {
    system.host.run_timer(PLAN).await?;
    system.host.settled(timeout).await?;
    Ok(system.host.run_timer(PLAN).await?)
}

/// The container of the archive.
///
/// # Errors
/// Where the connection leads nowhere.
pub fn archive_of(storage: &StorageAccount) -> Result<BlobContainer, Box<dyn Error>> {
    Ok(BlobService::connect(&connection(storage)?)?.container(ARCHIVE)?)
}

/// The container of the tables.
///
/// # Errors
/// Where the connection leads nowhere.
pub fn tables_of(storage: &StorageAccount) -> Result<BlobContainer, Box<dyn Error>> {
    Ok(BlobService::connect(&connection(storage)?)?.container(INSIGHTS)?)
}

fn connection(storage: &StorageAccount) -> Result<Connection, Box<dyn Error>> {
    let text = ConnectionString::parse(STORAGE, storage.connection_string())?;
    Ok(Connection::ConnectionString(text))
}

/// All deliveries of the tables.
///
/// # Errors
/// Where a table cannot be read.
pub async fn deliveries(tables: &dyn FileStore) -> Result<Vec<DeliveryRow>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for file in tables.list("deliveries/").await? {
        if let Some(file) = tables.read(&file.name).await? {
            rows.extend(table::read(file.body)?);
        }
    }
    Ok(rows)
}
