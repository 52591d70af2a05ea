//! The figures of hours and days: those of the days' `fleet.json`, put one after the other.

use std::collections::BTreeMap;
use std::str::FromStr;

use futures_util::{StreamExt, TryStreamExt, stream};
use h3o::{CellIndex, LatLng};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Date, UtcDateTime};
use tracing::{info, warn};

use super::Unreadable;
use super::query::{DayQuery, HourQuery};
use crate::domain::insights::figures::SCHEMA;
use crate::domain::timestamp::{rfc3339, rfc3339_nanos};
use crate::error::Problem;
use crate::stores::StoreError;
use crate::stores::files::FileStore;

/// Files that are read at a time.
const AT_A_TIME: usize = 8;

/// Cells of an answer, of each kind: as many as one day has.
const MOST_CELLS: usize = 200;

/// `fleet.json`. Figures are passed on as they are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fleet {
    date: String,
    #[serde(with = "rfc3339_nanos::option")]
    as_of: Option<UtcDateTime>,
    complete: bool,
    hours: Vec<Hour>,
    day: Map<String, Value>,
    hot_spots: CellLists,
}

/// One hour's figures.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hour {
    #[serde(with = "rfc3339")]
    hour: UtcDateTime,
    complete: bool,
    #[serde(flatten)]
    figures: Map<String, Value>,
}

/// One day's figures.
#[derive(Debug, Serialize)]
pub struct Day {
    date: String,
    complete: bool,
    #[serde(flatten)]
    figures: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CellLists {
    pick_ups: Vec<Counted>,
    drop_offs: Vec<Counted>,
    flight: Vec<Flown>,
}

#[derive(Debug, Deserialize)]
struct Counted {
    cell: String,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct Flown {
    cell: String,
    seconds: f64,
}

/// What answers about hours and days have in common.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heading {
    /// Up to when nothing is outstanding.
    #[serde(with = "optional")]
    as_of: Option<UtcDateTime>,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// The answer about hours.
#[derive(Debug, Serialize)]
pub struct Hours {
    #[serde(flatten)]
    heading: Heading,
    hours: Vec<Hour>,
}

/// The answer about days.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Days {
    #[serde(flatten)]
    heading: Heading,
    days: Vec<Day>,
    hot_spots: HotSpots,
}

/// The cells with the most of them, over all days of the answer; of each day its own 200 are known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HotSpots {
    pick_ups: Vec<Cell>,
    drop_offs: Vec<Cell>,
    flight: Vec<Cell>,
}

/// A cell, with its middle.
#[derive(Debug, PartialEq, Serialize)]
pub struct Cell {
    cell: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    latitude: f64,
    longitude: f64,
}

/// The hours of a range.
///
/// # Errors
/// 400 for a range that cannot be meant so, 503 while the store is out of reach.
pub async fn hours(
    files: &dyn FileStore,
    query: &HourQuery,
    now: UtcDateTime,
) -> Result<Hours, Problem> {
    let (from, to) = query.range(now)?;
    let (days, unreadable) = read(files, from.date(), to.date()).await?;
    let as_of = as_of(&days);
    let of_range = |hour: &Hour| from <= hour.hour && hour.hour < to;
    let mut hours: Vec<Hour> = days.into_iter().flat_map(|day| day.hours).collect();
    hours.retain(of_range);
    hours.sort_by_key(|hour| hour.hour);
    let heading = Heading {
        as_of,
        complete: unreadable.is_empty() && hours.iter().all(|hour| hour.complete),
        unreadable,
    };
    Ok(Hours { heading, hours })
}

/// The days of a range, and the hot spots of all of them together.
///
/// # Errors
/// 400 for a range that cannot be meant so, 503 while the store is out of reach.
pub async fn days(
    files: &dyn FileStore,
    query: &DayQuery,
    now: UtcDateTime,
) -> Result<Days, Problem> {
    let (from, to) = query.range(now)?;
    let (days, unreadable) = read(files, from, to).await?;
    let heading = Heading {
        as_of: as_of(&days),
        complete: unreadable.is_empty() && days.iter().all(|day| day.complete),
        unreadable,
    };
    let hot_spots = HotSpots {
        pick_ups: counted(days.iter().flat_map(|day| &day.hot_spots.pick_ups)),
        drop_offs: counted(days.iter().flat_map(|day| &day.hot_spots.drop_offs)),
        flight: flown(days.iter().flat_map(|day| &day.hot_spots.flight)),
    };
    let days = days.into_iter().map(|day| Day {
        date: day.date,
        complete: day.complete,
        figures: day.day,
    });
    Ok(Days {
        heading,
        days: days.collect(),
        hot_spots,
    })
}

/// Each file says up to when nothing was outstanding, of any day, when it was made: the latest is what is true now.
fn as_of(days: &[Fleet]) -> Option<UtcDateTime> {
    days.iter().filter_map(|day| day.as_of).max()
}

