//! When an open alert is told again: after a while, then after twice as long each time up to an hour, and not any more
//! after a day. Who has not looked by then will not for a reminder.

use time::{Duration, UtcDateTime};

/// The longest time between two reminders, unless the first is set to come later.
const LONGEST: Duration = Duration::hours(1);

/// No reminder comes later after the alert was raised.
const LAST: Duration = Duration::hours(24);

/// The times of reminders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminders {
    first: Duration,
}

impl Reminders {
    /// `first` after the raising comes the first. It must be longer than nothing.
    pub fn new(first: Duration) -> Self {
        Self { first }
    }

    /// When the next one is due after so many, for an alert that was raised then; `None` where there are no more.
    pub fn next(self, raised: UtcDateTime, told: u32) -> Option<UtcDateTime> {
        let longest = LONGEST.max(self.first);
        let mut interval: Duration = self.first;
        let mut after = self.first;
        for _ in 0..told {
            if after > LAST {
                break;
            }
            interval = longest.min(interval * 2);
            after += interval;
        }
        (after <= LAST).then(|| raised.checked_add(after)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    fn minutes(first: i64, most: u32) -> Vec<i64> {
        let raised = utc_datetime!(2024-05-01 12:00:00);
        (0..most)
            .map_while(|told| Reminders::new(Duration::minutes(first)).next(raised, told))
            .map(|due| (due - raised).whole_minutes())
            .collect()
    }

    #[test]
    fn they_come_less_and_less_often_and_end_after_a_day() {
        let all = minutes(5, 100);
        assert_eq!(all[..6], [5, 15, 35, 75, 135, 195]);
        assert_eq!(all.last(), Some(&1395));
        assert_eq!(all.len(), 26);
    }

    #[test]
    fn a_first_one_of_more_than_an_hour_sets_the_pace() {
        assert_eq!(minutes(600, 9), [600, 1200]);
        assert_eq!(minutes(1440, 9), [1440]);
    }
}
