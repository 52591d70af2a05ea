//! A point in time as snapshots hold it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::UtcDateTime;

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
        self.0.unix_timestamp_nanos().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UtcDateTime::from_unix_timestamp_nanos(i128::deserialize(deserializer)?)
            .map(Self)
            .map_err(de::Error::custom)
    }
}
