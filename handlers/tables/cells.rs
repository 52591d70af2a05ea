//! The table `cells`: how long drones flew in which cell of H3 at resolution 8.

use bytes::Bytes;

use super::read::{Longs, TableReader, Texts, utf8};
use super::schema::{Kind, always};
use super::write::{TableWriter, text};
use super::{Table, TableError};
use crate::domain::insights::hot_spots::{FlightCells, cell_text, parse_cell};

/// The table.
pub const CELLS: Table = Table {
    name: "cells",
    columns: &[always("cell", Kind::Text), always("micros", Kind::Long)],
};

/// Writes rows as one file.
///
/// # Errors
/// Where Parquet fails, or what is named is no cell.
pub fn write(cells: &FlightCells, complete: bool) -> Result<Vec<u8>, TableError> {
    let texts = cells
        .keys()
        .map(|cell| cell_text(*cell).ok_or(TableError::Value("cell")));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let mut file = TableWriter::new(CELLS, complete)?;
    file.group(|group| {
        group.texts(texts.iter().map(|cell| text(cell)))?;
        group.longs(cells.values().copied())
    })?;
    file.finish()
}

/// Reads a file, row by row.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn read(file: Bytes, mut row: impl FnMut(u64, i64)) -> Result<(), TableError> {
    let reader = TableReader::open(CELLS, file)?;
    reader.chunks(
        |group| Ok((group.column("cell")?, group.column("micros")?)),
        |(cells, micros): &mut (Texts, Longs), rows| {
            for (cell, micros) in cells.next(rows)?.iter().zip(micros.next(rows)?) {
                let cell = parse_cell(utf8(cell, "cell")?).ok_or(TableError::Value("cell"))?;
                row(cell, *micros);
            }
            Ok(())
        },
    )
}
