//! Where a reader begins: the selector in its source's filter.

use serde_amqp::Value;
use time::{Duration, UtcDateTime};

use super::error::{AmqpError, INVALID_FIELD};
use crate::hub::Hub;

/// A place in a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// From the first event that is held.
    Oldest,
    /// What comes from now on.
    Latest,
    /// At this offset, or after it.
    Offset { at: u64, inclusive: bool },
    /// At this sequence number, or after it.
    Sequence { at: i64, inclusive: bool },
    /// With what came after this time.
    After(UtcDateTime),
}

impl Start {
    /// Of a link's filters. Without one a reader begins at the beginning.
    pub(super) fn of<'a>(filters: impl Iterator<Item = &'a Value>) -> Result<Self, AmqpError> {
        let mut start = Self::Oldest;
        for filter in filters {
            let described = match filter {
                Value::Described(described) => &described.value,
                other => other,
            };
            match described {
                Value::String(text) => start = Self::parse(text)?,
                Value::Null => {}
                _ => return Err(AmqpError::new(INVALID_FIELD, "a filter is no selector")),
            }
        }
        Ok(start)
    }

    fn parse(selector: &str) -> Result<Self, AmqpError> {
        let invalid = || {
            let text = format!("'{selector}' is no selector of Event Hubs");
            AmqpError::new(INVALID_FIELD, text)
        };
        let (name, value) = selector.split_once('>').ok_or_else(invalid)?;
        let name = name
            .trim()
            .strip_prefix("amqp.annotation.")
            .ok_or_else(invalid)?;
        let (value, inclusive) = match value.strip_prefix('=') {
            Some(value) => (value, true),
            None => (value, false),
        };
        let value = value.trim().trim_matches('\'');
        match (name, value) {
            ("x-opt-offset" | "x-opt-sequence-number", "@latest") => Ok(Self::Latest),
            ("x-opt-offset" | "x-opt-sequence-number", "-1") => Ok(Self::Oldest),
            ("x-opt-offset", value) => {
                let at = value.parse().map_err(|_| invalid())?;
                Ok(Self::Offset { at, inclusive })
            }
            ("x-opt-sequence-number", value) => {
                let at = value.parse().map_err(|_| invalid())?;
                Ok(Self::Sequence { at, inclusive })
            }
            ("x-opt-enqueued-time" | "x-opt-enqueuedtimeutc", value) => {
                let millis = value.parse::<i64>().map_err(|_| invalid())?;
                // One that includes its time begins a millisecond earlier.
                let millis = millis.saturating_sub(i64::from(inclusive));
                UtcDateTime::UNIX_EPOCH
                    .checked_add(Duration::milliseconds(millis))
                    .map(Self::After)
                    .ok_or_else(invalid)
            }
            _ => Err(invalid()),
        }
    }

    /// The sequence number of the first event to read.
    ///
    /// # Errors
    /// For a place beyond the end, which is a checkpoint of another hub's: waiting there would pass over events without a word.
    pub(super) fn sequence_number(self, hub: &Hub, partition: u16) -> Result<i64, AmqpError> {
        let range = hub.range(partition);
        let next = match self {
            Self::Oldest => range.oldest,
            Self::Latest => range.head,
            Self::After(time) => hub.first_after(partition, time),
            Self::Offset { at, inclusive } => {
                let place = hub.at_offset(partition, at);
                place.saturating_add(i64::from(!inclusive))
            }
            Self::Sequence { at, inclusive } => at.saturating_add(i64::from(!inclusive)),
        };
        if next > range.head {
            let last = range.head - 1;
            let text = format!(
                "the supplied position is invalid: the last sequence number in the partition is {last}"
            );
            return Err(AmqpError::new("com.microsoft:argument-out-of-range", text));
        }
        Ok(next.max(range.oldest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_amqp::described::Described;
    use serde_amqp::descriptor::Descriptor;

    use super::*;
    use crate::hub::NewEvent;

    #[test]
    fn the_clients_selectors_are_understood() {
        let offset = |at, inclusive| Start::Offset { at, inclusive };
        let sequence = |at, inclusive| Start::Sequence { at, inclusive };
        for (selector, start) in [
            ("amqp.annotation.x-opt-offset > '-1'", Start::Oldest),
            ("amqp.annotation.x-opt-offset > '@latest'", Start::Latest),
            ("amqp.annotation.x-opt-offset > '42'", offset(42, false)),
            ("amqp.annotation.x-opt-offset >= '42'", offset(42, true)),
            (
                "amqp.annotation.x-opt-sequence-number > 7",
                sequence(7, false),
            ),
            (
                "amqp.annotation.x-opt-sequence-number >= '7'",
                sequence(7, true),
            ),
            (
                "amqp.annotation.x-opt-enqueued-time > '1500'",
                Start::After(UtcDateTime::UNIX_EPOCH + Duration::milliseconds(1_500)),
            ),
        ] {
            let plain = Value::from(selector);
            let described = Value::Described(Box::new(Described {
                descriptor: Descriptor::Code(0x0046_8c00_0004),
                value: plain.clone(),
            }));
            for filter in [plain, described] {
                assert_eq!(Start::of([&filter].into_iter()), Ok(start), "{selector}");
            }
        }
        assert_eq!(Start::of([].into_iter()), Ok(Start::Oldest));
    }

    #[test]
    fn others_are_refused() {
        for selector in [
            "",
            "x-opt-offset > '1'",
            "amqp.annotation.x-opt-offset = '1'",
            "amqp.annotation.x-opt-offset > 'x'",
            "amqp.annotation.color > 'red'",
            "amqp.annotation.x-opt-enqueued-time > '9223372036854775807'",
        ] {
            let error = Start::of([&Value::from(selector)].into_iter()).unwrap_err();
            assert_eq!(error.condition, INVALID_FIELD, "{selector}");
        }
        Start::of([&Value::from(7_i32)].into_iter()).unwrap_err();
    }

    #[test]
    fn a_place_is_a_sequence_number_and_one_of_an_earlier_hub_the_beginning() {
        let hub = Hub::new("h", 1);
        let positions: Vec<_> = (0..3).map(|_| hub.append(NewEvent::new(""))).collect();
        let offset: u64 = positions[1].offset.parse().unwrap();
        for (start, expected) in [
            (Start::Oldest, 0),
            (Start::Latest, 3),
            (
                Start::Offset {
                    at: offset,
                    inclusive: true,
                },
                1,
            ),
            (
                Start::Offset {
                    at: offset,
                    inclusive: false,
                },
                2,
            ),
            (
                Start::Offset {
                    at: offset - 1_000_000,
                    inclusive: false,
                },
                0,
            ),
            (
                Start::Offset {
                    at: 7,
                    inclusive: false,
                },
                0,
            ),
            (
                Start::Sequence {
                    at: 2,
                    inclusive: false,
                },
                3,
            ),
            (
                Start::Sequence {
                    at: 3,
                    inclusive: true,
                },
                3,
            ),
            (Start::After(positions[0].enqueued_at - Duration::SECOND), 0),
            (Start::After(positions[2].enqueued_at), 3),
        ] {
            assert_eq!(start.sequence_number(&hub, 0), Ok(expected), "{start:?}");
        }
        for start in [
            Start::Sequence {
                at: 3,
                inclusive: false,
            },
            Start::Sequence {
                at: i64::MAX,
                inclusive: false,
            },
            Start::Offset {
                at: u64::MAX,
                inclusive: false,
            },
        ] {
            start.sequence_number(&hub, 0).unwrap_err();
        }
    }
}
