//! Reading a table's file.

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::schema::Table;
use super::{COMPLETE, TableError};

/// Rows that are read at a time.
const CHUNK: usize = 4096;

/// A file.
pub struct TableReader {
    file: SerializedFileReader<Bytes>,
    table: Table,
}

impl TableReader {
    /// Opens a file of a table. It may have more columns than are known, at the end, and not fewer.
    ///
    /// # Errors
    /// Where it is damaged, or of another table.
    pub fn open(table: Table, file: Bytes) -> Result<Self, TableError> {
        let file = SerializedFileReader::new(file)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let is_ours = schema.num_columns() >= table.columns.len()
            && table
                .columns
                .iter()
                .zip(schema.columns())
                .all(|(column, found)| {
                    column.name == found.name()
                        && column.physical() == found.physical_type()
                        && i16::from(column.optional) == found.max_def_level()
                        && found.max_rep_level() == 0
                });
        match is_ours {
            true => Ok(Self { file, table }),
            false => Err(TableError::OtherTable(table.name)),
        }
    }

    /// Whether it is made of complete units.
    pub fn is_complete(&self) -> bool {
        let metadata = self.file.metadata().file_metadata().key_value_metadata();
        metadata
            .into_iter()
            .flatten()
            .any(|pair| pair.key == COMPLETE && pair.value.as_deref() == Some("true"))
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Reads the columns that `columns` makes of each row group, chunk by chunk: `read` gets them filled with as many rows
    /// as it is told.
    ///
    /// # Errors
    /// Where the file is damaged, or `read` fails.
    pub fn chunks<C>(
        &self,
        mut columns: impl FnMut(&GroupReader<'_>) -> Result<C, TableError>,
        mut read: impl FnMut(&mut C, usize) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        for group in 0..self.file.num_row_groups() {
            let group = GroupReader {
                reader: self,
                group,
            };
            let rows = self.file.metadata().row_group(group.group).num_rows();
            let mut left = usize::try_from(rows).unwrap_or(0);
            let mut columns = columns(&group)?;
            while left > 0 {
                let some = left.min(CHUNK);
                read(&mut columns, some)?;
                left -= some;
            }
        }
        Ok(())
    }
}

/// A row group of a file.
pub struct GroupReader<'a> {
    reader: &'a TableReader,
    group: usize,
}

/// Texts of a column.
pub type Texts = ColumnCursor<ByteArrayType>;
/// Times or whole numbers of a column.
pub type Longs = ColumnCursor<Int64Type>;
/// Numbers of a column.
pub type Doubles = ColumnCursor<DoubleType>;
/// True or false.
pub type Flags = ColumnCursor<BoolType>;

impl GroupReader<'_> {
    /// A column by its name.
    ///
    /// # Errors
    /// Where the table has none of that name and kind.
    pub fn column<T: DataType>(&self, name: &'static str) -> Result<ColumnCursor<T>, TableError> {
        let columns = self.reader.table.columns;
        let index = columns.iter().position(|column| column.name == name);
        let index = index.filter(|index| columns[*index].physical() == T::get_physical_type());
        let index = index.ok_or(TableError::Value(name))?;
        let reader: ColumnReader = self
            .reader
            .file
            .get_row_group(self.group)?
            .get_column_reader(index)?;
        Ok(ColumnCursor {
            reader: get_typed_column_reader(reader),
            name,
            values: Vec::with_capacity(CHUNK),
            levels: Vec::new(),
        })
    }
}

/// Where one is in a column.
pub struct ColumnCursor<T: DataType> {
    reader: ColumnReaderImpl<T>,
    name: &'static str,
    values: Vec<T::T>,
    levels: Vec<i16>,
}

impl<T: DataType> ColumnCursor<T> {
    /// The next so many values, of a column that always has one.
    ///
    /// # Errors
    /// Where the file is damaged or ends before.
    pub fn next(&mut self, rows: usize) -> Result<&[T::T], TableError> {
        self.fill(rows)?;
        match self.values.len() == rows {
            true => Ok(&self.values),
            false => Err(TableError::Value(self.name)),
        }
    }

    /// The next so many values, of a column that may have none.
    ///
    /// # Errors
    /// Where the file is damaged or ends before.
    pub fn next_maybe(&mut self, rows: usize) -> Result<Vec<Option<T::T>>, TableError> {
        self.fill(rows)?;
        let mut values = self.values.drain(..);
        let row = |level: &i16| if *level > 0 { values.next() } else { None };
        Ok(self.levels.iter().map(row).collect())
    }

    fn fill(&mut self, rows: usize) -> Result<(), TableError> {
        self.values.clear();
        self.levels.clear();
        let (read, ..) =
            self.reader
                .read_records(rows, Some(&mut self.levels), None, &mut self.values)?;
        match read == rows {
            true => Ok(()),
            false => Err(TableError::Value(self.name)),
        }
    }
}

/// The text of a value.
///
/// # Errors
/// Where it is not UTF-8.
pub fn utf8<'a>(value: &'a ByteArray, column: &'static str) -> Result<&'a str, TableError> {
    value.as_utf8().map_err(|_| TableError::Value(column))
}

/// Whose the readings of a file are, for each row: device, delivery, and when it occurred and was enqueued.
///
/// # Errors
/// Where the file is damaged or of another table.
pub fn owners(
    table: Table,
    file: Bytes,
    mut owner: impl FnMut(&str, &str, i64, i64),
) -> Result<(), TableError> {
    TableReader::open(table, file)?.chunks(
        |group| {
            let ids: (Texts, Texts) = (group.column("device_id")?, group.column("delivery_id")?);
            let times: (Longs, Longs) =
                (group.column("occurred_at")?, group.column("enqueued_at")?);
            Ok((ids, times))
        },
        |((devices, deliveries), (occurred, enqueued)), rows| {
            let ids = devices.next(rows)?.iter().zip(deliveries.next(rows)?);
            let times = occurred.next(rows)?.iter().zip(enqueued.next(rows)?);
            for ((device, delivery), (occurred_at, enqueued_at)) in ids.zip(times) {
                let (device, delivery) =
                    (utf8(device, "device_id")?, utf8(delivery, "delivery_id")?);
                owner(device, delivery, *occurred_at, *enqueued_at);
            }
            Ok(())
        },
    )
}
