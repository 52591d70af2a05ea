//! The tables are what the page `handlers/INSIGHTS.md` says that they are.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

const PAGE: &str = include_str!("../INSIGHTS.md");

/// A column's name, with a question mark where values may be absent.
fn columns(table: Table) -> Vec<String> {
    let name =
        |column: &Column| format!("{}{}", column.name, if column.optional { "?" } else { "" });
    table.columns.iter().map(name).collect()
}

/// The columns of a row of the page's list of tables. What is said of one in brackets is left out.
fn listed(table: &str) -> Vec<String> {
    let begin = format!("| `{table}/");
    let row = PAGE.lines().find(|line| line.starts_with(&begin)).unwrap();
    let mut cell = row.split('|').nth(2).unwrap().to_owned();
    while let (Some(from), Some(to)) = (cell.find(" ("), cell.find(')')) {
        cell.replace_range(from..=to, "");
    }
    cell.split(',')
        .map(|column| column.trim().to_owned())
        .collect()
}

/// The columns of a table that has a section.
fn described(table: &str) -> Vec<String> {
    let section = PAGE.split(&format!("### {table}\n")).nth(1).unwrap();
    let section = section.split("\n##").next().unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| column"));
    rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|column| column.trim().to_owned())
        .collect()
}

#[test]
fn the_page_names_every_column_in_its_order() {
    for table in [
        flight::FLIGHT,
        operating::OPERATING,
        rejects::REJECTS,
        cells::CELLS,
    ] {
        assert_eq!(columns(table), listed(table.name), "{}", table.name);
    }
    for table in [deliveries::DELIVERIES, drone_hours::DRONE_HOURS] {
        assert_eq!(columns(table), described(table.name), "{}", table.name);
    }
}

/// What Spark 3.5, Synapse and the others are told of a file must not depend on who writes it.
#[test]
fn a_file_names_no_build_and_its_times_are_utc() {
    let file = Bytes::from(deliveries::write(&[]).unwrap());
    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata().file_metadata();
    assert_eq!(metadata.created_by(), Some("drone-delivery insights"));
    let schema = metadata.schema_descr();
    let first_at = schema
        .columns()
        .iter()
        .find(|column| column.name() == "first_at")
        .unwrap();
    let shown = format!("{:?}", first_at.logical_type_ref());
    assert!(
        shown.contains("is_adjusted_to_u_t_c: true") || shown.contains("is_adjusted_to_utc: true"),
        "{shown}"
    );
}

#[test]
fn a_file_of_another_table_or_with_other_columns_is_refused_and_one_with_more_is_read() {
    const MORE: Table = Table {
        name: "cells",
        columns: &[
            cells::CELLS.columns[0],
            cells::CELLS.columns[1],
            schema::always("later", Kind::Flag),
        ],
    };
    let mut newer = TableWriter::new(MORE, true).unwrap();
    newer
        .group(|group| {
            group.texts(["891ea6d6533ffff"].map(write::text))?;
            group.longs([5])?;
            group.flags([true])
        })
        .unwrap();
    let newer = Bytes::from(newer.finish().unwrap());
    let mut rows = Vec::new();
    cells::read(newer.clone(), |_, micros| rows.push(micros)).unwrap();
    assert_eq!(rows, [5]);
    assert!(
        TableReader::open(cells::CELLS, newer)
            .unwrap()
            .is_complete()
    );
    let other = Bytes::from(rejects::write(&rejects::Rejects::new(), false).unwrap());
    assert!(matches!(
        TableReader::open(cells::CELLS, other.clone()),
        Err(TableError::OtherTable("cells"))
    ));
    let cut = other.slice(..other.len() - 1);
    assert!(matches!(
        TableReader::open(rejects::REJECTS, cut),
        Err(TableError::Parquet(_))
    ));
}

#[test]
fn a_column_left_out_or_of_another_kind_is_an_error() {
    let mut file = TableWriter::new(cells::CELLS, true).unwrap();
    let wrong = file.group(|group| group.longs([1]));
    assert!(matches!(wrong, Err(TableError::Value("cell"))));
    let mut file = TableWriter::new(cells::CELLS, true).unwrap();
    assert!(file.group(|group| group.texts([write::text("x")])).is_err());
}

#[test]
fn the_first_folders_stay() {
    let mut sources = Sources::default();
    let first: Hour = "2026-11-29T04".parse().unwrap();
    for later in (0..20).rev() {
        sources.set(first.plus(later), true);
    }
    assert_eq!(sources.iter().count(), MOST_SOURCES);
    assert_eq!(sources.ends(), Some((first, first.plus(11))));
    assert_eq!(Sources::parse(&sources.text()).unwrap(), sources);
    sources.set(first, false);
    assert!(!sources.contains(first));
    assert!(Sources::parse("2026-11-29").is_err());
}
