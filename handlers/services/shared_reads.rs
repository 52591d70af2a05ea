//! Answers that several readers share: whoever accepts one of a certain age need not have it made again.
//!
//! A screen in a control room asks for the whole fleet every few seconds, and there are ten of them. What one
//! of them has just read does for all; and while it is being read, the others wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Answers that are kept at most; of the whole fleet one has about 1 MB.
const MOST_ANSWERS: usize = 16;

/// The latest answers by what was asked, shared by those who ask the same.
pub struct SharedReads<K, V> {
    answers: Mutex<Vec<(K, Arc<Answer<V>>)>>,
}

struct Answer<V> {
    begun: Instant,
    value: OnceCell<V>,
}

impl<K, V> Default for SharedReads<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<K: PartialEq, V: Clone> SharedReads<K, V> {
    /// The oldest answer that anybody gets, and the longest that one is kept.
    pub const MOST_AGE: Duration = Duration::from_secs(10);

    /// An answer whose reading began at most `max_age` ago, and how long ago that was. Where there is none, it is
    /// read, once for all who ask meanwhile. With an age of zero it is always read.
    ///
    /// An error is told to the one who read; the next one who waits tries again.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn get<E>(
        &self,
        key: K,
        max_age: Duration,
        read: impl Future<Output = Result<V, E>>,
    ) -> Result<(V, Duration), E> {
        if max_age.is_zero() {
            return read.await.map(|value| (value, Duration::ZERO));
        }
        let answer = self.answer(key, max_age.min(Self::MOST_AGE));
        let value = answer.value.get_or_try_init(|| read).await?;
        Ok((value.clone(), answer.begun.elapsed()))
    }

    fn answer(&self, key: K, max_age: Duration) -> Arc<Answer<V>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(_, answer)| answer.begun.elapsed() <= Self::MOST_AGE);
        let known = answers.iter().position(|(known, _)| *known == key);
        if let Some(place) = known
            && answers[place].1.begun.elapsed() <= max_age
        {
            return Arc::clone(&answers[place].1);
        }
        // The oldest stand first.
        if let Some(place) = known.or((answers.len() >= MOST_ANSWERS).then_some(0)) {
            answers.remove(place);
        }
        let answer = Arc::new(Answer {
            begun: Instant::now(),
            value: OnceCell::new(),
        });
        answers.push((key, Arc::clone(&answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Source {
        shared: SharedReads<&'static str, usize>,
        reads: AtomicUsize,
    }

    impl Source {
        /// The number of the read that it was.
        async fn ask(&self, key: &'static str, max_age: Duration) -> (usize, Duration) {
            let read = async {
                sleep(SECOND).await;
                Ok::<_, ()>(self.reads.fetch_add(1, Ordering::Relaxed) + 1)
            };
            self.shared.get(key, max_age, read).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_who_ask_at_once_cost_one_read_and_so_do_those_who_come_soon_after() {
        let source = Source::default();
        let answers = join_all((0..10).map(|_| source.ask("fleet", 5 * SECOND))).await;
        assert_eq!(answers, [(1, SECOND); 10]);
        advance(4 * SECOND).await;
        assert_eq!(source.ask("fleet", 5 * SECOND).await, (1, 5 * SECOND));
        assert_eq!(
            source.ask("fleet", 4 * SECOND).await.0,
            2,
            "too old for this one"
        );
        assert_eq!(source.ask("alerts", 5 * SECOND).await.0, 3);
        advance(SECOND).await;
        assert_eq!(source.ask("fleet", 5 * SECOND).await.0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wants_no_age_reads() {
        let source = Source::default();
        for expected in 1..4 {
            let answer = source.ask("fleet", Duration::ZERO).await;
            assert_eq!(answer, (expected, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_older_than_the_most_and_little_is_kept() {
        let source = Source::default();
        source.ask("fleet", 60 * SECOND).await;
        advance(10 * SECOND).await;
        assert_eq!(source.ask("fleet", 60 * SECOND).await.0, 2);
        let shared: SharedReads<usize, ()> = SharedReads::default();
        for key in 0..100 {
            let read = async { Ok::<_, ()>(()) };
            shared.get(key, SECOND, read).await.unwrap();
        }
        assert_eq!(shared.answers.lock().unwrap().len(), MOST_ANSWERS);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_error_or_a_reader_who_left_the_next_one_reads() {
        let shared: SharedReads<(), u32> = SharedReads::default();
        let left = tokio::time::timeout(
            SECOND,
            shared.get((), SECOND * 5, std::future::pending::<Result<u32, ()>>()),
        );
        let failed = shared.get((), SECOND * 5, async { Err(()) });
        let (left, failed) = tokio::join!(left, failed);
        assert!(left.is_err());
        assert_eq!(failed, Err(()));
        let read = shared.get((), SECOND * 5, async { Ok::<_, ()>(7) }).await;
        assert_eq!(read.unwrap().0, 7);
    }
}
