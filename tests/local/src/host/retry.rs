//! The retry policy of a function.

use std::time::Duration;

/// Whether and when a failed call is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// `None` for ever.
    max_retries: Option<u32>,
    minimum: Duration,
    maximum: Duration,
}

impl RetryPolicy {
    pub(crate) fn fixed(max_retries: Option<u32>, delay: Duration) -> Self {
        Self::exponential(max_retries, delay, delay)
    }

    pub(crate) fn exponential(
        max_retries: Option<u32>,
        minimum: Duration,
        maximum: Duration,
    ) -> Self {
        Self {
            max_retries,
            minimum,
            maximum: maximum.max(minimum),
        }
    }

    /// `MaxRetryCount` of the retry context: -1 for ever.
    pub(crate) fn max_retry_count(&self) -> i64 {
        self.max_retries.map_or(-1, i64::from)
    }

    /// How long to wait before retry number `retry`, counted from 1; `None` when that is one too many. `jitter` is 0 to 1.
    ///
    /// The WebJobs SDK's randomized back-off: the part above the minimum doubles each time, give or take a fifth.
    pub(crate) fn delay(&self, retry: u32, jitter: f64) -> Option<Duration> {
        if self.max_retries.is_some_and(|max| retry > max) {
            return None;
        }
        // 2^30 times any interval is beyond every maximum; the bound keeps the power finite.
        let doublings = retry.saturating_sub(1).min(30);
        let steps = f64::from((1_u32 << doublings) - 1) * (0.8 + 0.4 * jitter);
        let delay = self.minimum.as_secs_f64() * (1.0 + steps);
        Some(Duration::from_secs_f64(
            delay.min(self.maximum.as_secs_f64()),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_back_off_doubles_within_its_jitter_up_to_the_maximum() {
        let policy = RetryPolicy::exponential(None, SECOND, 60 * SECOND);
        assert_eq!(policy.delay(1, 0.5), Some(SECOND));
        assert_eq!(policy.delay(2, 0.5), Some(2 * SECOND));
        assert_eq!(policy.delay(4, 0.5), Some(8 * SECOND));
        let (low, high) = (policy.delay(4, 0.0).unwrap(), policy.delay(4, 1.0).unwrap());
        assert!(low < 8 * SECOND && high > 8 * SECOND, "{low:?} {high:?}");
        assert_eq!(policy.delay(7, 1.0), Some(60 * SECOND));
        assert_eq!(policy.delay(u32::MAX, 1.0), Some(60 * SECOND));
    }

    #[test]
    fn a_fixed_delay_never_changes() {
        let policy = RetryPolicy::fixed(Some(3), SECOND);
        for retry in 1..=3 {
            assert_eq!(policy.delay(retry, 0.9), Some(SECOND));
        }
        assert_eq!(policy.delay(4, 0.9), None);
    }

    #[test]
    fn minus_one_never_gives_up() {
        let policy = RetryPolicy::fixed(None, SECOND);
        assert_eq!(policy.max_retry_count(), -1);
        assert!(policy.delay(1_000_000, 0.0).is_some());
    }
}
