//! Exact percentiles: the value at rank ceil(p/100 * n), counted from 1.

use std::collections::BTreeMap;

/// The rank, counted from 0; `None` of nothing.
fn rank(percent: u32, count: u64) -> Option<u64> {
    let rank = (u64::from(percent) * count).div_ceil(100);
    (count > 0).then(|| rank.max(1) - 1)
}

/// A percentile of sorted values; `None` of nothing.
pub fn of_sorted(values: &[f64], percent: u32) -> Option<f64> {
    let rank = rank(percent, values.len() as u64)?;
    values.get(usize::try_from(rank).ok()?).copied()
}

/// A percentile of values that are counted; `None` of nothing.
pub fn of_counted<K: Copy>(counts: &BTreeMap<K, u64>, percent: u32) -> Option<K> {
    let mut rest = rank(percent, counts.values().sum())?;
    for (value, count) in counts {
        if rest < *count {
            return Some(*value);
        }
        rest -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_definition() {
        let values = [1.0, 2.0, 3.0, 4.0];
        for (percent, expected) in [
            (0, 1.0),
            (25, 1.0),
            (26, 2.0),
            (50, 2.0),
            (75, 3.0),
            (99, 4.0),
            (100, 4.0),
        ] {
            assert_eq!(of_sorted(&values, percent), Some(expected), "{percent}");
            let counts = values.iter().map(|value| (*value as u32, 1)).collect();
            assert_eq!(
                of_counted(&counts, percent),
                Some(expected as u32),
                "{percent}"
            );
        }
        assert_eq!(of_sorted(&[], 50), None);
        assert_eq!(of_counted(&BTreeMap::from([(1, 99), (2, 1)]), 99), Some(1));
        assert_eq!(of_counted::<u32>(&BTreeMap::new(), 99), None);
    }
}
