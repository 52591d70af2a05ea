#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use serde_json::json;
use time::macros::utc_datetime;

use super::*;
use crate::domain::insights::figures::DayTally;
use crate::domain::insights::hour::{Day, Hour};
use crate::domain::insights::quality::Quality;
use crate::memory_stores::MemoryFiles;

const NOW: UtcDateTime = utc_datetime!(2026-11-29 14:37:00);

/// A day with one hour.
fn fleet(date: &str, as_of: &Value, complete: bool) -> Value {
    json!({
        "schema": 1, "date": date, "asOf": as_of, "complete": complete,
        "hours": [{"hour": format!("{date}T14:00:00Z"), "complete": complete, "drones": 7, "batteryPerKm": null}],
        "day": {"slow": 3, "drones": 7},
        "hotSpots": {
            "pickUps": [{"cell": "8928308280fffff", "count": 12}, {"cell": "8928308280bffff", "count": 5}],
            "dropOffs": [],
            "flight": [{"cell": "8828308281fffff", "seconds": 5120}],
        },
    })
}

async fn store(days: &[(&str, Value)]) -> MemoryFiles {
    let files = MemoryFiles::default();
    for (date, day) in days {
        let name = format!("{FOLDER}{date}{FILE}");
        files
            .replace(&name, Bytes::from(day.to_string()), None)
            .await
            .unwrap();
    }
    files
}

async fn ask_days(files: &MemoryFiles, query: &str) -> Value {
    let query = DayQuery::parse(Some(query)).unwrap();
    serde_json::to_value(days(files, &query, NOW).await.unwrap()).unwrap()
}

async fn ask_hours(files: &MemoryFiles, query: &str) -> Value {
    let query = HourQuery::parse(Some(query)).unwrap();
    serde_json::to_value(hours(files, &query, NOW).await.unwrap()).unwrap()
}

/// What is passed on is what the roll-up writes, field by field.
#[tokio::test]
async fn a_day_as_it_is_written_is_read() {
    let day = Day(time::macros::date!(2026 - 11 - 28));
    let hour = Hour::of(utc_datetime!(2026-11-28 14:00:00));
    let mut tally = DayTally::new(day, Some(utc_datetime!(2026-11-28 15:00:00)));
    tally.unit(hour, &Quality::default());
    let written = serde_json::to_value(tally.finish(false, |_| true)).unwrap();
    let files = store(&[("2026-11-28", written.clone())]).await;
    let hours = ask_hours(&files, "from=2026-11-28T00:00:00Z").await;
    assert_eq!(hours["hours"], written["hours"]);
    assert_eq!(hours["hours"].as_array().unwrap().len(), 1);
    assert_eq!(hours["asOf"], written["asOf"]);
    let days = ask_days(&files, "from=2026-11-28").await;
    let mut expected = written["day"].clone();
    expected["date"] = written["date"].clone();
    expected["complete"] = written["complete"].clone();
    assert_eq!(days["days"], json!([expected]));
    assert!(days.get("unreadable").is_none(), "{days:#}");
}

#[tokio::test]
async fn where_nothing_is_known_nothing_is_final() {
    let files = MemoryFiles::default();
    let none = json!({"asOf": null, "complete": true, "hours": []});
    assert_eq!(ask_hours(&files, "").await, none);
    let cells = json!({"pickUps": [], "dropOffs": [], "flight": []});
    let none = json!({"asOf": null, "complete": true, "days": [], "hotSpots": cells});
    assert_eq!(ask_days(&files, "").await, none);
}

