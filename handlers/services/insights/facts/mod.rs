//! Makes the facts that a unit touches: of each delivery and each drone's hour of which it has a reading, from the rows
//! of every unit that has some.
//!
//! | module | what it does |
//! |---|---|
//! | `touched` | what a unit touches, and what is wanted for it |
//! | `find` | looks what is told of it already |
//! | `make` | makes facts from rows; knows no store |
//! | `write` | writes them into the files that they belong to |

mod find;
mod make;
mod touched;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::mem;

use bytes::Bytes;
use tracing::warn;

use self::make::make;
pub(super) use self::touched::Touched;
use self::touched::Wanted;
use self::write::Made;
use super::unit::Unit;
use super::{Insights, InsightsError, off_the_runtime};
use crate::domain::insights::hour::Hour;
use crate::domain::insights::reading::{Head, Readings};
use crate::stores::Version;
use crate::tables::flight::{self, FLIGHT};
use crate::tables::operating::{self, OPERATING};
use crate::tables::{Table, TableError, TableReader};

/// How often facts are made anew because a unit of another hour has changed the same files.
const ATTEMPTS: usize = 8;

impl Insights {
    /// Makes the facts that a unit touches. `flight` and `operating` are its own rows. `false` where others change the
    /// same files all the time.
    pub(super) async fn make_facts(
        &self,
        unit: &Unit,
        mut touched: Touched,
        flight: Bytes,
        operating: Bytes,
    ) -> Result<bool, InsightsError> {
        for _ in 0..ATTEMPTS {
            if self
                .attempt_facts(unit, &mut touched, [&flight, &operating])
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn attempt_facts(
        &self,
        unit: &Unit,
        touched: &mut Touched,
        own: [&Bytes; 2],
    ) -> Result<bool, InsightsError> {
        // Versions first, rows of other units after them: see the module that this one is in.
        let mut wanted = Wanted::default();
        let delivery_files = self.find_deliveries(unit, touched, &mut wanted).await?;
        let hour_files = self.find_hours(unit, touched, &mut wanted).await?;
        let readings = Readings {
            devices: mem::take(&mut touched.names.devices),
            deliveries: mem::take(&mut touched.names.deliveries),
            ..Readings::default()
        };
        let (readings, whole) = self.read_rows(unit, readings, &wanted, own).await?;
        let (readings, wanted, facts) = off_the_runtime(move || {
            let (readings, facts) = make(readings, &wanted);
            (readings, wanted, facts)
        })
        .await?;
        let mut read: Vec<(String, Option<Version>)> = Vec::new();
        read.extend(
            delivery_files
                .iter()
                .map(|(day, file)| (unit.daily("deliveries", *day), file.version.clone())),
        );
        read.extend(
            hour_files
                .iter()
                .map(|(day, file)| (unit.daily("drone_hours", *day), file.known.version.clone())),
        );
        let made = Made {
            unit,
            devices: &readings.devices,
            deliveries: &readings.deliveries,
            wanted: &wanted,
            facts: &facts,
            whole: &whole,
        };
        let mut written = BTreeSet::new();
        let done = self
            .write_deliveries(&made, delivery_files, &mut written)
            .await?
            && self.write_hours(&made, hour_files, &mut written).await?;
        touched.names.devices = readings.devices;
        touched.names.deliveries = readings.deliveries;
        if !done {
            return Ok(false);
        }
        // Of two units that share a fact and write it into different files, the one that looks last sees the other's.
        for (name, version) in read.into_iter().filter(|(name, _)| !written.contains(name)) {
            let listed = self.tables.list(&name).await?;
            if listed.into_iter().next().map(|file| file.version) != version {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the wanted rows of all folders, one file at a time, and says of each folder whether it is complete.
    async fn read_rows(
        &self,
        unit: &Unit,
        mut readings: Readings,
        wanted: &Wanted,
        own: [&Bytes; 2],
    ) -> Result<(Readings, HashMap<Hour, bool>), InsightsError> {
        let mut whole = HashMap::new();
        for folder in wanted.folders() {
            let other = unit.at(folder);
            let mut complete = true;
            for (table, own) in [FLIGHT, OPERATING].into_iter().zip(own) {
                let name = other.hourly(table.name);
                let file = match folder == unit.hour {
                    true => Some(own.clone()),
                    false => self.known(&name).await?.body,
                };
                let Some(file) = file else {
                    complete = false;
                    continue;
                };
                match rows(
                    table,
                    file,
                    (folder, folder == unit.hour),
                    &mut readings,
                    |head| wanted.has(head),
                ) {
                    Ok(is_complete) => complete &= is_complete,
                    // Its own unit is to be made again; until then what is told without it says so.
                    Err(error) => {
                        warn!(file = %name, %error, "a table cannot be read, and facts are made without it");
                        complete = false;
                    }
                }
            }
            whole.insert(folder, complete);
        }
        Ok((readings, whole))
    }
}

/// Adds the wanted rows of a folder's file. Returns whether the file is made of complete units.
fn rows(
    table: Table,
    file: Bytes,
    (folder, is_own): (Hour, bool),
    readings: &mut Readings,
    wanted: impl Fn(&Head) -> bool,
) -> Result<bool, TableError> {
    let reader = TableReader::open(table, file.clone())?;
    let complete = reader.is_complete();
    // All of a unit's own rows are wanted, and of other folders' a part. Rows that move while there are more and more of
    // them take twice the memory.
    let all = usize::try_from(reader.rows()).unwrap_or(0);
    drop(reader);
    match table.name == FLIGHT.name {
        true => {
            readings.flights.reserve_exact(if is_own { all } else { 0 });
            flight::read(file, folder, readings, wanted)?;
        }
        false => {
            readings
                .operating
                .reserve_exact(if is_own { all } else { 0 });
            operating::read(file, folder, readings, wanted)?;
        }
    }
    Ok(complete)
}
