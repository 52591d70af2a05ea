//! Where the archive is read and the tables are written: folders, the system that runs here, or one in Azure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use azure_functions_sdk::connection::{Connection, ConnectionError};
use drone_delivery::domain::insights::hour::Hour;
use drone_delivery::stores::FileStore;
use drone_delivery::stores::blob::BlobService;
use time::{Duration, UtcDateTime};

use super::directory::Directory;
use super::{SummarizeError, SummarizeOptions};
use crate::running::RunningSystem;
use crate::system::{ARCHIVE, INSIGHTS};

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// The hub's name, as other commands take it.
const HUB: &str = "EVENT_HUB_NAME";

/// First and last.
type Hours = (Hour, Hour);

/// An archive, the tables that are made of it, and how much of it is looked at.
pub struct Place {
    pub(super) archive: Arc<dyn FileStore>,
    pub(super) tables: Arc<dyn FileStore>,
    /// The hubs, and the hours of each.
    pub(super) hubs: BTreeMap<String, Hours>,
    /// Whether the app works on it as well: there may be later hours then, and the archive's files are put together as the app does.
    pub(super) is_of_the_app: bool,
}

impl Place {
    /// What the options name.
    ///
    /// # Errors
    /// Where that is not there, or nothing is chosen.
    pub async fn find(
        options: &SummarizeOptions,
        repository: &Path,
    ) -> Result<Self, SummarizeError> {
        match (&options.archive, &options.tables) {
            (Some(archive), Some(tables)) => Self::folders(archive, tables, options).await,
            _ => Self::account(options, repository),
        }
    }

    async fn folders(
        archive: &Path,
        tables: &Path,
        options: &SummarizeOptions,
    ) -> Result<Self, SummarizeError> {
        let folder = |path: &Path| {
            let path = path.display().to_string();
            move |error| SummarizeError::Folder { path, error }
        };
        let opened = Directory::open(archive).map_err(folder(archive))?;
        let tables = Directory::create(tables).map_err(folder(tables))?;
        let mut hubs: BTreeMap<String, Hours> = BTreeMap::new();
        let prefix = match &options.hub {
            Some(hub) => format!("{hub}/"),
            None => String::new(),
        };
        let chosen = chosen(options)?;
        for file in opened.list(&prefix).await? {
            let Some((hub, hour)) = unit_of(&file.name) else {
                continue;
            };
            if chosen.is_none_or(|(first, last)| (first..=last).contains(&hour)) {
                let (first, last) = hubs.entry(hub.to_owned()).or_insert((hour, hour));
                *first = hour.min(*first);
                *last = hour.max(*last);
            }
        }
        match hubs.is_empty() {
            true => Err(SummarizeError::Nothing(archive.display().to_string())),
            false => Ok(Self {
                archive: Arc::new(opened),
                tables: Arc::new(tables),
                hubs,
                is_of_the_app: false,
            }),
        }
    }

    fn account(options: &SummarizeOptions, repository: &Path) -> Result<Self, SummarizeError> {
        let hours = chosen(options)?.ok_or(SummarizeError::Backwards)?;
        let (storage, its_hub) = match Connection::from_env(STORAGE) {
            Ok(storage) => (storage, std::env::var(HUB).ok()),
            Err(ConnectionError::Missing(_)) => {
                let system =
                    RunningSystem::find_alive(repository).ok_or(SummarizeError::NoSystem)?;
                (system.storage()?, Some(system.hub_name().to_owned()))
            }
            Err(error) => return Err(error.into()),
        };
        let hub = options.hub.clone().or(its_hub);
        let hub = hub.filter(|hub| !hub.trim().is_empty());
        Self::of(&storage, &hub.ok_or(SummarizeError::NoHub)?, hours)
    }

    /// Hours of a hub in a storage account.
    ///
    /// # Errors
    /// Where the connection leads nowhere.
    pub fn of(storage: &Connection, hub: &str, hours: Hours) -> Result<Self, SummarizeError> {
        let blobs = BlobService::connect(storage)?;
        Ok(Self {
            archive: Arc::new(blobs.container(ARCHIVE)?),
            tables: Arc::new(blobs.container(INSIGHTS)?),
            hubs: BTreeMap::from([(hub.to_owned(), hours)]),
            is_of_the_app: true,
        })
    }
}

impl Place {
    /// Hours of a hub's archive that is only read, and tables that nobody else writes.
    #[must_use]
    pub fn copy(
        archive: Arc<dyn FileStore>,
        tables: Arc<dyn FileStore>,
        hub: &str,
        hours: Hours,
    ) -> Self {
        Self {
            archive,
            tables,
            hubs: BTreeMap::from([(hub.to_owned(), hours)]),
            is_of_the_app: false,
        }
    }
}

/// What the options choose of the time; `None` where that is all.
fn chosen(options: &SummarizeOptions) -> Result<Option<Hours>, SummarizeError> {
    if options.from.is_none() && options.to.is_none() {
        return Ok(None);
    }
    let first = options.from.unwrap_or(UtcDateTime::MIN);
    let end = options.to.unwrap_or(UtcDateTime::MAX);
    let last = end.saturating_sub(Duration::NANOSECOND);
    match first <= last {
        true => Ok(Some((Hour::of(first), Hour::of(last)))),
        false => Err(SummarizeError::Backwards),
    }
}

/// `<hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/<file>`.
fn unit_of(name: &str) -> Option<(&str, Hour)> {
    let parts: Vec<&str> = name.split('/').collect();
    let [hub, partition, year, month, day, hour, _file] = parts.as_slice() else {
        return None;
    };
    partition.parse::<u32>().ok()?;
    let hour = format!("{year}-{month}-{day}T{hour}").parse().ok()?;
    Some((hub, hour))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn a_file_is_of_the_hour_that_its_folder_says() {
        let at = utc_datetime!(2024-05-01 09:07:05.5);
        let name = drone_delivery::capture::file_name("telemetry", "3", at, 41, 1042);
        assert_eq!(unit_of(&name), Some(("telemetry", Hour::of(at))));
        for other in [
            "",
            "a.avro",
            "telemetry/3/2024/05/01/09",
            "telemetry/3/2024/05/01/24/a.avro",
            "telemetry/x/2024/05/01/09/a.avro",
            "telemetry/3/2024/05/01/09/10/a.avro",
        ] {
            assert_eq!(unit_of(other), None, "{other}");
        }
    }

    #[test]
    fn an_end_is_not_in_the_time_that_it_ends() {
        let time = |hour| Some(UtcDateTime::UNIX_EPOCH + Duration::hours(hour));
        let by = |from, to| {
            let options = SummarizeOptions {
                from,
                to,
                ..SummarizeOptions::default()
            };
            chosen(&options)
        };
        let hour = |number| Hour::of(UtcDateTime::UNIX_EPOCH).plus(number);
        assert_eq!(by(None, None).unwrap(), None);
        assert_eq!(by(time(1), time(3)).unwrap(), Some((hour(1), hour(2))));
        assert!(by(time(3), None).unwrap().unwrap().1 > hour(1_000_000));
        for (from, to) in [(time(3), time(1)), (time(3), time(3))] {
            assert!(matches!(by(from, to), Err(SummarizeError::Backwards)));
        }
    }
}
