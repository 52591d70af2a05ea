//! A delivery's rows in the table `deliveries`.
//!
//! The table is ordered by device, so a delivery may be anywhere in it. Of each file the column of the ids is read first, and the other
//! columns only where it names the delivery. One file is in memory at a time.

use bytes::Bytes;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde::Serialize;
use serde_json::{Map, Value};
use time::{Duration, UtcDateTime};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::Unreadable;
use super::days::{newest_as_of, optional};
use super::query::DeliveryQuery;
use crate::domain::insights::delivery::LOST_AFTER;
use crate::domain::timestamp::{Rfc3339, parse_rfc3339};
use crate::error::Problem;
use crate::stores::StoreError;
use crate::stores::files::{FileEntry, FileStore};

/// The largest file of the table that is read: a hub partition's day of the design's fleet has some 3 MB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Ids that are in memory at a time.
const IDS: usize = 4_096;

/// Rows of an answer at most: whoever sends telemetry chooses the ids.
const MOST_ROWS: usize = 1_000;

const DELIVERY_ID: &str = "delivery_id";
const DEVICE_ID: &str = "device_id";

/// The answer: one row for each drone on the delivery.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rows {
    #[serde(with = "optional")]
    as_of: Option<UtcDateTime>,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
    deliveries: Vec<Row>,
}

/// A row of the table: its columns, in camelCase.
type Row = Map<String, Value>;

/// Finds the rows of a delivery.
///
/// # Errors
/// 404 where there is none, 503 while the store is out of reach.
pub async fn find(
    files: &dyn FileStore,
    tables: &Semaphore,
    query: &DeliveryQuery,
    now: UtcDateTime,
) -> Result<Rows, Problem> {
    let dates = query.dates(now);
    let mut rows = Vec::new();
    let mut unreadable = Vec::new();
    let mut read = 0;
    for date in &dates {
        for entry in files.list(&format!("deliveries/date={date}/")).await? {
            if !entry.name.ends_with(".parquet") {
                continue;
            }
            read += 1;
            match rows_of_file(files, tables, &entry, query).await? {
                Ok(found) => rows.extend(found),
                Err(problem) => {
                    warn!(
                        file.name = entry.name,
                        file.bytes = entry.size,
                        problem,
                        "a table of deliveries is left out"
                    );
                    unreadable.push(Unreadable {
                        file: entry.name,
                        problem,
                    });
                }
            }
        }
    }
    info!(
        tables = read,
        unreadable = unreadable.len(),
        rows = rows.len(),
        "delivery looked for"
    );
    rows.truncate(MOST_ROWS);
    if rows.is_empty() {
        let dates: Vec<String> = dates.iter().map(ToString::to_string).collect();
        let missing = match unreadable.len() {
            0 => String::new(),
            some => format!(" {some} of {read} tables could not be read."),
        };
        return Err(Problem::not_found(format!(
            "No delivery {} was first seen on {}; `date` names another day.{missing}",
            query.delivery,
            dates.join(" or ")
        )));
    }
    let as_of = newest_as_of(files).await?;
    for row in &mut rows {
        tell_if_lost(row, as_of);
    }
    let is_complete = |row: &Row| row.get("complete") == Some(&Value::Bool(true));
    Ok(Rows {
        as_of,
        complete: unreadable.is_empty() && rows.iter().all(is_complete),
        unreadable,
        deliveries: rows,
    })
}

/// The file's rows, or why it cannot be read.
async fn rows_of_file(
    files: &dyn FileStore,
    tables: &Semaphore,
    entry: &FileEntry,
    query: &DeliveryQuery,
) -> Result<Result<Vec<Row>, String>, StoreError> {
    let too_large = |size: u64| Err(format!("has {size} bytes, and {LARGEST} are read at most"));
    if entry.size > LARGEST {
        return Ok(too_large(entry.size));
    }
    // Nobody closes it.
    let _turn = tables.acquire().await;
    let Some(file) = files.read(&entry.name).await? else {
        return Ok(Ok(Vec::new()));
    };
    // It may have been replaced since it was listed.
    let size = file.body.len() as u64;
    if size > LARGEST {
        return Ok(too_large(size));
    }
    let query = query.clone();
    let reading = tokio::task::spawn_blocking(move || rows_of(file.body, &query));
    // A panic of the library on damaged bytes is no more than a file that cannot be read.
    Ok(match reading.await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(_)) | Err(_) => Err("is no such table, or damaged".to_owned()),
    })
}

