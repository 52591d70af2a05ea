//! The part of the fleet that a drone's state is stored with.

use std::fmt;

use super::identifier::DeviceId;
use super::partition_key;

/// A drone's bucket: the partition key of its item in Cosmos DB, and so the drones that can be written
/// together with it.
///
/// A pure function of the device id, so that one id is enough to read a drone. Event Hubs places a device by
/// the same hash, and [`Bucket::COUNT`] is a multiple of the usual numbers of partitions: the drones of one
/// partition then fall into few buckets, and a batch of their events becomes few requests. Nothing depends on
/// that but the number of requests: another partition key, hash or number of partitions only spreads a batch
/// over more buckets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// How many buckets there are. It never changes: a stored drone would not be found any more.
    ///
    /// Of 10,000 drones each has 156: whatever the partitions are, what a round of calls changes in a bucket nearly fills
    /// a transactional batch of at most 100 operations. With 128 buckets there were nearly twice as many requests, measured at
    /// 32 partitions. And it is far below the 20 GB that Cosmos DB keeps under one partition key.
    pub const COUNT: u8 = 64;

    /// The bucket of a drone.
    pub fn of(device: &DeviceId) -> Self {
        let bucket = partition_key::partition(device.as_str().as_bytes(), u16::from(Self::COUNT));
        // Below COUNT, so it fits.
        Self(bucket as u8)
    }

    /// Every bucket.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Its number, from 0 to [`COUNT`](Self::COUNT) - 1.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The value of `/bucket`: the number as decimal text.
    pub fn key(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The article's fleet, under the names that the simulator gives it.
    fn fleet() -> impl Iterator<Item = DeviceId> {
        (0..10_000).map(|number| format!("drone-{number:05}").parse().unwrap())
    }

    /// The buckets of each partition's drones, for a hub that places devices as Event Hubs does.
    fn buckets_of_partitions(partitions: u16) -> Vec<BTreeSet<Bucket>> {
        let mut buckets = vec![BTreeSet::new(); usize::from(partitions)];
        for drone in fleet() {
            let partition = partition_key::partition(drone.as_str().as_bytes(), partitions);
            buckets[usize::from(partition)].insert(Bucket::of(&drone));
        }
        buckets
    }

    /// What a batch of a partition costs in requests, at most 100 drones each. A hub of 1, 2, 4, 8, 16 or 32
    /// partitions divides the buckets among them; the others share some: with 5 partitions each meets all 64,
    /// with 24 each meets 8.
    #[test]
    fn a_partitions_drones_fall_into_few_buckets() {
        for partitions in 1..=32_u16 {
            // The greatest power of two in both.
            let common = 1_usize << partitions.trailing_zeros();
            for buckets in buckets_of_partitions(partitions) {
                let share = usize::from(Bucket::COUNT) / common;
                // Of many partitions one may have no drone in a bucket that it could meet.
                let few = share - share / 5..=share;
                assert!(
                    few.contains(&buckets.len()),
                    "{partitions} partitions: {}",
                    buckets.len()
                );
            }
        }
    }

    #[test]
    fn no_bucket_has_much_more_than_its_share() {
        let mut drones: BTreeMap<Bucket, usize> = BTreeMap::new();
        for drone in fleet() {
            *drones.entry(Bucket::of(&drone)).or_default() += 1;
        }
        assert_eq!(drones.len(), usize::from(Bucket::COUNT));
        let largest = drones.values().max().unwrap();
        assert!(*largest < 2 * 10_000 / 64, "{largest}");
    }

    #[test]
    fn a_bucket_is_stored_as_its_number_in_decimal() {
        let drone = "7".parse().unwrap();
        // -15,263 is -31 modulo 64.
        assert_eq!(Bucket::of(&drone).key(), "31");
        assert_eq!(Bucket::all().count(), 64);
        assert_eq!(format!("{:?}", Bucket::of(&drone)), "Bucket(31)");
    }
}
