//! The two messages of the article, and times in both shapes.
//!
//! Every value is a JSON string, as in the article. Nothing that is written here needs an escape.

use time::UtcDateTime;

/// How a drone writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeShape {
    /// `MM/dd/yyyy HH:mm:ss +00:00`, whole seconds.
    Article,
    /// ISO 8601 with 7 decimals.
    Iso,
}

/// What both messages begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) time: &'a str,
    pub(crate) device: &'a str,
    pub(crate) delivery: &'a str,
}

/// A flight's values, as numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flight {
    pub(crate) velocity: f64,
    pub(crate) acceleration: f64,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) altitude: f64,
    pub(crate) status: u8,
}

/// A state's values; the battery's level in hundredths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Status {
    pub(crate) temperature: f64,
    pub(crate) battery: u8,
}

/// The time in the shape.
pub(crate) fn time(shape: TimeShape, time: UtcDateTime) -> String {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.as_hms();
    match shape {
        TimeShape::Article => {
            format!("{month:02}/{day:02}/{year:04} {hour:02}:{minute:02}:{second:02} +00:00")
        }
        TimeShape::Iso => {
            let ticks = time.nanosecond() / 100;
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z")
        }
    }
}

pub(crate) fn flight(head: Head<'_>, flight: &Flight) -> String {
    let Head {
        time,
        device,
        delivery,
    } = head;
    let Flight {
        velocity,
        acceleration,
        latitude,
        longitude,
        altitude,
        status,
    } = flight;
    format!(
        r#"{{"occurrenceUtcTime":"{time}","deviceId":"{device}","sensorType":"drone-event-sensor;v1","deliveryId":"{delivery}","velocity":"{velocity:.2}","acceleration":"{acceleration:.2}","position":"{latitude:.6}|{longitude:.6}|{altitude:.2}","flightStatus":"{status}"}}"#
    )
}

pub(crate) fn status(head: Head<'_>, status: &Status) -> String {
    let Head {
        time,
        device,
        delivery,
    } = head;
    let Status {
        temperature,
        battery,
    } = *status;
    let name = battery_name(battery);
    let level = f64::from(battery) / 100.0;
    format!(
        r#"{{"occurrenceUtcTime":"{time}","deviceId":"{device}","sensorType":"drone-state-sensor;v1","deliveryId":"{delivery}","temperature":"{temperature:.2}","batteryStatus":"{name}","batteryLevel":"{level:.2}"}}"#
    )
}

/// The article's names for a level in hundredths.
fn battery_name(level: u8) -> &'static str {
    match level {
        0 => "dead",
        1..=10 => "critical",
        11..=30 => "low",
        31..=50 => "medium",
        51..=99 => "high",
        _ => "full",
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn times_are_written_in_both_shapes() {
        let moment = utc_datetime!(2018-04-07 20:05:09.123_456_789);
        assert_eq!(
            time(TimeShape::Article, moment),
            "04/07/2018 20:05:09 +00:00"
        );
        assert_eq!(time(TimeShape::Iso, moment), "2018-04-07T20:05:09.1234567Z");
    }

    #[test]
    fn the_messages_are_those_of_the_article() {
        let head = Head {
            time: "04/17/2018 20:25:09 +00:00",
            device: "Simulated.drone-01.35",
            delivery: "d71df1a7-29eb-41e0-8232-030cc511ce87",
        };
        let reading = Flight {
            velocity: 58.08,
            acceleration: 2.52,
            latitude: 60.631945,
            longitude: -99.579919,
            altitude: 504.99,
            status: 1,
        };
        assert_eq!(
            flight(head, &reading),
            concat!(
                r#"{"occurrenceUtcTime":"04/17/2018 20:25:09 +00:00","#,
                r#""deviceId":"Simulated.drone-01.35","sensorType":"drone-event-sensor;v1","#,
                r#""deliveryId":"d71df1a7-29eb-41e0-8232-030cc511ce87","velocity":"58.08","#,
                r#""acceleration":"2.52","position":"60.631945|-99.579919|504.99","flightStatus":"1"}"#
            )
        );
        let reading = Status {
            temperature: 74.74,
            battery: 25,
        };
        assert_eq!(
            status(head, &reading),
            concat!(
                r#"{"occurrenceUtcTime":"04/17/2018 20:25:09 +00:00","#,
                r#""deviceId":"Simulated.drone-01.35","sensorType":"drone-state-sensor;v1","#,
                r#""deliveryId":"d71df1a7-29eb-41e0-8232-030cc511ce87","temperature":"74.74","#,
                r#""batteryStatus":"low","batteryLevel":"0.25"}"#
            )
        );
    }

    #[test]
    fn battery_levels_have_the_names_of_the_article() {
        for (levels, name) in [
            (0..=0, "dead"),
            (1..=10, "critical"),
            (11..=30, "low"),
            (31..=50, "medium"),
            (51..=99, "high"),
            (100..=100, "full"),
        ] {
            for level in levels {
                assert_eq!(battery_name(level), name, "{level}");
            }
        }
    }
}