fn rows_of(body: Bytes, query: &DeliveryQuery) -> Result<Vec<Row>, ParquetError> {
    let file = SerializedFileReader::new(body)?;
    let mut rows = Vec::new();
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group)?;
        let schema = group.metadata().schema_descr();
        let places = places(group.as_ref(), query)?;
        if places.is_empty() {
            continue;
        }
        let mut found = vec![Row::new(); places.len()];
        for (index, column) in schema.columns().iter().enumerate() {
            // None of the table's columns is nested.
            let name = camel_case(column.name());
            let values = values(group.get_column_reader(index)?, column, &places)?;
            for (row, value) in found.iter_mut().zip(values) {
                row.insert(name.clone(), value);
            }
        }
        rows.extend(found);
    }
    let of_drone = |row: &Row| {
        let drone = query.drone.as_ref();
        drone
            .is_none_or(|drone| row.get("deviceId").and_then(Value::as_str) == Some(drone.as_str()))
    };
    rows.retain(of_drone);
    rows.truncate(MOST_ROWS);
    Ok(rows)
}

/// Where in a row group the delivery stands.
fn places(group: &dyn RowGroupReader, query: &DeliveryQuery) -> Result<Vec<usize>, ParquetError> {
    let schema = group.metadata().schema_descr();
    let column = |name| {
        let mut columns = schema.columns().iter();
        columns
            .position(|column| column.name() == name)
            .ok_or_else(|| ParquetError::General(format!("there is no column {name}")))
    };
    column(DEVICE_ID)?;
    let ColumnReader::ByteArrayColumnReader(mut ids) =
        group.get_column_reader(column(DELIVERY_ID)?)?
    else {
        return Err(ParquetError::General(format!("{DELIVERY_ID} is no text")));
    };
    let mut places = Vec::new();
    let mut row = 0;
    loop {
        let mut levels = Vec::new();
        let mut values: Vec<ByteArray> = Vec::new();
        let (read, _, _) = ids.read_records(IDS, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Ok(places);
        }
        let wanted = query.delivery.as_str().as_bytes();
        let mut values = values.iter();
        for place in row..row + read {
            // Of a column that is never null there are no levels.
            let is_there = levels.get(place - row).is_none_or(|level| *level > 0);
            let value = if is_there { values.next() } else { None };
            if value.is_some_and(|id| id.data() == wanted) && places.len() < MOST_ROWS {
                places.push(place);
            }
        }
        row += read;
    }
}

/// A column's values at some places, in their order.
fn values(
    reader: ColumnReader,
    column: &ColumnDescriptor,
    places: &[usize],
) -> Result<Vec<Value>, ParquetError> {
    let is_time = matches!(
        column.logical_type_ref(),
        Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::MICROS
    );
    match reader {
        ColumnReader::BoolColumnReader(reader) => picked(reader, places, |value| (*value).into()),
        ColumnReader::Int32ColumnReader(reader) => picked(reader, places, |value| (*value).into()),
        ColumnReader::Int64ColumnReader(reader) if is_time => {
            picked(reader, places, |value| time(*value))
        }
        ColumnReader::Int64ColumnReader(reader) => picked(reader, places, |value| (*value).into()),
        ColumnReader::FloatColumnReader(reader) => picked(reader, places, |value| (*value).into()),
        ColumnReader::DoubleColumnReader(reader) => picked(reader, places, |value| (*value).into()),
        ColumnReader::ByteArrayColumnReader(reader) => picked(reader, places, |value| {
            String::from_utf8_lossy(value.data()).into()
        }),
        _ => Err(ParquetError::General(format!(
            "{} has a type that is not known",
            column.name()
        ))),
    }
}

fn picked<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    places: &[usize],
    shown: impl Fn(&T::T) -> Value,
) -> Result<Vec<Value>, ParquetError> {
    let mut next = 0;
    let mut picked = Vec::with_capacity(places.len());
    for place in places {
        let skipped = reader.skip_records(place - next)?;
        let mut levels = Vec::new();
        let mut values = Vec::new();
        let (read, _, _) = reader.read_records(1, Some(&mut levels), None, &mut values)?;
        if (skipped, read) != (place - next, 1) {
            return Err(ParquetError::EOF("a column has too few rows".to_owned()));
        }
        picked.push(values.first().map_or(Value::Null, &shown));
        next = place + 1;
    }
    Ok(picked)
}

/// Microseconds since 1970; null for a time that nothing here can express.
fn time(microseconds: i64) -> Value {
    UtcDateTime::UNIX_EPOCH
        .checked_add(Duration::microseconds(microseconds))
        .map_or(Value::Null, |time| Rfc3339(time).to_string().into())
}

/// `dropped_off_at` as `droppedOffAt`, and `pick_up_h3` as `pickUpH3`.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut characters = part.chars();
        camel.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(characters.as_str());
    }
    camel
}

/// The table cannot say that a delivery is lost: nothing comes that would have its row written again.
fn tell_if_lost(row: &mut Row, as_of: Option<UtcDateTime>) {
    let is_open = row.get("outcome").and_then(Value::as_str) == Some("open");
    let last = row.get("lastAt").and_then(Value::as_str);
    let last = last.and_then(|text| parse_rfc3339(text).ok());
    if let (true, Some(last), Some(as_of)) = (is_open, last, as_of)
        && as_of - last >= Duration::microseconds(LOST_AFTER)
    {
        row.insert("outcome".to_owned(), "lost".into());
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