#[tokio::test]
async fn hours_are_those_of_the_range_and_figures_are_as_they_stand() {
    let end = json!("2026-11-29T00:00:00Z");
    let files = store(&[
        ("2026-11-27", fleet("2026-11-27", &end, true)),
        ("2026-11-28", fleet("2026-11-28", &end, true)),
        ("2026-11-29", fleet("2026-11-29", &end, false)),
    ])
    .await;
    let both = ask_hours(&files, "from=2026-11-28T14:00:00Z").await;
    let hour = |date: &str, complete: bool| json!({"hour": format!("{date}T14:00:00Z"), "complete": complete, "drones": 7, "batteryPerKm": null});
    let expected = json!({
        "asOf": end, "complete": false, "hours": [hour("2026-11-28", true), hour("2026-11-29", false)],
    });
    assert_eq!(both, expected);
    // The begin is in the range, the end is not.
    for (range, known) in [
        ("from=2026-11-28T14:00:01Z&to=2026-11-29T14:00:00Z", 0),
        ("from=2026-11-28T14:00:00Z&to=2026-11-29T14:00:00Z", 1),
        ("from=2026-11-27T00:00:00Z&to=2026-11-29T14:00:01Z", 3),
    ] {
        let hours = ask_hours(&files, range).await["hours"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(hours, known, "{range}");
    }
}

#[test]
fn of_several_days_the_latest_time_is_true() {
    let of = |days: &[(&str, Option<&str>)]| {
        let days = days.iter().map(|(date, as_of)| {
            let day = fleet(date, &json!(as_of), false).to_string();
            parse(day.as_bytes(), date).unwrap()
        });
        as_of(&days.collect::<Vec<_>>()).map(|time| time.hour())
    };
    let (early, late) = (Some("2026-11-28T03:59:59Z"), Some("2026-11-29T11:59:59Z"));
    assert_eq!(of(&[("2026-11-28", early), ("2026-11-29", late)]), Some(11));
    // A day that was mended after the newest one was made.
    assert_eq!(of(&[("2026-11-28", late), ("2026-11-29", early)]), Some(11));
    assert_eq!(of(&[("2026-11-28", early), ("2026-11-29", None)]), Some(3));
    assert_eq!(of(&[("2026-11-28", None)]), None);
    assert_eq!(of(&[]), None);
}

#[tokio::test]
async fn hot_spots_of_several_days_are_summed_and_have_a_place() {
    let mut second = fleet("2026-11-29", &Value::Null, true);
    second["hotSpots"]["pickUps"] = json!([
        {"cell": "8928308280bffff", "count": 8},
        {"cell": "89283082803ffff", "count": 1},
        {"cell": "no cell", "count": 99},
        {"cell": "", "count": 99},
    ]);
    let files = store(&[
        ("2026-11-28", fleet("2026-11-28", &Value::Null, true)),
        ("2026-11-29", second),
    ])
    .await;
    let answer = ask_days(&files, "from=2026-11-28").await;
    let spots: Spots = serde_json::from_value(answer["hotSpots"].clone()).unwrap();
    let found: Vec<(&str, Option<u64>)> = spots
        .pick_ups
        .iter()
        .map(|spot| (spot.cell.as_str(), spot.count))
        .collect();
    // 5 and 8 against 12; what is no cell has no place.
    assert_eq!(
        found,
        [
            ("8928308280bffff", Some(13)),
            ("8928308280fffff", Some(12)),
            ("89283082803ffff", Some(1))
        ]
    );
    // San Francisco, where the examples of H3 are.
    for spot in &spots.pick_ups {
        assert!((37.7..37.9).contains(&spot.latitude), "{spot:?}");
        assert!((-122.5..-122.3).contains(&spot.longitude), "{spot:?}");
    }
    assert_eq!(spots.drop_offs.len(), 0);
    assert_eq!(
        (spots.flight.len(), spots.flight[0].seconds),
        (1, Some(10_240.0))
    );

    let many: Vec<Value> = (0..250)
        .map(|number| json!({"cell": format!("89283082{number:03x}ffff"), "count": 1}))
        .collect();
    let mut day = fleet("2026-11-29", &Value::Null, true);
    day["hotSpots"]["dropOffs"] = json!(many);
    let files = store(&[("2026-11-29", day)]).await;
    let cells = ask_days(&files, "from=2026-11-29").await["hotSpots"]["dropOffs"]
        .as_array()
        .unwrap()
        .len();
    assert!(cells <= MOST_CELLS, "{cells}");
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spots {
    pick_ups: Vec<Spot>,
    drop_offs: Vec<Spot>,
    flight: Vec<Spot>,
}

#[derive(Debug, Deserialize)]
struct Spot {
    cell: String,
    count: Option<u64>,
    seconds: Option<f64>,
    latitude: f64,
    longitude: f64,
}

#[tokio::test]
async fn a_day_that_cannot_be_read_is_named_and_stops_no_other() {
    let whole = fleet("2026-11-29", &Value::Null, true);
    let mut newer = whole.clone();
    newer["schema"] = json!(2);
    newer["hours"] = json!("in another form");
    let mut odd = whole.clone();
    odd["hours"][0]["hour"] = json!("secret");
    for (damaged, problem) in [
        (json!("{"), "is not JSON with a schema"),
        (newer, "is of schema 2, and 1 is known"),
        (odd, "is not of schema 1, at line 1, column "),
        (fleet("2026-11-30", &Value::Null, true), "is of another day"),
    ] {
        let files = store(&[
            ("2026-11-28", fleet("2026-11-28", &Value::Null, true)),
            ("2026-11-29", damaged),
        ])
        .await;
        let answer = ask_days(&files, "from=2026-11-28").await;
        assert_eq!(answer["complete"], false, "{problem}");
        assert_eq!(answer["days"].as_array().unwrap().len(), 1, "{problem}");
        let unreadable = answer["unreadable"].as_array().unwrap();
        assert_eq!(unreadable.len(), 1, "{problem}");
        assert_eq!(
            unreadable[0]["file"],
            "fleet_hours/date=2026-11-29/fleet.json"
        );
        let told = unreadable[0]["problem"].as_str().unwrap();
        assert!(
            told.starts_with(problem) && !told.contains("secret"),
            "{told}"
        );
        let hours = ask_hours(&files, "from=2026-11-28T00:00:00Z").await;
        assert_eq!(hours["hours"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&hours["complete"], &hours["unreadable"]),
            (&json!(false), &answer["unreadable"])
        );
    }
}
