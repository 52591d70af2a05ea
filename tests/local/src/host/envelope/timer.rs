//! The envelope of a timer call.

use time::UtcDateTime;

use super::{CallContext, begin, begin_metadata, end};
use crate::host::clock::{self, Zone};

/// When a timer ran, and when it will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScheduleStatus {
    /// The run before; `None` before the first, which is written as a time in the year 1.
    pub last: Option<UtcDateTime>,
    pub next: UtcDateTime,
}

/// The envelope: `Data.<binding>` is a real object. `status` is `None` where the schedule is not monitored.
pub(crate) fn envelope(
    binding: &str,
    status: Option<&ScheduleStatus>,
    is_past_due: bool,
    call: &CallContext<'_>,
) -> String {
    let mut out = String::with_capacity(512);
    begin(&mut out, binding);
    out.push_str("{\"Schedule\":{\"AdjustForDST\":true},\"ScheduleStatus\":");
    match status {
        None => out.push_str("null"),
        Some(status) => {
            // The last update is that of the last run.
            write_time(&mut out, "{\"Last\":", status.last);
            write_time(&mut out, ",\"Next\":", Some(status.next));
            write_time(&mut out, ",\"LastUpdated\":", status.last);
            out.push('}');
        }
    }
    out.push_str(",\"IsPastDue\":");
    out.push_str(if is_past_due { "true" } else { "false" });
    out.push('}');
    begin_metadata(&mut out);
    end(&mut out, call);
    out
}

fn write_time(out: &mut String, name: &str, time: Option<UtcDateTime>) {
    out.push_str(name);
    out.push('"');
    match time {
        Some(time) => clock::write_fraction(out, time, Zone::Offset),
        // The default of a .NET DateTime.
        None => out.push_str("0001-01-01T00:00:00"),
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::{Value, json};
    use time::macros::utc_datetime;

    use super::*;

    fn timer(status: Option<ScheduleStatus>, is_past_due: bool) -> Value {
        let call = CallContext {
            function: "AdvanceWatermarks",
            now: utc_datetime!(2024-05-01 12:05:00.01),
            retry: None,
        };
        let text = envelope("timer", status.as_ref(), is_past_due, &call);
        let mut envelope: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            envelope["Metadata"]["sys"]["UtcNow"],
            "2024-05-01T12:05:00.01Z"
        );
        envelope["Data"]["timer"].take()
    }

    #[test]
    fn a_monitored_timer_tells_its_last_and_next_run() {
        let status = ScheduleStatus {
            last: Some(utc_datetime!(2024-05-01 12:00:00.25)),
            next: utc_datetime!(2024-05-01 12:05),
        };
        assert_eq!(
            timer(Some(status), false),
            json!({
                "Schedule": {"AdjustForDST": true},
                "ScheduleStatus": {
                    "Last": "2024-05-01T12:00:00.25+00:00",
                    "Next": "2024-05-01T12:05:00+00:00",
                    "LastUpdated": "2024-05-01T12:00:00.25+00:00",
                },
                "IsPastDue": false,
            })
        );
    }

    #[test]
    fn the_first_run_has_no_last_one_and_an_unmonitored_timer_no_status() {
        let status = ScheduleStatus {
            last: None,
            next: utc_datetime!(2024-05-01 12:05),
        };
        let first = timer(Some(status), true);
        assert_eq!(first["ScheduleStatus"]["Last"], "0001-01-01T00:00:00");
        assert_eq!(first["IsPastDue"], true);
        assert_eq!(timer(None, false)["ScheduleStatus"], Value::Null);
    }
}
