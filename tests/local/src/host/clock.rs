//! Times as the host writes them.

use std::fmt::Write as _;

use time::UtcDateTime;

/// How a time ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Nothing: a DateTime of unspecified kind.
    Unspecified,
    /// `Z`: a DateTime in UTC.
    Z,
    /// `+00:00`: a DateTimeOffset, or a local DateTime where local time is UTC.
    Offset,
}

/// Whole seconds, as a DateTime or DateTimeOffset at the top of `Metadata` is written.
pub(crate) fn write_seconds(out: &mut String, time: UtcDateTime, zone: Zone) {
    write_date_time(out, time);
    write_zone(out, zone);
}

/// With as much of the fraction as there is, down to 100 ns, as everything deeper is written.
pub(crate) fn write_fraction(out: &mut String, time: UtcDateTime, zone: Zone) {
    write_date_time(out, time);
    let mut ticks = time.nanosecond() / 100;
    if ticks > 0 {
        let mut digits = 7;
        while ticks.is_multiple_of(10) {
            ticks /= 10;
            digits -= 1;
        }
        _ = write!(out, ".{ticks:0digits$}");
    }
    write_zone(out, zone);
}

fn write_date_time(out: &mut String, time: UtcDateTime) {
    // Writing to a String cannot fail.
    _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
}

fn write_zone(out: &mut String, zone: Zone) {
    out.push_str(match zone {
        Zone::Unspecified => "",
        Zone::Z => "Z",
        Zone::Offset => "+00:00",
    });
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    fn written(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn fractions_lose_their_trailing_zeros_and_nothing_else() {
        for (time, text) in [
            (
                utc_datetime!(2024-05-01 12:00:00.123),
                "2024-05-01T12:00:00.123",
            ),
            (
                utc_datetime!(2024-05-01 12:00:00.5),
                "2024-05-01T12:00:00.5",
            ),
            (utc_datetime!(2024-05-01 12:00:00), "2024-05-01T12:00:00"),
            (
                utc_datetime!(2024-05-01 12:00:00.000_000_1),
                "2024-05-01T12:00:00.0000001",
            ),
            (
                utc_datetime!(2024-05-01 12:00:00.050_1),
                "2024-05-01T12:00:00.0501",
            ),
        ] {
            assert_eq!(
                written(|out| write_fraction(out, time, Zone::Unspecified)),
                text
            );
        }
    }

    #[test]
    fn a_zone_is_written_as_the_kind_of_time_has_it() {
        let time = utc_datetime!(2024-05-01 12:00:00.5);
        assert_eq!(
            written(|out| write_fraction(out, time, Zone::Z)),
            "2024-05-01T12:00:00.5Z"
        );
        assert_eq!(
            written(|out| write_seconds(out, time, Zone::Offset)),
            "2024-05-01T12:00:00+00:00"
        );
        assert_eq!(
            written(|out| write_seconds(out, time, Zone::Unspecified)),
            "2024-05-01T12:00:00"
        );
    }
}
