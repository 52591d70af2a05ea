//! The table `flight`: where drones were.

use bytes::Bytes;

use super::read::{Doubles, Flags, GroupReader, Longs, TableReader, Texts, utf8};
use super::schema::{Kind, always};
use super::write::{TableWriter, text};
use super::{Column, Table, TableError};
use crate::domain::FlightStatus;
use crate::domain::insights::hour::Hour;
use crate::domain::insights::names::{Name, Names};
use crate::domain::insights::reading::{FlightReading, Head, Reading, Readings};

/// The table.
pub const FLIGHT: Table = Table {
    name: "flight",
    columns: &[
        HEAD[0],
        HEAD[1],
        HEAD[2],
        HEAD[3],
        HEAD[4],
        HEAD[5],
        always("latitude", Kind::Double),
        always("longitude", Kind::Double),
        always("altitude", Kind::Double),
        always("velocity", Kind::Double),
        always("acceleration", Kind::Double),
        always("status", Kind::Text),
    ],
};

/// What flight and operating status share.
pub(super) const HEAD: [Column; 6] = [
    always("device_id", Kind::Text),
    always("delivery_id", Kind::Text),
    always("occurred_at", Kind::Time),
    always("enqueued_at", Kind::Time),
    always("sequence_number", Kind::Long),
    always("replayed", Kind::Flag),
];

/// The names of the statuses in the tables, by their numbers.
const STATUSES: [&str; 5] = [
    "departedStation",
    "inFlight",
    "pickedUpPackage",
    "droppedOffPackage",
    "arrivedAtStation",
];

/// Writes settled rows as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(readings: &Readings, complete: bool) -> Result<Vec<u8>, TableError> {
    let rows = &readings.flights;
    let statuses = STATUSES.map(text);
    let mut file = TableWriter::new(FLIGHT, complete)?;
    file.group(|group| {
        write_head(group, readings, rows)?;
        group.doubles(rows.iter().map(|row| row.latitude))?;
        group.doubles(rows.iter().map(|row| row.longitude))?;
        group.doubles(rows.iter().map(|row| row.altitude))?;
        group.doubles(rows.iter().map(|row| row.velocity))?;
        group.doubles(rows.iter().map(|row| row.acceleration))?;
        group.texts(rows.iter().map(|row| statuses[row.status as usize].clone()))
    })?;
    file.finish()
}

pub(super) fn write_head<R: Reading>(
    group: &mut super::write::GroupWriter<'_>,
    readings: &Readings,
    rows: &[R],
) -> Result<(), TableError> {
    let heads = || rows.iter().map(Reading::head);
    let mut devices = Repeated::default();
    group.texts(heads().map(|head| devices.text(&readings.devices, head.device)))?;
    let mut deliveries = Repeated::default();
    group.texts(heads().map(|head| deliveries.text(&readings.deliveries, head.delivery)))?;
    group.longs(heads().map(|head| head.occurred_at))?;
    group.longs(heads().map(|head| head.enqueued_at))?;
    group.longs(heads().map(|head| head.sequence_number))?;
    group.flags(heads().map(|head| head.replayed))
}

/// Rows are sorted, so that a text comes many times in a row.
#[derive(Default)]
struct Repeated(Option<(Name, parquet::data_type::ByteArray)>);

impl Repeated {
    fn text(&mut self, names: &Names, name: Name) -> parquet::data_type::ByteArray {
        match &self.0 {
            Some((last, value)) if *last == name => value.clone(),
            _ => {
                let value = text(names.text(name));
                self.0 = Some((name, value.clone()));
                value
            }
        }
    }
}

/// The columns of [`HEAD`] of a row group.
pub(super) struct HeadColumns {
    device_id: Texts,
    delivery_id: Texts,
    occurred_at: Longs,
    enqueued_at: Longs,
    sequence_number: Longs,
    replayed: Flags,
    device: Last,
    delivery: Last,
}

/// The last text and its number.
#[derive(Default)]
struct Last(Option<(Box<[u8]>, Option<Name>)>);

