//! The table `operating`: how drones' bodies were.

use bytes::Bytes;

use super::flight::{HEAD, HeadColumns, write_head};
use super::read::{Doubles, GroupReader, TableReader, Texts, utf8};
use super::schema::{Kind, always};
use super::write::{TableWriter, text};
use super::{Table, TableError};
use crate::domain::BatteryStatus;
use crate::domain::insights::hour::Hour;
use crate::domain::insights::reading::{Head, OperatingReading, Readings};

/// The table.
pub const OPERATING: Table = Table {
    name: "operating",
    columns: &[
        HEAD[0],
        HEAD[1],
        HEAD[2],
        HEAD[3],
        HEAD[4],
        HEAD[5],
        always("temperature", Kind::Double),
        always("battery_level", Kind::Double),
        always("battery_status", Kind::Text),
    ],
};

/// Writes settled rows as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(readings: &Readings, complete: bool) -> Result<Vec<u8>, TableError> {
    let rows = &readings.operating;
    let statuses = BatteryStatus::ALL.map(|(_, name)| text(name));
    let mut file = TableWriter::new(OPERATING, complete)?;
    file.group(|group| {
        write_head(group, readings, rows)?;
        group.doubles(rows.iter().map(|row| row.temperature))?;
        group.doubles(rows.iter().map(|row| row.battery_level))?;
        group.texts(
            rows.iter()
                .map(|row| statuses[row.battery_status as usize].clone()),
        )
    })?;
    file.finish()
}

/// Adds the rows of a folder's file to readings: those of devices that `readings.devices` has, and of which `wanted`
/// says so.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn read(
    file: Bytes,
    folder: Hour,
    readings: &mut Readings,
    wanted: impl Fn(&Head) -> bool,
) -> Result<(), TableError> {
    struct Columns {
        head: HeadColumns,
        temperature: Doubles,
        level: Doubles,
        status: Texts,
    }
    let columns = |group: &GroupReader<'_>| {
        Ok(Columns {
            head: HeadColumns::of(group)?,
            temperature: group.column("temperature")?,
            level: group.column("battery_level")?,
            status: group.column("battery_status")?,
        })
    };
    TableReader::open(OPERATING, file)?.chunks(columns, |columns, rows| {
        let Readings {
            devices,
            deliveries,
            operating,
            ..
        } = &mut *readings;
        let heads = columns.head.next(rows, folder, devices, deliveries)?;
        let temperature = columns.temperature.next(rows)?;
        let level = columns.level.next(rows)?;
        let statuses = columns.status.next(rows)?;
        for (at, head) in heads.into_iter().enumerate() {
            let Some(head) = head.filter(&wanted) else {
                continue;
            };
            operating.push(OperatingReading {
                head,
                temperature: temperature[at],
                battery_level: level[at],
                battery_status: status(utf8(&statuses[at], "battery_status")?)?,
            });
        }
        Ok(())
    })
}

fn status(name: &str) -> Result<BatteryStatus, TableError> {
    let mut all = BatteryStatus::ALL.into_iter();
    let found = all.find(|(_, known)| *known == name);
    found
        .map(|(status, _)| status)
        .ok_or(TableError::Value("battery_status"))
}
