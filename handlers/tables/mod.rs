//! The tables of the insights as Parquet files, column by column, without arrow.
//!
//! Equal rows give equal bytes: nothing in a file tells when or by which build it was written. Columns are only ever
//! added at the end, so that older files are read by newer code ([`TableReader`] asks for the columns that it knows by
//! their place) and newer ones by older readers.
//!
//! | where | what |
//! |---|---|
//! | [`schema`] | what a table's columns are |
//! | [`mod@write`], [`mod@read`] | files of any table |
//! | [`flight`], [`operating`], [`rejects`], [`cells`] | what a unit is made of |
//! | [`deliveries`], [`drone_hours`] | the facts |
//! | [`fleet_hours`] | the figures, flat |

pub mod cells;
pub mod deliveries;
pub mod drone_hours;
pub mod fleet_hours;
pub mod flight;
pub mod operating;
pub mod read;
pub mod rejects;
pub mod schema;
pub mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use parquet::errors::ParquetError;

pub use read::TableReader;
pub use schema::{Column, Kind, Table};
pub use write::TableWriter;

use crate::domain::insights::hour::Hour;

/// A file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is no Parquet file, or it is damaged.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// It is a file of another table.
    #[error("the file is not of the table {0}")]
    OtherTable(&'static str),
    /// A value that no such table has.
    #[error("the column {0} holds what it cannot")]
    Value(&'static str),
}

/// The metadata of a file that says whether it is made of complete units.
pub const COMPLETE: &str = "complete";

/// The folders that a fact is made from, as the tables have them: `2026-11-29T14 2026-11-29T15`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeSet<Hour>);

/// A fact is made from its first so many folders.
pub const MOST_SOURCES: usize = 12;

impl Sources {
    /// Adds a folder, or takes it out. The first [`MOST_SOURCES`] stay.
    pub fn set(&mut self, hour: Hour, is_one: bool) {
        if is_one {
            self.0.insert(hour);
            if self.0.len() > MOST_SOURCES {
                self.0.pop_last();
            }
        } else {
            self.0.remove(&hour);
        }
    }

    /// Adds those of another fact.
    pub fn merge(&mut self, other: &Self) {
        for hour in &other.0 {
            self.set(*hour, true);
        }
    }

    /// Whether a folder is one of them.
    pub fn contains(&self, hour: Hour) -> bool {
        self.0.contains(&hour)
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = Hour> {
        self.0.iter().copied()
    }

    /// The first and the last; `None` where there are none.
    pub fn ends(&self) -> Option<(Hour, Hour)> {
        Some((*self.0.first()?, *self.0.last()?))
    }

    fn text(&self) -> String {
        let texts: Vec<_> = self.0.iter().map(Hour::to_string).collect();
        texts.join(" ")
    }

    /// Reads the text of a table.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let hours = text.split_ascii_whitespace().map(str::parse);
        let hours = hours.collect::<Result<_, _>>();
        hours.map(Self).map_err(|_| TableError::Value("sources"))
    }
}
