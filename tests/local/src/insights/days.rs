//! The figures of days, as the app has left them.

use std::ops::Deref;

use drone_delivery::domain::insights::figures::{FleetDay, SCHEMA};
use drone_delivery::domain::insights::hour::Day;
use drone_delivery::stores::{FileStore, StoreError, Version};
use time::UtcDateTime;

/// A day's figures cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DaysError {
    /// The tables cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is none, or of a newer build.
    #[error("{0} is not what this build writes")]
    Unreadable(String),
}

/// Days, the earliest first.
pub struct Days(Vec<FleetDay>);

impl Days {
    /// The last ones that there are.
    ///
    /// # Errors
    /// Where the tables cannot be read.
    pub async fn last(tables: &dyn FileStore, number: usize) -> Result<Self, DaysError> {
        let files = tables.list("fleet_hours/").await?.into_iter();
        let names: Vec<String> = files
            .map(|file| file.name)
            .filter(|name| name.ends_with("/fleet.json"))
            .collect();
        let mut days = Vec::new();
        for name in names.iter().skip(names.len().saturating_sub(number)) {
            if let Some(file) = tables.read(name).await? {
                days.push(parse(name, &file.body)?);
            }
        }
        Ok(Self(days))
    }
}

impl Deref for Days {
    type Target = [FleetDay];

    fn deref(&self) -> &[FleetDay] {
        &self.0
    }
}

/// The day that it is, looked at again and again.
#[derive(Default)]
pub struct Latest {
    seen: Option<Version>,
}

impl Latest {
    /// Today's figures, where they are others than when they were looked at last.
    ///
    /// # Errors
    /// Where the tables cannot be read.
    pub async fn news(&mut self, tables: &dyn FileStore) -> Result<Option<FleetDay>, DaysError> {
        let today = Day(UtcDateTime::now().date());
        let name = format!("fleet_hours/date={today}/fleet.json");
        let Some(file) = tables.read(&name).await? else {
            return Ok(None);
        };
        if self.seen.as_ref() == Some(&file.version) {
            return Ok(None);
        }
        let day = parse(&name, &file.body)?;
        self.seen = Some(file.version);
        Ok(Some(day))
    }
}

fn parse(name: &str, body: &[u8]) -> Result<FleetDay, DaysError> {
    serde_json::from_slice::<FleetDay>(body)
        .ok()
        .filter(|day| day.schema == SCHEMA)
        .ok_or_else(|| DaysError::Unreadable(name.to_owned()))
}