/// What the newest day that can be read says of the time up to which nothing is outstanding.
pub(super) async fn newest_as_of(files: &dyn FileStore) -> Result<Option<UtcDateTime>, StoreError> {
    let names = files.list(FOLDER).await?.into_iter().map(|file| file.name);
    // Names sort as their dates do.
    let newest = names.rev().filter_map(|name| {
        let date = date_of(&name)?.to_owned();
        Some((name, date))
    });
    for (name, date) in newest.take(AT_A_TIME) {
        if let Some(Ok(Fleet {
            as_of: Some(as_of), ..
        })) = day(files, &name, &date).await?
        {
            return Ok(Some(as_of));
        }
    }
    Ok(None)
}

const FOLDER: &str = "fleet_hours/date=";
const FILE: &str = "/fleet.json";

fn date_of(name: &str) -> Option<&str> {
    name.strip_prefix(FOLDER)?.strip_suffix(FILE)
}

/// Every day from `from` to `to` that there is, in order, and the files that cannot be read.
async fn read(
    files: &dyn FileStore,
    from: Date,
    to: Date,
) -> Result<(Vec<Fleet>, Vec<Unreadable>), StoreError> {
    let dates = std::iter::successors(Some(from), |date| date.next_day());
    let reading = dates.take_while(|date| *date <= to).map(async |date| {
        let date = date.to_string();
        let name = format!("{FOLDER}{date}{FILE}");
        day(files, &name, &date).await
    });
    let read: Vec<_> = stream::iter(reading)
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    let mut days = Vec::new();
    let mut unreadable = Vec::new();
    for found in read.into_iter().flatten() {
        match found {
            Ok(day) => days.push(day),
            Err(damaged) => unreadable.push(damaged),
        }
    }
    info!(
        days = days.len(),
        unreadable = unreadable.len(),
        "days of the fleet read"
    );
    Ok((days, unreadable))
}

/// One day; `None` where nothing is known of it.
async fn day(
    files: &dyn FileStore,
    name: &str,
    date: &str,
) -> Result<Option<Result<Fleet, Unreadable>>, StoreError> {
    let Some(file) = files.read(name).await? else {
        return Ok(None);
    };
    Ok(Some(parse(&file.body, date).map_err(|problem| {
        warn!(
            file.name = name,
            problem, "a day of the fleet cannot be read"
        );
        Unreadable {
            file: name.to_owned(),
            problem,
        }
    })))
}

fn parse(body: &[u8], date: &str) -> Result<Fleet, String> {
    #[derive(Deserialize)]
    struct Form {
        schema: u32,
    }
    // A later form may look otherwise: it is told by its number, not by its first difference.
    let known = serde_json::from_slice::<Form>(body).map(|form| form.schema);
    match known {
        Ok(SCHEMA) => {}
        Ok(other) => return Err(format!("is of schema {other}, and {SCHEMA} is known")),
        Err(_) => return Err("is not JSON with a schema".to_owned()),
    }
    // Where, and not what: an error of the parser may quote the file.
    let fleet: Fleet = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("is not of schema {SCHEMA}, at line {line}, column {column}")
    })?;
    if fleet.date == date {
        Ok(fleet)
    } else {
        Err("is of another day".to_owned())
    }
}

fn counted<'a>(cells: impl Iterator<Item = &'a Counted>) -> Vec<Cell> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for Counted { cell, count } in cells {
        let sum = sums.entry(cell).or_default();
        *sum = sum.saturating_add(*count);
    }
    let mut sums: Vec<(&str, u64)> = sums.into_iter().collect();
    // Stable: of equals the first by name.
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let known = sums
        .into_iter()
        .filter_map(|(cell, count)| placed(cell, Some(count), None));
    known.take(MOST_CELLS).collect()
}

fn flown<'a>(cells: impl Iterator<Item = &'a Flown>) -> Vec<Cell> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for Flown { cell, seconds } in cells {
        *sums.entry(cell).or_default() += seconds;
    }
    let mut sums: Vec<(&str, f64)> = sums.into_iter().collect();
    sums.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let known = sums
        .into_iter()
        .filter_map(|(cell, seconds)| placed(cell, None, Some(seconds)));
    known.take(MOST_CELLS).collect()
}

/// `None` for a text that names no cell: there is no place to show it at.
fn placed(cell: &str, count: Option<u64>, seconds: Option<f64>) -> Option<Cell> {
    let Ok(index) = CellIndex::from_str(cell) else {
        warn!("a hot spot is no cell");
        return None;
    };
    let middle = LatLng::from(index);
    // To about a meter.
    let rounded = |degrees: f64| (degrees * 1e5).round() / 1e5;
    Some(Cell {
        cell: cell.to_owned(),
        count,
        seconds,
        latitude: rounded(middle.lat()),
        longitude: rounded(middle.lng()),
    })
}

/// A time as [`rfc3339`] writes it, or null.
pub(super) mod optional {
    use serde::Serializer;
    use time::UtcDateTime;

    use crate::domain::timestamp::Rfc3339;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<UtcDateTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&Rfc3339(*time)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
#[path = "days_tests.rs"]
mod tests;
