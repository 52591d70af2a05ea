//! The archive's files: which of them can hold the events of a time, in the order of their events.

use std::collections::VecDeque;

use azure_core::http::StatusCode;
use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::BlobContainerClientListBlobsOptions;
use drone_delivery::capture::{self, ArchivedEvent};
use drone_delivery::stores::storage::why;
use futures_util::TryStreamExt;
use time::{Date, Duration, Month, Time, UtcDateTime};

use super::{ReplayError, failed};

/// A batch can hold the events of as long as a hub keeps them: 7 days, outside of the Premium and Dedicated tiers.
const LONGEST_BATCH: i64 = 7;

/// Hubs have up to 32 partitions outside of the Premium and Dedicated tiers; where one of these is found, there may
/// be as many again.
const PARTITIONS: u16 = 32;

/// What a name says: `<hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/<mmss.mmm>-<first>-<last>.avro`. Older names are without
/// the minute and the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchiveFile {
    pub(super) name: String,
    /// The hour that the hub took the first event in.
    hour: UtcDateTime,
    first: i64,
    pub(super) last: i64,
}

impl ArchiveFile {
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".avro")?.rsplitn(6, '/');
        let mut file = parts.next()?.rsplit('-');
        let (last, first) = (file.next()?, file.next()?);
        let hour = parts.next()?.parse().ok()?;
        let day = parts.next()?.parse().ok()?;
        let month: u8 = parts.next()?.parse().ok()?;
        let year = parts.next()?.parse().ok()?;
        let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
        Some(Self {
            name: name.to_owned(),
            hour: UtcDateTime::new(date, Time::from_hms(hour, 0, 0).ok()?),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }
}

/// The partitions with files, in order.
pub(super) async fn partitions(
    container: &BlobContainerClient,
    hub: &str,
) -> Result<Vec<u16>, ReplayError> {
    let mut found = Vec::new();
    let mut end = PARTITIONS;
    let mut partition = 0;
    while partition < end {
        if first_file(container, hub, partition).await?.is_some() {
            found.push(partition);
            end = partition.saturating_add(PARTITIONS + 1).max(end);
        }
        partition += 1;
    }
    Ok(found)
}

async fn first_file(
    container: &BlobContainerClient,
    hub: &str,
    partition: u16,
) -> Result<Option<ArchiveFile>, ReplayError> {
    let names = list(container, format!("{hub}/{partition}/"), Some(1)).await?;
    Ok(names.iter().find_map(|name| ArchiveFile::parse(name)))
}

/// Every name with a prefix, or the first one only.
async fn list(
    container: &BlobContainerClient,
    prefix: String,
    only: Option<i32>,
) -> Result<Vec<String>, ReplayError> {
    let error = |error| failed("list the archive", &error, container.url());
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some(prefix),
        maxresults: only,
        ..Default::default()
    };
    let mut blobs = container.list_blobs(Some(options)).map_err(error)?;
    let mut names = Vec::new();
    while let Some(blob) = blobs.try_next().await.map_err(error)? {
        names.extend(blob.name);
        if only.is_some() {
            break;
        }
    }
    Ok(names)
}

/// The files of one partition with events of a time, one day's names in memory.
pub(super) struct Files<'a> {
    container: &'a BlobContainerClient,
    prefix: String,
    waiting: VecDeque<ArchiveFile>,
    /// The next day to be listed; `None` after the last.
    day: Option<Date>,
    from: UtcDateTime,
    to: UtcDateTime,
}

impl<'a> Files<'a> {
    /// Those that can hold events from `from` to before `to`.
    pub(super) async fn of(
        container: &'a BlobContainerClient,
        hub: &str,
        partition: u16,
        from: UtcDateTime,
        to: UtcDateTime,
    ) -> Result<Self, ReplayError> {
        let mut files = Self {
            container,
            prefix: format!("{hub}/{partition}"),
            waiting: VecDeque::new(),
            day: None,
            from,
            to,
        };
        if let Some(first) = first_file(container, hub, partition).await? {
            files.day = Some(first.hour.date().max(from.date()));
            files.waiting = files.begun_before(first.hour.date()).await?.into();
        }
        Ok(files)
    }

