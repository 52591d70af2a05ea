//! The table `rejects`: events that are no telemetry, counted.

use std::collections::BTreeMap;

use super::schema::{Kind, always, maybe};
use super::write::{TableWriter, text};
use super::{Table, TableError};

/// The table.
pub const REJECTS: Table = Table {
    name: "rejects",
    columns: &[
        always("reason", Kind::Text),
        maybe("device_id", Kind::Text),
        always("count", Kind::Long),
        always("sequence_number", Kind::Long),
    ],
};

/// Rejected events by (reason, device as it was named): how many, and the least sequence number.
pub type Rejects = BTreeMap<(String, Option<String>), (i64, i64)>;

/// Writes rows as one file.
///
/// # Errors
/// Where Parquet fails.
pub fn write(rejects: &Rejects, complete: bool) -> Result<Vec<u8>, TableError> {
    let mut file = TableWriter::new(REJECTS, complete)?;
    file.group(|group| {
        group.texts(rejects.keys().map(|(reason, _)| text(reason)))?;
        group.maybe_texts(
            rejects
                .keys()
                .map(|(_, device)| device.as_deref().map(text)),
        )?;
        group.longs(rejects.values().map(|(count, _)| *count))?;
        group.longs(rejects.values().map(|(_, least)| *least))
    })?;
    file.finish()
}
