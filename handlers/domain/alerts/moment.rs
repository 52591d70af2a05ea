//! A point in time as snapshots hold it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::UtcDateTime;

/// In a second.
const NANOS: i64 = 1_000_000_000;

/// A [`UtcDateTime`] that is written as nanoseconds since 1970: a third of the bytes of a text, and
/// no parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(UtcDateTime);

impl Moment {
    /// The time.
    pub fn time(self) -> UtcDateTime {
        self.0
    }
}

impl From<UtcDateTime> for Moment {
    fn from(time: UtcDateTime) -> Self {
        Self(time)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A snapshot has thousands. What fits into 64 bits is the same bytes as in 128, and takes a tenth of the time.
        let nanos = (self.0.unix_timestamp().checked_mul(NANOS))
            .and_then(|nanos| nanos.checked_add(i64::from(self.0.nanosecond())));
        match nanos {
            Some(nanos) => nanos.serialize(serializer),
            None => self.0.unix_timestamp_nanos().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UtcDateTime::from_unix_timestamp_nanos(i128::deserialize(deserializer)?)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Snapshots that are stored were written as 128 bits.
        #[test]
        fn a_moment_is_written_as_its_nanoseconds(
            second in UtcDateTime::MIN.unix_timestamp()..=UtcDateTime::MAX.unix_timestamp(),
            near in -10_000_000_000..10_000_000_000_i64, nanosecond in 0..1_000_000_000_u32,
        ) {
            for second in [second, near] {
                let time = UtcDateTime::from_unix_timestamp(second).unwrap().replace_nanosecond(nanosecond).unwrap();
                let written = postcard::to_stdvec(&Moment(time)).unwrap();
                prop_assert_eq!(&written, &postcard::to_stdvec(&time.unix_timestamp_nanos()).unwrap());
                prop_assert_eq!(postcard::from_bytes::<Moment>(&written).unwrap(), Moment(time));
            }
        }
    }
}