    /// A file goes by its first event, so one of an earlier hour can reach into the time that is wanted. Events
    /// before the last such file's first are of an earlier hour too.
    async fn begun_before(&self, oldest: Date) -> Result<Vec<ArchiveFile>, ReplayError> {
        let hour = hour(self.from);
        for back in 0..=LONGEST_BATCH {
            let Some(day) = self.from.date().checked_sub(Duration::days(back)) else {
                break;
            };
            if day < oldest {
                break;
            }
            let mut earlier = self.of_day(day).await?;
            earlier.retain(|file| file.hour < hour);
            // Of a hub that was made anew meanwhile, numbers say nothing of those of the old one.
            if let Some(latest) = earlier.last().map(|file| file.first) {
                earlier.retain(|file| file.last >= latest);
                return Ok(earlier);
            }
        }
        Ok(Vec::new())
    }

    pub(super) async fn next(&mut self) -> Result<Option<ArchiveFile>, ReplayError> {
        loop {
            if let Some(file) = self.waiting.pop_front() {
                return Ok(Some(file));
            }
            let Some(day) = self.day.filter(|day| *day <= self.to.date()) else {
                return Ok(None);
            };
            self.day = day.next_day();
            let (from, to) = (hour(self.from), self.to);
            let mut files = self.of_day(day).await?;
            files.retain(|file| file.hour >= from && file.hour < to);
            self.waiting = files.into();
        }
    }

    async fn of_day(&self, day: Date) -> Result<Vec<ArchiveFile>, ReplayError> {
        let prefix = format!(
            "{}/{:04}/{:02}/{:02}/",
            self.prefix,
            day.year(),
            u8::from(day.month()),
            day.day()
        );
        let names = list(self.container, prefix, None).await?;
        Ok(names
            .iter()
            .filter_map(|name| ArchiveFile::parse(name))
            .collect())
    }
}

/// Reads a file's events.
///
/// # Errors
/// Those of this file alone are [`of_one_file`](ReplayError::of_one_file).
pub(super) async fn read(
    container: &BlobContainerClient,
    file: &ArchiveFile,
) -> Result<Vec<ArchivedEvent>, ReplayError> {
    let error = |error| {
        let operation = format!("read the archive's file {}", file.name);
        failed(&operation, &error, container.url())
    };
    let found = match container.blob_client(&file.name).download(None).await {
        // Deleted since it was listed, or moved to the archive tier, where nothing can be read.
        Err(error)
            if matches!(
                error.http_status(),
                Some(StatusCode::NotFound | StatusCode::Conflict)
            ) =>
        {
            return Err(ReplayError::Unreadable {
                name: file.name.clone(),
                why: why(&error, container.url()),
            });
        }
        found => found.map_err(error)?,
    };
    let bytes = found.body.collect().await.map_err(error)?;
    capture::decode(&bytes).map_err(|error| ReplayError::Capture {
        name: file.name.clone(),
        error,
    })
}

fn hour(time: UtcDateTime) -> UtcDateTime {
    let start = Time::MIDNIGHT + Duration::hours(time.hour().into());
    time.replace_time(start)
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn a_name_is_read_as_the_handler_writes_it() {
        let at = utc_datetime!(2024-05-01 09:07:05.5);
        let name = capture::file_name("telemetry", "3", at, 41, 1042);
        let expected = ArchiveFile {
            name: name.clone(),
            hour: utc_datetime!(2024-05-01 09:00),
            first: 41,
            last: 1042,
        };
        assert_eq!(ArchiveFile::parse(&name), Some(expected));
        let before = "telemetry/3/2024/05/01/09/00000000000000000041-00000000000000001042.avro";
        let before = ArchiveFile::parse(before).map(|file| (file.first, file.last));
        assert_eq!(before, Some((41, 1042)));
        assert_eq!(hour(at), utc_datetime!(2024-05-01 09:00));
        for other in [
            "",
            "telemetry/3/2024/05/01/09/1-2.parquet",
            "telemetry/3/2024/13/01/09/1-2.avro",
            "telemetry/3/2024/05/01/09/2.avro",
        ] {
            assert_eq!(ArchiveFile::parse(other), None, "{other}");
        }
    }
}
