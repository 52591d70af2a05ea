//! Writing a table's file.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, GzipLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;

use super::schema::{Kind, Table};
use super::{COMPLETE, TableError, TableReader};

/// Not the crate's version: equal rows are equal bytes, with whatever build.
const CREATED_BY: &str = "drone-delivery insights";

/// Level 6 takes twice the time of level 3 for a twentieth of the bytes.
const LEVEL: u32 = 3;

/// Values that are handed over at a time.
const CHUNK: usize = 4096;

/// A file under way.
pub struct TableWriter {
    file: SerializedFileWriter<Vec<u8>>,
    table: Table,
}

/// One row group of a file: its columns are written in their order, each whole.
pub struct GroupWriter<'a> {
    group: SerializedRowGroupWriter<'a, Vec<u8>>,
    table: Table,
    next: usize,
}

impl TableWriter {
    /// A file without rows. `complete` says whether it is made of complete units.
    ///
    /// # Errors
    /// Where the table's schema is none.
    pub fn new(table: Table, complete: bool) -> Result<Self, TableError> {
        Self::begin(table, complete, Vec::new())
    }

    fn begin(table: Table, complete: bool, into: Vec<u8>) -> Result<Self, TableError> {
        let metadata = KeyValue::new(COMPLETE.to_owned(), complete.to_string());
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::GZIP(GzipLevel::try_new(LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![metadata]));
        for column in table.columns {
            let path = ColumnPath::from(column.name);
            // Times and numbers that grow are small by their differences.
            if matches!(column.kind, Kind::Time | Kind::Long) {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        let file = SerializedFileWriter::new(into, table.build()?, Arc::new(properties.build()))?;
        Ok(Self { file, table })
    }

    /// Writes a row group: `write` has to write every column.
    ///
    /// # Errors
    /// Where `write` fails or leaves a column out.
    pub fn group(
        &mut self,
        write: impl FnOnce(&mut GroupWriter<'_>) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let mut group = GroupWriter {
            group: self.file.next_row_group()?,
            table: self.table,
            next: 0,
        };
        write(&mut group)?;
        group.group.close()?;
        Ok(())
    }

    /// One file of several of a table, their row groups as they are. It is complete where all of them are. `size` is that of all of
    /// them together.
    ///
    /// # Errors
    /// Where one of them is damaged or of another table.
    pub fn join(table: Table, files: Vec<Bytes>, size: usize) -> Result<Vec<u8>, TableError> {
        let mut complete = true;
        for file in &files {
            complete &= TableReader::open(table, file.clone())?.is_complete();
        }
        let mut joined = Self::begin(table, complete, Vec::with_capacity(size + size / 16 + 4096))?;
        for file in files {
            let reader = SerializedFileReader::new(file.clone())?;
            for group in reader.metadata().row_groups() {
                let mut appended = joined.file.next_row_group()?;
                for column in group.columns() {
                    let close = ColumnCloseResult {
                        bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                        rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                        metadata: column.clone(),
                        bloom_filter: None,
                        column_index: None,
                        offset_index: None,
                    };
                    appended.append_column(&file, close)?;
                }
                appended.close()?;
            }
        }
        joined.finish()
    }

    /// The file.
    ///
    /// # Errors
    /// Where its end cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, TableError> {
        Ok(self.file.into_inner()?)
    }
}

impl GroupWriter<'_> {
    /// The next column, texts.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn texts(&mut self, values: impl IntoIterator<Item = ByteArray>) -> Result<(), TableError> {
        self.column::<ByteArrayType>(values.into_iter().map(Some))
    }

    /// The next column, texts that may be absent.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn maybe_texts(
        &mut self,
        values: impl IntoIterator<Item = Option<ByteArray>>,
    ) -> Result<(), TableError> {
        self.column::<ByteArrayType>(values.into_iter())
    }

    /// The next column, times or whole numbers.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn longs(&mut self, values: impl IntoIterator<Item = i64>) -> Result<(), TableError> {
        self.column::<Int64Type>(values.into_iter().map(Some))
    }

    /// The next column, times or whole numbers that may be absent.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn maybe_longs(
        &mut self,
        values: impl IntoIterator<Item = Option<i64>>,
    ) -> Result<(), TableError> {
        self.column::<Int64Type>(values.into_iter())
    }

    /// The next column, numbers.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn doubles(&mut self, values: impl IntoIterator<Item = f64>) -> Result<(), TableError> {
        self.column::<DoubleType>(values.into_iter().map(Some))
    }

    /// The next column, numbers that may be absent.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn maybe_doubles(
        &mut self,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Result<(), TableError> {
        self.column::<DoubleType>(values.into_iter())
    }

    /// The next column, true or false.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn flags(&mut self, values: impl IntoIterator<Item = bool>) -> Result<(), TableError> {
        self.column::<BoolType>(values.into_iter().map(Some))
    }

    fn column<T: DataType>(
        &mut self,
        values: impl Iterator<Item = Option<T::T>>,
    ) -> Result<(), TableError> {
        let missing = || TableError::OtherTable(self.table.name);
        let column = self.table.columns.get(self.next).ok_or_else(missing)?;
        if column.physical() != T::get_physical_type() {
            return Err(TableError::Value(column.name));
        }
        self.next += 1;
        let mut writer = self.group.next_column()?.ok_or_else(missing)?;
        let typed = writer.typed::<T>();
        let (mut levels, mut present) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        let mut write =
            |levels: &mut Vec<i16>, present: &mut Vec<T::T>| -> Result<(), ParquetError> {
                typed.write_batch(present, column.optional.then_some(levels), None)?;
                levels.clear();
                present.clear();
                Ok(())
            };
        for value in values {
            if value.is_none() && !column.optional {
                return Err(TableError::Value(column.name));
            }
            levels.push(i16::from(value.is_some()));
            present.extend(value);
            if levels.len() == CHUNK {
                write(&mut levels, &mut present)?;
            }
        }
        write(&mut levels, &mut present)?;
        Ok(writer.close()?)
    }
}

/// A text as a value. Clones share it.
pub fn text(value: &str) -> ByteArray {
    ByteArray::from(value.as_bytes().to_vec())
}
