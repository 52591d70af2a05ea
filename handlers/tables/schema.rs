//! What a table's columns are.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// Its columns, in their order.
    pub columns: &'static [Column],
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether values may be absent.
    pub optional: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8, many values the same.
    Text,
    /// Microseconds since 1970, UTC.
    Time,
    /// A whole number.
    Long,
    /// A number.
    Double,
    /// True or false.
    Flag,
}

/// A column that always has a value.
pub(super) const fn always(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        optional: false,
    }
}

/// A column that may have none.
pub(super) const fn maybe(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        optional: true,
    }
}

impl Column {
    pub(super) fn physical(&self) -> PhysicalType {
        match self.kind {
            Kind::Text => PhysicalType::BYTE_ARRAY,
            Kind::Time | Kind::Long => PhysicalType::INT64,
            Kind::Double => PhysicalType::DOUBLE,
            Kind::Flag => PhysicalType::BOOLEAN,
        }
    }

    fn logical(&self) -> Option<LogicalType> {
        match self.kind {
            Kind::Text => Some(LogicalType::String),
            Kind::Time => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            Kind::Long | Kind::Double | Kind::Flag => None,
        }
    }

    fn build(&self) -> Result<TypePtr, ParquetError> {
        let repetition = match self.optional {
            true => Repetition::OPTIONAL,
            false => Repetition::REQUIRED,
        };
        let field = Type::primitive_type_builder(self.name, self.physical())
            .with_repetition(repetition)
            .with_logical_type(self.logical());
        field.build().map(Arc::new)
    }
}

impl Table {
    /// The schema of its files.
    pub(super) fn build(&self) -> Result<TypePtr, ParquetError> {
        let fields = self
            .columns
            .iter()
            .map(Column::build)
            .collect::<Result<_, _>>()?;
        let root = Type::group_type_builder(self.name).with_fields(fields);
        root.build().map(Arc::new)
    }
}
