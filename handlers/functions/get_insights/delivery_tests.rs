#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::json;
use time::macros::utc_datetime;

use super::*;
use crate::error::Problem;
use crate::memory_stores::MemoryFiles;

const NOW: UtcDateTime = utc_datetime!(2026-11-29 14:37:00);
const TABLE: &str = "deliveries/date=2026-11-29/telemetry-3.parquet";

/// Device, delivery, second of the day at which it was last heard of; delivered where it was dropped off.
type Flight<'a> = (&'a str, &'a str, i64, Option<i64>);

/// A table with some of the columns, a row group for each slice.
fn table(groups: &[&[Flight<'_>]]) -> Bytes {
    let schema = "message deliveries {
        required binary device_id (UTF8);
        required binary delivery_id (UTF8);
        required int64 last_at (TIMESTAMP(MICROS, true));
        optional int64 dropped_off_at (TIMESTAMP(MICROS, true));
        required binary outcome (UTF8);
        optional double battery_used;
        required int32 jumps;
        required int64 flight_readings;
        optional binary drop_off_h3 (UTF8);
        required boolean complete;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(Compression::GZIP(Default::default()))
        // Several pages: what is skipped is more than a part of one.
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(10)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for flights in groups {
        let mut group = writer.next_row_group().unwrap();
        let texts = |of: fn(&Flight<'_>) -> String| -> Vec<ByteArray> {
            let texts = flights.iter().map(of);
            texts.map(|text| ByteArray::from(text.as_str())).collect()
        };
        let midnight = utc_datetime!(2026-11-29 00:00:00);
        let time = |second: i64| {
            let time = midnight + Duration::seconds(second);
            i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap()
        };
        let ended: Vec<i16> = flights
            .iter()
            .map(|flight| flight.3.is_some().into())
            .collect();
        column::<ByteArrayType>(&mut group, &texts(|flight| flight.0.to_owned()), None);
        column::<ByteArrayType>(&mut group, &texts(|flight| flight.1.to_owned()), None);
        let last: Vec<i64> = flights.iter().map(|flight| time(flight.2)).collect();
        column::<Int64Type>(&mut group, &last, None);
        let ends: Vec<i64> = flights
            .iter()
            .filter_map(|flight| flight.3)
            .map(time)
            .collect();
        column::<Int64Type>(&mut group, &ends, Some(&ended));
        let outcome = |flight: &Flight<'_>| match flight.3 {
            Some(_) => "delivered".to_owned(),
            None => "open".to_owned(),
        };
        column::<ByteArrayType>(&mut group, &texts(outcome), None);
        column::<DoubleType>(&mut group, &vec![0.25; ends.len()], Some(&ended));
        column::<Int32Type>(&mut group, &vec![0; flights.len()], None);
        let readings: Vec<i64> = flights.iter().map(|flight| flight.2).collect();
        column::<Int64Type>(&mut group, &readings, None);
        column::<ByteArrayType>(&mut group, &[], Some(&vec![0; flights.len()]));
        column::<BoolType>(&mut group, &vec![true; flights.len()], None);
        group.close().unwrap();
    }
    writer.into_inner().unwrap().into()
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<T>()
        .write_batch(values, levels, None)
        .unwrap();
    column.close().unwrap();
}

async fn store(files: &[(&str, Bytes)]) -> MemoryFiles {
    let store = MemoryFiles::default();
    for (name, body) in files {
        store.replace(name, body.clone(), None).await.unwrap();
    }
    store
}

async fn ask(files: &MemoryFiles, path: &str, query: &str) -> Result<Value, Problem> {
    let query = DeliveryQuery::parse(Some(path.parse().unwrap()), Some(query)).unwrap();
    let rows = find(files, &Semaphore::new(1), &query, NOW).await?;
    Ok(serde_json::to_value(rows).unwrap())
}

fn fleet(as_of: &str) -> Bytes {
    let cells = json!({"pickUps": [], "dropOffs": [], "flight": []});
    let fleet = json!({"schema": 1, "date": "2026-11-29", "asOf": as_of, "complete": false, "hours": [], "day": {}, "hotSpots": cells});
    fleet.to_string().into()
}

#[tokio::test]
async fn every_drone_of_a_delivery_is_found_wherever_it_stands() {
    let names: Vec<String> = (0..95).map(|number| format!("delivery-{number}")).collect();
    let many: Vec<Flight<'_>> = names
        .iter()
        .map(|name| ("drone-1", name.as_str(), 10, Some(20)))
        .chain([("drone-2", "wanted", 3_600, Some(3_000))])
        .collect();
    let earlier = table(&[&[("drone-9", "wanted", 60, None)]]);
    let files = store(&[
        (
            TABLE,
            table(&[
                &many,
                &[],
                &[
                    ("drone-3", "other", 1, None),
                    ("drone-3", "wanted", 2, None),
                ],
            ]),
        ),
        ("deliveries/date=2026-11-28/telemetry-0.parquet", earlier),
        (
            "deliveries/date=2026-11-28/notes.txt",
            Bytes::from_static(b"no table"),
        ),
        (
            "deliveries/date=2026-11-27/telemetry-0.parquet",
            table(&[&[("drone-0", "wanted", 1, None)]]),
        ),
        (
            "fleet_hours/date=2026-11-29/fleet.json",
            fleet("2026-11-29T23:59:59Z"),
        ),
    ])
    .await;
    let all = ask(&files, "wanted", "").await.unwrap();
    assert_eq!(all["asOf"], "2026-11-29T23:59:59Z");
    assert_eq!(all["complete"], true);
    assert!(all.get("unreadable").is_none(), "{all:#}");
    let rows = all["deliveries"].as_array().unwrap();
    let drones: Vec<&Value> = rows.iter().map(|row| &row["deviceId"]).collect();
    assert_eq!(drones, ["drone-9", "drone-2", "drone-3"]);
    let whole = json!({
        "deviceId": "drone-2", "deliveryId": "wanted", "lastAt": "2026-11-29T01:00:00Z", "droppedOffAt": "2026-11-29T00:50:00Z",
        "outcome": "delivered", "batteryUsed": 0.25, "jumps": 0, "flightReadings": 3_600, "dropOffH3": null, "complete": true,
    });
    assert_eq!(rows[1], whole);

    let one = ask(&files, "wanted", "drone=drone-3").await.unwrap();
    assert_eq!(one["deliveries"].as_array().unwrap(), &rows[2..]);
    let older = ask(&files, "wanted", "date=2026-11-27").await.unwrap();
    assert_eq!(older["deliveries"][0]["deviceId"], "drone-0");
    assert_eq!(older["deliveries"].as_array().unwrap().len(), 1);
    for nobody in ["drone=drone-7", "date=2026-11-26"] {
        assert!(ask(&files, "wanted", nobody).await.is_err(), "{nobody}");
    }
    let last = ask(&files, "delivery-94", "").await.unwrap();
    assert_eq!(last["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_delivery_of_which_nothing_came_for_a_day_is_lost() {
    let tables = table(&[&[
        ("drone-1", "silent", 3_600, None),
        ("drone-2", "silent", 3_601, None),
        ("drone-3", "silent", 0, Some(0)),
    ]]);
    for (as_of, outcomes) in [
        ("2026-11-30T01:00:00Z", ["lost", "open", "delivered"]),
        ("2026-11-30T00:59:59Z", ["open", "open", "delivered"]),
    ] {
        let files = store(&[
            (TABLE, tables.clone()),
            ("fleet_hours/date=2026-11-29/fleet.json", fleet(as_of)),
        ])
        .await;
        let found = ask(&files, "silent", "").await.unwrap();
        let rows = found["deliveries"].as_array().unwrap().iter();
        assert_eq!(
            rows.map(|row| &row["outcome"]).collect::<Vec<_>>(),
            outcomes,
            "{as_of}"
        );
    }
    // Where nothing is final nothing is lost, and a day that cannot be read leaves the one before.
    let files = store(&[(TABLE, tables.clone())]).await;
    let found = ask(&files, "silent", "").await.unwrap();
    assert_eq!(
        (&found["asOf"], &found["deliveries"][0]["outcome"]),
        (&Value::Null, &json!("open"))
    );
    let damaged = Bytes::from_static(b"{");
    let files = store(&[
        (TABLE, tables),
        (
            "fleet_hours/date=2026-11-29/fleet.json",
            fleet("2026-11-30T02:00:00Z"),
        ),
        ("fleet_hours/date=2026-11-29/fleet.parquet", damaged.clone()),
        ("fleet_hours/date=2026-11-30/fleet.json", damaged),
    ])
    .await;
    let found = ask(&files, "silent", "").await.unwrap();
    assert_eq!(found["deliveries"][1]["outcome"], "lost");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_named_and_the_others_are() {
    let good = table(&[&[("drone-1", "wanted", 60, None)]]);
    let mut flipped = good.to_vec();
    // In the first pages, behind which the file is as it should be.
    for byte in &mut flipped[8..60] {
        *byte ^= 0x55;
    }
    let name = |number: u8| format!("deliveries/date=2026-11-29/telemetry-{number}.parquet");
    let names: Vec<String> = (0..6).map(name).collect();
    let too_large = Bytes::from(vec![0; 64 * 1024 * 1024 + 1]);
    let files = store(&[
        (&names[0], Bytes::new()),
        (&names[1], Bytes::from_static(b"PAR1 and then nothing PAR1")),
        (&names[2], good.slice(..good.len() - 9)),
        (&names[3], flipped.into()),
        (&names[4], too_large),
        (&names[5], good),
    ])
    .await;
    let found = ask(&files, "wanted", "").await.unwrap();
    assert_eq!(found["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(found["complete"], false);
    let unreadable = found["unreadable"].as_array().unwrap();
    let left_out: Vec<&str> = unreadable
        .iter()
        .map(|one| one["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        left_out,
        names[..5].iter().map(String::as_str).collect::<Vec<_>>()
    );
    let problem = |place: usize| unreadable[place]["problem"].as_str().unwrap();
    assert_eq!(problem(0), "is no such table, or damaged");
    assert_eq!(
        problem(4),
        "has 67108865 bytes, and 67108864 are read at most"
    );

    // What is damaged in the fourth is not read for a delivery that is not in it.
    let problem = ask(&files, "nothing", "").await.unwrap_err();
    let text = serde_json::to_value(&problem).unwrap()["detail"].to_string();
    assert!(text.contains("2026-11-28 or 2026-11-29"), "{text}");
    assert!(text.contains("4 of 6 tables could not be read"), "{text}");
}

#[test]
fn names_of_columns_become_those_of_fields() {
    for (column, field) in [
        ("device_id", "deviceId"),
        ("pick_up_h3", "pickUpH3"),
        ("jumps", "jumps"),
        ("to_pick_up_s", "toPickUpS"),
    ] {
        assert_eq!(camel_case(column), field);
    }
}