impl Last {
    fn name(
        &mut self,
        value: &parquet::data_type::ByteArray,
        column: &'static str,
        find: impl FnOnce(&str) -> Option<Name>,
    ) -> Result<Option<Name>, TableError> {
        if let Some((last, name)) = &self.0
            && **last == *value.data()
        {
            return Ok(*name);
        }
        let name = find(utf8(value, column)?);
        self.0 = Some((value.data().into(), name));
        Ok(name)
    }
}

impl HeadColumns {
    pub(super) fn of(group: &GroupReader<'_>) -> Result<Self, TableError> {
        Ok(Self {
            device_id: group.column("device_id")?,
            delivery_id: group.column("delivery_id")?,
            occurred_at: group.column("occurred_at")?,
            enqueued_at: group.column("enqueued_at")?,
            sequence_number: group.column("sequence_number")?,
            replayed: group.column("replayed")?,
            device: Last::default(),
            delivery: Last::default(),
        })
    }

    /// The next rows' heads; `None` for devices that `readings` does not know. Deliveries become known.
    pub(super) fn next(
        &mut self,
        rows: usize,
        folder: Hour,
        devices: &Names,
        deliveries: &mut Names,
    ) -> Result<Vec<Option<Head>>, TableError> {
        let (device_ids, delivery_ids) = (self.device_id.next(rows)?, self.delivery_id.next(rows)?);
        let times = self
            .occurred_at
            .next(rows)?
            .iter()
            .zip(self.enqueued_at.next(rows)?);
        let rest = self
            .sequence_number
            .next(rows)?
            .iter()
            .zip(self.replayed.next(rows)?);
        let mut heads = Vec::with_capacity(rows);
        let ids = device_ids.iter().zip(delivery_ids);
        for (((device, delivery), (occurred_at, enqueued_at)), (sequence_number, replayed)) in
            ids.zip(times).zip(rest)
        {
            let device = self
                .device
                .name(device, "device_id", |text| devices.known(text))?;
            let Some(device) = device else {
                heads.push(None);
                continue;
            };
            let delivery = self.delivery.name(delivery, "delivery_id", |text| {
                Some(deliveries.number(text))
            })?;
            let delivery = delivery.ok_or(TableError::Value("delivery_id"))?;
            heads.push(Some(Head {
                device,
                delivery,
                occurred_at: *occurred_at,
                enqueued_at: *enqueued_at,
                sequence_number: *sequence_number,
                replayed: *replayed,
                folder,
            }));
        }
        Ok(heads)
    }
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
        values: [Doubles; 5],
        status: Texts,
    }
    let columns = |group: &GroupReader<'_>| {
        Ok(Columns {
            head: HeadColumns::of(group)?,
            values: [
                group.column("latitude")?,
                group.column("longitude")?,
                group.column("altitude")?,
                group.column("velocity")?,
                group.column("acceleration")?,
            ],
            status: group.column("status")?,
        })
    };
    TableReader::open(FLIGHT, file)?.chunks(columns, |columns, rows| {
        let Readings {
            devices,
            deliveries,
            flights,
            ..
        } = &mut *readings;
        let heads = columns.head.next(rows, folder, devices, deliveries)?;
        let [latitude, longitude, altitude, velocity, acceleration] = &mut columns.values;
        let latitude = latitude.next(rows)?;
        let longitude = longitude.next(rows)?;
        let altitude = altitude.next(rows)?;
        let velocity = velocity.next(rows)?;
        let acceleration = acceleration.next(rows)?;
        let statuses = columns.status.next(rows)?;
        for (at, head) in heads.into_iter().enumerate() {
            let Some(head) = head.filter(&wanted) else {
                continue;
            };
            flights.push(FlightReading {
                head,
                latitude: latitude[at],
                longitude: longitude[at],
                altitude: altitude[at],
                velocity: velocity[at],
                acceleration: acceleration[at],
                status: status(utf8(&statuses[at], "status")?)?,
            });
        }
        Ok(())
    })
}

fn status(name: &str) -> Result<FlightStatus, TableError> {
    let place = STATUSES.iter().position(|status| *status == name);
    let status = place.and_then(|place| FlightStatus::ALL.get(place).copied());
    status.ok_or(TableError::Value("status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_names_that_are_stored_and_shown() {
        for (name, status) in STATUSES.iter().zip(FlightStatus::ALL) {
            assert_eq!(FlightStatus::from_name(name), Some(status));
        }
    }
}
